//! Invariant 10: everything has a bound. Here: how many stopped tasks are kept, and how often something is tried.

use std::sync::Arc;

use longshore_agent::reconcile::TaskView;

use super::scenario::Scenario;
use crate::node::Node;

/// How long a task that has to go may take to go.
const GOES: i64 = 10_000;
/// Over how long calls are counted, in milliseconds.
const WINDOW: i64 = 10_000;
/// The most crossings of a node's border in a window: a call is two.
const MOST: u64 = 1_000;

#[derive(Default)]
pub(super) struct Bounds {
    /// Since when more are kept than may be.
    over: Option<i64>,
    /// When the window began, and how many crossings there had been.
    window: (i64, u64),
}

impl Bounds {
    pub(super) fn look(&mut self, node: &Node, scenario: &Scenario, tasks: &[Arc<TaskView>]) {
        let now = node.world.millis();
        // Before the runtime has told what runs, none goes; and none comes.
        let over = |view: &&Arc<TaskView>| {
            let state = &view.state;
            state.live.listed && state.record.torn_down && state.is_acknowledged()
        };
        let kept = tasks.iter().filter(over).count();
        let stuck = scenario.fault_percent > 0 || scenario.hang_permille > 0 || node.world.is_busy("commit");
        if kept <= scenario.kept || stuck || now - node.began_at < GOES {
            self.over = None;
        } else if now - *self.over.get_or_insert(now) > GOES {
            node.world.blame(format!(
                "{kept} stopped tasks are kept, and not {}",
                scenario.kept
            ));
            self.over = None;
        }
        let (begun, before) = self.window;
        if now - begun >= WINDOW {
            let crossings = node.world.crossings();
            let most = MOST * u64::try_from((now - begun) / WINDOW).unwrap();
            if begun > 0 && crossings - before > most {
                node.world.blame(format!(
                    "{} calls and answers in {} ms",
                    crossings - before,
                    now - begun
                ));
            }
            self.window = (now, crossings);
        }
    }
}
