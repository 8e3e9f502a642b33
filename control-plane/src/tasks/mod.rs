//! A task as the control plane knows it: what was asked for, where it is, what its node said.
//!
//! ```text
//! PENDING ──▶ ACTIVATING ──▶ RUNNING ──▶ DEACTIVATING ──▶ STOPPING ──▶ STOPPED
//!  placed     some run       all run     stop ordered     node has it   proof of death
//! ```
//!
//! Invariants: a task's status and its containers' only move forward, whatever the order in which reports come;
//! what is reserved for it is freed with STOPPED and not before. Steps that take no time are skipped.

pub mod report;
pub mod retention;
pub mod settle;
pub mod view;

use longshore_protocol::arn::{ContainerArn, ContainerInstanceArn, TaskArn, TaskDefinitionArn};
use longshore_protocol::ecs;
use longshore_protocol::status::{DesiredStatus, ReportedStatus, StopCode, TaskStatus};
use serde::{Deserialize, Serialize};

/// The most characters of a reason that are kept.
pub const MAX_REASON: usize = 1024;

/// A task. Stored as JSON: members may be added (with a default), never change their meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub arn: TaskArn,
    /// Where it was placed.
    pub instance: ContainerInstanceArn,
    /// What it was made from.
    pub definition: TaskDefinitionArn,
    /// `family:FAMILY` unless said otherwise.
    pub group: String,
    /// Who started it, where that was said.
    pub started_by: Option<String>,
    /// What is shown as its CPU units.
    pub cpu: String,
    /// What is shown as its memory in MiB.
    pub memory: String,
    /// Attributes of the instance that are shown on the task.
    pub attributes: Vec<ecs::Attribute>,
    /// RunTask's overrides, as given.
    pub overrides: ecs::TaskOverride,
    /// Tags.
    pub tags: Vec<ecs::Tag>,
    /// Whether sessions may be opened in its containers.
    #[serde(default)]
    pub enable_execute_command: bool,
    /// Its containers, in the definition's order.
    pub containers: Vec<Container>,
    /// Where it is to go.
    pub desired: DesiredStatus,
    /// Where it is.
    pub last: TaskStatus,
    /// Grows by one with every visible change, from 1.
    pub version: i64,
    /// Why it stops, from the moment that this is decided.
    pub stop: Option<Stop>,
    /// When what happened.
    pub times: Times,
}

/// Why a task stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// For programs.
    pub code: StopCode,
    /// For people.
    pub reason: String,
}

/// When what happened to a task: milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// RunTask took it.
    pub created: i64,
    /// The node began to pull.
    pub pull_started: Option<i64>,
    /// The node had all images.
    pub pull_stopped: Option<i64>,
    /// All containers ran.
    pub started: Option<i64>,
    /// It was decided that it stops.
    pub stopping: Option<i64>,
    /// An essential container ended.
    pub execution_stopped: Option<i64>,
    /// No process was left.
    pub stopped: Option<i64>,
}

/// A container of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Its name for the API.
    pub arn: ContainerArn,
    /// Its name in the definition.
    pub name: String,
    /// The image, as the definition has it.
    pub image: String,
    /// Whether the task ends with it.
    pub essential: bool,
    /// CPU units, overrides applied; `0` if unset.
    pub cpu: String,
    /// Hard limit in MiB, overrides applied.
    pub memory: Option<String>,
    /// Soft limit in MiB, overrides applied.
    pub memory_reservation: Option<String>,
    /// The GPUs that it was given.
    pub gpu_ids: Vec<String>,
    /// Where it is.
    pub status: ReportedStatus,
    /// The runtime's id for it.
    pub runtime_id: Option<String>,
    /// What its image turned out to be.
    pub image_digest: Option<String>,
    /// How it ended.
    pub exit_code: Option<i32>,
    /// Why it ended, or did not start.
    pub reason: Option<String>,
    /// Its ports on the host.
    pub network_bindings: Vec<ecs::NetworkBinding>,
}

impl Container {
    /// A container that nothing is known of yet, by its definition with the overrides applied.
    #[must_use]
    pub fn placed(arn: ContainerArn, effective: &ecs::ContainerDefinition, gpu_ids: Vec<String>) -> Self {
        let text = |amount: Option<i32>| amount.map(|amount| amount.to_string());
        Self {
            arn,
            name: effective.name.clone().unwrap_or_default(),
            image: effective.image.clone().unwrap_or_default(),
            essential: effective.essential.unwrap_or(true),
            cpu: text(effective.cpu).unwrap_or_else(|| "0".to_owned()),
            memory: text(effective.memory),
            memory_reservation: text(effective.memory_reservation),
            gpu_ids,
            status: ReportedStatus::Pending,
            runtime_id: None,
            image_digest: None,
            exit_code: None,
            reason: None,
            network_bindings: Vec::new(),
        }
    }
}

