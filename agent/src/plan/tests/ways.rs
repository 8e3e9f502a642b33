//! Every way that containers which depend on each other can go: in a world of processes that the agent learns of by
//! facts, and that does not care what the agent believes.

use proptest::sample::Index;

use super::depends::assignment;
use super::*;
use crate::model::{Body, Condition, Health, TaskRecord};

/// What is so of a container, whatever the agent knows of it.
#[derive(Clone, Copy, Debug, Default)]
struct Process {
    ran: bool,
    runs: bool,
    code: Option<i32>,
    health: Health,
}

/// One turn: what chance does with it.
#[derive(Clone, Debug)]
struct Turn {
    pick: Index,
    luck: u8,
    code: Option<i32>,
    health: Health,
    seconds: u64,
}

fn turn() -> impl Strategy<Value = Turn> {
    let code = prop_oneof![4 => Just(Some(0)), 2 => Just(Some(3)), 1 => Just(None)];
    let health = proptest::sample::select(vec![Health::Unknown, Health::Healthy, Health::Unhealthy]);
    (any::<Index>(), 0_u8..100, code, health, 0_u64..4).prop_map(|(pick, luck, code, health, seconds)| Turn {
        pick,
        luck,
        code,
        health,
        seconds,
    })
}

/// A task of two to five containers, whose edges lead from later to earlier ones, and some startTimeouts.
fn any_task() -> impl Strategy<Value = crate::model::Assignment> {
    let condition = proptest::sample::select(vec![
        Condition::Start,
        Condition::Complete,
        Condition::Success,
        Condition::Healthy,
    ]);
    let edges = proptest::collection::vec((any::<Index>(), condition), 0..3);
    let one = (any::<bool>(), edges, proptest::option::of(1_u64..20));
    proptest::collection::vec(one, 2..6).prop_map(|containers| {
        let edges: Vec<Vec<(u16, Condition)>> = (0_usize..)
            .zip(&containers)
            .map(|(at, (_, edges, _))| {
                let edges = edges.iter().filter(|_| at > 0);
                edges
                    .map(|(on, condition)| (u16::try_from(on.index(at)).unwrap(), *condition))
                    .collect()
            })
            .collect();
        let list: Vec<_> = containers
            .iter()
            .zip(&edges)
            .map(|((essential, ..), edges)| (*essential, edges.as_slice()))
            .collect();
        let mut assignment = assignment(&list);
        let mut task = assignment.body.task().unwrap().as_ref().clone();
        for (container, (.., timeout)) in task.containers.iter_mut().zip(&containers) {
            container.start_timeout = timeout.map(Duration::from_secs);
        }
        assignment.body = Body::Task(std::sync::Arc::new(task));
        assignment
    })
}

struct World {
    state: TaskState,
    stored: Option<TaskRecord>,
    processes: Vec<Process>,
    seconds: u64,
}

impl World {
    fn new(assignment: crate::model::Assignment) -> Self {
        let state = TaskState::new(assignment);
        Self {
            processes: vec![Process::default(); state.record.containers.len()],
            state,
            stored: None,
            seconds: 1,
        }
    }

    fn tell(&mut self, fact: Fact) {
        if tell(&mut self.state, fact, self.seconds) == Effect::Durable {
            self.stored = Some(self.state.record.clone());
        }
    }

    fn container(&mut self, index: u16, fact: ContainerFact) {
        self.tell(Fact::Container(index, fact));
    }

    fn plan(&mut self) -> Plan {
        loop {
            let plan = plan(&self.state, now(self.seconds), POLICY);
            if plan.wants_admission {
                self.tell(Fact::Admitted);
                continue;
            }
            if plan.decisions.is_empty() {
                assert_eq!(plan, super::plan(&self.state, now(self.seconds), POLICY));
                return plan;
            }
            assert!(
                plan.steps.is_empty(),
                "nothing is done before a decision is stored"
            );
            for fact in plan.decisions {
                self.tell(fact);
            }
        }
    }

