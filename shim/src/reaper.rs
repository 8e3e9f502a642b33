//! Who waits for which child. The shim is a subreaper: every orphan of its containers becomes its child.
//!
//! One thread calls [`Reaper::reap`], after a SIGCHLD. A child is
//! - a program that somebody runs ([`Reaper::run`]), who waits for it and reaps it, unless the other thread was faster,
//! - a process of a container ([`Watch::claim`]), whose exit goes to whoever calls `reap`, or
//! - nobody's: an orphan. It is reaped and forgotten; but while a [`Watch`] is held, its exit is kept for a little, since
//!   it may be a process that ended before anyone knew its pid.
//!
//! Invariant: no signal goes to a pid that was reaped, since both need the same lock.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_protocol::exit_record::ExitedAt;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, pidfd_open, waitid,
};

use crate::clock::{self, Clock};

/// How many exits of nobody's children are kept while a [`Watch`] is held; older ones are forgotten. A storm of forks
/// must not become memory, and whoever holds a watch claims within milliseconds of the exit.
const UNCLAIMED: usize = 16 * 1024;
/// How often it is looked whether a program has ended where the kernel does not tell.
const UNTOLD: Duration = Duration::from_millis(5);
/// The status of a process whose end somebody else saw: containerd's own for what is unknown.
const UNKNOWN: u32 = 255;

/// A process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The container.
    pub container: String,
    /// The exec; none for the container's first process.
    pub exec: Option<String>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// 0 to 255, 128 + the signal if one ended it.
    pub status: u32,
    /// The signal.
    pub signal: Option<i32>,
    /// When it was reaped.
    pub at: ExitedAt,
}

/// A program that could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It can't be started.
    #[error("{program} can't be started: see that it is installed and may be run")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It took too long, and was killed.
    #[error("{program} did not end within {} s and was killed", .within.as_secs())]
    Deadline {
        /// The program.
        program: String,
        /// How long it had.
        within: Duration,
    },
}

/// All children.
#[derive(Debug, Default)]
pub struct Reaper {
    table: Mutex<Table>,
    ended: Condvar,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Table {
    /// Programs that somebody waits for, with their status once they have ended.
    programs: HashMap<i32, Option<u32>>,
    processes: HashMap<i32, Owner>,
    watches: usize,
    unclaimed: VecDeque<(i32, Exit)>,
}

impl Reaper {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps children that have ended, and tells of those that were processes of containers. Whether there may be more.
    pub fn reap(&self, most: usize, mut each: impl FnMut(Owner, i32, Exit)) -> bool {
        for _ in 0..most {
            let mut table = self.table();
            let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) else {
                return false;
            };
            let (pid, exit) = (pid.as_raw_nonzero().get(), self.exit(status));
            if let Some(slot) = table.programs.get_mut(&pid) {
                *slot = Some(exit.status);
                drop(table);
                self.ended.notify_all();
            } else if let Some(owner) = table.processes.remove(&pid) {
                drop(table);
                each(owner, pid, exit);
            } else if table.watches > 0 {
                if table.unclaimed.len() == UNCLAIMED {
                    table.unclaimed.pop_front();
                }
                table.unclaimed.push_back((pid, exit));
            }
        }
        true
    }

    fn exit(&self, status: WaitStatus) -> Exit {
        let signal = status.terminating_signal();
        let status = match signal {
            Some(signal) => 128 + signal,
            None => status.exit_status().unwrap_or_default(),
        };
        Exit {
            status: status.cast_unsigned(),
            signal,
            at: self.clock.now(),
        }
    }

