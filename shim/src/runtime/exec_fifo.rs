//! Starting a container as `runc start` does, without running it: the first process waits to write a byte into a FIFO in
//! runc's state of the container, and goes on once somebody reads it. So has every runc from 1.0 to 1.5. It lets go of the
//! FIFO when it executes the container's program, after hooks of its own (runc after 1.5: before them).
//!
//! Limits: it is done where runc's state and the FIFO are both there. crun has a FIFO of the same name that it *writes* to,
//! and no such state; others have neither. Those, and hooks that are to run after a start, need the runtime's program. Which
//! hooks there are is asked of the state, for what wraps runc may have added some.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, pidfd_send_signal};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::clock;

/// runc's record of a container: by it its folder is told from another runtime's.
const STATE: &str = "state.json";
const FIFO: &str = "exec.fifo";

/// What is wanted of the record.
#[derive(Deserialize)]
struct State {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default, rename = "Hooks", alias = "hooks", deserialize_with = "or_none")]
    hooks: Hooks,
}

#[derive(Default, Deserialize)]
struct Hooks {
    poststart: Option<Vec<IgnoredAny>>,
}

fn or_none<'de, D: Deserializer<'de>>(hooks: D) -> Result<Hooks, D::Error> {
    Ok(Option::deserialize(hooks)?.unwrap_or_default())
}

/// A first process that could not be let go.
#[derive(Debug, thiserror::Error)]
pub enum FifoError {
    /// It was killed before it ran.
    #[error("the container's process was gone before it could run")]
    Gone,
    /// It is there, and does not go on: it may be frozen.
    #[error("the container's process did not begin to run within {} s", .0.as_secs())]
    Deadline(Duration),
    /// The FIFO.
    #[error("{path}")]
    File {
        /// The FIFO.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The FIFO that a container's first process waits at.
#[derive(Debug)]
pub struct ExecFifo {
    path: PathBuf,
    file: File,
}

impl ExecFifo {
    /// Opens the FIFO, by which the process is let go. None, and nothing has happened, if the folder is not runc's state of a
    /// container that waits to be started.
    #[must_use]
    pub fn open(state: &Path) -> Option<Self> {
        let path = state.join(FIFO);
        if !path.symlink_metadata().ok()?.file_type().is_fifo() {
            return None;
        }
        let state: State = serde_json::from_slice(&std::fs::read(state.join(STATE)).ok()?).ok()?;
        if state
            .config
            .hooks
            .poststart
            .is_some_and(|hooks| !hooks.is_empty())
        {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&path, flags, Mode::empty()).ok()?);
        Some(Self { path, file })
    }

    /// Waits until the process, of which this is a pidfd, has executed the container's program. One that hangs is killed, so
    /// that it doesn't run after all.
    ///
    /// # Errors
    /// [`FifoError`].
    pub fn wait(mut self, process: &OwnedFd, within: Duration) -> Result<(), FifoError> {
        let deadline = clock::monotonic() + within;
        let mut begun = false;
        loop {
            // It may have said so just before it ended, so that is looked at first.
            let ended = has_ended(process);
            begun |= self.read()? == Some(1);
            // Once it has begun, the end of the FIFO is that of what runc does.
            if begun && (ended || self.read()? == Some(0)) {
                return self.remove();
            }
            if ended {
                return Err(FifoError::Gone);
            }
            let left = deadline.saturating_sub(clock::monotonic());
            if left.is_zero() {
                // It may have ended just now.
                let _ = pidfd_send_signal(process, Signal::KILL);
                return Err(FifoError::Deadline(within));
            }
            let left = clock::timespec(left);
            let mut either = [
                PollFd::new(&self.file, PollFlags::IN),
                PollFd::new(process, PollFlags::IN),
            ];
            // A signal ends it early.
            let _ = poll(&mut either, Some(&left));
        }
    }

    /// How many bytes there were, one at most; none if there are none for now. 0: nobody has it open for writing.
    fn read(&mut self) -> Result<Option<usize>, FifoError> {
        match self.file.read(&mut [0]) {
            Ok(read) => Ok(Some(read)),
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {
                Ok(None)
            }
            Err(source) => Err(self.error(source)),
        }
    }

    /// Without the FIFO, the container is a running one for runc.
    fn remove(self) -> Result<(), FifoError> {
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.error(source)),
            _ => Ok(()),
        }
    }

    fn error(&self, source: io::Error) -> FifoError {
        FifoError::File {
            path: self.path.clone(),
            source,
        }
    }
}

