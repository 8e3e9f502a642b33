//! Killing what is left in a cgroup, until nothing is.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

use super::Cgroup;
use crate::clock;

/// How a cgroup was emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Emptied {
    /// Nothing is in it.
    Empty,
    /// These did not die of SIGKILL in time: they hang in the kernel.
    Undead(Vec<i32>),
}

/// How long one round of freezing is waited for: a process in an uninterruptible wait does not freeze.
const FREEZE: Duration = Duration::from_millis(100);
/// The longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

impl Cgroup {
    /// Kills every process in it with SIGKILL, frozen ones too, and returns when nothing is left, or after `within`.
    ///
    /// A cgroup that isn't the container's own counts as empty and nothing in it is touched.
    #[must_use]
    pub fn empty(&self, within: Duration) -> Emptied {
        if !self.is_own() {
            return Emptied::Empty;
        }
        let begin = clock::monotonic();
        let mut pause = Duration::from_millis(1);
        loop {
            let left = self.processes();
            if left.is_empty() {
                return Emptied::Empty;
            }
            if clock::monotonic().saturating_sub(begin) >= within {
                return Emptied::Undead(left.into_iter().collect());
            }
            self.kill();
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Sends SIGKILL to every process in it once, so that none escapes by forking, and lets frozen ones go to die.
    pub fn kill(&self) {
        if let Some(folder) = self.unified() {
            // Linux 5.14 and later; it reaches frozen processes and those that are being forked.
            if std::fs::write(folder.join("cgroup.kill"), "1").is_ok() {
                return;
            }
            let freeze = folder.join("cgroup.freeze");
            let _ = std::fs::write(&freeze, "1");
            wait_for(|| {
                super::read(&folder.join("cgroup.events")).is_none_or(|text| text.contains("frozen 1"))
            });
            self.signal(Signal::KILL);
            let _ = std::fs::write(freeze, "0");
            return;
        }
        let freezer = self.controller("freezer");
        if let Some(folder) = freezer {
            let state = folder.join("freezer.state");
            let _ = std::fs::write(&state, "FROZEN");
            wait_for(|| super::read(&state).is_none_or(|text| text.trim() == "FROZEN"));
        }
        self.signal(Signal::KILL);
        if let Some(folder) = freezer {
            thaw(folder);
        }
    }

    /// Lets frozen processes go on, in cgroups inside too.
    pub fn thaw(&self) {
        if let Some(folder) = self.unified() {
            super::each_below(folder, &mut |folder| {
                let _ = std::fs::write(folder.join("cgroup.freeze"), "0");
            });
        } else if let Some(folder) = self.controller("freezer") {
            thaw(folder);
        }
    }

    /// Whether its processes are frozen, or about to be.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let freeze = self.unified().map(|folder| folder.join("cgroup.freeze"));
        let frozen = freeze.and_then(|file| super::read(&file));
        self.holds_back_signals() || frozen.is_some_and(|text| text.trim() == "1")
    }

    /// Whether SIGKILL waits for a thaw: on version 1, frozen processes don't even die.
    #[must_use]
    pub fn holds_back_signals(&self) -> bool {
        let state = self
            .controller("freezer")
            .map(|folder| folder.join("freezer.state"));
        state
            .and_then(|file| super::read(&file))
            .is_some_and(|text| text.trim() != "THAWED")
    }
}

fn thaw(freezer: &Path) {
    super::each_below(freezer, &mut |folder| {
        let _ = std::fs::write(folder.join("freezer.state"), "THAWED");
    });
}

fn wait_for(condition: impl Fn() -> bool) {
    let mut waited = Duration::ZERO;
    let pause = Duration::from_millis(1);
    while !condition() && waited < FREEZE {
        std::thread::sleep(pause);
        waited += pause;
    }
}

/// Sends a signal to a process; false if it has gone. By a pidfd, so that it can't meet one that got the number since.
pub(super) fn signal(pid: i32, signal: Signal) -> bool {
    let Some(pid) = Pid::from_raw(pid) else {
        return false;
    };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => rustix::process::pidfd_send_signal(process, signal).is_ok(),
        // Before Linux 5.3.
        Err(rustix::io::Errno::NOSYS) => rustix::process::kill_process(pid, signal).is_ok(),
        Err(_) => false,
    }
}
