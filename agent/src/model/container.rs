//! A container as it is to be: its definition with the overrides merged in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use longshore_protocol::arn::{ContainerArn, ResourceId};
use serde::{Deserialize, Serialize};

use super::{Dependency, RestartPolicy};

/// A container's id in containerd: `TASK-INDEX`, so that it is the same each time it is derived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId {
    task: ResourceId,
    index: u16,
}

/// A text that is no [`ContainerId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a container id of the form TASK-INDEX")]
pub struct InvalidContainerId(String);

impl ContainerId {
    /// The id of a task's container, by its place in the definition.
    #[must_use]
    pub fn new(task: ResourceId, index: u16) -> Self {
        Self { task, index }
    }

    /// The task's id.
    #[must_use]
    pub fn task(&self) -> &ResourceId {
        &self.task
    }

    /// The container's place in the definition.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.task, self.index)
    }
}

impl std::str::FromStr for ContainerId {
    type Err = InvalidContainerId;

    fn from_str(text: &str) -> Result<Self, InvalidContainerId> {
        let parse = || {
            let (task, index) = text.split_once('-')?;
            let id = Self {
                task: task.parse().ok()?,
                index: index.parse().ok()?,
            };
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| InvalidContainerId(text.to_owned()))
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidContainerId;

    fn try_from(text: String) -> Result<Self, InvalidContainerId> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.to_string()
    }
}

/// A container as it is to be. Limits have been checked; it is kept in containerd's record of the container too, so
/// that it can be adopted with no database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedContainer {
    /// Its ARN.
    pub arn: ContainerArn,
    /// Its name in the definition.
    pub name: String,
    /// The image reference as written.
    pub image: String,
    /// Replaces the image's CMD.
    pub command: Option<Vec<String>>,
    /// Replaces the image's ENTRYPOINT (and then its CMD counts no more).
    pub entry_point: Option<Vec<String>>,
    /// In order; a later one of the same name has been merged into the first.
    pub environment: Vec<(String, String)>,
    /// Local files of `NAME=VALUE` lines that fill names which `environment` lacks.
    pub environment_files: Vec<PathBuf>,
    /// CPU units, 1024 a core: relative shares. 0 is the least.
    pub cpu: u64,
    /// Hard limit in MiB.
    pub memory: Option<u64>,
    /// Soft limit in MiB.
    pub memory_reservation: Option<u64>,
    /// Whether the task is nothing without it.
    pub essential: bool,
    /// `USER[:GROUP]` by name or number; replaces the image's.
    pub user: Option<String>,
    /// Replaces the image's.
    pub working_directory: Option<String>,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// What of the task's volumes it sees where.
    pub mount_points: Vec<MountPoint>,
    /// Ports to be reached from outside.
    pub port_mappings: Vec<PortMapping>,
    /// What must have become of other containers before it may start.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    /// How long after its first start COMPLETE, SUCCESS and HEALTHY of those that depend on it may take to come true; for
    /// ever where absent.
    #[serde(default)]
    pub start_timeout: Option<Duration>,
    /// Between SIGTERM and SIGKILL; the agent's setting where absent. Zero kills at once.
    pub stop_timeout: Option<Duration>,
    /// Whether its root file system can't be written.
    pub readonly_root_filesystem: bool,
    /// Whether it has the host's powers.
    pub privileged: bool,
    /// The ids of its GPUs, as registered.
    pub gpu_ids: Vec<String>,
    /// Labels of the definition.
    pub docker_labels: BTreeMap<String, String>,
    /// How its output is kept.
    pub log: LogOptions,
    /// Whether and when it is restarted; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
}

/// A resource limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// As the API has it, such as `nofile`.
    pub name: String,
    /// What it begins with. -1 is no limit.
    pub soft: i64,
    /// How far the process may raise it. -1 is no limit.
    pub hard: i64,
}

/// A volume inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// The volume's name in the task.
    pub source_volume: String,
    /// Where the container sees it: absolute.
    pub container_path: PathBuf,
    /// Whether it can't be written.
    pub read_only: bool,
}

/// A folder or file of the host that a container sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub destination: PathBuf,
    /// Whether it can't be written.
    pub read_only: bool,
}

/// The transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As the API and CNI have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of a container that is reached through the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// Inside.
    pub container_port: u16,
    /// Outside; `None` is any that is free.
    pub host_port: Option<u16>,
    /// The transport.
    pub protocol: Protocol,
}

/// How a container's output is kept: Docker's json-file driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOptions {
    /// When a file is full, in bytes.
    pub max_size: u64,
    /// How many files there are at most.
    pub max_file: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FirstStart, sample};

    #[test]
    fn what_an_agent_wrote_that_knew_of_no_dependencies_is_read() {
        let container = sample::container("a", true);
        let mut json = serde_json::to_value(&container).unwrap();
        for member in ["depends_on", "start_timeout"] {
            json.as_object_mut().unwrap().remove(member).unwrap();
        }
        assert_eq!(
            serde_json::from_value::<ResolvedContainer>(json).unwrap(),
            container
        );
        let start = serde_json::json!({"pid": 1, "at_millis": 2, "boot_id": "b"});
        let start: FirstStart = serde_json::from_value(start).unwrap();
        assert_eq!((start.pid, start.since_boot), (1, None));
    }

    #[test]
    fn container_ids_round_trip_and_have_one_spelling() {
        let text = "0123456789abcdef0123456789abcdef-7";
        assert_eq!(text.parse::<ContainerId>().unwrap().to_string(), text);
        for bad in [
            "",
            "0123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcdef-07",
            "x-1",
        ] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad}");
        }
    }
}
