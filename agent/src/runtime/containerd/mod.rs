//! The runtime on containerd, with Longshore's shim or any other that speaks its v2 protocol.
//!
//! A container is a record (labels, the whole task, the OCI spec), a snapshot of the same key, and while it runs a task.
//! The containers of a task share one shim where the shim can (Longshore's, runc's v2), so the death of that shim ends
//! them all.
//!
//! A container keeps the runtime that it was made with, which containerd's record names: what it is started with, where
//! its output goes and what its end is known by follow from that, whatever the settings are by now. So settings and
//! programs can change while it runs.
//!
//! Invariants: an exit is written into the record before containerd is told to forget the task, so that a crash between
//! loses nothing and asking again gives the same answer. What the shim has written about an exit (see
//! [`super::exits`]) goes before what containerd says. Evidence is read from the cgroup before the shim removes it.
//! An exit code is the kernel's or absent: a 137 that containerd makes up for a dead shim is told apart (see `watch`).
//!
//! A shim that hangs is not waited for for ever (see `hung`).
//!
//! Limits: with another shim than Longshore's, what containerd ≥ 1.7 throws away at its own restart while the agent is
//! away is lost, reason `ExitStatusLost`.

#[cfg(test)]
mod alone;
mod bundle;
mod create;
mod discard;
mod events;
mod exec;
mod fifos;
mod fit;
#[cfg(test)]
mod fuzz;
mod hung;
mod layers;
mod list;
mod notes;
mod reap;
mod record;
mod remove;
mod start;
mod user;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use longshore_protocol::arn::ResourceId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cgroup::{CgroupError, Cgroups, TaskLimits};
use super::exits::Exits;
use super::{
    CreateContainer, Observed, ObservedState, Runtime, RuntimeError, RuntimeEvent, SignalScope, Started,
};
use crate::blocking;
use crate::clock::Clock;
use crate::config::Config;
use crate::containerd::services::v1::{Container, GetContainerRequest, GetRequest, KillRequest};
use crate::containerd::types::v1::{Process, Status};
use crate::containerd::{CallError, Class, Client, Optional, QUICK, call};
use crate::model::{ContainerId, Exit, ResolvedTask};

use exec::Looks;
use fit::Machine;
use record::INSTANCE_LABEL;
use watch::Watch;

/// For calls that run a shim or the OCI runtime: several at once on a slow disk take this long.
const SLOW: Duration = Duration::from_secs(120);

/// SIGKILL takes effect at once but for processes that hang in the kernel.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// What the runtime needs of the agent's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// containerd's namespace.
    pub namespace: String,
    /// Which snapshotter holds writable layers.
    pub snapshotter: String,
    /// The shim of new containers: an absolute path, or a name such as `io.containerd.runc.v2`.
    pub runtime: String,
    /// The OCI runtime that Longshore's shim calls; `None` is runc.
    pub oci_runtime: Option<String>,
    /// Where Longshore's shim writes how containers ended.
    pub exits: Exits,
    /// Where the FIFOs of sessions are.
    pub exec_folder: PathBuf,
    /// The cgroup above all tasks, absolute.
    pub cgroup_parent: String,
    /// The program that writes logs.
    pub log_writer: PathBuf,
    /// `ECS_TASK_PIDS_LIMIT`.
    pub task_pids_limit: Option<u32>,
    /// Whose containers these are: a name that no other agent of this containerd has.
    pub identity: String,
}

impl Settings {
    /// From the agent's configuration, with programs filled in, and its identity.
    #[must_use]
    pub fn new(config: &Config, identity: &str) -> Self {
        Self {
            namespace: config.containerd_namespace.clone(),
            snapshotter: config.snapshotter.clone(),
            runtime: config.runtime.clone().unwrap_or_default(),
            oci_runtime: config.oci_runtime.clone(),
            exits: Exits::new(&config.data_dir),
            exec_folder: config.data_dir.join("exec").join("fifos"),
            cgroup_parent: config.cgroup_parent.clone(),
            log_writer: config.log_writer.clone(),
            task_pids_limit: config.task_pids_limit,
            identity: identity.to_owned(),
        }
    }
}

/// The runtime on containerd. Dropping it ends its event streams and no container.
pub struct ContainerdRuntime {
    client: Client,
    settings: Settings,
    cgroups: Cgroups,
    machine: Machine,
    clock: Arc<dyn Clock>,
    watch: Arc<Watch>,
    streams: Mutex<Streams>,
    looks: Looks,
}

