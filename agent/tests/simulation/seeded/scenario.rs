//! What happens in a life, from its seed. Everything that a later agent can do is added here.

use std::time::Duration;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs;
use longshore_protocol::poll::TaskSpec;

use crate::node::{container, task, task_arn, with_port};

/// Numbers from a seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most))
    }
}

#[derive(Clone, Debug)]
pub enum Event {
    Assign(usize),
    Stop {
        task: usize,
        force: bool,
    },
    /// The link is cut, or there again.
    Link(bool),
    /// containerd goes away, with what it forgets and what it doesn't tell.
    RuntimeAway {
        forgets_exits: bool,
        says_so: bool,
    },
    RuntimeBack,
    /// The agent is told to end, and begins again.
    Upgrade,
    /// The power is cut and comes back.
    Cut,
    /// The wall clock is so far off, in milliseconds.
    Wall(i64),
    Backup,
    Restore,
}

pub struct Scenario {
    pub tasks: Vec<(TaskArn, TaskSpec)>,
    pub events: Vec<(Duration, Event)>,
    pub crashes: u64,
    pub fault_percent: u64,
    pub hang_permille: u64,
    /// How many of a hundred answers of polls say everything again, in another order.
    pub again_percent: u64,
    /// How many of a hundred polls are answered late: with what one before was, or should have been.
    pub late_percent: u64,
    /// How long answers to reports are on their way, in milliseconds.
    pub acknowledges_after: u64,
    /// How many stopped tasks the agent keeps.
    pub kept: usize,
    /// Whether the node comes to be asked about what a control plane forgot.
    pub restores: bool,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        // From numbers of their own, so that the rest of a life does not hang on them.
        let mut others = Dice::new(!seed);
        let count = 1 + dice.below(4);
        let tasks = (0..count).map(|number| (task_arn(u128::from(number) + 1), spec(&mut dice)));
        let mut scenario = Self {
            tasks: tasks.collect(),
            events: Vec::new(),
            crashes: if dice.percent(70) { dice.below(9) } else { 0 },
            fault_percent: if dice.percent(50) { dice.below(30) } else { 0 },
            hang_permille: if dice.percent(25) { dice.below(30) } else { 0 },
            again_percent: if dice.percent(40) { dice.below(60) } else { 0 },
            late_percent: if others.percent(40) { others.below(60) } else { 0 },
            acknowledges_after: if others.percent(30) {
                others.below(20_000)
            } else {
                0
            },
            kept: if others.percent(40) { 1 } else { 1000 },
            restores: dice.percent(20),
        };
        scenario.add_tasks(&mut dice);
        scenario.add_troubles(&mut dice);
        scenario.events.sort_by_key(|(at, _)| *at);
        // A wall clock that is years ahead forgets tasks that have ended; then an answer of before runs them again.
        let steps = |event: &Event| matches!(event, Event::Wall(_));
        if scenario.events.iter().any(|(_, event)| steps(event)) {
            scenario.late_percent = 0;
        }
        scenario
    }

    /// Whether shims keep no exit records, as the stock one.
    pub fn keeps_no_exits(&self) -> bool {
        let forgets = |event: &Event| {
            matches!(
                event,
                Event::RuntimeAway {
                    forgets_exits: true,
                    ..
                }
            )
        };
        self.events.iter().any(|(_, event)| forgets(event))
    }

    fn add_tasks(&mut self, dice: &mut Dice) {
        for task in 0..self.tasks.len() {
            let at = dice.millis(40_000);
            self.events.push((at, Event::Assign(task)));
            if dice.percent(60) {
                let force = dice.percent(20);
                let stop = Event::Stop { task, force };
                self.events.push((at + dice.millis(90_000), stop.clone()));
                if dice.percent(20) {
                    self.events.push((at + dice.millis(120_000), stop));
                }
            }
        }
    }

    fn add_troubles(&mut self, dice: &mut Dice) {
        if dice.percent(40) {
            let at = dice.millis(60_000);
            let long = !self.restores && dice.percent(10);
            let most = if long { 6 * 3_600_000 } else { 300_000 };
            let back = at + dice.millis(most);
            self.events.push((at, Event::Link(false)));
            self.events.push((back, Event::Link(true)));
        }
        for _ in 0..dice.below(3) {
            let at = dice.millis(90_000);
            let away = Event::RuntimeAway {
                forgets_exits: dice.percent(40),
                says_so: dice.percent(70),
            };
            self.events.push((at, away));
            self.events.push((at + dice.millis(40_000), Event::RuntimeBack));
        }
        for _ in 0..dice.below(3) {
            self.events.push((dice.millis(120_000), Event::Upgrade));
        }
        if dice.percent(15) {
            self.events.push((dice.millis(120_000), Event::Cut));
        }
        // The simulated runtime's times are not off with it, and what is cleaned up early comes again from a backup.
        if !self.restores && dice.percent(30) {
            let years = i64::try_from(dice.below(101)).unwrap() - 50;
            let off = years * 365 * 86_400_000;
            self.events.push((dice.millis(120_000), Event::Wall(off)));
        }
        if self.restores {
            let backup = dice.millis(60_000);
            self.events.push((backup, Event::Backup));
            self.events.push((backup + dice.millis(60_000), Event::Restore));
        }
    }
}

