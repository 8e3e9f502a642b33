//! A life: steps of several operations side by side, deaths between them, and rest in the end.

use std::sync::Mutex;
use std::time::Duration;

use longshore_protocol::poll::PollRequest;
use serde_json::Value;
use uuid::Uuid;

use super::bugs::Bug;
use super::machine::{Machine, Stage};
use super::oracle::Oracle;
use super::world::{Done, NODES, Op, Polled, Template, World, node};
use crate::agents::poll::Turn;
use crate::auth::Principal;
use crate::clock::Clock as _;
use crate::error::{ApiError, Code};
use crate::testing::Dice;

/// The most answers in a row that come at once and bring nothing: its list is asked for, a body three times.
const MOST_HURRIED: u32 = 8;

/// Something on its way to the control plane. May come late, twice, or never.
#[derive(Clone)]
pub(super) enum Packet {
    Poll(usize, Box<PollRequest>),
    Report(usize, Told, Value),
}

/// What a report says, and the newest order about the task when it was made.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) task: String,
    pub(super) stage: Stage,
    pub(super) ordered: u32,
}

/// A poll that the control plane holds.
pub(super) struct Parked {
    pub(super) machine: usize,
    request: Box<PollRequest>,
    turn: Box<Turn>,
    deadline: Duration,
}

/// RunTask with a client token, tried until it is answered.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) token: String,
    pub(super) body: Value,
}

/// What becomes of an answer.
pub(super) enum Ticket {
    Nothing,
    Run(Wish),
    Start,
    Register(usize, bool),
    Poll(usize, Box<PollRequest>, Duration),
    Report(usize, Told),
}

pub(super) struct Life<'a> {
    pub(super) world: World,
    pub(super) dice: Dice,
    pub(super) machines: Vec<Machine>,
    pub(super) packets: Vec<Packet>,
    pub(super) wishes: Vec<Wish>,
    pub(super) oracle: Oracle,
    pub(super) backed_up: bool,
    /// How many of a hundred answers are lost on their way.
    pub(super) loss: usize,
    /// Which troubles this life has.
    pub(super) copies: bool,
    pub(super) restores: bool,
    pub(super) batch: Vec<(Ticket, Op)>,
    pub(super) parked: Vec<Parked>,
    bug: Option<Bug>,
    pub(super) calm: bool,
    log: &'a Mutex<String>,
}

pub(super) fn operator() -> (Principal, Option<String>) {
    (Principal::Operator, None)
}

impl<'a> Life<'a> {
    pub(super) async fn new(
        seed: u64,
        template: &Template,
        bug: Option<Bug>,
        log: &'a Mutex<String>,
    ) -> Self {
        let mut dice = Dice::new(seed);
        let machines = template.nodes.iter().enumerate();
        let machines = machines.map(|(number, (node, instance))| {
            Machine::new(node, instance, format!("machine {number}"), dice.uuid())
        });
        Self {
            machines: machines.take(NODES).collect(),
            world: World::new(seed, template, bug).await,
            packets: Vec::new(),
            wishes: Vec::new(),
            oracle: Oracle::default(),
            backed_up: false,
            loss: if dice.percent(60) { dice.below(30) } else { 0 },
            copies: dice.percent(25),
            restores: dice.percent(35),
            batch: Vec::new(),
            parked: Vec::new(),
            bug,
            calm: false,
            dice,
            log,
        }
    }

    pub(super) fn say(&self, line: &str) {
        let mut log = self.log.lock().unwrap();
        log.push_str(line);
        log.push('\n');
    }

    pub(super) fn bug(&self) -> Option<Bug> {
        self.bug
    }

    /// Lives it through; returns what was wrong.
    pub(super) async fn live(mut self) -> Vec<String> {
        self.begin().await;
        for number in 0..12 + self.dice.below(40) {
            self.say(&format!("-- {number}"));
            for _ in 0..=self.dice.below(4) {
                self.act().await;
            }
            self.step().await;
            if !self.oracle.violations.is_empty() {
                return self.oracle.violations;
            }
        }
        self.calm().await;
        self.oracle.judge(&self.machines);
        if self.oracle.violations.is_empty() {
            self.stop_all().await;
            self.calm().await;
            let left = self.oracle.books().leftovers();
            self.oracle.violations.extend(left);
        }
        for violation in &self.oracle.violations {
            self.say(&format!("WRONG {violation}"));
        }
        self.world.plane.store.close().await;
        self.oracle.violations
    }