impl std::fmt::Debug for ContainerdRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContainerdRuntime")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The event streams that are open: their tasks and where they lead.
#[derive(Debug, Default)]
struct Streams {
    tasks: JoinSet<()>,
    /// Weak, so that a stream that is over looks so to its reader.
    subscribers: Vec<mpsc::WeakSender<RuntimeEvent>>,
}

impl Streams {
    /// The streams that are not over and still have a reader.
    fn open(&self) -> impl Iterator<Item = mpsc::Sender<RuntimeEvent>> {
        let open = |sender: &mpsc::Sender<RuntimeEvent>| !sender.is_closed();
        self.subscribers
            .iter()
            .filter_map(mpsc::WeakSender::upgrade)
            .filter(open)
    }
}

impl ContainerdRuntime {
    /// A runtime that has not spoken to containerd yet.
    ///
    /// # Errors
    /// There are no cgroups, or the cgroup parent can't be one.
    pub fn new(client: Client, settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, CgroupError> {
        let cgroups = Cgroups::detect(&settings.cgroup_parent)?;
        Ok(Self {
            client,
            settings,
            cgroups,
            machine: Machine::detect(),
            clock,
            watch: Arc::default(),
            streams: Mutex::default(),
            looks: Looks::default(),
        })
    }

    /// containerd's record of a container; `None` where there is none. One that belongs to another agent is refused.
    async fn record(&self, id: &str) -> Result<Option<Container>, RuntimeError> {
        let request = GetContainerRequest { id: id.to_owned() };
        let mut containers = self.client.containers();
        let response = call("GetContainer", id, QUICK, containers.get(request))
            .await
            .optional()?;
        let Some(record) = response.and_then(|response| response.container) else {
            return Ok(None);
        };
        match record.labels.get(INSTANCE_LABEL) {
            Some(owner) if *owner == self.settings.identity => Ok(Some(record)),
            owner => Err(RuntimeError::Refused {
                operation: "GetContainer",
                subject: id.to_owned(),
                why: format!(
                    "container {id} belongs to {}",
                    owner.map_or("nobody of ours", |owner| owner)
                ),
            }),
        }
    }

    /// containerd's task of a container; `None` where there is none.
    async fn process(&self, id: &str) -> Result<Option<Process>, RuntimeError> {
        let request = GetRequest {
            container_id: id.to_owned(),
            exec_id: String::new(),
        };
        let mut tasks = self.client.tasks();
        let response = call("GetTask", id, QUICK, tasks.get(request)).await.optional()?;
        Ok(response.and_then(|response| response.process))
    }

    /// Sends a signal through containerd; that nobody is there to get it is none of its failures.
    async fn signal(&self, id: &str, signal: i32, all: bool) -> Result<(), RuntimeError> {
        let request = KillRequest {
            container_id: id.to_owned(),
            exec_id: String::new(),
            signal: u32::try_from(signal).unwrap_or_default(),
            all,
        };
        let mut tasks = self.client.tasks();
        call("KillTask", id, KILL_WAIT, tasks.kill(request))
            .await
            .optional()?;
        Ok(())
    }

    /// Kills what is in a cgroup until nothing is.
    ///
    /// # Errors
    /// [`RuntimeError::Unkillable`] after [`KILL_WAIT`].
    async fn empty_cgroup(&self, subject: &str, path: &str) -> Result<(), RuntimeError> {
        let until = self.clock.since_boot() + KILL_WAIT;
        let mut pause = Duration::from_millis(1);
        loop {
            let pids = self
                .cgroups
                .kill(path)
                .map_err(|error| refused("empty the cgroup", subject, &error))?;
            if pids.is_empty() {
                return Ok(());
            }
            if self.clock.since_boot() >= until {
                return Err(RuntimeError::Unkillable {
                    subject: subject.to_owned(),
                    pids: pids.into_iter().collect(),
                });
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Works on the exit records, which lie on a disk that may be slow.
    async fn exits<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Exits) -> Result<T, RuntimeError> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let exits = self.settings.exits.clone();
        let worked = blocking::DISK.run(move || work(&exits)).await;
        worked.unwrap_or_else(|error| Err(refused("exit records", "all containers", &error)))
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file name of Longshore's shim; its runtime type is `io.containerd.longshore.v1`.
pub const SHIM: &str = "containerd-shim-longshore-v1";

/// Whether a runtime, by path or type, is Longshore's own.
#[must_use]
pub fn is_longshore(runtime: &str) -> bool {
    runtime == "io.containerd.longshore.v1"
        || runtime.starts_with('/') && runtime.ends_with(&format!("/{SHIM}"))
}

/// Whether a task was killed before it was started, and so has ended no run. Longshore's shim says so by a stopped process
/// without a pid; of others nobody can tell.
fn never_ran(process: &Process) -> bool {
    process.status() == Status::Stopped && process.pid == 0
}

/// The runtime that a container was made with.
fn made_with(record: &Container) -> &str {
    record.runtime.as_ref().map_or("", |runtime| &runtime.name)
}

/// A container's cgroup below the parent.
fn cgroup(id: &ContainerId) -> String {
    format!("{}/{id}", id.task())
}

fn refused(operation: &'static str, subject: &str, why: &dyn std::error::Error) -> RuntimeError {
    RuntimeError::Refused {
        operation,
        subject: subject.to_owned(),
        why: why.to_string(),
    }
}

impl From<CallError> for RuntimeError {
    fn from(error: CallError) -> Self {
        let CallError {
            operation,
            subject,
            class,
            message,
        } = error;
        match class {
            Class::Unavailable => Self::Unavailable {
                operation,
                subject,
                why: message,
            },
            Class::NotFound
            | Class::AlreadyExists
            | Class::FailedPrecondition
            | Class::Invalid
            | Class::Failed => Self::Refused {
                operation,
                subject,
                why: message,
            },
        }
    }
}

#[async_trait]
impl Runtime for ContainerdRuntime {
    async fn version(&self) -> Result<String, RuntimeError> {
        let mut version = self.client.version();
        let response = call("Version", "", QUICK, version.version(())).await?;
        Ok(format!("containerd {}", response.version.trim_start_matches('v')))
    }

    async fn prepare_task(&self, task: &ResolvedTask) -> Result<(), RuntimeError> {
        let limits = TaskLimits {
            cpu: task.cpu,
            shares: task.containers.iter().map(|container| container.cpu.max(2)).sum(),
            memory: task.memory.map(|mib| mib.saturating_mul(1 << 20)),
            pids: self.settings.task_pids_limit,
        };
        let id = task.arn.id.as_str();
        let created = self.cgroups.create_task(id, &limits);
        created.map_err(|error| refused("make the task's cgroup", id, &error))
    }

    async fn create(&self, container: CreateContainer) -> Result<(), RuntimeError> {
        self.create_container(container).await
    }

    async fn start(&self, id: &ContainerId) -> Result<Started, RuntimeError> {
        self.start_container(id, 0).await
    }

    async fn restart(&self, id: &ContainerId, run: u32) -> Result<Started, RuntimeError> {
        self.start_container(id, run).await
    }

    async fn kill(&self, id: &ContainerId, signal: i32, scope: SignalScope) -> Result<(), RuntimeError> {
        let sigkill = signal == nix::sys::signal::Signal::SIGKILL as i32;
        if sigkill {
            self.watch.killed(id);
        }
        let (name, group) = (id.to_string(), cgroup(id));
        let done = match scope {
            SignalScope::Init => {
                self.signal(&name, signal, false).await?;
                self.cgroups.thaw(&group)
            }
            // The cgroup does not need containerd, and misses nobody.
            SignalScope::All if sigkill => match self.cgroups.kill(&group) {
                Ok(left) if left.is_empty() => {
                    self.end_hung_shim(id).await;
                    Ok(())
                }
                killed => killed.map(drop),
            },
            SignalScope::All => {
                self.signal(&name, signal, true).await?;
                self.cgroups.thaw(&group)
            }
        };
        done.map_err(|error| refused("kill", &name, &error))
    }

    async fn reap(&self, id: &ContainerId) -> Result<Exit, RuntimeError> {
        self.reap_container(id).await
    }

    async fn discard(&self, id: &ContainerId, run: u32) -> Result<Option<ObservedState>, RuntimeError> {
        self.discard_container(id, run).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.remove_container(id).await
    }

    async fn remove_task(&self, task: &ResourceId) -> Result<(), RuntimeError> {
        let task = task.as_str();
        self.empty_cgroup(task, task).await?;
        self.cgroups
            .remove(task)
            .map_err(|error| refused("remove the task's cgroup", task, &error))
    }

    async fn list(&self) -> Result<Vec<Observed>, RuntimeError> {
        self.list_containers().await
    }

    async fn events(&self) -> Result<mpsc::Receiver<RuntimeEvent>, RuntimeError> {
        self.subscribe().await
    }
}