fn spec(dice: &mut Dice) -> TaskSpec {
    let count = 1 + dice.below(3);
    let essential = dice.below(count);
    let mut spec = task(Vec::new());
    let definitions = (0..count).map(|number| {
        let mut definition = container(&format!("c{number}"), &behaviour(dice));
        definition.essential = Some(number == essential || dice.percent(40));
        definition.image = Some(image(dice).to_owned());
        definition.stop_timeout = dice
            .percent(50)
            .then(|| i32::try_from(2 + dice.below(118)).unwrap());
        definition.restart_policy = dice.percent(10).then(|| ecs::ContainerRestartPolicy {
            enabled: Some(true),
            ignored_exit_codes: dice.percent(50).then(|| vec![0, 3]),
            restart_attempt_period: Some(60),
        });
        definition
    });
    let mut definitions: Vec<_> = definitions.collect();
    if dice.percent(40) {
        add_dependencies(dice, &mut definitions);
    }
    spec.containers = task(definitions).containers;
    if dice.percent(30) {
        let host = dice
            .percent(50)
            .then(|| i32::try_from(8080 + dice.below(2)).unwrap());
        spec = with_port(spec, 80, host);
    }
    spec
}

/// Later containers depend on earlier ones: no circles.
fn add_dependencies(dice: &mut Dice, definitions: &mut [ecs::ContainerDefinition]) {
    for index in 1..definitions.len() {
        if dice.percent(30) {
            continue;
        }
        let on = usize::try_from(dice.below(index as u64)).unwrap();
        let essential = definitions[on].essential == Some(true);
        // An essential container that others wait to see end would end the task.
        let condition = match dice.below(3) {
            0 if !essential => "COMPLETE",
            1 if !essential => "SUCCESS",
            _ => "START",
        };
        let edge = ecs::ContainerDependency {
            container_name: definitions[on].name.clone(),
            condition: Some(condition.to_owned()),
        };
        definitions[index].depends_on = Some(vec![edge]);
        if dice.percent(30) {
            definitions[on].start_timeout = Some(i32::try_from(2 + dice.below(60)).unwrap());
        }
    }
}

fn behaviour(dice: &mut Dice) -> String {
    let seconds = dice.below(60_000);
    let seconds = format!("{}.{:03}", seconds / 1000, seconds % 1000);
    let code = dice.below(256);
    match dice.below(20) {
        0..7 => format!("run {seconds} {code}"),
        7..11 => "sleep".to_owned(),
        11..14 => format!("graceful {code}"),
        14..18 => "stubborn".to_owned(),
        18 => format!("undead {seconds}"),
        _ if dice.percent(50) => "unstartable".to_owned(),
        _ => "uncreatable".to_owned(),
    }
}

fn image(dice: &mut Dice) -> &'static str {
    match dice.below(40) {
        0 => "missing",
        1 => "slow",
        2 => "secretive",
        3 => "cached",
        4..7 => "quit",
        _ => "busybox",
    }
}
