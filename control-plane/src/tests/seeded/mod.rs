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
mod rest;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use bugs::Bug;
use life::Life;
use longshore_tests::seeds;
use world::Template;

/// Seeds in `make test`.
const RUNS: u64 = 1000;

fn live(seed: u64, template: &Template, bug: Option<Bug>) -> seeds::Life {
    let log = Mutex::new(String::new());
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async { Life::new(seed, template, bug, &log).await.live().await })
    }));
    let violations =
        lived.unwrap_or_else(|panic| vec![format!("panicked: {}", seeds::words(panic.as_ref()))]);
    seeds::Life {
        log: log
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
        violations,
    }
}

#[test]
fn seeds_keep_the_books() {
    let template = Template::new();
    seeds::keep(RUNS, " OF=control-plane", |seed| live(seed, &template, None));
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    let template = Template::new();
    seeds::are_the_same_each_time(1..31, |seed| live(seed, &template, None));
}

fn is_found(bug: Bug) {
    let template = Template::new();
    assert!(
        seeds::first_failure(1..501, |seed| live(seed, &template, Some(bug)), |_| true).is_some(),
        "{bug:?} is not found in 500 seeds"
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
