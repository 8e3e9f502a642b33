//! The stdin, stdout and stderr of every process in a shim: containers and execs, with pipes or with a console.
//!
//! ```text
//! process ─ pipe or console ─▶ copy ─▶ FIFO of a client │ file │ json-file log │ logger program │ nowhere
//! process ◀─ pipe or console ─ copy ◀─ FIFO of a client
//! ```
//!
//! One thread ([`mod@engine`]) moves all of it; [`mod@copy`] is one stream. A request's targets are read by
//! [`mod@target`] and opened by [`mod@open`] on the caller's thread, so that what is wrong with them fails the request.
//!
//! Invariants:
//! - Nothing that happens to a target ends a process or holds it up: a full disk, a dead logger and a client that has
//!   gone cost output, which is counted. Only a client that is there and reads slowly slows its process down.
//! - The read end of an output pipe stays open until the last writer has closed it, so no process ever gets SIGPIPE
//!   from it, not even a daemon that outlives the exec it came from.
//! - No call to a [`ProcessIo`] but [`ProcessIo::drained`] waits for anything.
//! - Memory is bounded: two buffers for all, and for each stream one unfinished line or one read that a slow client
//!   hasn't taken yet. An idle shim does not wake up.
//!
//! Limits: a client that comes back is let in by the next output, so one that waits in open(2) for a quiet process waits
//! on. A disk that hangs, rather than being full, holds up all processes of this shim, since one thread writes.
//! SIGPIPE must be ignored in the whole process, as Rust's runtime does at its start.

mod commands;
mod copy;
mod engine;
mod error;
mod fifo;
#[cfg(test)]
mod fuzz;
mod logger;
mod open;
mod raw_file;
mod rests;
mod sink;
mod status;
mod target;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commands::{Command, Commands};
use engine::Engine;
pub use error::IoError;
use status::Status;

/// What a request says of a process's I/O, word for word.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdioRequest<'a> {
    /// Empty, or the path of a FIFO.
    pub stdin: &'a str,
    /// Empty, the path of a FIFO or file, or a URI: `file://`, `binary://` and `longshore-log://` take stderr too.
    pub stdout: &'a str,
    /// Empty, or the path of a FIFO or file. Not looked at if `stdout` takes both, nor with a terminal.
    pub stderr: &'a str,
    /// Whether the process has a console, which [`ProcessIo::attach_console`] brings later.
    pub terminal: bool,
    /// Who shall own the pipes, as user and group on the host (`io_uid` and `io_gid` of the runtime's options).
    pub owner: Option<(u32, u32)>,
}

/// Whose I/O it is: a `binary://` logger is told.
#[derive(Debug, Clone, Copy)]
pub struct ProcessName<'a> {
    /// containerd's namespace.
    pub namespace: &'a str,
    /// The container's ID.
    pub container: &'a str,
}

/// What the process inherits. Drop it as soon as runc has it, or the streams never end.
///
/// With a terminal all three are `/dev/null`, for runc itself.
#[derive(Debug)]
pub struct ChildStdio {
    /// File descriptor 0.
    pub stdin: OwnedFd,
    /// File descriptor 1.
    pub stdout: OwnedFd,
    /// File descriptor 2.
    pub stderr: OwnedFd,
}

/// The I/O of one shim. Dropping it is [`Io::stop`].
#[derive(Debug)]
pub struct Io {
    engine: Engine,
}

impl Io {
    /// Starts the thread. `now` is asked for the time of log records.
    ///
    /// # Errors
    /// [`IoError::System`] if the kernel gives no thread or no event queue.
    pub fn start(now: fn() -> jiff::Timestamp) -> Result<Self, IoError> {
        let engine = Engine::start(now)?;
        Ok(Self { engine })
    }

    /// Opens everything that a process needs. Waits up to 10 s for a `binary://` logger to be ready, else for nothing.
    ///
    /// Output that a client's FIFO gets before the client has opened it is kept for 30 s, as far as a pipe holds it.
    /// The logger is a child of this process: it may be reaped by whoever reaps here.
    ///
    /// # Errors
    /// [`IoError`]; nothing is left open then.
    pub fn open(
        &self,
        request: &StdioRequest<'_>,
        name: &ProcessName<'_>,
    ) -> Result<(ChildStdio, ProcessIo), IoError> {
        let (child, prepared) = open::open(request, name)?;
        let id = self.engine.next_process();
        let status = Arc::clone(&prepared.status);
        let io = ProcessIo {
            id,
            status,
            commands: self.engine.commands(),
            console: Mutex::new(prepared.console),
        };
        io.commands.send(Command::Add(id, prepared.entries));
        Ok((child, io))
    }

    /// The shim ends: writes out what is in the pipes, and ends the thread. A process that still runs may get SIGPIPE
    /// from now on; loggers go on until they have read everything.
    pub fn stop(&self) {
        self.engine.stop();
    }
}

/// The I/O of one process. Dropping it is [`ProcessIo::close`].
#[derive(Debug)]
pub struct ProcessIo {
    id: u64,
    status: Arc<Status>,
    commands: Arc<Commands>,
    /// What waits for the console.
    console: Mutex<Option<open::Console>>,
}

impl ProcessIo {
    /// Hands over the master of the console that runc has made. Whoever resizes it keeps a duplicate, and drops that
    /// when the process has ended.
    ///
    /// # Errors
    /// [`IoError::Console`] if the process has no terminal, or has its console already; [`IoError::System`].
    pub fn attach_console(&self, master: OwnedFd) -> Result<(), IoError> {
        let mut waiting = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        let console = waiting.take().ok_or(IoError::Console)?;
        let entries = console.attach(master)?;
        self.commands.send(Command::Add(self.id, entries));
        Ok(())
    }

    /// CloseIO: what clients have written is still passed on, then stdin ends.
    pub fn close_stdin(&self) {
        self.commands.send(Command::CloseStdin(self.id));
    }

    /// The process has ended: waits until what it has written is where it goes, a client has come for it, and a logger
    /// has ended. Then its targets are closed; whoever else holds the pipes writes to nowhere from then on.
    ///
    /// False if it took too long: a client doesn't come or doesn't read, a logger doesn't end.
    #[must_use]
    pub fn drained(&self, within: Duration) -> bool {
        self.commands.send(Command::Drain(self.id));
        self.status.wait_drained(within)
    }

    /// How many bytes of output nobody took: the client had gone, the logger had died, the disk was full. What a
    /// json-file log drops is counted in that log instead, by records.
    #[must_use]
    pub fn dropped_bytes(&self) -> u64 {
        self.status.dropped()
    }

    /// Closes everything without waiting for anyone. What is in the pipes now is still written; a console is hung up. A
    /// logger that goes on gets SIGTERM, and 12 s later SIGKILL.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for ProcessIo {
    fn drop(&mut self) {
        self.commands.send(Command::Close(self.id));
    }
}

#[cfg(test)]
mod tests;
