//! Edges, one at a time.

use super::*;
use crate::model::{Assignment, Body, Condition, Dependency, Health};

/// Containers that depend on each other: whether each is essential, and its edges.
pub(super) fn assignment(containers: &[(bool, &[(u16, Condition)])]) -> Assignment {
    let essential: Vec<_> = containers.iter().map(|(essential, _)| *essential).collect();
    let mut assignment = sample::assignment(&essential);
    let mut task = assignment.body.task().unwrap().as_ref().clone();
    for (container, (_, edges)) in task.containers.iter_mut().zip(containers) {
        let edges = edges.iter();
        container.depends_on = edges
            .map(|(on, condition)| Dependency {
                on: *on,
                condition: *condition,
            })
            .collect();
    }
    assignment.body = Body::Task(std::sync::Arc::new(task));
    assignment
}

pub(super) fn with_start_timeout(mut assignment: Assignment, index: usize, seconds: u64) -> Assignment {
    let mut task = assignment.body.task().unwrap().as_ref().clone();
    task.containers[index].start_timeout = Some(Duration::from_secs(seconds));
    assignment.body = Body::Task(std::sync::Arc::new(task));
    assignment
}

/// Does whatever the plan says until it says nothing more; signals end nothing.
pub(super) fn settle(state: &mut TaskState, seconds: u64) -> Plan {
    loop {
        let plan = decided(state, seconds);
        if plan.wants_admission {
            tell(state, Fact::Admitted, seconds);
            continue;
        }
        if plan.steps.is_empty() {
            return plan;
        }
        for step in plan.steps {
            begun(&step).map(|fact| tell(state, fact, seconds));
            for fact in outcome(&step, seconds, false) {
                tell(state, fact, seconds);
            }
        }
    }
}

pub(super) fn container(state: &mut TaskState, index: u16, fact: ContainerFact, seconds: u64) {
    tell(state, Fact::Container(index, fact), seconds);
}

pub(super) fn ends(state: &mut TaskState, index: u16, code: Option<i32>, seconds: u64) {
    container(state, index, ContainerFact::Exited, seconds);
    let exit = Exit {
        code,
        at_millis: now(seconds).at_millis,
        out_of_memory: None,
        peak_memory: None,
        reason: code.is_none().then(|| "ShimDied: x".to_owned()),
        run: 0,
        moment: None,
    };
    let boot_id = "b".to_owned();
    container(
        state,
        index,
        ContainerFact::Reaped {
            exit,
            boot_id,
            seen: Duration::from_secs(seconds),
        },
        seconds,
    );
}

fn statuses(state: &TaskState) -> Vec<KnownStatus> {
    state.record.containers.iter().map(|each| each.known).collect()
}

use KnownStatus::{Pulled, Running, Stopped};

#[test]
fn a_dependent_is_pulled_but_neither_attached_nor_made_before_its_edge_holds() {
    let mut state = TaskState::new(assignment(&[(false, &[]), (true, &[(0, Condition::Success)])]));
    let plan = settle(&mut state, 1);
    assert_eq!(statuses(&state), [Running, Pulled]);
    assert!(!state.live.containers[1].attached);
    assert_eq!(
        plan.waits,
        [Wait {
            index: 1,
            cause: "waiting for 'a' to exit with 0".to_owned(),
            until: None
        }]
    );
    container(&mut state, 0, ContainerFact::Exited, 2);
    assert_eq!(
        decided(&mut state, 2).steps,
        [Step::Reap(0)],
        "how is not known yet"
    );
    ends(&mut state, 0, Some(0), 2);
    settle(&mut state, 2);
    assert_eq!(statuses(&state), [Stopped, Running]);
    assert_eq!(
        state.known(),
        Running,
        "what has done its work holds nothing back"
    );
    assert_eq!(state.record.desired, DesiredStatus::Running);
}

#[test]
fn each_condition_holds_by_what_it_says() {
    let holds = |condition, become_of: fn(&mut TaskState)| {
        let mut state = TaskState::new(assignment(&[(false, &[]), (true, &[(0, condition)])]));
        settle(&mut state, 1);
        become_of(&mut state);
        settle(&mut state, 2);
        let dependent = &state.record.containers[1];
        (
            dependent.known == Running,
            dependent
                .reason
                .clone()
                .map(|reason| reason.replace("TaskDependencyError: container 'b' depends on 'a' ", "")),
        )
    };
    let waits = (false, None);
    let never = |why: &str| (false, Some(why.to_owned()));
    let yes = (true, None);
    let well: fn(&mut TaskState) = |state| container(state, 0, ContainerFact::Health(Health::Healthy), 2);
    let ill: fn(&mut TaskState) = |state| {
        container(state, 0, ContainerFact::Health(Health::Unhealthy), 2);
    };
    let nothing: fn(&mut TaskState) = |_| {};
    let zero: fn(&mut TaskState) = |state| ends(state, 0, Some(0), 2);
    let three: fn(&mut TaskState) = |state| ends(state, 0, Some(3), 2);
    let lost: fn(&mut TaskState) = |state| ends(state, 0, None, 2);
    for (condition, become_of, expected) in [
        (Condition::Start, nothing, yes.clone()),
        (Condition::Start, three, yes.clone()),
        (Condition::Complete, nothing, waits.clone()),
        (Condition::Complete, three, yes.clone()),
        (
            Condition::Complete,
            lost,
            never("with COMPLETE, but 'a' ended with an exit code that nobody knows"),
        ),
        (Condition::Success, zero, yes.clone()),
        (
            Condition::Success,
            three,
            never("with SUCCESS, but 'a' exited with 3"),
        ),
        (
            Condition::Success,
            lost,
            never("with SUCCESS, but 'a' ended with an exit code that nobody knows"),
        ),
        (Condition::Healthy, nothing, waits.clone()),
        (Condition::Healthy, well, yes),
        (Condition::Healthy, ill, waits),
        (
            Condition::Healthy,
            zero,
            never("with HEALTHY, but 'a' ended before it was HEALTHY"),
        ),
    ] {
        assert_eq!(holds(condition, become_of), expected, "{condition:?}");
    }
}

