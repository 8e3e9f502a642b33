//! What the thread that moves bytes is told, and the way to it.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::engine::Entry;

/// What the thread is told to do. The number is a process.
#[derive(Debug)]
pub(super) enum Command {
    /// Take over streams.
    Add(u64, Vec<Entry>),
    /// End stdin when the client's is read.
    CloseStdin(u64),
    /// The process has ended: pass on what is there.
    Drain(u64),
    /// Nobody waits for its output any more.
    Close(u64),
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Commands {
    queue: Mutex<Queue>,
    wake: EventFd,
}

/// Its length is bounded by the requests that are answered at a time: each sends one or two.
#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Command>,
    stop: bool,
}

impl Commands {
    pub(super) fn new() -> Result<Self, Errno> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let queue = Mutex::default();
        Ok(Self { queue, wake })
    }

    /// Can be read when there is something to take.
    pub(super) fn waker(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Once the thread has stopped, this only drops the command.
    pub(super) fn send(&self, command: Command) {
        self.put(|queue| {
            if !queue.stop {
                queue.commands.push(command);
            }
        });
    }

    /// Has the thread end once it has done what it was told before.
    pub(super) fn stop(&self) {
        self.put(|queue| queue.stop = true);
    }

    /// What is to be done now, and whether it is time to stop.
    pub(super) fn take(&self) -> (Vec<Command>, bool) {
        // Nothing to read is as good.
        let _ = self.wake.read();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut queue.commands), queue.stop)
    }

    fn put(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        // It can only fail when 2^64 wake-ups are waiting to be read.
        let _ = self.wake.write(1);
    }
}
