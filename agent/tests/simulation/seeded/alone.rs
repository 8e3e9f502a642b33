//! Invariant 9: a stuck task is alone. What a plan says is going on, unless the task itself, or what all share, is stuck.

use std::collections::BTreeMap;

use longshore_agent::plan::{Now, plan};
use longshore_agent::reconcile::TaskView;
use longshore_protocol::arn::ResourceId;

use super::scenario::{Event, Scenario};
use crate::node::Node;

/// How long a task may have something to do, and nobody at it.
const IDLE: i64 = 5_000;
/// Looks that are further apart don't see what happened between them.
const APART: i64 = 2_000;
/// How long after a call has hung its task may be behind: a pause between tries.
const AFTERMATH: i64 = 60_000;
/// A report that hangs longer counts as lost, and others wait until one gets through.
const LOST: u64 = 59_000;

/// What all tasks share; while one of these hangs, all may wait.
const SHARED: [&str; 4] = ["commit", "list", "events", "networks"];

#[derive(Default)]
pub(super) struct Alone {
    /// Since when a task has nobody at its steps, and at its report.
    idle: BTreeMap<(ResourceId, bool), i64>,
    looked: i64,
}

impl Alone {
    pub(super) fn look(&mut self, node: &Node, scenario: &Scenario, tasks: &[std::sync::Arc<TaskView>]) {
        let now = node.world.millis();
        let lately = now - AFTERMATH;
        let stuck = node
            .world
            .has_hung(lately, |what, _| SHARED.iter().any(|each| what.contains(each)));
        // A call that failed is made again, after a pause that others know nothing of.
        let fails = scenario.fault_percent > 0 || !node.runtime.was_never_away();
        let apart = now - std::mem::replace(&mut self.looked, now) > APART;
        if fails || stuck || apart || node.world.is_busy("commit") {
            self.idle.clear();
            return;
        }
        let reports = reports_get_through(node, scenario);
        for view in tasks {
            let id = &view.state.assignment.arn.id;
            let name = id.to_string();
            let hangs = node.world.has_hung(lately, |what, _| what.contains(&name));
            let idle = !hangs && !node.world.is_busy(&name);
            let steps = is_planned(node, view) && !is_tried_again(view);
            self.judge(node, (id.clone(), false), idle && steps);
            let owes = view
                .state
                .owed()
                .is_some_and(|report| report.status <= view.stored.reported());
            self.judge(node, (id.clone(), true), idle && reports && owes);
        }
    }

    fn judge(&mut self, node: &Node, what: (ResourceId, bool), idle: bool) {
        if !idle {
            self.idle.remove(&what);
            return;
        }
        let now = node.world.millis();
        let since = *self.idle.entry(what.clone()).or_insert(now);
        if now - since.max(node.began_at) > IDLE {
            let (id, report) = &what;
            let left = if *report { "a report" } else { "a step" };
            node.world
                .blame(format!("{id} has {left} to be done, and nobody is at it"));
            self.idle.remove(&what);
        }
    }
}

fn reports_get_through(node: &Node, scenario: &Scenario) -> bool {
    let cut = scenario
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::Link(_)));
    !cut && !node
        .world
        .has_hung(0, |what, long| what.contains("report") && long >= LOST)
}

fn is_planned(node: &Node, view: &TaskView) -> bool {
    let moment = node.world.moment();
    let now = Now {
        boot_id: &moment.boot_id,
        since_boot: moment.since_boot,
        at_millis: node.world.wall_millis(),
    };
    !plan(&view.state, now, node.policy()).steps.is_empty()
}

fn is_tried_again(view: &TaskView) -> bool {
    view.causes.iter().any(|(_, cause)| cause.text.contains("tried "))
}