#[test]
fn what_never_ran_fails_all_that_depend_on_it_at_once() {
    let chain = assignment(&[
        (false, &[]),
        (false, &[(0, Condition::Start)]),
        (true, &[(1, Condition::Start)]),
        (true, &[]),
    ]);
    let mut state = TaskState::new(chain);
    tell(&mut state, Fact::Admitted, 1);
    let failure = Failure {
        name: "CannotPullContainerError",
        text: "t".to_owned(),
    };
    container(&mut state, 0, ContainerFact::Failed(failure), 1);
    // The images of the others are still on their way.
    decided(&mut state, 1);
    let last = state.record.containers[2].reason.clone().unwrap();
    assert_eq!(
        last,
        "TaskDependencyError: container 'c' depends on 'b' with START, but 'b' never ran"
    );
    assert_eq!(state.record.reason, Some(last));
    assert_eq!(statuses(&state), [Stopped; 4], "the last was essential");
}

#[test]
fn a_dependent_that_is_not_essential_fails_alone() {
    let mut state = TaskState::new(assignment(&[
        (false, &[]),
        (false, &[(0, Condition::Success)]),
        (true, &[]),
    ]));
    settle(&mut state, 1);
    ends(&mut state, 0, Some(1), 2);
    settle(&mut state, 2);
    assert_eq!(statuses(&state), [Stopped, Stopped, Running]);
    assert_eq!(state.known(), Running);
    assert_eq!(state.record.desired, DesiredStatus::Running);
}

#[test]
fn time_runs_from_the_first_start_and_over_restarts_of_the_agent() {
    let edges: &[_] = &[(0, Condition::Healthy)];
    let timed = with_start_timeout(assignment(&[(false, &[]), (true, edges)]), 0, 10);
    let mut state = TaskState::new(timed.clone());
    let plan = settle(&mut state, 100);
    let until = Some(Duration::from_secs(110));
    assert_eq!((plan.waits[0].until, plan.wake), (until, until));

    let mut state = TaskState::restored(timed, Some(state.record));
    let seen = ContainerFact::Started {
        run: 0,
        pid: 1,
        at_millis: 1,
        boot_id: "b".to_owned(),
        seen: Duration::from_secs(105),
    };
    container(&mut state, 0, seen, 105);
    tell(&mut state, Fact::Listed, 105);
    settle(&mut state, 109);
    assert_eq!(statuses(&state), [Running, Pulled]);
    settle(&mut state, 110);
    let said = state.record.reason.as_deref().unwrap();
    assert!(
        said.ends_with("with HEALTHY, but 'a' did not become HEALTHY within its startTimeout of 10 s"),
        "{said}"
    );
    assert_eq!(state.record.desired, DesiredStatus::Stopped);
}

#[test]
fn time_does_not_run_against_start_nor_before_the_dependency_runs() {
    let edges: &[_] = &[(0, Condition::Complete)];
    let timed = with_start_timeout(
        assignment(&[
            (false, &[]),
            (true, edges),
            (false, &[]),
            (true, &[(2, Condition::Start)]),
        ]),
        0,
        10,
    );
    let mut state = TaskState::new(with_start_timeout(timed, 2, 1));
    let plan = decided(&mut state, 1000);
    assert_eq!(plan.wake, None);
    assert_eq!(plan.waits[0].until, None);
    settle(&mut state, 1000);
    // An end is an end even where how it ended is asked for longer.
    container(&mut state, 0, ContainerFact::Exited, 1009);
    assert_eq!(decided(&mut state, 1020).steps, [Step::Reap(0)]);
    ends(&mut state, 0, Some(0), 1020);
    settle(&mut state, 1020);
    assert_eq!(statuses(&state), [Stopped, Running, Running, Running]);
}

#[test]
fn the_first_of_several_deadlines_is_the_one_that_is_told() {
    let both: &[_] = &[(0, Condition::Complete), (1, Condition::Complete)];
    let timed = with_start_timeout(assignment(&[(false, &[]), (false, &[]), (true, both)]), 0, 20);
    let mut state = TaskState::new(with_start_timeout(timed, 1, 10));
    let plan = settle(&mut state, 1);
    let until = Some(Duration::from_secs(11));
    assert_eq!((plan.waits[0].until, plan.wake), (until, until));
    assert_eq!(plan.waits[0].cause, "waiting for 'a' to end");
}
