//! Shims that keep no exit records, and a daemon that forgets what ended while the agent was dead.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::node::{Node, container_id, one, task_arn};

/// What came of a container that ends with 42.
#[derive(Debug)]
struct Told {
    starts: u32,
    forgotten: bool,
    code: Option<i32>,
    reason: Option<String>,
}

impl Told {
    /// Run once, and its code is told, or that nobody knows it.
    fn is_right(&self) -> bool {
        let lost = self
            .reason
            .as_deref()
            .is_some_and(|reason| reason.starts_with("ExitStatusLost: "));
        let said = match self.code {
            Some(code) => code == 42 && self.reason.is_none(),
            None => self.forgotten && lost,
        };
        self.starts == 1 && said
    }
}

/// The agent dies at this crossing, what ran ends, the daemon forgets it, and another agent comes. `None` if the agent did
/// not come so far.
async fn die_at(crash: u64, notes_starts: bool) -> Option<Told> {
    let mut node = Node::new(crash + 1);
    node.runtime.keeps_no_exits.store(true, Ordering::Relaxed);
    node.runtime
        .notes_no_starts
        .store(!notes_starts, Ordering::Relaxed);
    node.start();
    node.world.crash_after(crash);
    let arn = task_arn(1);
    node.link.run(&arn, one("run 0.5 42"));
    let world = Arc::clone(&node.world);
    tokio::select! {
        () = world.crashed.notified() => {}
        () = tokio::time::sleep(Duration::from_secs(600)) => return None,
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.runtime.go_away(true, true);
    node.runtime.away.store(false, Ordering::Relaxed);
    node.restart().await;
    let last = node.until_stopped(&arn).await;
    let history = node.runtime.history(&container_id(&arn, 0));
    let container = last.containers.as_ref().unwrap()[0].clone();
    node.until_clean().await;
    Some(Told {
        starts: history.starts,
        forgotten: history.forgotten,
        code: container.exit_code,
        reason: container.reason,
    })
}

async fn die_everywhere(notes_starts: bool) -> Vec<Told> {
    let mut all = Vec::new();
    while let Some(told) = die_at(u64::try_from(all.len()).unwrap(), notes_starts).await {
        all.push(told);
    }
    assert!(all.len() > 30, "only {} crossings: did it run at all?", all.len());
    all
}

// Invariants 2 and 3: it is not run again, and it is said that nobody knows how it ended.
#[tokio::test(start_paused = true)]
async fn what_was_asked_to_start_and_is_forgotten_is_not_run_again() {
    let all = die_everywhere(true).await;
    for (crash, told) in all.iter().enumerate() {
        assert!(told.is_right(), "at crossing {crash}: {told:?}");
    }
    assert!(
        all.iter().any(|told| told.code.is_none()),
        "the daemon forgot nothing"
    );
}

// That the test above can fail: a runtime that does not note it runs the container twice.
#[tokio::test(start_paused = true)]
async fn without_the_note_it_would_be_run_again() {
    let all = die_everywhere(false).await;
    assert!(
        all.iter().any(|told| told.starts > 1 && !told.is_right()),
        "{all:?}"
    );
}