impl Task {
    /// Decides that the task stops. Says whether that is news: what was decided first stays.
    pub fn order_stop(&mut self, stop: Stop, now: i64) -> bool {
        if self.desired == DesiredStatus::Stopped {
            return false;
        }
        self.desired = DesiredStatus::Stopped;
        self.stop = Some(stop);
        self.times.stopping.get_or_insert(now);
        self.advance(TaskStatus::Deactivating);
        self.version += 1;
        true
    }

    /// The node has the order to stop. Says whether that is news.
    pub fn stop_is_known(&mut self) -> bool {
        let news = self.desired == DesiredStatus::Stopped && self.last < TaskStatus::Stopping;
        if news {
            self.advance(TaskStatus::Stopping);
            self.version += 1;
        }
        news
    }

    /// Ends the task without its node's proof: the node is gone from the books. Says whether that is news.
    pub fn abandon(&mut self, stop: Stop, now: i64) -> bool {
        if self.last == TaskStatus::Stopped {
            return false;
        }
        self.order_stop(stop, now);
        self.end(now);
        self.version += 1;
        true
    }

    /// The one way up the ladder: never down.
    fn advance(&mut self, to: TaskStatus) {
        self.last = self.last.max(to);
    }

    fn end(&mut self, now: i64) {
        self.advance(TaskStatus::Stopped);
        self.times.stopping.get_or_insert(now);
        self.times.stopped.get_or_insert(now);
        for container in &mut self.containers {
            container.status = ReportedStatus::Stopped;
        }
    }
}

/// A reason, cut to what the API shows.
#[must_use]
pub fn cut_reason(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use longshore_protocol::arn::{ResourceId, Scope};

    /// A task with one essential container `a` and one other `b`.
    pub(crate) fn task() -> Task {
        let scope = Scope::new("us-east-1", "000000000000");
        let id = ResourceId::from_random(uuid::Uuid::from_u128(1));
        let container = |name: &str, essential: bool| Container {
            arn: ContainerArn {
                scope: scope.clone(),
                cluster: "default".into(),
                task: id.clone(),
                id: uuid::Uuid::from_u128(2),
            },
            name: name.into(),
            image: "busybox".into(),
            essential,
            cpu: "0".into(),
            memory: None,
            memory_reservation: None,
            gpu_ids: vec![],
            status: ReportedStatus::Pending,
            runtime_id: None,
            image_digest: None,
            exit_code: None,
            reason: None,
            network_bindings: vec![],
        };
        Task {
            arn: TaskArn {
                scope: scope.clone(),
                cluster: "default".into(),
                id: id.clone(),
            },
            instance: ContainerInstanceArn {
                scope: scope.clone(),
                cluster: "default".into(),
                id: id.clone(),
            },
            definition: TaskDefinitionArn {
                scope: scope.clone(),
                family: "f".into(),
                revision: 1,
            },
            group: "family:f".into(),
            started_by: None,
            cpu: "0".into(),
            memory: "16".into(),
            attributes: vec![],
            overrides: ecs::TaskOverride::default(),
            tags: vec![],
            enable_execute_command: false,
            containers: vec![container("a", true), container("b", false)],
            desired: DesiredStatus::Running,
            last: TaskStatus::Pending,
            version: 1,
            stop: None,
            times: Times {
                created: 1,
                ..Times::default()
            },
        }
    }

    fn user_stop() -> Stop {
        Stop {
            code: StopCode::UserInitiated,
            reason: "Task stopped by user".into(),
        }
    }

    #[test]
    fn a_repeated_stop_changes_nothing() {
        let mut task = task();
        assert!(task.order_stop(user_stop(), 5));
        let once = task.clone();
        assert!(!task.order_stop(
            Stop {
                reason: "again".into(),
                ..user_stop()
            },
            9
        ));
        assert_eq!(task, once);
        assert_eq!((task.last, task.version), (TaskStatus::Deactivating, 2));
        assert!(task.stop_is_known());
        assert!(!task.stop_is_known());
        assert_eq!(task.last, TaskStatus::Stopping);
    }

    #[test]
    fn an_abandoned_task_is_over() {
        let mut task = task();
        assert!(task.abandon(user_stop(), 5));
        assert!(!task.abandon(user_stop(), 6));
        assert_eq!((task.last, task.times.stopped), (TaskStatus::Stopped, Some(5)));
        assert!(!task.stop_is_known());
    }

    #[test]
    fn what_the_first_version_stored_is_read() {
        let stored: Task = serde_json::from_str(include_str!("stored/task-1.json")).unwrap();
        assert_eq!(stored, task());
    }

    #[test]
    fn the_stored_form_round_trips() {
        let json = serde_json::to_string(&task()).unwrap();
        assert_eq!(serde_json::from_str::<Task>(&json).unwrap(), task());
    }
}
