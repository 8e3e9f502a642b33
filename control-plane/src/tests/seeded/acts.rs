//! What may happen in a step.

use std::time::Duration;

use longshore_protocol::poll::PollRequest;
use serde_json::json;

use super::bugs::Bug;
use super::life::{Life, Packet, Ticket, Told, Wish, operator};
use super::machine::Stage;
use super::world::{NODES, Op, node};
use crate::clock::Clock as _;
use crate::store::tap::Fate;

/// The most machines: nodes and copies of them.
const MAX_MACHINES: usize = NODES + 2;

impl Life<'_> {
    /// One thing that happens.
    pub(super) async fn act(&mut self) {
        match self.dice.below(100) {
            0..10 => self.run_task(),
            10..13 => self.start_task(),
            13..20 => self.stop_task(),
            20..22 => self.change_instance(),
            22..42 => self.agent_polls(),
            42..58 => self.task_moves(),
            58..70 => self.agent_reports(),
            70..80 => self.packet_arrives(),
            80..84 => self.time_goes_by(),
            84..91 => self.machine_trouble(),
            91..96 => self.death_comes().await,
            _ => self.backups().await,
        }
    }

    fn run_task(&mut self) {
        if let Some(wish) = self.wishes.pop() {
            return self.ask_for(wish);
        }
        let (count, family) = (1 + self.dice.below(3), self.dice.below(4));
        let token = self.dice.uuid().simple().to_string();
        self.oracle.started.insert(token.clone(), count);
        let body = json!({"taskDefinition": format!("f{family}"), "count": count, "clientToken": token, "startedBy": token});
        self.ask_for(Wish { token, body });
    }

    fn ask_for(&mut self, wish: Wish) {
        self.say(&format!("run {}: {}", wish.token, wish.body));
        let op = Op::Call(operator(), "RunTask", wish.body.clone());
        self.batch.push((Ticket::Run(wish), op));
    }

    fn start_task(&mut self) {
        let at = self.dice.below(self.machines.len());
        let family = format!("f{}", self.dice.below(4));
        self.say(&format!("start {family} on machine {at}"));
        let body = json!({"taskDefinition": family, "containerInstances": [self.machines[at].instance]});
        self.batch
            .push((Ticket::Start, Op::Call(operator(), "StartTask", body)));
    }

    fn stop_task(&mut self) {
        let known: Vec<_> = self
            .oracle
            .books()
            .tasks
            .values()
            .map(|entry| entry.task.arn.to_string())
            .collect();
        if known.is_empty() {
            return;
        }
        let body = json!({"task": known[self.dice.below(known.len())], "force": self.dice.percent(20)});
        self.say(&format!("stop {body}"));
        self.batch
            .push((Ticket::Nothing, Op::Call(operator(), "StopTask", body)));
    }

    fn change_instance(&mut self) {
        let at = self.dice.below(self.machines.len());
        let instance = self.machines[at].instance.clone();
        let (name, body) = match self.dice.below(5) {
            0 => (
                "DeregisterContainerInstance",
                json!({"containerInstance": instance, "force": true}),
            ),
            one => {
                let status = if one < 3 { "ACTIVE" } else { "DRAINING" };
                (
                    "UpdateContainerInstancesState",
                    json!({"containerInstances": [instance], "status": status}),
                )
            }
        };
        self.say(&format!("{name} {body}"));
        self.batch
            .push((Ticket::Nothing, Op::Call(operator(), name, body)));
    }

    /// A machine that can make a call.
    fn caller(&mut self) -> Option<usize> {
        let at = self.dice.below(self.machines.len());
        (self.machines[at].on && self.machines[at].link).then_some(at)
    }

    fn agent_polls(&mut self) {
        let Some(at) = self.caller() else { return };
        if self.machines[at].unregistered {
            self.say(&format!("machine {at} registers"));
            return self.register(at, false);
        }
        if self.machines[at].open.is_some() {
            if self.dice.percent(70) {
                return;
            }
            // It has waited long enough. The control plane may not hear that it has hung up.
            if self.dice.percent(60) {
                self.hang_up(at);
            }
        }
        let wait = 1 + u32::try_from(self.dice.below(60)).unwrap();
        let list = self.dice.percent(10);
        self.poll(at, wait, list);
        if self.dice.percent(70) {
            // At once.
            if let Some(packet) = self.packets.pop() {
                self.deliver(packet);
            }
        }
    }

    pub(super) fn poll(&mut self, at: usize, wait: u32, list: bool) {
        let request = self.machines[at].poll(wait, list);
        self.say(&format!(
            "machine {at} polls: {} {:?} list {} bodies {}",
            request.n,
            request.cursor,
            request.inventory.tasks.is_some(),
            request.inventory.bodies.len()
        ));
        self.packets.push(Packet::Poll(at, Box::new(request)));
    }

    fn task_moves(&mut self) {
        let at = self.dice.below(self.machines.len());
        let count = self.machines[at].tasks.len();
        let (which, code) = (
            self.dice.below(count.max(1)),
            i32::try_from(self.dice.below(4)).unwrap(),
        );
        let Some(arn) = self.machines[at].tasks.keys().nth(which).cloned() else {
            return;
        };
        let forgets = self.dice.percent(50);
        let held = self.machines[at].tasks.get_mut(&arn).unwrap();
        let stops = held.is_to_stop();
        held.stage = match held.stage {
            Stage::Pending if stops => Stage::Stopped(None),
            Stage::Pending => Stage::Running,
            Stage::Running if stops => Stage::Stopped(Some(137)),
            Stage::Running => Stage::Ending(code),
            Stage::Ending(code) => Stage::Stopped(Some(code)),
            Stage::Stopped(_) if held.is_told() && forgets => {
                self.say(&format!("machine {at} forgets {arn}"));
                self.machines[at].tasks.remove(&arn);
                return;
            }
            Stage::Stopped(_) => return,
        };
        let stage = held.stage;
        if let Stage::Ending(code) | Stage::Stopped(Some(code)) = stage {
            self.oracle.codes.entry(arn.clone()).or_default().insert(code);
        }
        self.say(&format!("{arn} is {stage:?} on machine {at}"));
    }

    fn agent_reports(&mut self) {
        let Some(at) = self.caller() else { return };
        let untold = self.machines[at].tasks.iter().filter(|(_, held)| !held.is_told());
        let untold: Vec<_> = untold.map(|(arn, _)| arn.clone()).collect();
        if !untold.is_empty() {
            let arn = &untold[self.dice.below(untold.len())];
            self.report(at, arn);
            if self.dice.percent(60)
                && let Some(packet) = self.packets.pop()
            {
                self.deliver(packet);
            }
        }
    }

    pub(super) fn report(&mut self, at: usize, arn: &str) {
        let held = &self.machines[at].tasks[arn];
        let told = Told {
            task: arn.to_owned(),
            stage: held.stage,
            ordered: held.ordered,
        };
        let packet = Packet::Report(at, told, held.report());
        self.packets.push(packet);
    }

    fn packet_arrives(&mut self) {
        if self.packets.is_empty() {
            return;
        }
        let which = self.dice.below(self.packets.len());
        if self.dice.percent(15) {
            // It comes once more.
            let packet = self.packets[which].clone();
            return self.deliver(packet);
        }
        let packet = self.packets.swap_remove(which);
        if !self.dice.percent(10) {
            self.deliver(packet);
        }
    }

    pub(super) fn deliver(&mut self, packet: Packet) {
        match packet {
            Packet::Poll(at, request) => {
                self.say(&format!("poll {} of machine {at} arrives", request.n));
                self.deliver_poll(at, request);
            }
            Packet::Report(at, told, body) => {
                let Told { task, stage, .. } = &told;
                self.say(&format!(
                    "a report of {task} from machine {at} arrives: {stage:?}"
                ));
                let who = node(&self.machines[at].node, &self.machines[at].fingerprint);
                let op = Op::Call(who, "SubmitTaskStateChange", body);
                self.batch.push((Ticket::Report(at, told), op));
            }
        }
    }

    fn deliver_poll(&mut self, at: usize, request: Box<PollRequest>) {
        let deadline = self.world.clock.elapsed() + Duration::from_secs(request.wait_seconds.into());
        let op = Op::Poll(self.machines[at].node.clone(), request.clone());
        self.batch.push((Ticket::Poll(at, request, deadline), op));
    }

    fn time_goes_by(&mut self) {
        let seconds = match self.dice.below(20) {
            0..8 => 1,
            8..12 => 16,
            12..18 => 75,
            18 => 3600,
            _ => 25 * 3600,
        };
        self.say(&format!("{seconds} s go by"));
        self.world.clock.advance(Duration::from_secs(seconds));
        if seconds > 3600 {
            // A client token lives for a day.
            self.wishes.clear();
            self.oracle.started.clear();
            self.oracle.told.clear();
            self.batch.push((Ticket::Nothing, Op::Sweep));
        }
    }

    fn machine_trouble(&mut self) {
        let at = self.dice.below(self.machines.len());
        let what = self.dice.below(10);
        let copies = self.copies && self.machines.len() < MAX_MACHINES;
        if what < 4 {
            let run = self.new_run();
            self.say(&format!("the agent of machine {at} begins again"));
            self.hang_up(at);
            self.machines[at].restart(run);
        } else if what < 8 || !copies {
            let link = !self.machines[at].link;
            self.say(&format!("the link of machine {at} is there: {link}"));
            self.machines[at].link = link;
            if !link {
                self.machines[at].open = None;
            }
        } else {
            let run = self.new_run();
            self.say(&format!(
                "machine {at} is copied to machine {}",
                self.machines.len()
            ));
            let mut copy = self.machines[at].copy(run);
            copy.fingerprint.push_str(&self.machines.len().to_string());
            self.machines.push(copy);
        }
    }

    async fn death_comes(&mut self) {
        let early = self.bug() == Some(Bug::AnswersBeforeTheCommit);
        let fate = match self.dice.below(6) {
            0 => {
                // Between two steps.
                self.world.tap.kill();
                return self.begin_again().await;
            }
            1 | 2 => Fate::DieBefore,
            3 | 4 if early => Fate::Early,
            3 | 4 => Fate::DieAfter,
            _ => Fate::Fail,
        };
        let left = u64::try_from(self.dice.below(5)).unwrap();
        self.say(&format!("{fate:?} after {left} commits"));
        self.world.tap.arm(left, fate);
    }

    async fn backups(&mut self) {
        if !self.restores {
            return;
        }
        if self.backed_up && self.dice.percent(40) {
            // The polls of this step are for a control plane that is gone.
            self.restore().await;
        } else {
            self.say("a backup");
            self.backed_up = true;
            self.world.back_up();
            self.oracle.back_up();
        }
    }
}
