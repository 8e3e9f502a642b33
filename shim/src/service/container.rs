//! A container and its processes, as the shim knows them.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::error::TaskError;
use crate::api::task::Status;
use crate::bundle::Notes;
use crate::cgroup::Cgroup;
use crate::io::ProcessIo;
use crate::reaper::{Exit, Owner};
use crate::runtime::{On, Runtime};
use crate::ttrpc::server::Responder;

/// A container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) runtime: Runtime,
    /// The folder for exit records.
    pub(super) exits: Option<PathBuf>,
    /// None inside if it has none of its own. Found after Create has been answered.
    cgroup: OnceLock<Option<Cgroup>>,
    /// Whether the cgroup is in the bundle's notes, for whoever cleans up after this shim. Known after `cgroup`.
    noted: OnceLock<Result<(), Arc<std::io::Error>>>,
    /// Held while the OCI runtime changes the container as a whole.
    pub(super) operation: Mutex<()>,
    /// Held while a record of the first process is written, so that the last word is the end's.
    pub(super) record: Mutex<()>,
    state: Mutex<State>,
}

/// What changes of a container.
#[derive(Debug)]
pub(super) struct State {
    pub(super) init: Process,
    pub(super) execs: HashMap<String, Process>,
    pub(super) paused: bool,
    /// Its first process has been reaped: no exec begins any more.
    pub(super) ending: bool,
    /// Its first process was reaped before it was started.
    pub(super) never_ran: bool,
    /// Execs whose start is under way.
    pub(super) starting: usize,
    /// OOM kills that were published.
    pub(super) oom_kills: u64,
    /// What tells of a want of memory.
    pub(super) oom_watch: Option<u64>,
    /// Somebody looks, some time after SIGKILL, whether it has ended.
    pub(super) death_watched: bool,
}

/// A process of a container: its first, or an exec.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) terminal: bool,
    /// What an exec shall run: OCI's process in JSON.
    pub(super) spec: Vec<u8>,
    pub(super) pid: i32,
    pub(super) phase: Phase,
    /// A client has closed its stdin, maybe before there was one.
    pub(super) stdin_closed: bool,
    /// It was reaped while its start was under way.
    pub(super) early: Option<Exit>,
    pub(super) io: Option<Arc<ProcessIo>>,
    pub(super) console: Option<OwnedFd>,
    /// Who waits for its end.
    pub(super) waiters: Vec<Responder>,
}

/// How far a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// An exec that there is no process of yet.
    Added,
    /// A container that waits to be started.
    Created,
    /// Its start is under way.
    Starting,
    /// It runs, or its end is not shown yet.
    Running,
    /// It has ended.
    Stopped(Exit),
}

impl Phase {
    /// In words, for errors.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Added => "not started",
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopped(_) => "stopped",
        }
    }

    pub(super) fn status(&self, paused: bool) -> Status {
        match self {
            Self::Added | Self::Created | Self::Starting => Status::Created,
            Self::Running if paused => Status::Paused,
            Self::Running => Status::Running,
            Self::Stopped(_) => Status::Stopped,
        }
    }
}

impl Process {
    pub(super) fn new(stdin: String, stdout: String, stderr: String, terminal: bool, phase: Phase) -> Self {
        Self {
            stdin,
            stdout,
            stderr,
            terminal,
            spec: Vec::new(),
            pid: 0,
            phase,
            early: None,
            stdin_closed: false,
            io: None,
            console: None,
            waiters: Vec::new(),
        }
    }
}

impl Container {
    pub(super) fn new(id: String, bundle: PathBuf, notes: &Notes, init: Process) -> Self {
        Self {
            id,
            bundle,
            runtime: notes.runtime.clone(),
            exits: notes.exits.clone(),
            cgroup: OnceLock::new(),
            noted: OnceLock::new(),
            operation: Mutex::new(()),
            record: Mutex::new(()),
            state: Mutex::new(State {
                init,
                execs: HashMap::new(),
                paused: false,
                ending: false,
                never_ran: false,
                starting: 0,
                oom_kills: 0,
                oom_watch: None,
                death_watched: false,
            }),
        }
    }

    /// Whose its first process is.
    pub(super) fn owner(&self) -> Owner {
        Owner {
            container: self.id.clone(),
            exec: None,
        }
    }

    /// What the OCI runtime is called for.
    pub(super) fn on(&self) -> On<'_> {
        On {
            bundle: &self.bundle,
            id: &self.id,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn operation(&self) -> MutexGuard<'_, ()> {
        self.operation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cgroup. Waits until it has been found, which takes reading some files of the kernel: not for the thread that
    /// waits, nor with the state locked.
    pub(super) fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.wait().as_ref()
    }

    /// The cgroup, if the container is alone in it. Waits as [`Container::cgroup`] does.
    pub(super) fn own_cgroup(&self) -> Option<&Cgroup> {
        self.cgroup().filter(|cgroup| cgroup.is_own())
    }

    /// The same without waiting: none while it has not been found.
    pub(super) fn own_cgroup_so_far(&self) -> Option<&Cgroup> {
        self.cgroup.get()?.as_ref().filter(|cgroup| cgroup.is_own())
    }

    pub(super) fn found(&self, cgroup: Option<Cgroup>) {
        // It is looked for once.
        let _ = self.cgroup.set(cgroup);
    }

    pub(super) fn set_noted(&self, written: std::io::Result<()>) {
        let _ = self.noted.set(written.map_err(Arc::new));
    }

    /// Waits until the notes are written, or could not be.
    pub(super) fn noted(&self) -> Result<(), TaskError> {
        self.noted.wait().clone().map_err(|source| TaskError::Notes {
            id: self.id.clone(),
            source,
        })
    }

    pub(super) fn has_stopped(&self) -> bool {
        matches!(self.state().init.phase, Phase::Stopped(_))
    }

    /// Whether it has stopped, and all its output is where it goes.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        let mut ios = state
            .execs
            .values()
            .chain([&state.init])
            .filter_map(|process| process.io.as_ref());
        matches!(state.init.phase, Phase::Stopped(_)) && ios.all(|io| io.drained(Duration::ZERO))
    }

    /// Whom a request is about, in words.
    pub(super) fn name(&self, exec: &str) -> String {
        if exec.is_empty() {
            format!("container {}", self.id)
        } else {
            format!("exec {exec} of container {}", self.id)
        }
    }

    /// The error of a process that is not where it would have to be.
    pub(super) fn refuse(
        &self,
        exec: &str,
        phase: &Phase,
        action: &'static str,
        must: &'static str,
    ) -> TaskError {
        TaskError::State {
            what: self.name(exec),
            is: phase.word(),
            action,
            must,
        }
    }
}

impl State {
    /// The process of a request: the first if `exec` is empty.
    pub(super) fn process(&mut self, container: &Container, exec: &str) -> Result<&mut Process, TaskError> {
        if exec.is_empty() {
            return Ok(&mut self.init);
        }
        self.execs.get_mut(exec).ok_or_else(|| TaskError::NoExec {
            container: container.id.clone(),
            exec: exec.to_owned(),
        })
    }
}
