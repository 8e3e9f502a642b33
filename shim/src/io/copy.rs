//! One stream: what it reads from, what it writes to, and what is on its way between them.

use std::fs::File;
use std::mem;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::open::unblock;
use super::sink::{Sink, Taken, Tools};
use super::status::Status;

/// As much as a pipe holds, unless somebody made it larger.
pub(super) const READ: usize = 64 * 1024;
/// The same where it may have to be kept, for a reader that is slow.
const READ_TO_KEEP: usize = 32 * 1024;
/// How much the pipe of a process that has filled it once may hold: what it writes while the stream rests. Its pages are
/// the process's own memory for its cgroup, so it is not made larger than it pays.
const PIPE: i32 = 256 * 1024;
/// How many reads a stream gets at its close, whatever goes on being written.
const LAST_READS: usize = 64;

/// One direction of a process's I/O.
#[derive(Debug)]
pub(super) struct Copy {
    direction: Direction,
    /// Does not block. `None` once it has ended.
    source: Option<OwnedFd>,
    sink: Sink,
    /// Read, but not taken yet.
    pending: Vec<u8>,
    pace: Pace,
}

/// How fast a stream is read.
#[derive(Debug, Default)]
struct Pace {
    /// The next read can wait until there is more.
    rests: bool,
    /// The pipe has been made larger, or can't be.
    widened: bool,
}

