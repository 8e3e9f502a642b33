use std::time::Duration;

use longshore_protocol::status::{DesiredStatus, ReportedStatus};
use proptest::prelude::*;

use super::*;
use crate::model::{ContainerFact, Exit, Health, Moment, OutOfMemory, StopDeadline, sample};

const AT: i64 = 1_000;

fn exit(code: Option<i32>, out_of_memory: Option<OutOfMemory>) -> Exit {
    Exit {
        code,
        at_millis: AT,
        out_of_memory,
        peak_memory: None,
        reason: None,
        run: 0,
        moment: None,
    }
}

fn started() -> ContainerFact {
    ContainerFact::Started {
        run: 0,
        pid: 7,
        at_millis: AT,
        boot_id: "b".to_owned(),
        seen: Duration::from_secs(1),
    }
}

fn reaped(exit: Exit) -> ContainerFact {
    ContainerFact::Reaped {
        exit,
        boot_id: "b".to_owned(),
        seen: Duration::from_secs(2),
    }
}

fn failure() -> Failure {
    Failure {
        name: "CannotStartContainerError",
        text: "why".to_owned(),
    }
}

fn state(essential: &[bool]) -> TaskState {
    TaskState::new(sample::assignment(essential))
}

fn tell(state: &mut TaskState, fact: ContainerFact) -> Effect {
    apply(state, Fact::Container(0, fact), AT).unwrap()
}

fn order(generation: u64, desired: DesiredStatus) -> Order {
    Order {
        generation,
        desired,
        force: false,
        task: None,
    }
}

/// Any fact about a container, the early, the late and the senseless included.
fn container_fact() -> impl Strategy<Value = ContainerFact> {
    let second = || (0_u64..20).prop_map(Duration::from_secs);
    prop_oneof![
        Just(ContainerFact::Pulled(Box::new(sample::image(None)), 5)),
        Just(ContainerFact::Attached(Box::new(sample::attachment(true)))),
        Just(ContainerFact::Created),
        Just(ContainerFact::StartCalled),
        Just(started()),
        health().prop_map(ContainerFact::Health),
        Just(ContainerFact::Failed(failure())),
        Just(ContainerFact::Discarded),
        Just(ContainerFact::Adopted),
        second().prop_map(|since_boot| {
            let boot_id = "b".to_owned();
            ContainerFact::StopDeadline(StopDeadline { boot_id, since_boot })
        }),
        Just(ContainerFact::Terminated),
        second().prop_map(ContainerFact::Killed),
        Just(ContainerFact::Exited),
        second().prop_map(ContainerFact::NotRunning),
        (0..3_i32).prop_map(|code| reaped(exit(Some(code), None))),
        Just(ContainerFact::Vanished {
            at_millis: AT,
            boot_id: "c".to_owned()
        }),
        Just(ContainerFact::TornDown),
    ]
}

fn health() -> impl Strategy<Value = Health> {
    proptest::sample::select(vec![Health::Unknown, Health::Healthy, Health::Unhealthy])
}

fn status() -> impl Strategy<Value = ReportedStatus> {
    proptest::sample::select(ReportedStatus::ALL)
}

fn fact() -> impl Strategy<Value = Fact> {
    let desired = proptest::sample::select(DesiredStatus::ALL);
    prop_oneof![
        1 => (0_u64..4, desired, any::<bool>()).prop_map(|(generation, desired, force)| {
            Fact::Ordered(Order { generation, desired, force, task: None })
        }),
        1 => Just(Fact::Admitted),
        1 => Just(Fact::Blocked("x".to_owned())),
        1 => Just(Fact::Prepared),
        1 => Just(Fact::Listed),
        1 => Just(Fact::PullStarted(3)),
        1 => Just(Fact::PrepareFailed(failure())),
        1 => (status(), proptest::collection::vec(status(), 2))
            .prop_map(|(task, containers)| Fact::Acknowledged { task, containers }),
        12 => (0_u16..3, container_fact()).prop_map(|(index, fact)| Fact::Container(index, fact)),
    ]
}

