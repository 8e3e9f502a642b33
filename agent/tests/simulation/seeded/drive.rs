//! Lets a life happen, and watches.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::Life;
use super::bugs::Bug;
use super::oracle::Oracle;
use super::scenario::{Event, Scenario};
use crate::node::Node;
use crate::world::World;

/// How often the oracle looks, while things happen.
const LOOK: Duration = Duration::from_millis(500);

/// The world is put where its log can be read after a panic.
pub(super) async fn drive(
    seed: u64,
    scenario: &Scenario,
    bug: Option<Bug>,
    world: &Mutex<Option<Arc<World>>>,
) -> Life {
    let mut node = Node::new(seed);
    *world.lock().unwrap() = Some(Arc::clone(&node.world));
    node.bug = bug;
    // A control plane that comes back from a backup may ask for what has been cleaned up since: then it is too old.
    node.cleanup_wait = Duration::from_secs(if scenario.restores { 7200 } else { 60 });
    node.world
        .fault_percent
        .store(scenario.fault_percent, Ordering::Relaxed);
    node.world
        .hang_permille
        .store(scenario.hang_permille, Ordering::Relaxed);
    node.link
        .again_percent
        .store(scenario.again_percent, Ordering::Relaxed);
    node.link
        .late_percent
        .store(scenario.late_percent, Ordering::Relaxed);
    node.link
        .acknowledges_after
        .store(scenario.acknowledges_after, Ordering::Relaxed);
    node.kept = scenario.kept;
    node.runtime
        .keeps_no_exits
        .store(scenario.keeps_no_exits(), Ordering::Relaxed);
    node.crashes_left = scenario.crashes;
    node.start();
    node.plant();
    let mut oracle = Oracle::new(scenario);
    let begun = Instant::now();
    for (at, event) in &scenario.events {
        pass(&mut node, &mut oracle, begun + *at).await;
        happen(&mut node, scenario, event).await;
    }
    let now = Instant::now();
    pass(&mut node, &mut oracle, now + Duration::from_secs(60)).await;
    rest(&mut node, scenario, &mut oracle).await;
    Life {
        log: node.world.log(),
        violations: node.world.violations(),
    }
}

/// Waits until then. An agent that dies meanwhile is started again.
async fn pass(node: &mut Node, oracle: &mut Oracle<'_>, until: Instant) {
    loop {
        oracle.look(node);
        if Instant::now() >= until {
            return;
        }
        // For days of nothing a look now and then is enough.
        let left = until - Instant::now();
        let next = LOOK.max(left / 400).min(left);
        let world = Arc::clone(&node.world);
        tokio::select! {
            biased;
            () = world.crashed.notified() => {
                node.restart().await;
                node.plant();
            }
            () = tokio::time::sleep(next) => {}
        }
    }
}

async fn happen(node: &mut Node, scenario: &Scenario, event: &Event) {
    node.world.note(&format!("=== {event:?}"));
    match event {
        Event::Assign(task) => {
            let (arn, spec) = &scenario.tasks[*task];
            node.link.run(arn, spec.clone());
        }
        Event::Stop { task, force } => node.link.stop_with(&scenario.tasks[*task].0, *force),
        Event::Link(up) => node.link.down.store(!up, Ordering::Relaxed),
        Event::RuntimeAway {
            forgets_exits,
            says_so,
        } => node.runtime.go_away(*forgets_exits, *says_so),
        Event::RuntimeBack => node.runtime.away.store(false, Ordering::Relaxed),
        Event::Upgrade => {
            // It may hang in a call; then its service manager kills it.
            node.restart().await;
        }
        Event::Cut => {
            let boot = node.world.crossings();
            node.cut(&format!("boot-{boot}")).await;
            node.start();
        }
        Event::Wall(off) => node.world.wall_off.store(*off, Ordering::Relaxed),
        Event::Backup => node.link.back_up(),
        Event::Restore => node.link.restore_backup(),
    }
}

/// Nothing fails any more, and everything is to stop: then it does, and nothing is left.
async fn rest(node: &mut Node, scenario: &Scenario, oracle: &mut Oracle<'_>) {
    node.world.note("=== rest");
    node.world.fault_percent.store(0, Ordering::Relaxed);
    node.world.hang_permille.store(0, Ordering::Relaxed);
    node.world.crash_after(u64::MAX / 2);
    node.crashes_left = 0;
    node.link.down.store(false, Ordering::Relaxed);
    node.link.late_percent.store(0, Ordering::Relaxed);
    node.link.acknowledges_after.store(0, Ordering::Relaxed);
    node.runtime.away.store(false, Ordering::Relaxed);
    for (arn, _) in &scenario.tasks {
        node.link.stop_with(arn, false);
    }
    let begun = Instant::now();
    let patience = Duration::from_secs(3600);
    while !oracle.all_told(node) && begun.elapsed() < patience {
        let next = Instant::now() + Duration::from_secs(1);
        pass(node, oracle, next).await;
    }
    oracle.judge(node);
    if scenario.restores {
        // What is kept for long is kept; then it goes as well.
        let later = Instant::now() + node.cleanup_wait;
        pass(node, oracle, later).await;
    }
    let begun = Instant::now();
    while !node.leftovers().is_empty() && begun.elapsed() < patience {
        let next = Instant::now() + Duration::from_secs(5);
        pass(node, oracle, next).await;
    }
    for left in node.leftovers() {
        node.world.blame(format!("{left} is left behind"));
    }
    node.kill().await;
    let stored = node.stored();
    if !stored.is_empty() {
        node.world.blame(format!("the store still has {stored:?}"));
    }
}
