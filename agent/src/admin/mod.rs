//! The local socket behind `status`, `tasks` and `logs`: HTTP/1.1 on `LONGSHORE_ADMIN_SOCKET`, mode 0600.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/tasks` | [`Tasks`] |
//! | `GET /v1/logs?task=ID&container=NAME&follow=true&tail=N` | [`Records`], one JSON object a line, as they come |
//! | `GET /metrics` | OpenMetrics text; also at the TCP address that `LONGSHORE_METRICS_ADDRESS` names |
//!
//! An error is `{"message":…}` with a 4xx or 5xx status. Whoever may open the socket may read everything: that is its owner.
//!
//! Only logs are read from the data folder. All else is answered from memory, while the disk hangs too; but a client gets as
//! far as asking only if the socket's own folder is on a disk that answers. Limits: [`server`]'s.

mod client;
pub mod metrics;
mod query;
mod server;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use client::{AdminClient, AdminError, Lines};
pub use query::LogQuery;
pub use server::{Server, ServerError};

pub use crate::log::Records;

/// How the agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Such as `0.1.0`.
    pub agent_version: String,
    /// Such as `containerd 1.6.20`; empty while it has not answered.
    pub runtime_version: String,
    /// `mi-…`.
    pub instance_id: String,
    /// Absent until the control plane has taken the node.
    pub container_instance_arn: Option<String>,
    /// Where it belongs.
    pub cluster: String,
    /// The control plane's address.
    pub endpoint: String,
    /// Whether the last poll was answered.
    pub connected: bool,
    /// Since when it is connected, or is not: RFC 3339.
    pub since: String,
    /// Why it is not connected.
    pub last_error: Option<String>,
    /// How many tasks it holds, stopped ones that are not cleaned up yet included.
    pub tasks: usize,
    /// What is wrong with this machine, such as a disk that takes no writes; absent while it is well.
    #[serde(default)]
    pub trouble: Option<String>,
    /// What an operator should know about the settings, and about how the agent began.
    pub warnings: Vec<String>,
}

/// The tasks of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tasks {
    /// In no particular order.
    pub tasks: Vec<TaskView>,
}

/// A task as the agent has it; words as the API has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// Its ARN.
    pub task_arn: String,
    /// Made from.
    pub task_definition_arn: String,
    /// How far it is.
    pub last_status: String,
    /// What the health checks of its essential containers say.
    #[serde(default)]
    pub health_status: String,
    /// Where it is to go.
    pub desired_status: String,
    /// Its containers.
    pub containers: Vec<ContainerView>,
}

/// A container as the agent has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerView {
    /// Its name in the definition.
    pub name: String,
    /// Its id in containerd.
    pub runtime_id: String,
    /// How far it is.
    pub last_status: String,
    /// What its health check says.
    #[serde(default)]
    pub health_status: String,
    /// How often it was restarted by its restart policy, or since the machine was restarted.
    #[serde(default)]
    pub restart_count: u32,
    /// How it ended.
    pub exit_code: Option<i32>,
    /// Why it waits or ended.
    pub reason: Option<String>,
}

/// A question that can't be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing here.
    #[error("{0}")]
    NotFound(String),
    /// The question is not clear.
    #[error("{0}")]
    BadRequest(String),
    /// The agent can't say now.
    #[error("{0}")]
    Unavailable(String),
}

/// Who answers.
#[async_trait]
pub trait Answers: Send + Sync + 'static {
    /// How the agent is.
    async fn status(&self) -> Status;

    /// Its tasks.
    async fn tasks(&self) -> Result<Tasks, Refusal>;

    /// A container's output. It ends when there is no more; nothing is read that nobody asks for.
    async fn logs(&self, query: LogQuery) -> Result<Records, Refusal>;
}

#[cfg(test)]
mod tests;