proptest! {
    #[test]
    fn statuses_only_go_forward_whatever_comes(
        facts in proptest::collection::vec(fact(), 0..60), essential: [bool; 2], restored: bool,
    ) {
        let assignment = sample::assignment(&essential);
        let mut state = match restored {
            true => TaskState::restored(assignment, None),
            false => TaskState::new(assignment),
        };
        let mut told = ReportedStatus::Pending;
        for fact in facts {
            let before = state.clone();
            let result = apply(&mut state, fact.clone(), AT);
            if result.is_err() {
                prop_assert_eq!(&before, &state);
            }
            prop_assert!(state.record.desired >= before.record.desired);
            prop_assert!(state.assignment.generation >= before.assignment.generation);
            for (old, new) in before.record.containers.iter().zip(&state.record.containers) {
                prop_assert!(new.known >= old.known);
                prop_assert!(old.exit.is_none() || new.exit == old.exit, "how it ended never changes");
                prop_assert!(old.started.is_none() || new.started == old.started);
                prop_assert!(old.stop_deadline.is_none() || new.stop_deadline == old.stop_deadline);
            }
            for (record, live) in state.record.containers.iter().zip(&state.live.containers) {
                prop_assert!(live.health == Health::Unknown || record.known == KnownStatus::Running);
            }
            if let Some(report) = state.owed() {
                prop_assert!(report.status >= told, "{:?} after {:?}", report, told);
            }
            told = state.record.acknowledged.task;
        }
    }

    #[test]
    fn what_comes_twice_changes_nothing(facts in proptest::collection::vec(fact(), 0..40)) {
        let mut state = state(&[true, false]);
        for fact in facts {
            let _ = apply(&mut state, fact.clone(), AT);
            // A signal that goes twice is two signals; all else is one thing however often it is said.
            if !matches!(fact, Fact::Container(_, ContainerFact::Killed(_))) {
                let once = state.clone();
                let _ = apply(&mut state, fact, AT);
                prop_assert_eq!(&once, &state);
            }
        }
    }

    #[test]
    fn a_container_that_was_asked_to_start_is_stopped_only_by_a_proof(
        facts in proptest::collection::vec(fact(), 0..60),
    ) {
        let mut state = state(&[true, true]);
        for fact in facts {
            let before = state.clone();
            let _ = apply(&mut state, fact.clone(), AT);
            let ended = (0_u16..).zip(before.record.containers.iter().zip(&state.record.containers))
                .filter(|(_, (old, new))| old.known < KnownStatus::Stopped && new.known == KnownStatus::Stopped);
            for (index, (old, _)) in ended {
                let live = &before.live.containers[usize::from(index)];
                let proved = matches!(
                    &fact,
                    Fact::Container(of, ContainerFact::Reaped { .. } | ContainerFact::Vanished { .. } | ContainerFact::Discarded)
                        if *of == index
                );
                let begins = old.known < KnownStatus::Running || old.restarts.awaited();
                let untouched = begins && !live.start_called && !live.exited;
                prop_assert!(proved || untouched, "{:?} in {:?}", fact, before);
            }
        }
    }
}

