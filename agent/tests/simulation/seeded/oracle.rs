//! What must be so at any time, and what must be so in the end.

use std::collections::BTreeMap;

use longshore_agent::model::ContainerId;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs;
use longshore_protocol::poll::TaskSpec;

use super::alone::Alone;
use super::bounds::Bounds;
use super::scenario::{Event, Scenario};
use crate::node::{Node, container_id};
use crate::world::EPOCH_MILLIS;

pub struct Oracle<'a> {
    scenario: &'a Scenario,
    /// When SIGKILL was due, in simulated milliseconds, as it was first decided.
    deadlines: BTreeMap<ContainerId, i64>,
    alone: Alone,
    bounds: Bounds,
}

/// How much later than its deadline SIGKILL may come where every call is answered.
const LATE: i64 = 3_000;

impl<'a> Oracle<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            deadlines: BTreeMap::new(),
            alone: Alone::default(),
            bounds: Bounds::default(),
        }
    }

    fn reboots(&self) -> bool {
        self.scenario
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::Cut))
    }

    fn calm(&self) -> bool {
        self.scenario.fault_percent == 0 && self.scenario.hang_permille == 0
    }

    /// While things happen.
    pub fn look(&mut self, node: &Node) {
        if !node.is_alive() {
            return;
        }
        let tasks = node.handle().tasks();
        for view in &tasks {
            for (index, _, record, _) in view.state.containers() {
                if let Some(deadline) = &record.stop_deadline {
                    let due = i64::try_from(deadline.since_boot.as_millis()).unwrap();
                    let id = view.state.container_id(index);
                    self.deadlines.entry(id).or_insert(EPOCH_MILLIS + due);
                }
            }
        }
        self.alone.look(node, self.scenario, &tasks);
        self.bounds.look(node, self.scenario, &tasks);
        let up = node.world.millis() - node.began_at;
        let away = node.runtime.away.load(std::sync::atomic::Ordering::Relaxed);
        if up >= 5_000 && self.calm() && !away {
            for id in node.runtime.running_ids() {
                if !tasks
                    .iter()
                    .any(|view| view.state.assignment.arn.id == *id.task())
                {
                    node.world.blame(format!("{id} runs and belongs to no task"));
                }
            }
        }
    }

    pub fn all_told(&self, node: &Node) -> bool {
        let mut tasks = self.scenario.tasks.iter();
        let told = tasks.all(|(arn, _)| node.link.status(arn).as_deref() == Some("STOPPED"));
        told && node.link.standing().is_empty()
    }

    /// When every task should have been told to have stopped.
    pub fn judge(&self, node: &Node) {
        for arn in node.link.standing() {
            node.world
                .blame(format!("the order about {arn} was taken and is not answered"));
        }
        for (arn, spec) in &self.scenario.tasks {
            if node.link.status(arn).as_deref() != Some("STOPPED") {
                let tasks = node.handle().tasks();
                let view = tasks.iter().find(|view| view.state.assignment.arn == *arn);
                node.world.blame(format!(
                    "{arn} does not stop: {:?}",
                    view.map(|view| (&view.state.record, &view.state.live, &view.waits))
                ));
                continue;
            }
            for (index, _) in (0_u16..).zip(&spec.containers) {
                self.judge_container(node, arn, index);
            }
        }
    }

    fn judge_container(&self, node: &Node, arn: &TaskArn, index: u16) {
        let id = &container_id(arn, index);
        let blame = |what: String| node.world.blame(format!("{id}: {what}"));
        let history = node.runtime.history(id);
        if history.overlaps {
            blame("it ran twice at once".to_owned());
        }
        // What had just begun when the power was cut, so that nobody had stored it, begins in the new boot.
        let again = container_of(&self.scenario.tasks, id).restart_policy.is_some() || history.cut_off;
        if history.starts > 1 && !again {
            blame(format!("it was started {} times", history.starts));
        }
        let told = node.link.told_at(arn, "STOPPED").unwrap();
        if history.starts > 0 && history.ended_at.is_none_or(|ended| ended > told) {
            blame("STOPPED is told while it runs".to_owned());
        }
        if history.begun_at.last().is_some_and(|started| *started > told) {
            blame("it is started after STOPPED was told".to_owned());
        }
        let last = node.link.last(arn).unwrap();
        let container = last
            .containers
            .as_ref()
            .and_then(|all| all.get(usize::from(index)));
        if let Some(container) = container {
            match (container.exit_code, history.code) {
                (Some(told), Some(true_one)) if told == true_one => {}
                (None, _) if history.starts == 0 => {}
                (None, _) if history.cut_off => {}
                // Then it is said that nobody knows.
                (None, _) if history.forgotten && self.says_why(container.reason.as_deref()) => {}
                (told, true_one) => blame(format!(
                    "its exit code is told as {told:?} with {:?}, and was {true_one:?}",
                    container.reason
                )),
            }
        }
        self.judge_signals(node, id);
    }

    /// What ended before a cut of the power, unseen, can't be told from what the cut ended.
    fn says_why(&self, reason: Option<&str>) -> bool {
        let reason = reason.unwrap_or_default();
        reason.starts_with("ExitStatusLost: ") || self.reboots() && reason.starts_with("HostRebooted: ")
    }

    fn judge_signals(&self, node: &Node, id: &ContainerId) {
        let blame = |what: String| node.world.blame(format!("{id}: {what}"));
        let forced = self.scenario.events.iter().any(|(_, event)| match event {
            Event::Stop { task, force } => *force && self.scenario.tasks[*task].0.id == *id.task(),
            _ => false,
        });
        // After a reboot each deadline has passed, and a container that runs again has a new one.
        if self.reboots() || container_of(&self.scenario.tasks, id).restart_policy.is_some() {
            return;
        }
        let history = node.runtime.history(id);
        let Some((_, killed)) = history.signals.iter().find(|(signal, _)| *signal == 9) else {
            return;
        };
        let Some(deadline) = self.deadlines.get(id) else {
            return;
        };
        if *killed < *deadline && !forced {
            blame(format!(
                "SIGKILL came {} ms before its deadline",
                deadline - killed
            ));
        }
        let quiet = self.calm() && node.runtime.was_never_away();
        if quiet && *killed > *deadline + LATE {
            blame(format!(
                "SIGKILL came {} ms later than its deadline",
                killed - deadline
            ));
        }
    }
}

fn container_of<'a>(tasks: &'a [(TaskArn, TaskSpec)], id: &ContainerId) -> &'a ecs::ContainerDefinition {
    let (_, spec) = tasks.iter().find(|(arn, _)| arn.id == *id.task()).unwrap();
    &spec.containers[usize::from(id.index())].definition
}

/// Every stored assignment that was acknowledged, when an agent begins.
pub fn judge_contents(node: &Node, contents: &longshore_agent::store::Contents) {
    for arn in node.link.acknowledged_tasks() {
        if !contents.tasks.iter().any(|task| task.assignment.arn == arn) {
            node.world
                .blame(format!("{arn} was acknowledged and is not stored"));
        }
    }
}
