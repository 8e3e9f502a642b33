//! The agent's settings: `ECS_*` and `LONGSHORE_*`, from a file and the environment, in one validated struct.
//!
//! Reading them has no effect: no folder is made, no socket touched. All faults are found at once. The environment goes
//! before the file; an empty value is no value.

mod auth;
mod duration;
mod forms;
mod names;
mod parse;
mod reader;

pub use forms::{ENDPOINT_FORM, endpoint};

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be set. Defaults in parentheses.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `ECS_CLUSTER` (`default`).
    pub cluster: String,
    /// `LONGSHORE_ENDPOINT`, else `ECS_BACKEND_HOST`, else what registration stored.
    pub endpoint: Option<String>,
    /// `LONGSHORE_DATA_DIR`, else `ECS_DATADIR` (`/var/lib/longshore`).
    pub data_dir: PathBuf,
    /// `LONGSHORE_ADMIN_SOCKET` (DATA_DIR/admin.sock): where `status`, `tasks` and `logs` ask.
    pub admin_socket: PathBuf,
    /// `LONGSHORE_CONTAINERD_ADDRESS` (`/run/containerd/containerd.sock`).
    pub containerd_address: PathBuf,
    /// `LONGSHORE_CONTAINERD_NAMESPACE` (`longshore`).
    pub containerd_namespace: String,
    /// `LONGSHORE_SNAPSHOTTER` (`overlayfs`).
    pub snapshotter: String,
    /// `LONGSHORE_RUNTIME` (Longshore's shim beside the agent's own program, else `io.containerd.runc.v2`).
    pub runtime: Option<String>,
    /// `LONGSHORE_OCI_RUNTIME` (runc): what Longshore's shim calls.
    pub oci_runtime: Option<String>,
    /// `LONGSHORE_CGROUP_PARENT` (`/longshore`).
    pub cgroup_parent: String,
    /// `LONGSHORE_LOG_WRITER`: the program `longshore-log`. The default is this bare name: it is looked for beside the
    /// agent's own program.
    pub log_writer: PathBuf,
    /// Bridge, subnet, plugins, port range.
    pub network: NetworkConfig,
    /// Pulling and registries.
    pub image: ImageConfig,
    /// What the node offers.
    pub resources: ResourceConfig,
    /// `ECS_CONTAINER_STOP_TIMEOUT` (30 s), no bounds.
    pub stop_timeout: Duration,
    /// `ECS_CONTAINER_START_TIMEOUT` (3 min; at least 45 s).
    pub start_timeout: Duration,
    /// `ECS_CONTAINER_CREATE_TIMEOUT` (4 min; at least 1 min).
    pub create_timeout: Duration,
    /// `ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION` (3 h; at least 1 s): how long a stopped task's files are kept.
    pub cleanup_wait: Duration,
    /// `LONGSHORE_RESUME_ON_BOOT` (`restart-policy`).
    pub resume_on_boot: ResumeOnBoot,
    /// `ECS_DISABLE_PRIVILEGED` (false).
    pub disable_privileged: bool,
    /// `ECS_TASK_PIDS_LIMIT` (none).
    pub task_pids_limit: Option<u32>,
    /// Sessions in containers.
    pub exec: ExecConfig,
    /// `LONGSHORE_LOG`, else `ECS_LOGLEVEL` (`info`): what is logged, in the notation of `tracing`'s filters.
    pub log_filter: String,
    /// `LONGSHORE_METRICS_ADDRESS` (none; with `ECS_ENABLE_PROMETHEUS_METRICS`, 127.0.0.1:51680): where metrics are served.
    pub metrics_address: Option<SocketAddr>,
    /// The way out of this network.
    pub proxy: ProxyConfig,
}

/// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` as everywhere; they hold for the control plane and for registries.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `HTTPS_PROXY`: for https targets.
    pub https: Option<String>,
    /// `HTTP_PROXY`: for http targets.
    pub http: Option<String>,
    /// `NO_PROXY`: hosts, domains and networks that are reached directly.
    pub no: Option<String>,
}

impl std::fmt::Debug for ProxyConfig {
    /// Without addresses: they may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyConfig")
            .field("https", &self.https.is_some())
            .field("http", &self.http.is_some())
            .field("no", &self.no)
            .finish()
    }
}

/// Something in the settings that an operator should look at; the agent starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which setting.
    pub name: String,
    /// What of it, and what is done.
    pub text: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// A setting that can't be obeyed; the agent does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A value that does not parse.
    #[error("{name}={value}: must be {allowed}")]
    Value {
        /// Which setting.
        name: &'static str,
        /// As written; secrets aside.
        value: String,
        /// What would do.
        allowed: &'static str,
    },
    /// A line of the file that is no setting.
    #[error("line {line} of the settings file: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// More of them, after the first [`reader::LINES_TOLD`].
    #[error("and {more} more lines of the settings file: is it one?")]
    Lines {
        /// How many.
        more: usize,
    },
    /// A name of our own that there isn't.
    #[error("{name}: there is no such setting{}", suggestion.map(|known| format!("; did you mean {known}?")).unwrap_or_default())]
    Unknown {
        /// As written.
        name: String,
        /// The nearest name that there is.
        suggestion: Option<&'static str>,
    },
}

