//! The order in which containers stop.

use super::depends::{assignment, ends, settle};
use super::*;
use crate::model::Condition;

const CHAIN: [(bool, &[(u16, Condition)]); 3] = [
    (true, &[]),
    (true, &[(0, Condition::Start)]),
    (false, &[(1, Condition::Start)]),
];

fn signals(plan: &Plan) -> Vec<Step> {
    let signal = |step: &&Step| matches!(step, Step::Terminate(..) | Step::Kill(..));
    plan.steps.iter().filter(signal).cloned().collect()
}

fn chain_that_stops() -> TaskState {
    let mut state = TaskState::new(assignment(&CHAIN));
    settle(&mut state, 1);
    assert_eq!(state.known(), KnownStatus::Running);
    tell(&mut state, stop(), 100);
    state
}

#[test]
fn dependents_stop_first_and_patience_begins_with_each_ones_own_stop() {
    let mut state = chain_that_stops();
    let plan = decided(&mut state, 100);
    assert_eq!(signals(&plan), [Step::Terminate(2, 15)]);
    assert_eq!(plan.wake, Some(Duration::from_secs(130)));
    let causes: Vec<_> = plan.waits.iter().map(|wait| wait.cause.as_str()).collect();
    assert_eq!(causes[0], "waiting for 'b' to end, which depends on it");
    assert_eq!(causes[1], "waiting for 'c' to end, which depends on it");
    ends(&mut state, 2, Some(0), 120);
    let plan = decided(&mut state, 120);
    assert_eq!(signals(&plan), [Step::Terminate(1, 15)]);
    assert_eq!(plan.wake, Some(Duration::from_secs(150)));
    assert_eq!(state.record.containers[0].stop_deadline, None);
    ends(&mut state, 1, Some(0), 149);
    assert_eq!(decided(&mut state, 149).wake, Some(Duration::from_secs(179)));
    assert_eq!(signals(&decided(&mut state, 149)), [Step::Terminate(0, 15)]);
}

#[test]
fn an_essential_exit_stops_the_rest_in_order() {
    let mut state = TaskState::new(assignment(&CHAIN));
    settle(&mut state, 1);
    ends(&mut state, 1, Some(7), 5);
    assert_eq!(signals(&decided(&mut state, 5)), [Step::Terminate(2, 15)]);
    ends(&mut state, 2, Some(0), 6);
    assert_eq!(signals(&decided(&mut state, 6)), [Step::Terminate(0, 15)]);
}

#[test]
fn force_kills_all_at_once_even_in_the_middle() {
    let mut state = chain_that_stops();
    decided(&mut state, 100);
    let force = Order {
        generation: 3,
        desired: DesiredStatus::Stopped,
        force: true,
        task: None,
    };
    tell(&mut state, Fact::Ordered(force), 101);
    assert_eq!(
        signals(&decided(&mut state, 101)),
        [Step::Kill(0, 1), Step::Kill(1, 1), Step::Kill(2, 1)]
    );
}

#[test]
fn a_new_agent_goes_on_where_the_old_one_was() {
    let mut state = chain_that_stops();
    decided(&mut state, 100);
    ends(&mut state, 2, Some(0), 101);
    decided(&mut state, 101);
    let mut new = TaskState::restored(state.assignment.clone(), Some(state.record.clone()));
    for index in 0..2 {
        let seen = ContainerFact::Started {
            run: 0,
            pid: 1,
            at_millis: 1,
            boot_id: "b".to_owned(),
            seen: Duration::from_secs(110),
        };
        tell(&mut new, Fact::Container(index, seen), 110);
    }
    tell(&mut new, Fact::Listed, 110);
    let plan = decided(&mut new, 110);
    assert_eq!(signals(&plan), [Step::Terminate(1, 15)]);
    assert_eq!(
        plan.wake,
        Some(Duration::from_secs(131)),
        "its patience began before"
    );
}

#[test]
fn what_is_just_being_started_ends_before_what_it_depends_on() {
    let mut state = TaskState::new(assignment(&[(true, &[]), (true, &[(0, Condition::Start)])]));
    tell(&mut state, Fact::Admitted, 1);
    while state.record.containers[1].known < KnownStatus::Created {
        for step in decided(&mut state, 1).steps {
            begun(&step).map(|fact| tell(&mut state, fact, 1));
            for fact in outcome(&step, 1, false) {
                tell(&mut state, fact, 1);
            }
        }
    }
    tell(&mut state, Fact::Container(1, ContainerFact::StartCalled), 2);
    tell(&mut state, stop(), 2);
    assert_eq!(decided(&mut state, 2).steps, [Step::Discard(1)]);
    tell(&mut state, Fact::Container(1, ContainerFact::Discarded), 3);
    assert_eq!(decided(&mut state, 3).steps, [Step::Terminate(0, 15)]);
}

#[test]
fn what_has_exited_holds_up_nobody_while_it_is_asked_how() {
    let mut state = chain_that_stops();
    decided(&mut state, 100);
    tell(&mut state, Fact::Container(2, ContainerFact::Exited), 101);
    let plan = decided(&mut state, 101);
    assert!(plan.steps.contains(&Step::Reap(2)));
    assert_eq!(signals(&plan), [Step::Terminate(1, 15)]);
}
