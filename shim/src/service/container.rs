//! A container and its processes, as the shim knows them.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
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
    /// Its end's record is to be written, or written anew, and is not on disk yet.
    pub(super) owes_record: bool,
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
    /// Goes with it, so that it is told from another of its name.
    pub(super) there: Arc<()>,
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
            there: Arc::default(),
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
                owes_record: false,
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

    /// Whether nobody needs to ask for it any more. A record that waits for room on the disk is lost with the shim; where
    /// its folder is gone nobody will read it.
    pub(super) fn is_forgotten(&self) -> bool {
        let state = self.state();
        let owes_record = state.owes_record && self.exits.as_deref().is_some_and(|folder| !is_gone(folder));
        (state.never_ran || is_gone(&self.bundle)) && !owes_record
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

/// Whether a path leads nowhere; one that can't be looked at may be there.
fn is_gone(path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path);
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

impl State {
    /// A process was reaped. Whether that is to be seen to now: not if it is another one's, or known; and whoever starts it
    /// sees to its end once the start has been told. If it is the first, nothing begins in the container from here on, not
    /// even itself: this is decided together with what a start decides by.
    pub(super) fn ends(&mut self, exec: Option<&str>, pid: i32, exit: &Exit) -> bool {
        let process = match exec {
            None => &mut self.init,
            Some(exec) => match self.execs.get_mut(exec) {
                Some(process) => process,
                None => return false,
            },
        };
        if process.pid != pid || matches!(process.phase, Phase::Stopped(_)) {
            return false;
        }
        if process.phase == Phase::Starting {
            process.early = Some(exit.clone());
            return false;
        }
        if exec.is_none() {
            self.ending = true;
            self.never_ran = self.init.phase == Phase::Created;
        }
        true
    }

    /// Has the first process count as one whose start is under way, if it may be started; what it is called.
    pub(super) fn begins(&mut self) -> Option<i32> {
        if self.init.phase != Phase::Created || self.ending {
            return None;
        }
        self.init.phase = Phase::Starting;
        Some(self.init.pid)
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::task::Options;
    use crate::bundle::Config;

    fn exit() -> Exit {
        Exit {
            status: 0,
            signal: None,
            at: crate::clock::Clock::new().now(),
        }
    }

    fn container(folder: &Path, phase: Phase) -> Container {
        let notes = Notes {
            runtime: Runtime::new("ns", &Config::default(), &Options::default()),
            exits: Some(folder.join("exits")),
            pid: 0,
            cgroup: None,
        };
        let init = Process::new(String::new(), String::new(), String::new(), false, phase);
        Container::new("a".to_owned(), folder.join("bundle"), &notes, init)
    }

    /// Else the start, which fails, would undo the end, and nobody could delete the container.
    #[test]
    fn what_has_ended_is_not_started_and_what_is_being_started_has_not_ended() {
        let folder = tempfile::tempdir().unwrap();
        let ended = container(folder.path(), Phase::Created);
        let mut state = ended.state();
        assert!(state.ends(None, 0, &exit()));
        assert!(state.ending && state.never_ran);
        assert_eq!(state.begins(), None);
        assert_eq!(state.init.phase, Phase::Created);

        let begun = container(folder.path(), Phase::Created);
        let mut state = begun.state();
        assert_eq!(state.begins(), Some(0));
        assert!(!state.ends(None, 1, &exit()), "it is another's");
        assert!(!state.ends(None, 0, &exit()));
        assert!(!state.ending && state.init.early.take().is_some());
        state.init.phase = Phase::Running;
        assert!(state.ends(None, 0, &exit()));
        assert!(state.ending && !state.never_ran);
    }

    #[test]
    fn a_container_whose_record_is_not_written_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let exits = folder.path().join("exits");
        std::fs::create_dir(&exits).unwrap();
        let container = container(folder.path(), Phase::Stopped(exit()));
        assert!(container.is_forgotten());
        container.state().owes_record = true;
        assert!(!container.is_forgotten(), "it would be lost");
        std::fs::remove_dir(&exits).unwrap();
        assert!(container.is_forgotten(), "nobody will read it");
    }
}
