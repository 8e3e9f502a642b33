use longshore_protocol::status::ReportedStatus;
use proptest::prelude::*;

use super::*;
use crate::model::{Effect, Exit, Failure, Order, StopDeadline, apply, sample};

mod depends;
mod order;
mod ways;

const POLICY: Policy = Policy {
    stop_timeout: Duration::from_secs(30),
    cleanup_wait: Duration::from_secs(600),
    forget: false,
};

fn now(seconds: u64) -> Now<'static> {
    Now {
        boot_id: "b",
        since_boot: Duration::from_secs(seconds),
        at_millis: i64::try_from(seconds).unwrap() * 1000,
    }
}

fn tell(state: &mut TaskState, fact: Fact, seconds: u64) -> Effect {
    apply(state, fact, now(seconds).at_millis).unwrap()
}

/// What a step that went well brings; `None` for signals whose effect is that the container ends.
fn outcome(step: &Step, seconds: u64, exits: bool) -> Vec<Fact> {
    let of = |index: u16, fact| vec![Fact::Container(index, fact)];
    let end = |index: u16, fact| {
        let exited = Fact::Container(index, ContainerFact::Exited);
        let sent = Fact::Container(index, fact);
        if exits { vec![sent, exited] } else { vec![sent] }
    };
    match *step {
        Step::PrepareTask => vec![Fact::Prepared],
        Step::Pull(index) => of(index, ContainerFact::Pulled(Box::new(sample::image(None)), 1)),
        Step::Attach(index) => of(index, ContainerFact::Attached(Box::new(sample::attachment(true)))),
        Step::Create(index) => of(index, ContainerFact::Created),
        Step::Start(index) => of(
            index,
            ContainerFact::Started {
                run: 0,
                pid: 1,
                at_millis: 1,
                boot_id: "b".to_owned(),
                seen: Duration::from_secs(seconds),
            },
        ),
        Step::Adopt(index) => of(index, ContainerFact::Adopted),
        Step::Terminate(index, _) => end(index, ContainerFact::Terminated),
        Step::Kill(index, _) => end(index, ContainerFact::Killed(Duration::from_secs(seconds))),
        Step::Reap(index) => {
            let exit = Exit {
                code: Some(0),
                at_millis: now(seconds).at_millis,
                out_of_memory: None,
                peak_memory: None,
                reason: None,
                run: 0,
                moment: None,
            };
            let (boot_id, seen) = ("b".to_owned(), Duration::from_secs(seconds));
            of(index, ContainerFact::Reaped { exit, boot_id, seen })
        }
        Step::Discard(index) => of(index, ContainerFact::Discarded),
        Step::TearDown(index) => of(index, ContainerFact::TornDown),
        Step::TearDownTask => vec![Fact::TornDown],
        Step::Clean => vec![Fact::Cleaned],
    }
}

/// What the actor says when it begins a step.
fn begun(step: &Step) -> Option<Fact> {
    match step {
        Step::Start(index) => Some(Fact::Container(*index, ContainerFact::StartCalled)),
        _ => None,
    }
}

fn decided(state: &mut TaskState, seconds: u64) -> Plan {
    loop {
        let plan = plan(state, now(seconds), POLICY);
        if plan.decisions.is_empty() {
            return plan;
        }
        assert!(
            plan.steps.is_empty(),
            "nothing is done before a decision is stored"
        );
        for fact in plan.decisions {
            let effect = match fact {
                // A new agent decides it anew, from when the task stopped.
                Fact::CleanDue(_) => Effect::Live,
                _ => Effect::Durable,
            };
            assert_eq!(tell(state, fact, seconds), effect);
        }
    }
}

fn stop() -> Fact {
    Fact::Ordered(Order {
        generation: 2,
        desired: DesiredStatus::Stopped,
        force: false,
        task: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order in which steps end, and whichever fail, the task gets to its end, and does nothing twice.
    #[test]
    fn every_way_leads_to_the_end(
        choices in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..20, any::<bool>()), 300),
        essential: [bool; 3], stop_at in 0_usize..40,
    ) {
        let mut state = TaskState::new(sample::assignment(&essential));
        let mut seconds = 1;
        let mut done: Vec<Step> = Vec::new();
        for (turn, (choice, luck, exits)) in choices.into_iter().enumerate() {
            if state.live.cleaned {
                break;
            }
            seconds += 1;
            if turn == stop_at {
                tell(&mut state, stop(), seconds);
            }
            let plan = decided(&mut state, seconds);
            prop_assert_eq!(&plan, &decided(&mut state, seconds), "planning twice is planning once");
            if plan.wants_admission {
                tell(&mut state, Fact::Admitted, seconds);
                continue;
            }
            if let Some(report) = state.owed() {
                let containers = report.containers.iter().map(|each| each.status).collect();
                tell(&mut state, Fact::Acknowledged { task: report.status, containers }, seconds);
            }
            if plan.steps.is_empty() {
                let running = state.record.containers.iter().position(|each| each.known == KnownStatus::Running);
                match (plan.wake, running) {
                    (Some(wake), _) => seconds = seconds.max(wake.as_secs() + 1),
                    (None, Some(index)) if state.record.desired == DesiredStatus::Running => {
                        tell(&mut state, Fact::Container(u16::try_from(index).unwrap(), ContainerFact::Exited), seconds);
                    }
                    (None, _) => {}
                }
                continue;
            }
            let step = plan.steps[choice.index(plan.steps.len())].clone();
            if let Some(fact) = begun(&step) {
                tell(&mut state, fact, seconds);
                let after = decided(&mut state, seconds);
                prop_assert!(after.steps.contains(&step), "a step that has begun is not given up: {:?}", step);
            }
            let failing = matches!(step, Step::Pull(_) | Step::Attach(_) | Step::Create(_) | Step::Start(_));
            if failing && luck == 0 {
                let failure = Failure { name: "E", text: "t".to_owned() };
                let (Step::Pull(index) | Step::Attach(index) | Step::Create(index) | Step::Start(index)) = step else {
                    unreachable!()
                };
                tell(&mut state, Fact::Container(index, ContainerFact::Failed(failure)), seconds);
                continue;
            }
            prop_assert!(!done.contains(&step), "{:?} twice", step);
            for fact in outcome(&step, seconds, exits) {
                tell(&mut state, fact, seconds);
            }
            done.push(step);
        }
        prop_assert!(state.live.cleaned, "{:#?}\n{:#?}", state, done);
        prop_assert_eq!(state.record.acknowledged.task, ReportedStatus::Stopped);
    }
}