    fn of(&self, index: u16) -> &Process {
        &self.processes[usize::from(index)]
    }

    fn edges(&self) -> Vec<(u16, u16, Condition)> {
        let of = |index: u16, edges: &[crate::model::Dependency]| {
            let edges = edges.iter().map(|edge| (index, edge.on, edge.condition));
            edges.collect::<Vec<_>>()
        };
        let containers = self.state.containers();
        containers
            .flat_map(|(index, definition, ..)| of(index, &definition.depends_on))
            .collect()
    }

    /// All that depend on a container, by others too: edges lead from later to earlier ones.
    fn dependents(&self, index: u16) -> Vec<u16> {
        let mut found = vec![index];
        for (from, on, _) in self.edges() {
            if found.contains(&on) {
                found.push(from);
            }
        }
        found.split_off(1)
    }

    /// What has to be so for a step to be in a plan.
    fn check(&self, step: &Step) {
        match *step {
            Step::Attach(index) | Step::Create(index) | Step::Start(index) => {
                for (_, on, condition) in self.edges().into_iter().filter(|(from, ..)| *from == index) {
                    let other = self.of(on);
                    let holds = match condition {
                        Condition::Start => other.ran,
                        Condition::Complete => other.ran && !other.runs && other.code.is_some(),
                        Condition::Success => other.ran && !other.runs && other.code == Some(0),
                        Condition::Healthy => other.runs && other.health == Health::Healthy,
                    };
                    assert!(holds, "{step:?} before {condition:?} of {on}: {other:?}");
                }
            }
            Step::Terminate(index, _) | Step::Kill(index, _) if !self.state.assignment.force => {
                for from in self.dependents(index) {
                    assert!(
                        !self.of(from).runs,
                        "{step:?} while {from} runs, which depends on it"
                    );
                }
            }
            Step::PrepareTask
            | Step::Pull(_)
            | Step::Adopt(_)
            | Step::Terminate(..)
            | Step::Kill(..)
            | Step::Reap(_)
            | Step::Discard(_)
            | Step::TearDown(_)
            | Step::TearDownTask
            | Step::Clean => {}
        }
    }

    fn exit(&mut self, index: u16, code: Option<i32>) {
        let process = &mut self.processes[usize::from(index)];
        process.runs = false;
        process.code = code;
        process.health = Health::Unknown;
        self.container(index, ContainerFact::Exited);
    }

    /// Does a step; `turn` says how it goes.
    fn act(&mut self, step: &Step, turn: &Turn) {
        if let Some(fact) = begun(step) {
            self.tell(fact);
        }
        let fails = turn.luck < 4;
        match *step {
            Step::Pull(index) | Step::Attach(index) | Step::Create(index) | Step::Start(index) if fails => {
                let failure = Failure {
                    name: "E",
                    text: "t".to_owned(),
                };
                return self.container(index, ContainerFact::Failed(failure));
            }
            Step::Start(index) => {
                self.processes[usize::from(index)] = Process {
                    ran: true,
                    runs: true,
                    ..Process::default()
                };
            }
            Step::Terminate(index, _) if turn.luck < 50 => self.exit(index, turn.code),
            Step::Kill(index, _) => self.exit(index, Some(137)),
            Step::Reap(index) => {
                let exit = Exit {
                    code: self.of(index).code,
                    at_millis: now(self.seconds).at_millis,
                    out_of_memory: None,
                    peak_memory: None,
                    reason: None,
                    run: 0,
                    moment: None,
                };
                let boot_id = "b".to_owned();
                return self.container(
                    index,
                    ContainerFact::Reaped {
                        exit,
                        boot_id,
                        seen: Duration::from_secs(self.seconds),
                    },
                );
            }
            Step::PrepareTask
            | Step::Pull(_)
            | Step::Attach(_)
            | Step::Create(_)
            | Step::Adopt(_)
            | Step::Terminate(..)
            | Step::Discard(_)
            | Step::TearDown(_)
            | Step::TearDownTask
            | Step::Clean => {}
        }
        for fact in outcome(step, self.seconds, false) {
            self.tell(fact);
        }
    }