#[derive(Debug)]
enum Direction {
    /// To the process. `keeper` is a write end of the client's FIFO: while it is there, clients may go and come.
    Input { keeper: Option<File> },
    /// From the process.
    Output {
        status: Arc<Status>,
        phase: Phase,
        /// The source is a console.
        console: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The process runs.
    Open,
    /// It has ended: what is there is passed on.
    Closing,
    /// The target is closed; whoever still writes is read from, so that nothing happens to him.
    Closed,
}

/// What a stream waits for.
#[derive(Debug)]
pub(super) enum Want<'a> {
    /// That this can be read, or has ended.
    Read(BorrowedFd<'a>),
    /// That the last writer of this is gone.
    HangUp(BorrowedFd<'a>),
    /// That this can be written.
    Write(BorrowedFd<'a>),
    /// The next tick.
    Tick,
    /// The end of a rest: to be stepped then.
    Rest,
    /// Nothing: it is over.
    End,
}

impl Pace {
    /// Takes note of a read. A process that writes little at a time, but without end, would wake the thread for each
    /// write, and be held up by that itself.
    fn read(&mut self, source: &OwnedFd, count: usize) {
        // Where the buffer was filled, more is there.
        self.rests = count < READ;
        if count == READ && !self.widened {
            self.widened = true;
            // A console has no size, and a user's pipes may have used up what they may have: then it stays as it is.
            let _ = fcntl(source, FcntlArg::F_SETPIPE_SZ(PIPE));
        }
    }
}

impl Copy {
    pub(super) fn input(source: OwnedFd, keeper: File, sink: OwnedFd) -> Self {
        Self {
            direction: Direction::Input { keeper: Some(keeper) },
            source: Some(source),
            sink: Sink::Process(sink),
            pending: Vec::new(),
            pace: Pace::default(),
        }
    }

    /// `status` has counted it already.
    pub(super) fn output(source: OwnedFd, sink: Sink, console: bool, status: Arc<Status>) -> Self {
        Self {
            direction: Direction::Output {
                status,
                phase: Phase::Open,
                console,
            },
            source: Some(source),
            sink,
            pending: Vec::new(),
            pace: Pace::default(),
        }
    }

    pub(super) fn want(&mut self) -> Want<'_> {
        if !self.pending.is_empty() || self.source.is_none() {
            if self.sink.expecting().is_some() {
                return Want::Tick;
            }
            return match self.sink.writer() {
                Some(writer) if !self.pending.is_empty() => Want::Write(writer),
                _ => Want::End,
            };
        }
        match (&self.source, &self.sink) {
            (None, _) => Want::End,
            (Some(source), Sink::Logger) => Want::HangUp(source.as_fd()),
            (Some(_), _) if self.pace.rests => Want::Rest,
            (Some(source), _) => Want::Read(source.as_fd()),
        }
    }

    /// Whether each tick is to be told, so that the first client is let in however quiet the process is.
    pub(super) fn expects_client(&mut self) -> bool {
        self.sink.expecting().is_some()
    }

    /// Does what can be done now: passes on what is pending, else one read.
    pub(super) fn step(&mut self, buffer: &mut [u8], tools: &mut Tools) {
        if !self.pending.is_empty() {
            let mut pending = mem::take(&mut self.pending);
            if let Some(taken) = self.give(&pending, tools) {
                pending.drain(..taken);
                self.pending = pending;
                return;
            }
        }
        self.pace.rests = false;
        let Some(source) = &self.source else { return };
        let size = if self.sink.may_wait() { READ_TO_KEEP } else { READ };
        match nix::unistd::read(source, &mut buffer[..size]) {
            Ok(count) if count > 0 => {
                // A console holds too little to be left alone.
                let console = matches!(self.direction, Direction::Output { console: true, .. });
                if !self.sink.may_wait() && !console {
                    self.pace.read(source, count);
                }
                if let Some(taken) = self.give(&buffer[..count], tools) {
                    self.pending = buffer[taken..count].to_vec();
                }
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => self.idle(tools),
            // A console says EIO when its last user has gone.
            Ok(_) | Err(_) => self.source_ended(),
        }
    }

    /// Leaves the stream alone until the rest of others ends, though there was nothing to read.
    pub(super) fn rest(&mut self) {
        self.pace.rests = true;
    }

    /// Gives bytes to the sink; `Some` is how many it took if the rest has to wait.
    fn give(&mut self, bytes: &[u8], tools: &mut Tools) -> Option<usize> {
        let dropped = match self.sink.give(bytes, tools) {
            Taken::Part(taken) => return Some(taken),
            Taken::All { dropped } => dropped,
            Taken::Gone => {
                self.sink = Sink::Nowhere;
                bytes.len()
            }
        };
        match &mut self.direction {
            Direction::Output { status, .. } => status.drop_bytes(dropped),
            // The process has closed its stdin: the client's writes shall fail too.
            Direction::Input { keeper } if dropped > 0 => {
                *keeper = None;
                self.source = None;
            }
            Direction::Input { .. } => {}
        }
        None
    }

    fn source_ended(&mut self) {
        self.source = None;
        if let Sink::Fifo(fifo) = &mut self.sink {
            // A client that waits for the first byte shall see the end.
            fifo.connect();
        }
    }

    /// There is nothing to read now.
    fn idle(&mut self, tools: &mut Tools) {
        let expects_client = self.expects_client();
        if let Direction::Output { phase, console, .. } = &self.direction
            && *phase == Phase::Closing
            && !expects_client
        {
            if *console {
                self.source = None;
            }
            self.finish(tools);
        }
    }

    /// Every writer of a logger's pipe has gone.
    pub(super) fn hung_up(&mut self) {
        if matches!(self.sink, Sink::Logger) {
            self.source_ended();
        }
    }

    /// The logger that reads this stream has died.
    pub(super) fn logger_ended(&mut self) {
        if matches!(self.sink, Sink::Logger) {
            self.sink = Sink::Nowhere;
            // While it lived it shared the pipe's flags. They can be changed as long as the pipe is one.
            let _ = self.source.as_ref().map(unblock);
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, buffer: &mut [u8], tools: &mut Tools) {
        if let Some(fifo) = self.sink.expecting() {
            fifo.tick();
            fifo.connect();
        }
        self.step(buffer, tools);
    }

    pub(super) fn close_stdin(&mut self) {
        if let Direction::Input { keeper } = &mut self.direction {
            *keeper = None;
        }
    }

    /// The process has ended: passes on what is there, and closes the target. Not before its first client has come, and
    /// not while a logger reads.
    pub(super) fn drain(&mut self, buffer: &mut [u8], tools: &mut Tools) {
        if let Direction::Output { phase, .. } = &mut self.direction
            && *phase != Phase::Closed
            && !matches!(self.sink, Sink::Logger)
        {
            *phase = Phase::Closing;
            for _ in 0..LAST_READS {
                self.step(buffer, tools);
                if self.is_closed() || !self.pending.is_empty() || self.expects_client() {
                    return;
                }
            }
            self.finish(tools);
        }
    }

    /// As [`Copy::drain`], but waits for nobody. True if the stream is over with that.
    pub(super) fn close(&mut self, buffer: &mut [u8], tools: &mut Tools) -> bool {
        if matches!(self.direction, Direction::Input { .. }) {
            return true;
        }
        if let Some(fifo) = self.sink.expecting() {
            fifo.give_up();
        }
        if matches!(self.sink, Sink::Logger) {
            // It goes on reading until it ends.
            self.finish(tools);
        }
        self.drain(buffer, tools);
        false
    }

    fn is_closed(&self) -> bool {
        matches!(
            &self.direction,
            Direction::Output {
                phase: Phase::Closed,
                ..
            }
        )
    }

    /// Closes the target, and says so. For the end, whichever comes first of that of the stream and that of the process.
    pub(super) fn finish(&mut self, tools: &mut Tools) {
        let Direction::Output { status, phase, .. } = &mut self.direction else {
            return;
        };
        if *phase == Phase::Closed {
            return;
        }
        *phase = Phase::Closed;
        self.sink.finish(tools);
        if !matches!(self.sink, Sink::Logger) {
            self.sink = Sink::Nowhere;
        }
        status.end();
    }
}