/// Whether the process of a pidfd has ended.
fn has_ended(process: &OwnedFd) -> bool {
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    poll(&mut ended, Some(&clock::timespec(Duration::ZERO))).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    const LONG: Duration = Duration::from_secs(30);

    /// A folder as runc has it.
    fn state() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(STATE), r#"{"config": {}}"#).unwrap();
        let mode = Mode::from_raw_mode(0o622);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join(FIFO),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        folder
    }

    fn process(state: &Path, script: &str) -> (Child, OwnedFd) {
        let mut command = Command::new("/bin/sh");
        let child = command.args(["-c", script]).current_dir(state).spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pidfd_open(pid, PidfdFlags::empty()).unwrap())
    }

    #[test]
    fn a_process_is_let_go_and_is_a_running_one_then() {
        let state = state();
        let (mut child, handle) = process(
            state.path(),
            "printf 0 > exec.fifo; exec cat /dev/zero > /dev/null",
        );
        ExecFifo::open(state.path()).unwrap().wait(&handle, LONG).unwrap();
        assert!(!state.path().join(FIFO).exists());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_said_so_and_ended_has_run() {
        let state = state();
        let fifo = ExecFifo::open(state.path()).unwrap();
        let (mut child, handle) = process(state.path(), "printf 0 > exec.fifo");
        child.wait().unwrap();
        fifo.wait(&handle, LONG).unwrap();
    }

    #[test]
    fn a_process_that_is_killed_has_not() {
        let state = state();
        let fifo = ExecFifo::open(state.path()).unwrap();
        let (mut child, handle) = process(state.path(), "exec sleep 1000");
        child.kill().unwrap();
        assert!(matches!(fifo.wait(&handle, LONG), Err(FifoError::Gone)));
        child.wait().unwrap();
        assert!(state.path().join(FIFO).exists());
    }

    #[test]
    fn a_process_that_hangs_is_not_waited_for_without_end() {
        let state = state();
        let fifo = ExecFifo::open(state.path()).unwrap();
        let (mut child, handle) = process(state.path(), "exec sleep 1000");
        let waited = fifo.wait(&handle, Duration::from_millis(20));
        assert!(matches!(waited, Err(FifoError::Deadline(_))));
        assert_eq!(child.wait().unwrap().signal(), Some(9), "else it would run later");
    }

    #[test]
    fn a_start_is_not_over_before_runc_has_let_go() {
        let state = state();
        let script = "exec 3> exec.fifo; printf 0 >&3; while [ ! -e go ]; do sleep 0.01; done; exec 3>&-; exec sleep 1000";
        let (mut child, handle) = process(state.path(), script);
        let fifo = ExecFifo::open(state.path()).unwrap();
        let waiting = std::thread::spawn(move || fifo.wait(&handle, LONG));
        let hooks = Duration::from_millis(100);
        std::thread::sleep(hooks);
        assert!(!waiting.is_finished() && state.path().join(FIFO).exists());
        std::fs::write(state.path().join("go"), "").unwrap();
        waiting.join().unwrap().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn hooks_after_a_start_are_seen() {
        let state = state();
        let opens = |json: &str| {
            std::fs::write(state.path().join(STATE), json).unwrap();
            ExecFifo::open(state.path()).is_some()
        };
        for none in [
            "{}",
            r#"{"Hooks": null}"#,
            r#"{"Hooks": {"poststart": []}}"#,
            r#"{"Hooks": {"poststart": null}}"#,
        ] {
            assert!(opens(&format!(r#"{{"config": {none}}}"#)), "{none}");
        }
        for some in ["Hooks", "hooks"] {
            assert!(!opens(&format!(
                r#"{{"config": {{"{some}": {{"poststart": [{{"path": "/a"}}]}}}}}}"#
            )));
        }
        assert!(!opens("{}"), "it is not runc's");
    }

    #[test]
    fn only_runcs_own_fifo_is_touched() {
        let crun = state();
        std::fs::remove_file(crun.path().join(STATE)).unwrap();
        assert!(ExecFifo::open(crun.path()).is_none());
        let running = state();
        std::fs::remove_file(running.path().join(FIFO)).unwrap();
        assert!(ExecFifo::open(running.path()).is_none());
        std::fs::write(running.path().join(FIFO), "0").unwrap();
        assert!(ExecFifo::open(running.path()).is_none(), "a file is no FIFO");
        assert!(ExecFifo::open(&running.path().join("none")).is_none());
    }
}