    /// The agent dies, and a new one takes over.
    fn restart(&mut self) {
        let assignment = self.state.assignment.clone();
        self.state = TaskState::restored(assignment, self.stored.clone());
        for (index, process) in (0_u16..).zip(self.processes.clone()) {
            let asked = Duration::from_secs(self.seconds);
            let fact = match process {
                Process { runs: true, .. } => ContainerFact::Started {
                    run: 0,
                    pid: 1,
                    at_millis: 1,
                    boot_id: "b".to_owned(),
                    seen: asked,
                },
                Process { ran: true, .. } => ContainerFact::Exited,
                Process { .. } => ContainerFact::NotRunning(asked),
            };
            self.container(index, fact);
        }
        self.tell(Fact::Listed);
    }

    fn acknowledge(&mut self) {
        if let Some(report) = self.state.owed() {
            let containers = report.containers.iter().map(|each| each.status).collect();
            self.tell(Fact::Acknowledged {
                task: report.status,
                containers,
            });
        }
    }

    fn running(&self) -> Vec<u16> {
        let all = (0_u16..).zip(&self.processes);
        all.filter(|(_, process)| process.runs)
            .map(|(index, _)| index)
            .collect()
    }

    /// Something happens by itself to one that runs.
    fn happen(&mut self, turn: &Turn) -> bool {
        let running = self.running();
        if running.is_empty() {
            return false;
        }
        let index = running[turn.pick.index(running.len())];
        if turn.luck < 70 {
            self.processes[usize::from(index)].health = turn.health;
            self.container(index, ContainerFact::Health(turn.health));
        } else {
            self.exit(index, turn.code);
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens in whatever order: no container is made before its edges hold, none is signalled before those
    /// that depend on it have ended, and the task comes to its end, by an order or without one.
    #[test]
    fn edges_hold_and_the_order_of_stops_too(
        task in any_task(), turns in proptest::collection::vec(turn(), 400),
        stop_at in proptest::option::of(0_usize..100), force: bool, die_at in proptest::collection::vec(0_usize..200, 0..4),
    ) {
        let mut world = World::new(task);
        for (at, turn) in turns.iter().enumerate() {
            if world.state.live.cleaned {
                break;
            }
            world.seconds += turn.seconds;
            if stop_at == Some(at) {
                world.tell(Fact::Ordered(Order { generation: 2, desired: DesiredStatus::Stopped, force, task: None }));
            }
            if die_at.contains(&at) {
                world.restart();
            }
            world.acknowledge();
            let plan = world.plan();
            for step in &plan.steps {
                world.check(step);
            }
            // In a third of the turns something happens by itself, while there is time; then only where all wait.
            let quiet = plan.steps.is_empty();
            if (quiet && plan.wake.is_none()) || (at < 200 && turn.luck % 3 == 0) {
                if world.happen(turn) {
                    continue;
                }
                prop_assert!(!quiet || plan.wake.is_some() || world.state.live.cleaned || world.state.owed().is_some(),
                    "nothing runs, nothing is done, and nothing ever will be: {:#?}", world.state);
            }
            match plan.wake {
                _ if !quiet => {
                    let step = plan.steps[turn.pick.index(plan.steps.len())].clone();
                    world.act(&step, turn);
                }
                Some(wake) => world.seconds = world.seconds.max(wake.as_secs() + 1),
                None => {}
            }
        }
        prop_assert!(world.state.live.cleaned, "{:#?}\n{:#?}", world.state, world.processes);
        prop_assert!(world.running().is_empty());
        prop_assert_eq!(world.state.record.acknowledged.task, ReportedStatus::Stopped);
    }
}