fn running(essential: &[bool]) -> TaskState {
    let mut state = TaskState::new(sample::assignment(essential));
    tell(&mut state, Fact::Admitted, 1);
    loop {
        let steps = decided(&mut state, 1).steps;
        if steps.is_empty() {
            return state;
        }
        for step in steps {
            begun(&step).map(|fact| tell(&mut state, fact, 1));
            for fact in outcome(&step, 1, false) {
                tell(&mut state, fact, 1);
            }
        }
    }
}

#[test]
fn containers_come_up_side_by_side() {
    let mut state = TaskState::new(sample::assignment(&[true, true]));
    let plan = decided(&mut state, 1);
    assert_eq!(
        plan.steps,
        [Step::Pull(0), Step::Pull(1)],
        "images need no admission"
    );
    assert!(plan.wants_admission);
    tell(&mut state, Fact::Admitted, 1);
    let plan = decided(&mut state, 1);
    assert_eq!(plan.steps, [Step::Pull(0), Step::PrepareTask, Step::Pull(1)]);
    tell(&mut state, outcome(&Step::Pull(1), 1, false).remove(0), 1);
    assert_eq!(
        decided(&mut state, 1).steps,
        [Step::Pull(0), Step::PrepareTask, Step::Attach(1)]
    );
}

#[test]
fn the_deadline_is_decided_once_and_before_the_signal() {
    let mut state = running(&[true]);
    tell(&mut state, stop(), 100);
    let first = plan(&state, now(100), POLICY);
    let deadline = StopDeadline {
        boot_id: "b".to_owned(),
        since_boot: Duration::from_secs(130),
    };
    assert_eq!(
        first.decisions,
        [Fact::Container(0, ContainerFact::StopDeadline(deadline.clone()))]
    );
    assert_eq!(first.steps, []);
    let second = decided(&mut state, 100);
    assert_eq!(
        (second.steps.as_slice(), second.wake),
        ([Step::Terminate(0, 15)].as_slice(), Some(deadline.since_boot))
    );
    // A later order, or a later plan, does not move it.
    tell(&mut state, Fact::Container(0, ContainerFact::Terminated), 110);
    tell(&mut state, stop(), 120);
    assert_eq!(decided(&mut state, 129).steps, []);
    assert_eq!(decided(&mut state, 130).steps, [Step::Kill(0, 1)]);
    let reboot = Now {
        boot_id: "c",
        ..now(5)
    };
    assert_eq!(
        plan(&state, reboot, POLICY).steps,
        [Step::Kill(0, 1)],
        "a deadline of another boot has passed"
    );
}

#[test]
fn what_kill_does_not_end_is_killed_again_later_and_later() {
    let mut state = running(&[true]);
    tell(&mut state, stop(), 0);
    decided(&mut state, 0);
    let (mut second, mut kills) = (30, Vec::new());
    while second < 400 {
        let plan = decided(&mut state, second);
        if let [Step::Kill(0, times)] = plan.steps.as_slice() {
            kills.push((*times, second));
            tell(
                &mut state,
                Fact::Container(0, ContainerFact::Killed(Duration::from_secs(second))),
                second,
            );
            continue;
        }
        second = plan.wake.unwrap().as_secs().max(second + 1);
    }
    assert_eq!(
        kills,
        [(1, 30), (2, 35), (3, 45), (4, 65), (5, 105), (6, 185), (7, 345)]
    );
}

#[test]
fn a_task_is_cleaned_only_when_its_end_is_acknowledged_and_old_enough() {
    let mut state = running(&[true]);
    tell(&mut state, Fact::Container(0, ContainerFact::Exited), 10);
    for _ in 0..3 {
        for step in decided(&mut state, 10).steps {
            for fact in outcome(&step, 10, false) {
                tell(&mut state, fact, 10);
            }
        }
    }
    assert!(state.record.torn_down);
    assert_eq!(
        decided(&mut state, 100_000),
        Plan::default(),
        "nobody knows yet that it has ended"
    );
    let containers = vec![ReportedStatus::Stopped];
    tell(
        &mut state,
        Fact::Acknowledged {
            task: ReportedStatus::Stopped,
            containers,
        },
        20,
    );
    let plan = decided(&mut state, 20);
    assert_eq!(
        (plan.steps.as_slice(), plan.wake),
        ([].as_slice(), Some(Duration::from_secs(610)))
    );
    assert_eq!(decided(&mut state, 610).steps, [Step::Clean]);
}