#[test]
fn generations_decide_and_stopped_wins() {
    let mut state = state(&[true]);
    let task = state.task().cloned();
    let same = Order {
        task: task.clone(),
        ..order(1, DesiredStatus::Running)
    };
    assert_eq!(apply(&mut state, Fact::Ordered(same), AT), Ok(Effect::Nothing));
    let mut other = task.as_deref().cloned().unwrap();
    other.group = "another".to_owned();
    let different = Order {
        task: Some(std::sync::Arc::new(other)),
        ..order(1, DesiredStatus::Running)
    };
    let error = apply(&mut state, Fact::Ordered(different), AT).unwrap_err();
    assert!(
        matches!(error, OrderError::Conflict { member: "task", .. }),
        "{error}"
    );
    apply(&mut state, Fact::Ordered(order(5, DesiredStatus::Running)), AT).unwrap();
    let error = apply(&mut state, Fact::Ordered(order(4, DesiredStatus::Running)), AT).unwrap_err();
    assert!(
        matches!(
            error,
            OrderError::Older {
                known: 5,
                offered: 4,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(state.record.desired, DesiredStatus::Running);
    apply(&mut state, Fact::Ordered(order(2, DesiredStatus::Stopped)), AT).unwrap();
    assert_eq!(
        (state.record.desired, state.assignment.generation),
        (DesiredStatus::Stopped, 5)
    );
    // It has ended meanwhile, without ever having run: an order to run only has that told again.
    let again = apply(&mut state, Fact::Ordered(order(5, DesiredStatus::Running)), AT);
    assert_eq!(again, Ok(Effect::Live));
    assert_eq!(state.assignment.desired, DesiredStatus::Stopped);
}

#[test]
fn evidence_tells_out_of_memory_apart() {
    let cases = [
        (exit(Some(0), None), Some(0), None),
        (exit(Some(137), None), Some(137), None),
        (
            exit(Some(137), Some(OutOfMemory::Init)),
            Some(137),
            Some("OutOfMemoryError: Container killed due to memory usage"),
        ),
        (
            exit(None, Some(OutOfMemory::Init)),
            Some(137),
            Some("OutOfMemoryError: Container killed due to memory usage"),
        ),
        (
            exit(Some(137), Some(OutOfMemory::Child)),
            Some(137),
            Some("OutOfMemoryError: Container killed due to memory usage"),
        ),
        (exit(Some(0), Some(OutOfMemory::Child)), Some(0), None),
        (
            exit(None, None),
            None,
            Some("ExitStatusLost: nobody saw how the container ended"),
        ),
    ];
    for (exit, code, reason) in cases {
        let mut state = state(&[true]);
        tell(&mut state, ContainerFact::StartCalled);
        tell(&mut state, started());
        assert_eq!(tell(&mut state, reaped(exit.clone())), Effect::Durable);
        let container = &state.owed().unwrap().containers[0];
        assert_eq!(
            container.status,
            ReportedStatus::Running,
            "it ran, and that is told first"
        );
        let containers = vec![ReportedStatus::Running];
        apply(
            &mut state,
            Fact::Acknowledged {
                task: ReportedStatus::Running,
                containers,
            },
            AT,
        )
        .unwrap();
        let container = &state.owed().unwrap().containers[0];
        assert_eq!(
            (container.exit_code, container.reason.as_deref()),
            (code, reason),
            "{exit:?}"
        );
    }
    let mut other = state(&[true]);
    tell(&mut other, started());
    tell(&mut other, reaped(exit(Some(1), Some(OutOfMemory::Child))));
    assert!(
        other.record.containers[0]
            .reason
            .as_deref()
            .unwrap()
            .starts_with("ChildOutOfMemory: ")
    );
}

#[test]
fn an_old_list_says_nothing_of_a_container_that_was_seen_since() {
    let mut state = state(&[true]);
    tell(&mut state, ContainerFact::StartCalled);
    tell(&mut state, started());
    assert_eq!(
        tell(&mut state, ContainerFact::NotRunning(Duration::from_secs(1))),
        Effect::Nothing
    );
    assert_eq!(
        tell(&mut state, ContainerFact::NotRunning(Duration::from_secs(2))),
        Effect::Live
    );
    assert!(state.live.containers[0].exited);
}

#[test]
fn only_what_cant_be_found_out_again_is_durable() {
    for (namespace, signal, choice) in [
        (false, None, false),
        (true, None, true),
        (false, Some("SIGQUIT"), true),
    ] {
        let mut state = state(&[true]);
        let image = Box::new(sample::image(signal));
        assert_eq!(tell(&mut state, ContainerFact::Pulled(image, AT)), Effect::Live);
        let attached = ContainerFact::Attached(Box::new(sample::attachment(namespace)));
        assert_eq!(tell(&mut state, attached), Effect::Live);
        let expected = if choice { Effect::Durable } else { Effect::Live };
        assert_eq!(tell(&mut state, ContainerFact::Created), expected);
        assert_eq!(tell(&mut state, ContainerFact::StartCalled), Effect::Live);
        assert_eq!(tell(&mut state, started()), Effect::Durable);
        assert_eq!(tell(&mut state, started()), Effect::Live, "seen again");
        assert_eq!(tell(&mut state, ContainerFact::Exited), Effect::Live);
        assert_eq!(tell(&mut state, reaped(exit(Some(0), None))), Effect::Durable);
        assert_eq!(tell(&mut state, ContainerFact::TornDown), Effect::Live);
    }
}

#[test]
fn a_new_agent_does_not_declare_dead_what_an_old_one_may_have_started() {
    let mut state = TaskState::restored(sample::assignment(&[true]), None);
    apply(&mut state, Fact::Ordered(order(2, DesiredStatus::Stopped)), AT).unwrap();
    assert_eq!(state.known(), KnownStatus::None);
    tell(&mut state, started());
    apply(&mut state, Fact::Listed, AT).unwrap();
    assert_eq!(state.known(), KnownStatus::Running);
    let mut other = TaskState::restored(sample::assignment(&[true]), None);
    apply(&mut other, Fact::Ordered(order(2, DesiredStatus::Stopped)), AT).unwrap();
    apply(&mut other, Fact::Listed, AT).unwrap();
    assert_eq!(other.known(), KnownStatus::Stopped);
    assert_eq!(other.record.stopped_at, Some(AT));
}

#[test]
fn an_order_about_what_has_ended_has_the_end_told_again() {
    // To run, older than the order to stop or as new: the control plane was restored from a backup. To stop once more: it
    // saw a list of before the end after it had been told of it.
    let orders = [
        (1, DesiredStatus::Running),
        (2, DesiredStatus::Running),
        (2, DesiredStatus::Stopped),
        (3, DesiredStatus::Stopped),
    ];
    for (generation, desired) in orders {
        let mut state = TaskState::restored(sample::assignment(&[true]), None);
        apply(&mut state, Fact::Ordered(order(2, DesiredStatus::Stopped)), AT).unwrap();
        apply(&mut state, Fact::Listed, AT).unwrap();
        let told = state.owed().unwrap();
        let acknowledged = Fact::Acknowledged {
            task: told.status,
            containers: vec![ReportedStatus::Stopped],
        };
        apply(&mut state, acknowledged, AT).unwrap();
        assert_eq!(state.owed(), None);
        apply(&mut state, Fact::Ordered(order(generation, desired)), AT).unwrap();
        assert_eq!(state.owed(), Some(told), "{generation}, {desired:?}");
        assert_eq!(state.record.desired, DesiredStatus::Stopped);
    }
}

#[test]
fn a_task_is_as_well_as_its_essential_containers() {
    let mut state = state(&[true, false, true]);
    let mut tell = |index: u16, fact: ContainerFact| {
        let effect = apply(&mut state, Fact::Container(index, fact), AT).unwrap();
        (effect, state.health())
    };
    let says = ContainerFact::Health;
    assert_eq!(
        tell(0, says(Health::Healthy)),
        (Effect::Nothing, Health::Unknown),
        "it does not run"
    );
    for index in 0..3 {
        tell(index, started());
    }
    assert_eq!(
        tell(0, says(Health::Healthy)),
        (Effect::Live, Health::Unknown),
        "one has said nothing yet"
    );
    assert_eq!(
        tell(0, says(Health::Healthy)),
        (Effect::Nothing, Health::Unknown),
        "it is no news"
    );
    assert_eq!(tell(2, says(Health::Healthy)), (Effect::Live, Health::Healthy));
    assert_eq!(tell(1, says(Health::Unhealthy)), (Effect::Live, Health::Healthy));
    assert_eq!(
        tell(2, says(Health::Unhealthy)),
        (Effect::Live, Health::Unhealthy)
    );
    tell(2, ContainerFact::Exited);
    assert_eq!(
        tell(2, says(Health::Healthy)),
        (Effect::Nothing, Health::Unhealthy),
        "it has ended"
    );
    assert_eq!(
        tell(2, reaped(exit(Some(0), None))),
        (Effect::Durable, Health::Unknown)
    );
}

#[test]
fn a_run_that_nobody_saw_begin_is_of_the_boot_in_which_it_ended() {
    let mut state = state(&[true]);
    let ended = Moment {
        boot_id: "old".to_owned(),
        since_boot: Duration::from_secs(5),
    };
    let exit = Exit {
        moment: Some(ended),
        ..exit(Some(3), None)
    };
    let fact = ContainerFact::Reaped {
        exit,
        boot_id: "new".to_owned(),
        seen: Duration::from_secs(1),
    };
    tell(&mut state, fact);
    let started = state.record.containers[0].started.as_ref().unwrap();
    assert_eq!(started.boot_id, "old");
}

#[test]
fn what_began_though_it_had_been_given_up_has_its_task_stopped_for_the_reason_that_was_told() {
    let mut state = state(&[true]);
    tell(&mut state, ContainerFact::StartCalled);
    tell(&mut state, ContainerFact::Failed(failure()));
    tell(&mut state, started());
    assert_eq!(state.record.containers[0].reason, None);
    assert_eq!(state.record.reason, Some(failure().to_string()));
    assert_eq!(state.record.desired, DesiredStatus::Stopped);
}

#[test]
fn a_preparation_that_fails_late_is_not_why_a_task_was_stopped() {
    let mut state = state(&[true]);
    apply(&mut state, Fact::Ordered(order(2, DesiredStatus::Stopped)), AT).unwrap();
    apply(&mut state, Fact::Listed, AT).unwrap();
    assert_eq!(state.known(), KnownStatus::Stopped);
    let effect = apply(&mut state, Fact::PrepareFailed(failure()), AT).unwrap();
    assert_eq!((effect, state.record.reason), (Effect::Nothing, None));
}
