//! What the control plane is owed: a function of what is and what was acknowledged, so there is no queue to lose.

use longshore_protocol::arn::{ClusterArn, TaskArn};
use longshore_protocol::status::ReportedStatus;
use serde::{Deserialize, Serialize};

use super::{Body, ContainerRecord, KnownStatus, PortBinding, TaskState};

/// What is said of a task whose last report can't be read.
const HOW_IS_LOST: &str = "it has ended on this node; how is not known any more";

/// A task's state, to be told to the control plane.
///
/// The last one of a task is stored: what an agent adds to it must have a default, since older ones wrote it without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The task.
    pub task: TaskArn,
    /// Its cluster; `None` where only the task's ARN is known.
    #[serde(default)]
    pub cluster: Option<ClusterArn>,
    /// How far it is.
    pub status: ReportedStatus,
    /// Why it never ran.
    #[serde(default)]
    pub reason: Option<String>,
    /// In milliseconds since 1970.
    #[serde(default)]
    pub pull_started_at: Option<i64>,
    /// In milliseconds since 1970.
    #[serde(default)]
    pub pull_stopped_at: Option<i64>,
    /// In milliseconds since 1970.
    #[serde(default)]
    pub execution_stopped_at: Option<i64>,
    /// Its containers, in the definition's order.
    #[serde(default)]
    pub containers: Vec<ContainerReport>,
}

/// A container's state, to be told to the control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub status: ReportedStatus,
    /// The kernel's exit code.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Why it is as it is.
    #[serde(default)]
    pub reason: Option<String>,
    /// The id that the runtime knows it by, once it does.
    #[serde(default)]
    pub runtime_id: Option<String>,
    /// The image's digest.
    #[serde(default)]
    pub image_digest: Option<String>,
    /// Its ports.
    #[serde(default)]
    pub bindings: Vec<PortBinding>,
}

impl Report {
    /// That of a task that has ended, and of which nothing more is known.
    #[must_use]
    pub fn of_ended(task: TaskArn) -> Self {
        Self {
            task,
            cluster: None,
            status: ReportedStatus::Stopped,
            reason: Some(HOW_IS_LOST.to_owned()),
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
            containers: Vec::new(),
        }
    }
}

impl TaskState {
    /// The next report that the control plane is owed. A task that ran is said to run before it is said to have
    /// stopped, however short it was, so that it gets its times.
    #[must_use]
    pub fn owed(&self) -> Option<Report> {
        let acknowledged = &self.record.acknowledged;
        let status = self.known().reported();
        if status == ReportedStatus::Stopped
            && self.record.ran
            && acknowledged.task == ReportedStatus::Pending
        {
            return Some(self.report(ReportedStatus::Running));
        }
        let news = self
            .record
            .containers
            .iter()
            .zip(&acknowledged.containers)
            .any(|(container, acknowledged)| container.known.reported() > *acknowledged);
        (status > acknowledged.task || news).then(|| self.report(status))
    }

    /// How far it is, whole, whatever was acknowledged: no further than `stored`, which can't be unlearned.
    #[must_use]
    pub fn standing(&self, stored: KnownStatus) -> Report {
        self.report(self.known().min(stored).reported())
    }

    fn report(&self, status: ReportedStatus) -> Report {
        if let Body::Ended(report) = &self.assignment.body {
            return report.as_ref().clone();
        }
        // Told late that it ran, each essential container is told as it was then. What ended before, such as one that
        // others depended on, was told already, and nothing is taken back.
        let limit = match (status, self.known()) {
            (ReportedStatus::Running, KnownStatus::Stopped) => ReportedStatus::Running,
            _ => ReportedStatus::Stopped,
        };
        let containers = self.containers().map(|(index, definition, record, live)| {
            let known = record.known.reported();
            let status = if definition.essential {
                known.min(limit)
            } else {
                known
            };
            let stopped = status == ReportedStatus::Stopped;
            let touched = record.known > KnownStatus::Pulled && record.known < KnownStatus::Stopped;
            let known_to_runtime = record.started.is_some() || live.start_called || touched;
            ContainerReport {
                name: definition.name.clone(),
                status,
                exit_code: record
                    .exit
                    .as_ref()
                    .filter(|_| stopped)
                    .and_then(|exit| exit.code),
                reason: record.reason.clone().filter(|_| stopped),
                runtime_id: known_to_runtime.then(|| self.container_id(index).to_string()),
                image_digest: record.image.as_ref().map(|image| image.digest.clone()),
                bindings: bindings(record),
            }
        });
        let stopped = status == ReportedStatus::Stopped;
        Report {
            task: self.assignment.arn.clone(),
            cluster: self.task().map(|task| task.cluster_arn.clone()),
            status,
            reason: self.record.reason.clone().filter(|_| stopped),
            pull_started_at: self.record.pull_started_at,
            pull_stopped_at: self.record.pull_stopped_at,
            execution_stopped_at: self.record.execution_stopped_at.filter(|_| stopped),
            containers: containers.collect(),
        }
    }
}

fn bindings(record: &ContainerRecord) -> Vec<PortBinding> {
    // A container that never ran was never to be reached.
    let attachment = record.attachment.as_ref().filter(|_| record.started.is_some());
    attachment.map_or_else(Vec::new, |attachment| attachment.bindings.clone())
}