/// Every fault of the settings, at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);

/// How bridges are made.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// `LONGSHORE_BRIDGE` (`longshore0`).
    pub bridge: String,
    /// `LONGSHORE_BRIDGE_SUBNET` (172.29.0.0/16).
    pub subnet: (Ipv4Addr, u8),
    /// `LONGSHORE_IPAM_DIR` (DATA_DIR/ipam).
    pub ipam_dir: PathBuf,
    /// `LONGSHORE_CNI_BIN_DIRS`, colon-separated (/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni).
    pub plugin_dirs: Vec<PathBuf>,
    /// `ECS_DYNAMIC_HOST_PORT_RANGE` `a-b` (the kernel's ip_local_port_range, read at use).
    pub dynamic_ports: Option<(u16, u16)>,
}

/// What bounds sessions in containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    /// `LONGSHORE_EXEC_MAX_SESSIONS` (16): how many commands clients may have running at a time, and how many logs they may
    /// read.
    pub max_sessions: usize,
    /// `LONGSHORE_EXEC_IDLE_TIMEOUT` (20 min; 0 is none): how long nothing may be typed or shown.
    pub idle_timeout: Option<Duration>,
    /// `LONGSHORE_EXEC_MAX_DURATION` (none): how long a command may run.
    pub max_duration: Option<Duration>,
}

/// `LONGSHORE_RESUME_ON_BOOT`: which tasks go on by themselves after a restart of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResumeOnBoot {
    /// Those whose essential containers all have an enabled restart policy.
    #[default]
    RestartPolicy,
    /// All that were to run.
    All,
    /// None.
    None,
}

/// `ECS_IMAGE_PULL_BEHAVIOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullBehavior {
    /// Ask the registry; fall back to the image that is here.
    Default,
    /// Ask the registry or fail.
    Always,
    /// Ask only if this agent never pulled it.
    Once,
    /// Ask only if it isn't here.
    PreferCached,
}

/// How images are had.
#[derive(Clone, PartialEq)]
pub struct ImageConfig {
    /// When the registry is asked.
    pub pull_behavior: PullBehavior,
    /// `ECS_ENGINE_AUTH_TYPE` and `ECS_ENGINE_AUTH_DATA`: registry host → user and password. Hosts are as image
    /// references name them: with their port, without scheme, Docker Hub as `docker.io`.
    pub auth: BTreeMap<String, RegistryAuth>,
    /// `LONGSHORE_REGISTRY_CONFIG_DIR`: folders like containerd's `hosts` tree (/etc/containerd/certs.d).
    pub registry_config_dir: PathBuf,
    /// `ECS_IMAGE_PULL_TIMEOUT` (2 h).
    pub pull_timeout: Duration,
    /// `ECS_IMAGE_PULL_INACTIVITY_TIMEOUT` (1 min; at least 1 min).
    pub inactivity_timeout: Duration,
    /// What an image may unpack to.
    pub limits: ImageLimits,
}

/// What an image may unpack to; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// `LONGSHORE_LAYER_SIZE_LIMIT` (32 GiB): bytes of one layer.
    pub layer: u64,
    /// `LONGSHORE_IMAGE_SIZE_LIMIT` (64 GiB): bytes of all layers that are unpacked for one image.
    pub image: u64,
    /// `LONGSHORE_LAYER_RATIO_LIMIT` (100): how many times the bytes that were fetched.
    pub ratio: u64,
    /// From how many bytes of a layer on the ratio counts: a file of zeros is no bomb if it is small.
    pub ratio_from: u64,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            layer: 32 << 30,
            image: 64 << 30,
            ratio: 100,
            ratio_from: 1 << 30,
        }
    }
}

impl std::fmt::Debug for ImageConfig {
    /// Without the logins.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageConfig")
            .field("pull_behavior", &self.pull_behavior)
            .field("registries", &self.auth.keys())
            .finish_non_exhaustive()
    }
}

/// A login for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAuth {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for RegistryAuth {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryAuth")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What the node offers.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceConfig {
    /// `ECS_RESERVED_PORTS` (22,51678,51679): TCP ports that no task gets.
    pub reserved_ports: Vec<u16>,
    /// `ECS_RESERVED_PORTS_UDP` (none).
    pub reserved_ports_udp: Vec<u16>,
    /// `ECS_RESERVED_MEMORY` (0) MiB that no task gets.
    pub reserved_memory: u64,
    /// `ECS_INSTANCE_ATTRIBUTES` (none).
    pub attributes: BTreeMap<String, String>,
    /// `ECS_CONTAINER_INSTANCE_TAGS` (none).
    pub tags: BTreeMap<String, String>,
    /// `LONGSHORE_CDI_DIRS`, colon-separated, beside /etc/cdi and /var/run/cdi.
    pub cdi_dirs: Vec<PathBuf>,
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
