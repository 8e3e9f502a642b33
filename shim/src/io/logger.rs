//! A `binary://` logger: a program that reads a container's output itself.
//!
//! As containerd's shims start it: stdout of the container is its file descriptor 3, stderr 4, and 5 is to be closed or
//! written to when it is ready; its environment is `CONTAINER_ID` and `CONTAINER_NAMESPACE`. Unlike theirs, we keep the
//! pipes open: when it dies, output is dropped, and nobody gets SIGPIPE.

use std::ffi::{CString, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use super::status::Status;
use super::{IoError, ProcessName};

/// How long a logger may take to be ready.
const READY: Duration = Duration::from_secs(10);
/// How long it may take to die when it was not.
const KILLED: Duration = Duration::from_secs(1);
/// How many ticks lie between SIGTERM and SIGKILL: 12 s, as with containerd's shims.
const TICKS_TO_KILL: u32 = 1200;
/// Above what the child's descriptors are moved to.
const LEAST: i32 = 6;

/// A running logger.
#[derive(Debug)]
pub(super) struct Logger {
    pidfd: OwnedFd,
    status: Arc<Status>,
    /// Ticks left until it is killed, once it was asked to end.
    kill_in: Option<u32>,
}

impl Logger {
    /// Starts a logger on two pipes, and waits until it is ready.
    pub(super) fn start(
        program: &Path,
        args: &[OsString],
        name: &ProcessName<'_>,
        pipes: [OwnedFd; 2],
        status: &Arc<Status>,
    ) -> Result<Self, IoError> {
        let fault = |source: io::Error| IoError::Logger {
            program: program.into(),
            source,
        };
        let (ready, ready_end) = io::pipe().map_err(IoError::system("make a pipe"))?;
        let pidfd = spawn(program, args, name, [&pipes[0], &pipes[1], &ready_end.into()]).map_err(fault)?;
        drop(pipes);
        status.begin();
        let logger = Self {
            pidfd,
            status: Arc::clone(status),
            kill_in: None,
        };
        if wait_readable(ready.as_fd(), READY).map_err(IoError::system("wait for a logger"))? {
            return Ok(logger);
        }
        logger.signal(rustix::process::Signal::KILL);
        // Only for a process that can't die this is in vain.
        let _ = wait_readable(logger.pidfd(), KILLED);
        logger.ended();
        Err(IoError::LoggerNotReady {
            program: program.into(),
            within: READY,
        })
    }

    /// Readable when it has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn has_ended(&self) -> bool {
        wait_readable(self.pidfd(), Duration::ZERO).unwrap_or(false)
    }

    /// It has ended.
    pub(super) fn ended(&self) {
        // Whoever waits for all children may have been first.
        let _ = waitid(
            WaitId::PidFd(self.pidfd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
        self.status.end();
    }

    /// Asks it to end.
    pub(super) fn terminate(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        self.kill_in = Some(TICKS_TO_KILL);
    }

    /// Time has passed: whether more of it has to.
    pub(super) fn tick(&mut self) -> bool {
        match &mut self.kill_in {
            None | Some(0) => false,
            Some(ticks) => {
                *ticks -= 1;
                if *ticks == 0 {
                    self.signal(rustix::process::Signal::KILL);
                    return false;
                }
                true
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        // It may have ended meanwhile.
        let _ = pidfd_send_signal(self.pidfd(), signal);
    }
}

/// Starts the program with three descriptors as its 3, 4 and 5.
fn spawn(
    program: &Path,
    args: &[OsString],
    name: &ProcessName<'_>,
    fds: [&OwnedFd; 3],
) -> io::Result<OwnedFd> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::from);
    let mut words = vec![text(program.as_os_str().as_bytes())?];
    for arg in args {
        words.push(text(arg.as_bytes())?);
    }
    let environment = [
        text(format!("CONTAINER_ID={}", name.container).as_bytes())?,
        text(format!("CONTAINER_NAMESPACE={}", name.namespace).as_bytes())?,
    ];
    let mut actions = PosixSpawnFileActions::init()?;
    let null: OwnedFd = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?
        .into();
    let mut high = Vec::new();
    for (fd, number) in [&null, &null, &null].into_iter().chain(fds).zip(0..) {
        // Moved out of the way first: one might be the number that another one gets.
        let moved = rustix::io::fcntl_dupfd_cloexec(fd, LEAST)?;
        actions.add_dup2(moved.as_raw_fd(), number)?;
        high.push(moved);
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
    attributes.set_sigmask(&SigSet::empty())?;
    // What Rust's runtime, or this program, ignores.
    attributes.set_sigdefault(&[Signal::SIGPIPE, Signal::SIGXFSZ].into_iter().collect())?;
    let pid = posix_spawn(words[0].as_c_str(), &actions, &attributes, &words, &environment)?;
    drop(high);
    let pid = Pid::from_raw(pid.as_raw()).ok_or(io::ErrorKind::NotFound)?;
    crate::limits::give_to(pid);
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Waits until a descriptor can be read or has ended; false if that took too long.
fn wait_readable(fd: BorrowedFd<'_>, within: Duration) -> io::Result<bool> {
    let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
