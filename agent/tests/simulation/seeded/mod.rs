//! One seed, one life: which tasks come, what they do, what fails, when the agent dies. After each an oracle asks
//! whether what must never be so was so, and whether everything came to rest.
//!
//! `make sim SEED=…` replays one and prints its log, `make sim RUNS=…` lives many.

mod alone;
mod bounds;
pub mod bugs;
mod drive;
pub mod oracle;
mod scenario;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use bugs::Bug;
use longshore_tests::seeds::{self, Life};
use scenario::Scenario;

use crate::world::World;

/// Seeds in `make test`.
const RUNS: u64 = 2000;

/// Lives one seed through, on a runtime and a store of its own.
fn live(seed: u64, bug: Option<Bug>) -> Life {
    let world = Mutex::new(None);
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(drive::drive(seed, &Scenario::of(seed), bug, &world))
    }));
    lived.unwrap_or_else(|panic| {
        let text = seeds::words(panic.as_ref());
        let world = world.lock().unwrap().take();
        let log = world.map_or_else(String::new, |world: Arc<World>| world.log());
        Life {
            log: format!("{log}\n{text}"),
            violations: vec![text.lines().take(3).collect::<Vec<_>>().join(" ")],
        }
    })
}

#[test]
fn seeds_keep_the_invariants() {
    seeds::keep(RUNS, "", |seed| live(seed, None));
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    seeds::are_the_same_each_time(1..61, |seed| live(seed, None));
}

fn is_found(bug: Bug) {
    assert!(
        seeds::first_failure(
            1..201,
            |seed| live(seed, Some(bug)),
            |violation| violation.contains(bug.sign())
        )
        .is_some(),
        "{bug:?} is not found in 200 seeds"
    );
}

#[test]
fn a_report_before_the_end_is_found() {
    is_found(Bug::ReportsBeforeTheEnd);
}

#[test]
fn an_acknowledgement_before_the_write_is_found() {
    is_found(Bug::AcknowledgesBeforeTheWrite);
}

#[test]
fn a_forgotten_stop_deadline_is_found() {
    is_found(Bug::ForgetsStopDeadlines);
}

#[test]
fn a_late_answer_that_takes_the_cursor_back_is_found() {
    is_found(Bug::FollowsLateAnswers);
}

// Invariant 9.
#[test]
fn pulls_that_wait_for_each_other_are_found() {
    is_found(Bug::PullsOneByOne);
}

// Invariant 10.
#[test]
fn stopped_tasks_that_are_kept_without_a_bound_are_found() {
    is_found(Bug::KeepsWhatStopped);
}
