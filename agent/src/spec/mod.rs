//! From a container's definition to the OCI runtime spec that it runs by.
//!
//! Pure: the same input gives the same spec. containerd applies no defaults for a gRPC client, so everything that keeps
//! a container apart from its host is said here: capabilities, seccomp, masked paths, devices, rlimits, oom_score_adj.
//!
//! Limits: the user stays root here, since names are looked up in the image's files (the runtime does that); what only
//! the running kernel knows, such as its bounding set of capabilities, is fitted by the runtime too.

mod linux;
mod mounts;
mod process;
mod seccomp;
mod signal;
mod syscalls;

use std::path::PathBuf;

use longshore_protocol::status::NetworkMode;
use oci_spec::OciSpecError;
use oci_spec::runtime::{Root, Spec};

use crate::model::{
    Attachment, BindMount, ContainerId, HostFacts, ImageConfig, ResolvedContainer, ResolvedTask,
};

pub use process::CAPABILITIES;
pub use signal::{InvalidSignal, parse_signal};

/// The oldest version of the OCI runtime spec that has all that is said here.
const OCI_VERSION: &str = "1.0.2";

/// The AppArmor profile of a container, where the host has it loaded.
pub const APPARMOR_PROFILE: &str = "longshore-default";

/// Everything that a spec is made of.
#[derive(Clone, Copy, Debug)]
pub struct SpecInput<'a> {
    /// The container's task.
    pub task: &'a ResolvedTask,
    /// The container.
    pub container: &'a ResolvedContainer,
    /// Its id.
    pub id: &'a ContainerId,
    /// What its image says of how to run it.
    pub image: &'a ImageConfig,
    /// Where it runs.
    pub host: &'a HostFacts,
    /// The network that it was given.
    pub attachment: &'a Attachment,
    /// Its volumes, found on the host.
    pub mounts: &'a [BindMount],
    /// What its environment files say, in their order: the first of a name counts.
    pub environment_files: &'a [(String, String)],
    /// The cgroup above all tasks, absolute, such as `/longshore`.
    pub cgroup_parent: &'a str,
}

/// A container that can't be described: its definition must be changed.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Nobody says what to run.
    #[error(
        "nothing to run: image {image} has no ENTRYPOINT and no CMD; set command or entryPoint in the container \
         definition"
    )]
    NoCommand {
        /// The image as written.
        image: String,
    },
    /// A ulimit that Linux doesn't have.
    #[error("unknown ulimit {name:?}")]
    UnknownUlimit {
        /// Its name.
        name: String,
    },
    /// A ulimit that Linux doesn't take.
    #[error(
        "ulimit {name}: soft limit {soft} must be no less than -1 and no more than the hard limit {hard}"
    )]
    UlimitRange {
        /// Its name.
        name: String,
        /// As given.
        soft: i64,
        /// As given.
        hard: i64,
    },
    /// A volume in a place where none can be.
    #[error("a volume can't be mounted on {path:?}: the path must be absolute, have no `..`, and not be `/`")]
    MountPath {
        /// The place.
        path: PathBuf,
    },
    /// A variable that no process can have.
    #[error(
        "environment variable {name:?}: a name must not be empty or contain `=`, and neither part a NUL byte"
    )]
    Variable {
        /// Its name.
        name: String,
    },
    /// An argument that no process can have.
    #[error("argument {index} of the command contains a NUL byte")]
    Argument {
        /// Its place, from 0.
        index: usize,
    },
    /// The bridge has given no namespace: a mistake of the caller's.
    #[error("network mode bridge needs a network namespace, and there is none for {0}")]
    NoNamespace(ContainerId),
    /// A part that the OCI types refuse.
    #[error("the runtime spec can't be built: {0}")]
    Oci(#[from] OciSpecError),
}

/// Describes a container.
///
/// # Errors
/// What in the definition or the image makes it impossible.
pub fn build(input: &SpecInput<'_>) -> Result<Spec, SpecError> {
    let mut root = Root::default();
    root.set_path("rootfs".into());
    root.set_readonly(Some(input.container.readonly_root_filesystem));

    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned())
        .set_root(Some(root))
        .set_hostname(Some(hostname(input.id, input.attachment.mode, input.host)))
        .set_process(Some(process::process(input)?))
        .set_mounts(Some(mounts::mounts(input)?))
        .set_linux(Some(linux::linux(input)?))
        .set_annotations(None);
    Ok(spec)
}

/// The name that a container has inside: its own, but the machine's with the machine's network.
fn hostname(id: &ContainerId, mode: NetworkMode, host: &HostFacts) -> String {
    match mode {
        NetworkMode::Host => host.hostname.clone(),
        NetworkMode::Bridge | NetworkMode::None => own_hostname(id),
    }
}

/// Twelve digits of the task's id and the container's index: short, and different for each container of a node.
#[must_use]
pub fn own_hostname(id: &ContainerId) -> String {
    format!("{:.12}-{}", id.task().as_str(), id.index())
}

/// The cgroup of a task, below the mount point of each hierarchy.
#[must_use]
pub fn task_cgroup(cgroup_parent: &str, task: &str) -> String {
    format!("/{}/{task}", cgroup_parent.trim_matches('/'))
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