    /// Every agent polls once, so that there is somebody to run tasks.
    async fn begin(&mut self) {
        for at in 0..self.machines.len() {
            self.poll(at, 30, true);
        }
        for packet in std::mem::take(&mut self.packets) {
            self.deliver(packet);
        }
        self.step().await;
    }

    /// Does what was put together, and what polls have to do by now.
    pub(super) async fn step(&mut self) {
        let now = self.world.clock.elapsed();
        for parked in std::mem::take(&mut self.parked) {
            let over = parked.deadline <= now;
            if over || (parked.turn.has_rung() && (self.calm || self.dice.percent(80))) {
                let ticket = Ticket::Poll(parked.machine, parked.request, parked.deadline);
                self.batch.push((ticket, Op::Look(parked.turn, over)));
            } else {
                self.parked.push(parked);
            }
        }
        let (tickets, ops): (Vec<_>, Vec<_>) = std::mem::take(&mut self.batch).into_iter().unzip();
        let done = self.world.play(ops).await;
        for (ticket, done) in tickets.into_iter().zip(done) {
            self.after(ticket, done);
        }
        if self.world.tap.is_dead() {
            self.begin_again().await;
        }
        let (plane, commits) = (&self.world.plane, self.world.tap.count());
        self.oracle.look(plane, commits, &self.machines).await;
    }

    pub(super) async fn begin_again(&mut self) {
        self.say("the control plane dies and begins again");
        self.parked.clear();
        self.world.begin_again().await;
    }

    pub(super) async fn restore(&mut self) {
        self.say("the control plane is restored from its backup");
        self.parked.clear();
        self.world.restore().await;
        self.oracle.restore(&self.machines);
        self.wishes.clear();
    }

    /// Drops what the control plane holds of a machine, whose agent has hung up.
    pub(super) fn hang_up(&mut self, machine: usize) {
        self.parked.retain(|parked| parked.machine != machine);
    }

    fn after(&mut self, ticket: Ticket, done: Option<Done>) {
        let Some(done) = done else {
            self.say("  no answer");
            if let Ticket::Run(wish) = ticket {
                self.wishes.push(wish);
            }
            return;
        };
        match (ticket, done) {
            (Ticket::Run(wish), Done::Called(answer)) => self.ran(wish, answer),
            (Ticket::Start, Done::Called(answer)) => self.note_started(&answer),
            (Ticket::Register(machine, anew), Done::Called(answer)) => self.registered(machine, anew, answer),
            (Ticket::Poll(machine, request, deadline), Done::Polled(answer)) => {
                self.polled(machine, request, deadline, answer);
            }
            (Ticket::Report(machine, told), Done::Called(answer)) => self.reported(machine, &told, answer),
            (_, Done::Called(answer)) => self.say(&format!("  {}", outcome(&answer))),
            (_, Done::Polled(_) | Done::Swept) => {}
        }
    }

    /// Whether an answer gets lost on its way.
    fn loses(&mut self) -> bool {
        !self.calm && self.dice.percent(self.loss)
    }

    fn note_started(&mut self, answer: &Result<Value, ApiError>) {
        self.say(&format!("  {}", outcome(answer)));
        let Ok(answer) = answer else { return };
        for task in answer["tasks"].as_array().unwrap() {
            let arn = task["taskArn"].as_str().unwrap().to_owned();
            self.say(&format!("  task {arn} on {}", task["containerInstanceArn"]));
            self.oracle.told.insert(arn);
        }
    }

    fn ran(&mut self, wish: Wish, answer: Result<Value, ApiError>) {
        let refused = answer.as_ref().is_err_and(|error| error.code == Code::Server);
        if self.loses() || refused {
            self.say("  tried again later");
            self.wishes.push(wish);
        } else {
            self.note_started(&answer);
        }
    }

