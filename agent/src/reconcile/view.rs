//! The engine's tasks, as others see them: people, and the control plane.

use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::Timestamp;
use longshore_protocol::poll::{ContainerProgress, InventoryTask, NodeStatus, TaskProgress};

use crate::executor::{Cause, Progress};
use crate::model::{KnownStatus, TaskState};
use crate::plan::{self, Wait};

/// A task as it is, and what its containers wait for.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// The task.
    pub state: TaskState,
    /// How far it is in the store.
    pub stored: KnownStatus,
    /// What the plan waits for.
    pub waits: Vec<Wait>,
    /// What its steps wait for, by container index: newer than the plan's.
    pub causes: Vec<(u16, Cause)>,
}

impl TaskView {
    /// With what its steps say of themselves right now.
    pub(super) fn with_causes(&self, progress: &Progress) -> Self {
        let causes = self.state.containers().filter_map(|(index, ..)| {
            let cause = progress.get(&self.state.container_id(index))?;
            Some((index, cause))
        });
        Self {
            causes: causes.collect(),
            ..self.clone()
        }
    }

    /// Why a container is where it is, or how often it was restarted; `None` where there is nothing to tell.
    #[must_use]
    pub fn cause(&self, index: u16) -> Option<Cause> {
        let step = self
            .causes
            .iter()
            .find(|(at, _)| *at == index)
            .map(|(_, cause)| cause.clone());
        let waits = step.or_else(|| {
            let wait = self.waits.iter().find(|wait| wait.index == index)?;
            Some(Cause {
                text: wait.cause.clone(),
                percent: None,
                until: wait.until,
            })
        });
        waits.or_else(|| {
            let record = self.state.record.containers.get(usize::from(index))?;
            let runs = record.known == KnownStatus::Running;
            let text = runs.then(|| plan::history(&self.state, index))??;
            Some(Cause {
                text,
                ..Cause::default()
            })
        })
    }

    /// Its line in the inventory. A task whose end is acknowledged is none of the control plane's concern any more.
    pub(super) fn inventory(&self) -> Option<InventoryTask> {
        let assignment = &self.state.assignment;
        (!self.state.is_acknowledged()).then(|| InventoryTask {
            task_arn: assignment.arn.clone(),
            generation: assignment.generation,
            // What is not stored may be unlearned again, and is not told.
            status: self.stored.reported(),
        })
    }

    /// What the control plane is told with a poll: why its containers wait.
    fn progress(&self, now: Now) -> Option<TaskProgress> {
        let containers = self.state.containers().filter_map(|(index, definition, ..)| {
            let cause = self.cause(index)?;
            let restarts = self.state.record.containers.get(usize::from(index));
            Some(ContainerProgress {
                name: definition.name.clone(),
                cause: cause.text,
                percent: cause.percent,
                deadline: cause.until.map(|until| now.wall_clock(until)),
                restart_count: restarts.map_or(0, |record| record.restarts.count),
            })
        });
        let containers: Vec<_> = containers.collect();
        (!containers.is_empty()).then(|| TaskProgress {
            task_arn: self.state.assignment.arn.clone(),
            containers,
        })
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) since_boot: Duration,
    pub(super) at_millis: i64,
}

impl Now {
    fn wall_clock(self, since_boot: Duration) -> Timestamp {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let ahead = millis(since_boot).saturating_sub(millis(self.since_boot));
        Timestamp::from_millis(self.at_millis.saturating_add(ahead))
    }
}

/// How the node's tasks are doing.
pub(super) fn node_status(tasks: &[Arc<TaskView>], now: Now, trouble: Option<String>) -> NodeStatus {
    NodeStatus {
        trouble,
        tasks: tasks.iter().filter_map(|task| task.progress(now)).collect(),
    }
}
