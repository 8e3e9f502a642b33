//! More processes in a container that runs: what a session needs of a runtime.
//!
//! Invariants: nothing here waits for, or is waited for by, the starts and ends of containers; a process that was started
//! here can be found and ended by an agent that knows nothing of it ([`Execs::leftovers`]).

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use super::RuntimeError;
use crate::model::ContainerId;

/// A process in a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecId {
    /// In which.
    pub container: ContainerId,
    /// Whose it is: the id of a session, which is also the process's. Letters, digits and `-`.
    pub session: String,
}

impl std::fmt::Display for ExecId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.session, self.container)
    }
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters across.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// What is to run.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// Which process that will be.
    pub id: ExecId,
    /// The program and its arguments; at least one.
    pub args: Vec<String>,
    /// In a terminal of this size; else with a pipe for each stream.
    pub terminal: Option<TerminalSize>,
}

/// What comes from a process.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;
/// What goes to a process.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// The streams of a process that was started.
pub struct ExecStreams {
    /// Its terminal, or standard input. Dropping it is half of [`Execs::close_input`].
    pub stdin: Input,
    /// Its terminal, or standard output. It ends when nobody has it open any more.
    pub stdout: Output,
    /// Standard error, where it has no terminal.
    pub stderr: Option<Output>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecEnd {
    /// What it exited with, or 128 and the signal that ended it.
    pub code: u32,
    /// Whether it ended because its container did.
    pub container_ended: bool,
}

/// A runtime that runs more processes in a container. What is done to a process that has ended is nothing.
#[async_trait]
pub trait Execs: Send + Sync + 'static {
    /// Starts a process as the container's own one is: user, folder, environment and limits. Also one that failed is to be
    /// removed: something of it may be there, and it may begin yet.
    async fn exec(&self, request: ExecRequest) -> Result<ExecStreams, RuntimeError>;

    /// Waits until a process has ended.
    async fn wait_exec(&self, id: &ExecId) -> Result<ExecEnd, RuntimeError>;

    /// Its terminal has another size.
    async fn resize(&self, id: &ExecId, size: TerminalSize) -> Result<(), RuntimeError>;

    /// What was written to it is all there will be.
    async fn close_input(&self, id: &ExecId) -> Result<(), RuntimeError>;

    /// Ends what is left of a process and its children: by SIGHUP, and soon by SIGKILL. What they wrote can still be read.
    async fn end_exec(&self, id: &ExecId) -> Result<(), RuntimeError>;

    /// The same, and removes all traces.
    async fn remove_exec(&self, id: &ExecId) -> Result<(), RuntimeError>;

    /// Everything that was started, by whichever agent, and not removed.
    async fn leftovers(&self) -> Result<Vec<ExecId>, RuntimeError>;
}