    fn registered(&mut self, machine: usize, anew: bool, answer: Result<Value, ApiError>) {
        self.say(&format!("  {}", outcome(&answer)));
        match answer {
            Ok(answer) => {
                let arn = answer["containerInstance"]["containerInstanceArn"]
                    .as_str()
                    .unwrap();
                self.machines[machine].registered(arn);
            }
            Err(error) if !anew && error.code != Code::Server => self.register(machine, true),
            Err(_) => {}
        }
    }

    pub(super) fn register(&mut self, machine: usize, anew: bool) {
        let asks = &self.machines[machine];
        let op = Op::Call(
            node(&asks.node, &asks.fingerprint),
            "RegisterContainerInstance",
            asks.registration(anew),
        );
        self.batch.push((Ticket::Register(machine, anew), op));
    }

    fn polled(
        &mut self,
        at: usize,
        request: Box<PollRequest>,
        deadline: Duration,
        answer: Result<Polled, ApiError>,
    ) {
        let answer = match answer {
            Ok(Polled::Waits(turn)) => {
                self.say(&format!("  poll {} of machine {at} waits", request.n));
                self.parked.push(Parked {
                    machine: at,
                    request,
                    turn,
                    deadline,
                });
                return;
            }
            Ok(Polled::Answer(answer)) => Ok((answer, true)),
            Ok(Polled::Unproved(nothing)) => Ok((nothing, false)),
            Err(error) => Err(error),
        };
        let lost = self.loses();
        let machine = &mut self.machines[at];
        let hears =
            machine.on && machine.link && machine.run == request.agent_run && machine.open == Some(request.n);
        if lost || !hears {
            self.say(&format!(
                "  nobody hears the answer to poll {} of machine {at}",
                request.n
            ));
            return;
        }
        machine.open = None;
        match answer {
            Ok((answer, served)) => {
                let waits = Duration::from_secs(request.wait_seconds.into());
                // Who may not be the node is let wait by the server.
                let quick = served && deadline == self.world.clock.elapsed() + waits;
                let news = !answer.assignments.is_empty() || answer.cursor != request.cursor;
                machine.hurried = if quick && !news { machine.hurried + 1 } else { 0 };
                if machine.hurried > MOST_HURRIED {
                    self.oracle
                        .blame(format!("machine {at} is told nothing at once, again and again"));
                }
                let shown =
                    serde_json::to_string(&(&answer.cursor, answer.cloned, &answer.want_tasks)).unwrap();
                let orders = answer.assignments.iter();
                let orders =
                    orders.map(|order| format!("{} {} {}", order.seq, order.task_arn, order.desired_status));
                let orders: Vec<_> = orders.collect();
                let faults = machine.take(answer);
                machine.served &= served;
                self.say(&format!("  machine {at} is told {shown} {orders:?}"));
                self.oracle.violations.extend(faults);
            }
            Err(error) => {
                machine.served = false;
                machine.unregistered |= error.code == Code::InactiveInstance;
                self.say(&format!("  machine {at} is refused: {}", error.code.as_str()));
            }
        }
    }

    fn reported(&mut self, at: usize, told: &Told, answer: Result<Value, ApiError>) {
        let Told { task, stage, ordered } = told;
        self.say(&format!(
            "  {task} {stage:?} of machine {at}: {}",
            outcome(&answer)
        ));
        let refused = answer.is_err_and(|error| error.code == Code::Server);
        if self.loses() || refused {
            return;
        }
        if let Some(held) = self.machines[at].tasks.get_mut(task)
            && held.stage == *stage
            && held.ordered == *ordered
        {
            held.acknowledged = Some(*stage);
        }
    }

    pub(super) fn new_run(&mut self) -> Uuid {
        self.dice.uuid()
    }
}

fn outcome(answer: &Result<Value, ApiError>) -> String {
    match answer {
        Ok(_) => "done".to_owned(),
        Err(error) => format!("{}: {}", error.code.as_str(), error.message),
    }
}
