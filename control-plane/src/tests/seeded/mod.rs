//! One seed, one life of a control plane: what clients ask for, what agents say and how late, when it dies. After each
//! step an oracle looks at the books, and at the end whether both sides agree.
//!
//! `make sim SEED=…` replays one and prints its log, `make sim RUNS=…` lives many. Nothing here waits for time: the clock
//! goes when the life says so, and of the operations that are under way one goes on at a time.

mod acts;
mod books;
mod bugs;
mod life;
mod machine;
mod oracle;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bugs::Bug;
use life::Life;
use world::Template;

/// Seeds in `make test`.
const RUNS: u64 = 1000;

/// What came of a seed.
struct Lived {
    log: String,
    violations: Vec<String>,
}

fn live(seed: u64, template: &Template, bug: Option<Bug>) -> Lived {
    let log = Mutex::new(String::new());
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async { Life::new(seed, template, bug, &log).await.live().await })
    }));
    let violations = lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        vec![format!("panicked: {}", text.unwrap_or_default())]
    });
    Lived {
        log: log
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
        violations,
    }
}

/// Lives these seeds on every core until one fails; returns the lowest of those that did.
fn first_failure(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> Option<(u64, Lived)> {
    let template = Template::new();
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<(u64, Lived)>> = Mutex::new(None);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while found.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let lived = live(seed, &template, bug);
                    let mut found = found.lock().unwrap();
                    let lower = found.as_ref().is_none_or(|(other, _)| seed < *other);
                    if !lived.violations.is_empty() && lower {
                        *found = Some((seed, lived));
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
fn seeds_keep_the_books() {
    if let Some(seed) = number("LONGSHORE_SIM_SEED") {
        let lived = live(seed, &Template::new(), None);
        println!("{}", lived.log);
        assert!(
            lived.violations.is_empty(),
            "seed {seed}: {:#?}",
            lived.violations
        );
        return;
    }
    let runs = number("LONGSHORE_SIM_RUNS").unwrap_or(RUNS);
    let first = number("LONGSHORE_SIM_FIRST").unwrap_or(1);
    if let Some((seed, lived)) = first_failure(first..first + runs, None) {
        panic!(
            "seed {seed}: {:#?}\nreplay it with its log: make sim SEED={seed} OF=control-plane",
            lived.violations
        );
    }
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    let template = Template::new();
    for seed in 1..=30 {
        let (first, second) = (live(seed, &template, None), live(seed, &template, None));
        let mut lines = first.log.lines().zip(second.log.lines());
        assert_eq!(lines.find(|(one, other)| one != other), None, "seed {seed}");
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
fn an_answer_before_the_commit_is_found() {
    is_found(Bug::AnswersBeforeTheCommit);
}

#[test]
fn a_head_that_is_read_after_the_rows_is_found() {
    is_found(Bug::LooksAtTheHeadLast);
}

#[test]
fn an_end_of_a_sequence_that_is_forgotten_is_found() {
    is_found(Bug::ForgetsWhereItEnded);
}
