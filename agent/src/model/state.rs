//! A task as it is.
//!
//! It has three parts with three owners: the [`Assignment`] is written by `intake`, the [`TaskRecord`] by the task's
//! actor, and what is live is in memory only, since planning again finds it out. Each container climbs
//!
//! ```text
//! NONE ──▶ PULLED ──▶ CREATED ──▶ RUNNING ──▶ STOPPED
//!   └─────────┴──────────┴───────────────────────▲   (stopped or failed before it ran)
//! ```
//!
//! and never steps back. A restart by its policy is a number that grows, see [`Restarts`].

use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::status::{DesiredStatus, ReportedStatus};
use serde::{Deserialize, Serialize};

use super::{
    Assignment, Attachment, Body, ContainerId, Exit, Health, PulledImage, ResolvedContainer, ResolvedTask,
    Restarts,
};

/// How far a container, or a task, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KnownStatus {
    /// Nothing was done that counts.
    #[default]
    None,
    /// Its image is here.
    Pulled,
    /// The runtime has it.
    Created,
    /// It runs.
    Running,
    /// No process of it is left.
    Stopped,
}

impl KnownStatus {
    /// As the control plane is told.
    #[must_use]
    pub fn reported(self) -> ReportedStatus {
        match self {
            Self::None | Self::Pulled | Self::Created => ReportedStatus::Pending,
            Self::Running => ReportedStatus::Running,
            Self::Stopped => ReportedStatus::Stopped,
        }
    }

    /// As ECS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Pulled => "PULLED",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// A moment that survives the agent and is deaf to steps of the wall clock. After a reboot it has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopDeadline {
    /// Of which boot.
    pub boot_id: String,
    /// Time since that boot.
    pub since_boot: Duration,
}

/// The first start of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstStart {
    /// Its first process; 0 where nobody saw it.
    pub pid: u32,
    /// When, in milliseconds since 1970; 0 where nobody saw it.
    pub at_millis: i64,
    /// In which boot of the machine.
    pub boot_id: String,
    /// When it was first seen to run, since that boot; `None` where nobody saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_boot: Option<Duration>,
}

/// What must be remembered of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// How far it is. What is below RUNNING is worth nothing to a new agent, which does it again.
    pub known: KnownStatus,
    /// What it began from.
    pub image: Option<PulledImage>,
    /// Its network.
    pub attachment: Option<Attachment>,
    /// When it first ran.
    pub started: Option<FirstStart>,
    /// When SIGKILL is due; set once, before the first signal goes.
    pub stop_deadline: Option<StopDeadline>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Why it is as it is, `ErrorName: text`.
    pub reason: Option<String>,
    /// Its runs.
    #[serde(default, skip_serializing_if = "Restarts::is_nothing")]
    pub restarts: Restarts,
}

/// The newest statuses that the control plane has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The task's.
    pub task: ReportedStatus,
    /// Its containers', in their order.
    pub containers: Vec<ReportedStatus>,
}

/// What must be remembered of a task: kept in the store as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Where it goes: the order's, or STOPPED since something essential ended.
    pub desired: DesiredStatus,
    /// Whether all its containers ran at one time.
    pub ran: bool,
    /// Why it never ran.
    pub reason: Option<String>,
    /// When the first pull began, in milliseconds since 1970.
    pub pull_started_at: Option<i64>,
    /// When the last pull ended, in milliseconds since 1970.
    pub pull_stopped_at: Option<i64>,
    /// When the first essential container ended, in milliseconds since 1970.
    pub execution_stopped_at: Option<i64>,
    /// When the last container ended, in milliseconds since 1970.
    pub stopped_at: Option<i64>,
    /// In the definition's order.
    pub containers: Vec<ContainerRecord>,
    /// What was acknowledged.
    pub acknowledged: Acknowledged,
    /// Whether ports, addresses, snapshots and cgroups are given back. It is written with whatever is written next.
    pub torn_down: bool,
}

/// What is known of a container only while the agent lives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveContainer {
    /// It has a network of this run's making.
    pub attached: bool,
    /// The runtime was asked to start it.
    pub start_called: bool,
    /// When this agent first saw it run, since boot.
    pub running_since: Option<Duration>,
    /// When it was last seen to run, since boot.
    pub seen_running: Option<Duration>,
    /// What its health check last said.
    pub health: Health,
    /// Its ports are held again after a restart of the agent.
    pub adopted: bool,
    /// Its first process is no more; how it ended is to be asked.
    pub exited: bool,
    /// It can't be made or started; it is STOPPED once it is proved that nothing runs.
    pub failed: bool,
    /// The stop signal has gone.
    pub terminated: bool,
    /// SIGKILL has gone: how often, and when last, since boot.
    pub killed: Option<(u32, Duration)>,
    /// Record, snapshot, network and image are given back.
    pub torn_down: bool,
    /// Something worth telling while it does not run yet.
    pub note: Option<String>,
}

