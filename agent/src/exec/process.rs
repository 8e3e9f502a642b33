//! A session's process: started, fed, read and ended.
//!
//! Invariants: output is read only when somebody can take it, so a process waits for a slow client; a process's end is
//! told after all that it and its children wrote; when it has ended, its children are ended too; what it is to be told is
//! told again while the runtime is away, and so is its removal: it may have begun though nobody heard of that.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use longshore_protocol::data_channel::host::Output as Stream;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::task::JoinSet;

use super::program::{Ended, ProgramEvent};
use crate::clock::Clock;
use crate::runtime::RuntimeError;
use crate::runtime::exec::{ExecEnd, ExecId, ExecRequest, ExecStreams, Execs, Input, Output, TerminalSize};

/// Input that may wait for the process; a client sends what is beyond it later.
const INPUT_ROOM: usize = 64 * 1024;
/// Bytes that are read at a time.
const BLOCK: usize = 16 * 1024;
/// When nothing of a process is left, what it wrote has come by then.
const REST: Duration = Duration::from_secs(5);
/// When nothing of a process is left, the runtime has said by then how it ended: also one that was away for a moment. One
/// whose shim hangs never says so.
const EXIT: Duration = Duration::from_secs(30);
/// How soon a runtime that is away is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// What ends the input of a terminal: ^D.
const END_OF_TRANSMISSION: u8 = 4;

/// What has come of a call to the runtime.
enum Done {
    Started(Result<ExecStreams, RuntimeError>),
    Exited(Result<ExecEnd, RuntimeError>),
    /// Nothing is left of it but what containerd remembers.
    Emptied,
    Removed,
    Called,
}

enum Write {
    Bytes(Vec<u8>),
    End,
}

/// A process.
pub struct Process {
    id: ExecId,
    execs: Arc<dyn Execs>,
    clock: Arc<dyn Clock>,
    terminal: bool,
    calls: JoinSet<Done>,
    stdin: Option<Input>,
    /// Terminal or standard output, and standard error.
    outputs: [Option<Output>; 2],
    writes: VecDeque<Write>,
    /// How much of the first of `writes` was written.
    written: usize,
    size: Option<TerminalSize>,
    /// A size is being told.
    resizing: bool,
    started: bool,
    hung_up: bool,
    exit: Option<Result<ExecEnd, RuntimeError>>,
    emptied: bool,
    /// Of what is emptied: by when it is to be known how it ended.
    exit_until: Option<Duration>,
    quiet_until: Option<Duration>,
    told: bool,
    removed: bool,
}

impl Process {
    /// Starts it.
    pub fn start(execs: Arc<dyn Execs>, clock: Arc<dyn Clock>, request: ExecRequest) -> Self {
        let mut calls = JoinSet::new();
        let (id, terminal) = (request.id.clone(), request.terminal.is_some());
        let starter = Arc::clone(&execs);
        calls.spawn(async move { Done::Started(starter.exec(request).await) });
        Self {
            id,
            execs,
            clock,
            terminal,
            calls,
            stdin: None,
            outputs: [None, None],
            writes: VecDeque::new(),
            written: 0,
            size: None,
            resizing: false,
            started: false,
            hung_up: false,
            exit: None,
            emptied: false,
            exit_until: None,
            quiet_until: None,
            told: false,
            removed: false,
        }
    }

    /// Whether more input can be taken.
    pub fn has_room(&self) -> bool {
        let waiting = self.writes.iter().map(|write| match write {
            Write::Bytes(bytes) => bytes.len(),
            Write::End => 0,
        });
        waiting.sum::<usize>() < INPUT_ROOM
    }

    pub fn input(&mut self, bytes: Vec<u8>) {
        self.writes.push_back(Write::Bytes(bytes));
    }

    pub fn end_of_input(&mut self) {
        self.writes.push_back(match self.terminal {
            true => Write::Bytes(vec![END_OF_TRANSMISSION]),
            false => Write::End,
        });
    }

    pub fn resize(&mut self, size: TerminalSize) {
        if self.terminal {
            self.size = Some(size);
            self.tell_size();
        }
    }

    /// Ends it, and its children.
    pub fn hang_up(&mut self) {
        if !std::mem::replace(&mut self.hung_up, true) && self.started {
            self.end();
        }
    }

