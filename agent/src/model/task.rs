//! A task as it is to be.

use std::path::PathBuf;

use longshore_protocol::arn::{ClusterArn, TaskArn, TaskDefinitionArn};
use longshore_protocol::status::NetworkMode;
use serde::{Deserialize, Serialize};

use super::{ContainerId, ResolvedContainer};

/// A task as it is to be: its definition with the overrides merged in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedTask {
    /// Which.
    pub arn: TaskArn,
    /// Where.
    pub cluster_arn: ClusterArn,
    /// Made from.
    pub definition_arn: TaskDefinitionArn,
    /// When RunTask took it, in milliseconds since 1970.
    pub created_at_millis: i64,
    /// `family:FAMILY` unless said otherwise.
    pub group: String,
    /// Who started it, where that was said.
    pub started_by: Option<String>,
    /// The network of its containers.
    pub network_mode: NetworkMode,
    /// CPU units, 1024 a core: a hard quota over all containers.
    pub cpu: Option<u64>,
    /// MiB: a hard limit over all containers.
    pub memory: Option<u64>,
    /// In the definition's order; at least one. A container's index in here is the index of its [`ContainerId`].
    pub containers: Vec<ResolvedContainer>,
    /// What its mount points name.
    pub volumes: Vec<Volume>,
    /// Whether clients may run commands in its containers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enable_execute_command: bool,
}

impl ResolvedTask {
    /// Its containers with their ids.
    pub fn with_ids(&self) -> impl Iterator<Item = (ContainerId, &ResolvedContainer)> {
        (0_u16..)
            .zip(&self.containers)
            .map(|(index, container)| (self.container_id(index), container))
    }

    /// The id of the container at `index`.
    #[must_use]
    pub fn container_id(&self, index: u16) -> ContainerId {
        ContainerId::new(self.arn.id.clone(), index)
    }
}

/// A volume of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// What mount points call it.
    pub name: String,
    /// Where its files are.
    pub source: VolumeSource,
}

/// Where a volume's files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// A folder of the host, made when it isn't there; never removed.
    Host(PathBuf),
    /// A folder of the agent's that lives as long as the task.
    Task,
}