/// What is known of a task only while the agent lives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Whether the runtime's list has been compared with it: before that, nothing is done to its containers.
    pub listed: bool,
    /// Whether its ports and GPUs are its own.
    pub admitted: bool,
    /// Why they are not.
    pub blocked: Option<String>,
    /// Whether it has its cgroup.
    pub prepared: bool,
    /// When its files are to go, since boot: decided once, so that no step of the wall clock moves it.
    pub clean_due: Option<Duration>,
    /// Whether its files are gone, so that it can be forgotten.
    pub cleaned: bool,
    /// In the definition's order.
    pub containers: Vec<LiveContainer>,
}

/// A task as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    /// What is wanted.
    pub assignment: Assignment,
    /// What must be remembered.
    pub record: TaskRecord,
    /// What is found out again.
    pub live: Live,
}

impl TaskState {
    /// A task that has just come; its containers can't exist yet.
    #[must_use]
    pub fn new(assignment: Assignment) -> Self {
        let count = assignment.body.task().map_or(0, |task| task.containers.len());
        let reason = match &assignment.body {
            Body::Task(_) | Body::Ended(_) => None,
            Body::Nothing { reason } => Some(reason.clone()),
        };
        let record = TaskRecord {
            desired: assignment.desired,
            ran: false,
            reason,
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            containers: vec![ContainerRecord::default(); count],
            acknowledged: Acknowledged {
                task: ReportedStatus::Pending,
                containers: vec![ReportedStatus::Pending; count],
            },
            torn_down: count == 0,
        };
        let live = Live {
            listed: true,
            containers: vec![LiveContainer::default(); count],
            ..Live::default()
        };
        Self {
            assignment,
            record,
            live,
        }
    }

    /// A task as the store has it. Nothing is done to its containers before the runtime has been asked.
    #[must_use]
    pub fn restored(assignment: Assignment, record: Option<TaskRecord>) -> Self {
        let mut state = Self::new(assignment);
        state.live.listed = state.record.containers.is_empty();
        if let Some(mut record) = record {
            record.desired = record.desired.max(state.assignment.desired);
            for container in &mut record.containers {
                if container.known < KnownStatus::Running {
                    container.known = KnownStatus::None;
                }
            }
            state.record = record;
        }
        state
    }

    /// What it is, where it can run.
    #[must_use]
    pub fn task(&self) -> Option<&Arc<ResolvedTask>> {
        self.assignment.body.task()
    }

    /// Its containers: index, definition, record, live part.
    pub fn containers(
        &self,
    ) -> impl Iterator<Item = (u16, &ResolvedContainer, &ContainerRecord, &LiveContainer)> {
        let definitions = self
            .task()
            .map(|task| task.containers.as_slice())
            .unwrap_or_default();
        let records = self.record.containers.iter().zip(&self.live.containers);
        (0_u16..)
            .zip(definitions)
            .zip(records)
            .map(|((index, definition), (record, live))| (index, definition, record, live))
    }

    /// The id of its container at `index`.
    #[must_use]
    pub fn container_id(&self, index: u16) -> ContainerId {
        ContainerId::new(self.assignment.arn.id.clone(), index)
    }

    /// How far it is: as far as its slowest container, but not RUNNING any more once something essential has ended.
    #[must_use]
    pub fn known(&self) -> KnownStatus {
        let slowest = self
            .record
            .containers
            .iter()
            .map(|container| container.known)
            .min();
        let slowest = slowest.unwrap_or(KnownStatus::Stopped);
        let ended = self
            .containers()
            .any(|(_, definition, record, _)| definition.essential && record.known == KnownStatus::Stopped);
        match slowest {
            KnownStatus::Running if ended && !self.record.ran => KnownStatus::Created,
            other => other,
        }
    }

    /// How well it is: HEALTHY if all its essential containers are, UNHEALTHY if one of them is.
    #[must_use]
    pub fn health(&self) -> Health {
        let essential = || {
            let containers = self
                .containers()
                .filter(|(_, definition, ..)| definition.essential);
            containers.map(|(.., live)| live.health)
        };
        if essential().any(|health| health == Health::Unhealthy) {
            Health::Unhealthy
        } else if essential().next().is_some() && essential().all(|health| health == Health::Healthy) {
            Health::Healthy
        } else {
            Health::Unknown
        }
    }

    /// Whether the control plane has acknowledged that it is STOPPED.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.known() == KnownStatus::Stopped && self.owed().is_none()
    }
}