    /// Whether it has ended, though not all that it wrote may have been read.
    pub fn has_exited(&self) -> bool {
        self.exit.is_some()
    }

    /// Whether nothing is left of it.
    pub fn is_gone(&self) -> bool {
        self.removed
    }

    /// After its end was told: until nothing is left of it.
    pub async fn gone(&mut self) {
        while !self.removed {
            match self.calls.join_next().await {
                Some(Ok(done)) => self.done(done),
                Some(Err(error)) => {
                    tracing::error!(session = self.id.session, %error, "a call to the runtime broke off")
                }
                None => self.removed = true,
            }
        }
    }

    /// Goes on until something happens; output is only read if it can be taken. May be dropped at any time.
    pub async fn next(&mut self, takes_output: bool) -> ProgramEvent {
        loop {
            if let Some(ended) = self.ended() {
                return ProgramEvent::Ended(ended);
            }
            let quiet = self.quiet_until(takes_output);
            let clock = Arc::clone(&self.clock);
            tokio::select! {
                Some(done) = self.calls.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) => tracing::error!(session = self.id.session, %error, "a call to the runtime broke off"),
                },
                (stream, read) = read(&mut self.outputs), if takes_output && self.started => {
                    match read {
                        Some(bytes) => {
                            self.quiet_until = None;
                            return ProgramEvent::Output(stream, bytes);
                        }
                        None => self.outputs[usize::from(stream == Stream::Stderr)] = None,
                    }
                }
                done = write(&mut self.stdin, &mut self.writes, &mut self.written) => {
                    if done {
                        self.close_input();
                    }
                }
                () = until(clock.as_ref(), quiet) => self.outputs = [None, None],
                () = until(clock.as_ref(), self.exit_until), if self.exit.is_none() => self.exit = Some(Err(unknown(&self.id))),
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Started(Ok(streams)) => {
                self.started = true;
                self.stdin = Some(streams.stdin);
                self.outputs = [Some(streams.stdout), streams.stderr];
                let (execs, id) = (Arc::clone(&self.execs), self.id.clone());
                self.calls
                    .spawn(async move { Done::Exited(execs.wait_exec(&id).await) });
                if self.hung_up {
                    self.end();
                }
                self.tell_size();
            }
            Done::Started(Err(error)) => {
                // Nothing that anybody could read; what there is is removed.
                self.exit = Some(Err(error));
                self.emptied = true;
            }
            Done::Exited(exit) => {
                self.exit = Some(exit);
                self.stdin = None;
                self.writes.clear();
                self.end();
            }
            Done::Emptied => {
                self.emptied = true;
                self.exit_until
                    .get_or_insert_with(|| self.clock.since_boot() + EXIT);
            }
            Done::Removed => self.removed = true,
            Done::Called => {
                self.resizing = false;
                self.tell_size();
            }
        }
    }

    fn end(&mut self) {
        let (execs, id) = (Arc::clone(&self.execs), self.id.clone());
        self.calls.spawn(async move {
            if let Err(error) = execs.end_exec(&id).await {
                tracing::warn!(session = id.session, %error, "processes of a session are left");
            }
            Done::Emptied
        });
    }

    /// Once it is known how it ended, and everything that it wrote was read.
    fn ended(&mut self) -> Option<Ended> {
        let over = self.exit.is_some() && self.emptied && self.outputs.iter().all(Option::is_none);
        if !over || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.remove();
        match self.exit.take()? {
            Ok(end) => Some(Ended {
                code: Some(end.code),
                reason: end
                    .container_ended
                    .then(|| "the container has stopped".to_owned()),
            }),
            Err(RuntimeError::NotFound(_)) => Some(Ended {
                code: None,
                reason: Some("the container does not run".to_owned()),
            }),
            Err(error) => Some(Ended {
                code: None,
                reason: Some(error.to_string()),
            }),
        }
    }

    fn remove(&mut self) {
        let (execs, clock, id) = (Arc::clone(&self.execs), Arc::clone(&self.clock), self.id.clone());
        self.calls.spawn(async move {
            if let Err(error) = until_there(clock.as_ref(), || execs.remove_exec(&id)).await {
                tracing::warn!(session = id.session, %error, "something of a session is left until the next start");
            }
            Done::Removed
        });
    }

    /// Until when the end of the output is waited for, of a process of which nothing is left.
    fn quiet_until(&mut self, takes_output: bool) -> Option<Duration> {
        let ends = self.outputs.iter().all(Option::is_none);
        if !takes_output || !self.emptied || ends {
            self.quiet_until = None;
            return None;
        }
        let until = self.quiet_until.unwrap_or_else(|| self.clock.since_boot() + REST);
        self.quiet_until = Some(until);
        Some(until)
    }

    fn tell_size(&mut self) {
        if !self.started || self.resizing || self.exit.is_some() {
            return;
        }
        if let Some(size) = self.size.take() {
            self.resizing = true;
            let (execs, clock, id) = (Arc::clone(&self.execs), Arc::clone(&self.clock), self.id.clone());
            self.calls.spawn(async move {
                if let Err(error) = until_there(clock.as_ref(), || execs.resize(&id, size)).await {
                    tracing::debug!(session = id.session, %error, "a terminal keeps its size");
                }
                Done::Called
            });
        }
    }

    fn close_input(&mut self) {
        self.stdin = None;
        let (execs, clock, id) = (Arc::clone(&self.execs), Arc::clone(&self.clock), self.id.clone());
        self.calls.spawn(async move {
            if let Err(error) = until_there(clock.as_ref(), || execs.close_input(&id)).await {
                tracing::debug!(session = id.session, %error, "a process is not told that its input has ended");
            }
            Done::Called
        });
    }
}

