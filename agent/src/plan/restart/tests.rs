use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::status::DesiredStatus;
use proptest::prelude::*;

use super::super::{Policy, plan};
use super::*;
use crate::config::ResumeOnBoot;
use crate::model::{
    Boot, ContainerFact, Effect, Exit, Fact, KnownStatus, Moment, Order, RestartPolicy, TaskRecord, apply,
    judge_boot, sample,
};

const POLICY: Policy = Policy {
    stop_timeout: Duration::from_secs(30),
    cleanup_wait: Duration::from_secs(600),
    forget: false,
};

/// What a runtime has of the one container: its newest run, and how that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Nothing,
    Recorded,
    Running(u32),
    Ended(u32, Option<i32>),
}

/// A container on a machine: the real decisions, and a model of everything else.
struct Machine {
    state: TaskState,
    stored: TaskRecord,
    has: Has,
    runs: BTreeSet<u32>,
    /// The run that was asked for last, as the runtime's record has it.
    newest: u32,
    boot: u64,
    booted: u64,
    seconds: u64,
}

impl Machine {
    fn new(ignored: Vec<i32>, policy: bool) -> Self {
        let mut container = sample::container("a", true);
        container.restart_policy = policy.then_some(RestartPolicy {
            ignored_exit_codes: ignored,
            attempt_period: Duration::from_secs(60),
        });
        let mut assignment = sample::assignment(&[]);
        assignment.body = crate::model::Body::Task(Arc::new(sample::task(vec![container])));
        let state = TaskState::new(assignment);
        Self {
            stored: state.record.clone(),
            state,
            has: Has::Nothing,
            runs: BTreeSet::new(),
            newest: 0,
            boot: 1,
            booted: 0,
            seconds: 10,
        }
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.boot)
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(self.seconds - self.booted)
    }

    fn tell(&mut self, fact: Fact) {
        let at = i64::try_from(self.seconds).unwrap() * 1000;
        if apply(&mut self.state, fact, at).unwrap() == Effect::Durable {
            self.stored = self.state.record.clone();
        }
    }

    fn container(&mut self, fact: ContainerFact) {
        self.tell(Fact::Container(0, fact));
    }

    fn started(&mut self, run: u32) {
        let fact = ContainerFact::Started {
            run,
            pid: 1,
            at_millis: i64::try_from(self.seconds).unwrap() * 1000,
            boot_id: self.boot_id(),
            seen: self.since_boot(),
        };
        self.container(fact);
    }

    fn plan(&mut self) -> Plan {
        loop {
            let boot_id = self.boot_id();
            let now = Now {
                boot_id: &boot_id,
                since_boot: self.since_boot(),
                at_millis: i64::try_from(self.seconds).unwrap() * 1000,
            };
            let plan = plan(&self.state, now, POLICY);
            if plan.decisions.is_empty() {
                return plan;
            }
            for fact in plan.decisions {
                self.tell(fact);
            }
        }
    }

    /// The agent dies and comes back; the runtime's list is compared.
    fn crash(&mut self) {
        let assignment = self.state.assignment.clone();
        let boot = Boot {
            boot_id: self.boot_id(),
            fingerprint: "here".to_owned(),
        };
        self.state = TaskState::restored(assignment, Some(self.stored.clone()));
        if judge_boot(&mut self.state, &boot, Some(&boot), ResumeOnBoot::default()) {
            self.stored = self.state.record.clone();
        }
        self.tell(Fact::Admitted);
        match self.has {
            Has::Nothing | Has::Recorded => self.container(ContainerFact::NotRunning(self.since_boot())),
            Has::Running(run) => self.started(run),
            Has::Ended(..) => self.container(ContainerFact::Exited),
        }
        self.tell(Fact::Listed);
    }

    fn reboot(&mut self) {
        self.boot += 1;
        self.booted = self.seconds;
        if let Has::Running(run) = self.has {
            self.has = Has::Recorded;
            let seen = self.stored.containers[0].known == KnownStatus::Running;
            if !seen || self.stored.containers[0].restarts.awaited() {
                // It began, and the store does not know: it begins anew.
                self.runs.remove(&run);
            }
        }
        self.crash();
    }

    fn start(&mut self) {
        let run = self.state.record.restarts(0);
        match self.has {
            Has::Ended(ended, _) if ended == run => self.container(ContainerFact::Exited),
            Has::Running(running) => assert_eq!(running, run),
            Has::Nothing => panic!("it is started before it is made"),
            Has::Recorded | Has::Ended(..) => {
                assert!(self.runs.insert(run), "run {run} twice: {:#?}", self.state);
                assert_eq!(self.stored.restarts(0), run, "the number is in the store before");
                self.has = Has::Running(run);
                self.newest = run;
            }
        }
    }

    fn step(&mut self, step: &Step, heard: bool) {
        match step {
            Step::Start(_) => {
                self.container(ContainerFact::StartCalled);
                self.start();
                if let (true, Has::Running(run)) = (heard, self.has) {
                    self.started(run);
                }
            }
            Step::Reap(_) => self.reap(heard),
            Step::PrepareTask => self.tell(Fact::Prepared),
            Step::Pull(_) => self.container(ContainerFact::Pulled(Box::new(sample::image(None)), 1)),
            Step::Attach(_) => {
                assert!(
                    !matches!(self.has, Has::Running(_)),
                    "what runs keeps its network"
                );
                self.container(ContainerFact::Attached(Box::new(sample::attachment(true))));
            }
            Step::Create(_) => {
                self.has = Has::Recorded;
                self.container(ContainerFact::Created);
            }
            Step::Adopt(_) => self.container(ContainerFact::Adopted),
            Step::Terminate(..) => self.container(ContainerFact::Terminated),
            Step::Kill(..) => {
                if let Has::Running(run) = self.has {
                    self.has = Has::Ended(run, Some(137));
                    self.container(ContainerFact::Exited);
                }
            }
            Step::Discard(_) => {
                self.has = Has::Nothing;
                self.container(ContainerFact::Discarded);
            }
            Step::TearDown(_) | Step::TearDownTask | Step::Clean => {}
        }
    }

    fn reap(&mut self, heard: bool) {
        let (run, code) = match self.has {
            Has::Ended(run, code) => (run, code),
            Has::Running(_) => return self.container(ContainerFact::StillRuns(self.since_boot())),
            // Nobody saw the end: of which run it is, is on its record.
            Has::Recorded => (self.newest, None),
            Has::Nothing => panic!("what is not there is not reaped"),
        };
        let moment = Moment {
            boot_id: self.boot_id(),
            since_boot: self.since_boot(),
        };
        let exit = Exit {
            code,
            at_millis: i64::try_from(self.seconds).unwrap() * 1000,
            out_of_memory: None,
            peak_memory: None,
            reason: None,
            run,
            moment: code.is_some().then_some(moment),
        };
        if heard {
            let (boot_id, seen) = (self.boot_id(), self.since_boot());
            self.container(ContainerFact::Reaped { exit, boot_id, seen });
        }
    }

    fn order(&mut self) {
        let order = Order {
            generation: 2,
            desired: DesiredStatus::Stopped,
            force: false,
            task: None,
        };
        self.tell(Fact::Ordered(order));
    }
}

