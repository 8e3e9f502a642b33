//! Simulated lives, each decided by a seed: many of them, one again, and the same one twice.
//!
//! `LONGSHORE_SIM_SEED` has one seed lived and its log printed; `LONGSHORE_SIM_RUNS` and `LONGSHORE_SIM_FIRST` say how many
//! there are otherwise, and where they begin.

use std::any::Any;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What came of a seed.
pub struct Life {
    /// A line for each thing that happened.
    pub log: String,
    /// What must never be so and was.
    pub violations: Vec<String>,
}

/// The words of a panic.
#[must_use]
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

/// Lives these seeds on every core until one fails, by a violation that `counts`; returns the lowest of those that did.
pub fn first_failure(
    seeds: Range<u64>,
    live: impl Fn(u64) -> Life + Sync,
    counts: impl Fn(&str) -> bool + Sync,
) -> Option<(u64, Life)> {
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
                    let life = live(seed);
                    let mut found = found.lock().unwrap();
                    let lower = found.as_ref().is_none_or(|(other, _)| seed < *other);
                    if life.violations.iter().any(|each| counts(each)) && lower {
                        *found = Some((seed, life));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// Lives as many seeds as the environment says, or `runs`; or replays one.
///
/// # Panics
/// With the first seed that has violations, and how to replay it: `make sim SEED=…` and then `of`.
pub fn keep(runs: u64, of: &str, live: impl Fn(u64) -> Life + Sync) {
    if let Some(seed) = number("LONGSHORE_SIM_SEED") {
        let life = live(seed);
        println!("{}", life.log);
        assert!(life.violations.is_empty(), "seed {seed}: {:#?}", life.violations);
        return;
    }
    let runs = number("LONGSHORE_SIM_RUNS").unwrap_or(runs);
    let first = number("LONGSHORE_SIM_FIRST").unwrap_or(1);
    if let Some((seed, life)) = first_failure(first..first + runs, live, |_| true) {
        panic!(
            "seed {seed}: {:#?}\nreplay it with its log: make sim SEED={seed}{of}",
            life.violations
        );
    }
}

/// Lives each of these seeds twice.
///
/// # Panics
/// With the first line that differs.
pub fn are_the_same_each_time(seeds: Range<u64>, live: impl Fn(u64) -> Life) {
    for seed in seeds {
        let (first, second) = (live(seed), live(seed));
        let mut lines = first.log.lines().zip(second.log.lines());
        assert_eq!(lines.find(|(one, other)| one != other), None, "seed {seed}");
        assert_eq!(first.log.len(), second.log.len(), "seed {seed}");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
