//! What the agent needs of a container runtime.
//!
//! Invariants: every method is idempotent and has a deadline of its own; ids are derived, so a method called again
//! after a crash finds what it made. An implementation touches only containers of its own identity.

pub mod cgroup;
pub mod containerd;
pub mod exec;
pub mod exits;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::model::{ContainerId, Exit, PulledImage, ResolvedTask};

/// A runtime that could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The daemon is away or too slow: try again.
    #[error("containerd did not answer {operation} for {subject}: {why}; is it running?")]
    Unavailable {
        /// What was asked.
        operation: &'static str,
        /// Of which container or task.
        subject: String,
        /// The transport's words.
        why: String,
    },
    /// It refused, and will again: the container can't be made or started like this.
    #[error("{why}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// Of which container or task.
        subject: String,
        /// The runtime's own words.
        why: String,
    },
    /// There is no such container.
    #[error("no container {0}")]
    NotFound(String),
    /// It was to have ended, and its first process is there.
    #[error("container {0} has not ended")]
    Runs(String),
    /// Processes are left that SIGKILL does not end (uninterruptible sleep).
    #[error("processes {pids:?} of {subject} can't be killed: they hang in the kernel")]
    Unkillable {
        /// Which container.
        subject: String,
        /// The processes.
        pids: Vec<i32>,
    },
    /// Whose processes they are can't be told: one of the container's hangs, or enough of others do.
    #[error("the processes of {0} can't be looked at: one of them hangs, or those of other containers do")]
    Unseen(String),
    /// A file of an exit record: try again.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

impl RuntimeError {
    fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File {
            what,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::Unkillable { .. }
            | Self::Unseen(_)
            | Self::File { .. }
            | Self::Runs(_) => true,
            Self::Refused { .. } | Self::NotFound(_) => false,
        }
    }
}

/// Everything that makes a container.
#[derive(Clone, Debug)]
pub struct CreateContainer {
    /// Its id.
    pub id: ContainerId,
    /// The whole task, kept in the container's record.
    pub task: ResolvedTask,
    /// What it begins from.
    pub image: PulledImage,
    /// `USER[:GROUP]` by name or number, empty for root. Names are looked up in the image's own files, so only the
    /// runtime can put them in the spec.
    pub user: String,
    /// How it is to run, the user aside.
    pub spec: oci_spec::runtime::Spec,
    /// The log writer's options file; `None` drops the output.
    pub log_options: Option<PathBuf>,
}

/// A container that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its first process.
    pub pid: u32,
    /// When, in milliseconds since 1970.
    pub at_millis: i64,
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalScope {
    /// The container's first process.
    Init,
    /// Every process in its cgroup.
    All,
}

/// A container as the runtime has it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which.
    pub id: ContainerId,
    /// The task that its record holds; `None` where the record can't be read.
    pub task: Option<ResolvedTask>,
    /// Which run of it that is, or was; 0 is the first.
    pub run: u32,
    /// What it is doing.
    pub state: ObservedState,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedState {
    /// There is a record; nothing runs or ran that the runtime remembers.
    Recorded,
    /// It was set up but its process does not run yet.
    Created,
    /// It runs.
    Running(Started),
    /// Its first process has ended; [`Runtime::reap`] says how.
    Exited,
}

/// What the runtime tells by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// The first process of a container has ended; [`Runtime::reap`] says how.
    Exited(ContainerId),
    /// The stream broke, or could not keep up: list again.
    Lost,
}

/// A container runtime. `start`, `restart`, `reap`, `discard` and `remove` of one container are never called at the same
/// time.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Its name and version, such as `containerd 1.6.20`.
    async fn version(&self) -> Result<String, RuntimeError>;

    /// Makes the task's cgroup with its limits.
    async fn prepare_task(&self, task: &ResolvedTask) -> Result<(), RuntimeError>;

    /// Makes the container's writable layer and record. A container of that id that never started is made anew.
    async fn create(&self, container: CreateContainer) -> Result<(), RuntimeError>;

    /// Starts a container that was created; one that runs already, or has ended, is left alone.
    async fn start(&self, id: &ContainerId) -> Result<Started, RuntimeError>;

    /// Starts a container once more that has ended and was reaped: its run of this number, 1 for the first after
    /// [`Runtime::start`]. Record, writable layer and log stay. A run that is going on, or has ended already, is left
    /// alone; one of a lower number that still goes on is [`RuntimeError::Runs`].
    async fn restart(&self, id: &ContainerId, run: u32) -> Result<Started, RuntimeError>;

    /// Sends a signal; to a container that has ended it is nothing. One that is frozen goes on, so that it gets it.
    async fn kill(&self, id: &ContainerId, signal: i32, scope: SignalScope) -> Result<(), RuntimeError>;

    /// After its first process has ended: kills what is left in its cgroup, waits until that is empty, and says how it
    /// ended, and which run of it. The record and the writable layer stay.
    async fn reap(&self, id: &ContainerId) -> Result<Exit, RuntimeError>;

    /// Makes sure that a run which may have been asked for, by its number, does not begin: `None`, and nothing is left of
    /// the container. Or how it is, [`ObservedState::Running`] or [`ObservedState::Exited`], where it has begun: then
    /// everything stays, so that it can be ended as others are and [`Runtime::reap`] says how that went.
    async fn discard(&self, id: &ContainerId, run: u32) -> Result<Option<ObservedState>, RuntimeError>;

    /// Removes record, writable layer and cgroup; kills first what still runs.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Removes the task's cgroup, once its containers are gone.
    async fn remove_task(&self, task: &longshore_protocol::arn::ResourceId) -> Result<(), RuntimeError>;

    /// Every container of this agent's identity. One that is begun, or removed, while the answer is on its way may be left
    /// out.
    async fn list(&self) -> Result<Vec<Observed>, RuntimeError>;

    /// Events from now on; subscribe before listing, so that nothing falls between.
    async fn events(&self) -> Result<mpsc::Receiver<RuntimeEvent>, RuntimeError>;
}