    /// Runs a program and waits for its end; its exit status. The thread that waits reaps the program itself where the
    /// kernel tells it of the end, which is a change of threads less than by [`Reaper::reap`]; and it needs nobody else to.
    ///
    /// # Errors
    /// [`RunError`]. What the program has started may still run.
    pub fn run(&self, command: &mut Command, within: Duration) -> Result<u32, RunError> {
        let program = || command_name(command);
        let name = program();
        let mut table = self.table();
        // Under the lock: the child can't be reaped before it is in the table.
        let child = command.spawn().map_err(|source| RunError::Spawn {
            program: name.clone(),
            source,
        })?;
        let pid = child.id().cast_signed();
        // Whatever of its pipes is on our side is not used here.
        drop(child);
        table.programs.insert(pid, None);
        let handle = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let deadline = clock::monotonic() + within;
        loop {
            if let Some(status) = self.status(&mut table, pid) {
                return Ok(status);
            }
            let left = deadline.saturating_sub(clock::monotonic());
            if left.is_zero() {
                table.programs.remove(&pid);
                if let Some(pid) = Pid::from_raw(pid) {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
                return Err(RunError::Deadline {
                    program: name,
                    within,
                });
            }
            table = self.wait(table, handle.as_ref(), left);
        }
    }

    /// How a program has ended that [`Reaper::run`] waits for; none if it runs.
    fn status(&self, table: &mut Table, pid: i32) -> Option<u32> {
        let mut status = table.programs.get(&pid).copied().flatten();
        if status.is_none() {
            // Not reaped yet, so that the number is its own.
            let ended = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
            status = ended.ok().flatten().map(|(_, status)| self.exit(status).status);
        }
        status.inspect(|_| {
            table.programs.remove(&pid);
        })
    }

    /// Waits until the program of a handle may have ended.
    fn wait<'a>(
        &'a self,
        table: MutexGuard<'a, Table>,
        handle: Option<&OwnedFd>,
        left: Duration,
    ) -> MutexGuard<'a, Table> {
        let Some(handle) = handle else {
            // A kernel before 5.3, or no descriptor is left.
            let waited = self.ended.wait_timeout(table, left.min(UNTOLD));
            return waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(table);
        let left = clock::timespec(left);
        // A signal ends it early, SIGCHLD above all.
        let _ = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&left));
        self.table()
    }

    /// From now on, exits of unknown children are kept, until the watch is dropped.
    #[must_use]
    pub fn watch(&self) -> Watch<'_> {
        self.table().watches += 1;
        Watch(self)
    }

    /// A handle by which the end of a container's process is seen; none if it was reaped, or if the kernel has no such handles.
    #[must_use]
    pub fn handle(&self, pid: i32) -> Option<OwnedFd> {
        let table = self.table();
        let known = table.processes.contains_key(&pid);
        let pid = Pid::from_raw(pid).filter(|_| known);
        pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
    }

    /// Sends a signal to a container's process; false if it was reaped.
    pub fn signal(&self, pid: i32, signal: Signal) -> bool {
        let table = self.table();
        let known = table.processes.contains_key(&pid);
        let pid = Pid::from_raw(pid).filter(|_| known);
        pid.is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
    }

    /// How many processes of containers have not been reaped.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.table().processes.len()
    }
}

fn command_name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// Whether a process is a child that was not reaped.
fn is_child(pid: i32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Pid::from_raw(pid).is_some_and(|pid| waitid(WaitId::Pid(pid), options).is_ok())
}

/// While it is held, a process's end is not missed for nobody knowing its pid yet.
#[derive(Debug)]
pub struct Watch<'a>(&'a Reaper);

impl Watch<'_> {
    /// Says whose process a pid is. If it has ended, that is how; [`Reaper::reap`] tells nothing of it then.
    #[must_use]
    pub fn claim(self, pid: i32, owner: Owner) -> Option<Exit> {
        let mut table = self.0.table();
        // An orphan may have had the same number before: what is a child now has not been reaped.
        let ended = || table.unclaimed.iter().rposition(|(other, _)| *other == pid);
        if let Some(at) = ended().filter(|_| !is_child(pid)) {
            return table.unclaimed.remove(at).map(|(_, exit)| exit);
        }
        let gone = Pid::from_raw(pid)
            .is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH));
        if gone {
            return Some(Exit {
                status: UNKNOWN,
                signal: None,
                at: self.0.clock.now(),
            });
        }
        table.processes.insert(pid, owner);
        None
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut table = self.0.table();
        table.watches -= 1;
        if table.watches == 0 {
            table.unclaimed = VecDeque::new();
        }
    }
}