/// The processes of a session have ended, and its shim, which alone knows how, says nothing.
fn unknown(id: &ExecId) -> RuntimeError {
    RuntimeError::Unavailable {
        operation: "WaitExec",
        subject: id.to_string(),
        why: format!(
            "the runtime has not said how it ended within {} s",
            EXIT.as_secs()
        ),
    }
}

/// Asks the runtime, and again while it is away or can't see processes. Of a process that has ended meanwhile it says so when it is back.
async fn until_there<F: Future<Output = Result<(), RuntimeError>>>(
    clock: &dyn Clock,
    ask: impl Fn() -> F,
) -> Result<(), RuntimeError> {
    loop {
        match ask().await {
            Err(RuntimeError::Unavailable { .. } | RuntimeError::Unseen(_)) => clock.sleep(AGAIN).await,
            answer => return answer,
        }
    }
}

/// Reads a block of either stream; `None` is its end.
async fn read(outputs: &mut [Option<Output>; 2]) -> (Stream, Option<Vec<u8>>) {
    let names = [Stream::Stdout, Stream::Stderr];
    std::future::poll_fn(|context| {
        for (output, name) in outputs.iter_mut().zip(names) {
            if let Some(output) = output
                && let Poll::Ready(read) = poll_read(output, context)
            {
                return Poll::Ready((name, read));
            }
        }
        Poll::Pending
    })
    .await
}

/// The block is on the stack while it is read into, so that a process that says nothing has none.
fn poll_read(output: &mut Output, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
    let mut block = [std::mem::MaybeUninit::uninit(); BLOCK];
    let mut buffer = ReadBuf::uninit(&mut block);
    match Pin::new(output).poll_read(context, &mut buffer) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => Poll::Ready(Some(buffer.filled().to_vec())),
        Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(None),
    }
}

/// Writes what waits, piece by piece. Returns whether it was the end that came; never where there is nothing to write.
async fn write(stdin: &mut Option<Input>, writes: &mut VecDeque<Write>, written: &mut usize) -> bool {
    let (Some(input), Some(first)) = (stdin.as_mut(), writes.front()) else {
        return std::future::pending().await;
    };
    let bytes = match first {
        Write::Bytes(bytes) => bytes,
        Write::End => {
            writes.clear();
            return true;
        }
    };
    match input.write(&bytes[*written..]).await {
        Ok(n) if n > 0 => *written += n,
        // It reads no more.
        Ok(_) | Err(_) => *written = bytes.len(),
    }
    if *written >= bytes.len() {
        *written = 0;
        writes.pop_front();
    }
    false
}

async fn until(clock: &dyn Clock, at: Option<Duration>) {
    match at {
        Some(at) => clock.sleep(at.saturating_sub(clock.since_boot())).await,
        None => std::future::pending().await,
    }
}