impl TaskRecord {
    fn restarts(&self, index: usize) -> u32 {
        self.containers[index].restarts.count
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever dies between any two steps: no run is run twice, the number never falls, a stop wins, and the task comes
    /// to rest.
    #[test]
    fn no_run_is_lost_or_run_twice(
        turns in proptest::collection::vec((0_u8..12, any::<bool>(), 0_i32..3, 1_u64..200), 0..80), policy in prop::bool::weighted(0.8),
    ) {
        let mut machine = Machine::new(vec![0], policy);
        let mut ordered = false;
        for (turn, heard, code, seconds) in turns {
            let before = machine.stored.restarts(0);
            match turn {
                0 => machine.crash(),
                1 => machine.reboot(),
                2 => { machine.order(); ordered = true; }
                3 | 4 => if let Has::Running(run) = machine.has {
                    machine.has = Has::Ended(run, Some(code));
                    if heard { machine.container(ContainerFact::Exited); }
                },
                5 => machine.seconds += seconds,
                _ => {
                    let plan = machine.plan();
                    if plan.wants_admission { machine.tell(Fact::Admitted); }
                    if let Some(step) = plan.steps.first() { machine.step(step, heard); }
                }
            }
            prop_assert!(machine.state.record.restarts(0) >= before);
            let container = &machine.state.record.containers[0];
            if container.known == KnownStatus::Stopped {
                prop_assert!(!matches!(machine.has, Has::Running(_)), "{:#?}", machine.state);
            }
            if ordered && container.known == KnownStatus::Stopped {
                let runs = machine.runs.len();
                let _ = machine.plan();
                prop_assert_eq!(runs, machine.runs.len());
            }
        }
        machine.order();
        for _ in 0..100 {
            machine.crash();
            machine.seconds += 31;
            for _ in 0..6 {
                let plan = machine.plan();
                if let Some(step) = plan.steps.first() { machine.step(step, true); }
            }
        }
        prop_assert_eq!(machine.state.record.containers[0].known, KnownStatus::Stopped, "{:#?}", machine.state);
        prop_assert!(!matches!(machine.has, Has::Running(_)));
    }
}

/// A container that runs since second 10.
fn running() -> Machine {
    let mut machine = Machine::new(vec![0], true);
    machine.tell(Fact::Admitted);
    while machine.has != Has::Running(0) {
        let plan = machine.plan();
        machine.step(&plan.steps[0].clone(), true);
    }
    machine
}

fn ends(machine: &mut Machine, after: u64, code: i32) -> Plan {
    let Has::Running(run) = machine.has else {
        panic!("it runs")
    };
    machine.seconds += after;
    machine.has = Has::Ended(run, Some(code));
    machine.container(ContainerFact::Exited);
    machine.step(&Step::Reap(0), true);
    machine.plan()
}

#[test]
fn a_restart_is_a_number_and_no_step_back() {
    let mut machine = running();
    let plan = ends(&mut machine, 60, 3);
    let record = &machine.state.record;
    assert_eq!(
        (record.restarts(0), record.containers[0].known),
        (1, KnownStatus::Running)
    );
    assert_eq!(
        record.desired,
        DesiredStatus::Running,
        "essential is not yet over"
    );
    assert_eq!(plan.steps, [Step::Start(0)], "the first one waits for nothing");
    assert_eq!(machine.stored, *record, "before anything is asked of the runtime");
    machine.step(&Step::Start(0), true);
    let plan = ends(&mut machine, 70, 3);
    assert_eq!(
        (plan.steps.len(), plan.wake),
        (0, Some(machine.since_boot() + Duration::from_secs(10)))
    );
    let says = "it ended with exit code 3 and is to be restarted, for the 2nd time";
    assert_eq!(
        (plan.waits[0].cause.as_str(), plan.waits[0].until),
        (says, plan.wake)
    );
    machine.seconds += 10;
    assert_eq!(machine.plan().steps, [Step::Start(0)]);
}

#[test]
fn a_stop_during_the_pause_ends_it_with_the_code_of_its_last_run() {
    let mut machine = running();
    ends(&mut machine, 60, 3);
    machine.step(&Step::Start(0), true);
    ends(&mut machine, 60, 4);
    machine.order();
    let container = &machine.state.record.containers[0];
    assert_eq!(container.known, KnownStatus::Stopped);
    assert_eq!(container.exit.as_ref().unwrap().code, Some(4));
    assert!(container.restarts.due.is_none());
}

#[test]
fn what_ends_early_or_as_it_should_is_over() {
    for (after, code, reason) in [
        (
            59,
            3,
            Some(
                "RestartPolicy: it ended 59 s after its start, before its restartAttemptPeriod of 60 s was over",
            ),
        ),
        (90, 0, None),
    ] {
        let mut machine = running();
        ends(&mut machine, after, code);
        let container = &machine.state.record.containers[0];
        assert_eq!(container.known, KnownStatus::Stopped);
        assert_eq!(container.reason.as_deref(), reason);
        assert_eq!(machine.state.record.desired, DesiredStatus::Stopped);
    }
}

#[test]
fn a_reboot_gives_back_cgroup_and_network_before_the_next_run() {
    let mut machine = running();
    machine.seconds += 5;
    machine.reboot();
    let mut steps = Vec::new();
    while machine.has != Has::Running(1) {
        let step = machine.plan().steps[0].clone();
        machine.step(&step, true);
        steps.push(step);
    }
    assert_eq!(
        steps,
        [Step::Reap(0), Step::PrepareTask, Step::Attach(0), Step::Start(0)]
    );
    let restarts = &machine.state.record.containers[0].restarts;
    assert_eq!((restarts.count, restarts.in_a_row), (1, 0));
    let says = "restarted once, last after HostRebooted: the machine was restarted while the container ran";
    assert_eq!(history(&machine.state, 0).as_deref(), Some(says));
}

#[test]
fn numbers_are_spelled_as_people_do() {
    let spelled = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal);
    assert_eq!(
        spelled,
        [
            "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"
        ]
    );
}
