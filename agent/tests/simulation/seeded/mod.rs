//! One seed, one life: which tasks come, what they do, what fails, when the agent dies. After each an oracle asks
//! whether what must never be so was so, and whether everything came to rest.
//!
//! `make sim SEED=…` replays one and prints its log, `make sim RUNS=…` lives many.

pub mod bugs;
mod drive;
pub mod oracle;
mod scenario;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bugs::Bug;
use scenario::Scenario;

use crate::world::World;

/// Seeds in `make test`.
const RUNS: u64 = 2000;

/// What came of a seed.
struct Life {
    log: String,
    violations: Vec<String>,
}

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
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "a panic without words".to_owned());
        let world = world.lock().unwrap().take();
        let log = world.map_or_else(String::new, |world: Arc<World>| world.log());
        Life {
            log: format!("{log}\n{text}"),
            violations: vec![text.lines().take(3).collect::<Vec<_>>().join(" ")],
        }
    })
}

/// Lives these seeds on every core until one fails; returns the lowest of those that did.
fn first_failure(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> Option<(u64, Life)> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<(u64, Life)>> = Mutex::new(None);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while found.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let life = live(seed, bug);
                    let counts = |each: &String| bug.is_none_or(|bug| each.contains(bug.sign()));
                    let mut found = found.lock().unwrap();
                    let lower = found.as_ref().is_none_or(|(other, _)| seed < *other);
                    if life.violations.iter().any(counts) && lower {
                        *found = Some((seed, life));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
#[allow(
    clippy::print_stdout,
    reason = "the log of a run is what one who replays it wants to read"
)]
fn seeds_keep_the_invariants() {
    if let Some(seed) = number("LONGSHORE_SIM_SEED") {
        let life = live(seed, None);
        println!("{}", life.log);
        assert!(life.violations.is_empty(), "seed {seed}: {:#?}", life.violations);
        return;
    }
    let runs = number("LONGSHORE_SIM_RUNS").unwrap_or(RUNS);
    let first = number("LONGSHORE_SIM_FIRST").unwrap_or(1);
    if let Some((seed, life)) = first_failure(first..first + runs, None) {
        panic!(
            "seed {seed}: {:#?}\nreplay it with its log: make sim SEED={seed}",
            life.violations
        );
    }
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    for seed in 1..=60 {
        let (first, second) = (live(seed, None), live(seed, None));
        let differ = first
            .log
            .lines()
            .zip(second.log.lines())
            .find(|(one, other)| one != other);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.log.len(), second.log.len(), "seed {seed}");
    }
}

fn is_found(bug: Bug) {
    assert!(
        first_failure(1..201, Some(bug)).is_some(),
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
