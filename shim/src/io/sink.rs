//! Where a stream's bytes go.

use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use super::fifo::{Fifo, Offer};
use super::raw_file::RawFile;
use crate::log::{LogFile, LogStream};

/// What all streams share while the thread works on one of them.
pub(super) struct Tools {
    pub(super) batch: Vec<u8>,
    pub(super) time: String,
    pub(super) now: fn() -> jiff::Timestamp,
}

impl Tools {
    /// Takes the time, for what was read just now.
    pub(super) fn stamp(&mut self) {
        self.time.clear();
        // Writing to a String can't fail.
        let _ = write!(self.time, "{:.9}", (self.now)());
    }
}

/// A stream's target.
#[derive(Debug)]
pub(super) enum Sink {
    /// Our json-file log, which both streams share.
    Log(LogStream, Arc<Mutex<LogFile>>),
    /// A file, which both streams share.
    File(Arc<Mutex<RawFile>>),
    /// A client's FIFO.
    Fifo(Fifo),
    /// A pipe or a console that a process reads; does not block.
    Process(OwnedFd),
    /// A logger reads the stream itself; only its end is looked for.
    Logger,
    /// Nobody wants it, or nobody is left that does.
    Nowhere,
}

/// What became of bytes that were given to a sink.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// They are done with, so many of them dropped.
    All {
        /// Bytes.
        dropped: usize,
    },
    /// The first so many are; the rest has to wait.
    Part(usize),
    /// The reader is gone for good.
    Gone,
}

impl Sink {
    pub(super) fn give(&mut self, bytes: &[u8], tools: &mut Tools) -> Taken {
        match self {
            Self::Log(stream, log) => {
                tools.stamp();
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                stream.write(bytes, &tools.time, &mut tools.batch, &mut log);
                Taken::All { dropped: 0 }
            }
            Self::File(file) => {
                tools.stamp();
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let dropped = file.write(bytes, &tools.time);
                Taken::All { dropped }
            }
            Self::Fifo(fifo) => give_fifo(fifo, bytes),
            Self::Process(fd) => give_process(fd.as_fd(), bytes),
            Self::Logger | Self::Nowhere => Taken::All { dropped: bytes.len() },
        }
    }

    /// The stream has ended. A FIFO's reader sees that when the sink is dropped.
    pub(super) fn finish(&mut self, tools: &mut Tools) {
        match self {
            Self::Log(stream, log) => {
                tools.stamp();
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                stream.finish(&tools.time, &mut tools.batch, &mut log);
            }
            Self::File(file) => {
                tools.stamp();
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.finish(&tools.time);
            }
            Self::Fifo(_) | Self::Process(_) | Self::Logger | Self::Nowhere => {}
        }
    }

    /// Whether the sink takes a stream only as fast as someone reads: then a read is kept small, as it may have to wait.
    pub(super) fn may_wait(&self) -> bool {
        match self {
            Self::Fifo(_) | Self::Process(_) => true,
            Self::Log(..) | Self::File(_) | Self::Logger | Self::Nowhere => false,
        }
    }

    /// The descriptor to wait on until the sink takes more.
    pub(super) fn writer(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Fifo(fifo) => fifo.writer(),
            Self::Process(fd) => Some(fd.as_fd()),
            Self::Log(..) | Self::File(_) | Self::Logger | Self::Nowhere => None,
        }
    }

    /// The client's FIFO, while its first reader is waited for.
    pub(super) fn expecting(&mut self) -> Option<&mut Fifo> {
        match self {
            Self::Fifo(fifo) if fifo.is_expected() => Some(fifo),
            Self::Fifo(_)
            | Self::Log(..)
            | Self::File(_)
            | Self::Process(_)
            | Self::Logger
            | Self::Nowhere => None,
        }
    }
}

fn give_fifo(fifo: &mut Fifo, bytes: &[u8]) -> Taken {
    let mut taken = 0;
    while taken < bytes.len() {
        match fifo.offer(&bytes[taken..]) {
            Offer::Taken(count) => taken += count,
            Offer::Full | Offer::NotYet => return Taken::Part(taken),
            Offer::Nobody => {
                return Taken::All {
                    dropped: bytes.len() - taken,
                };
            }
        }
    }
    Taken::All { dropped: 0 }
}

fn give_process(fd: BorrowedFd<'_>, bytes: &[u8]) -> Taken {
    let mut taken = 0;
    while taken < bytes.len() {
        match nix::unistd::write(fd, &bytes[taken..]) {
            Ok(count) => taken += count,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Taken::Part(taken),
            Err(_) => return Taken::Gone,
        }
    }
    Taken::All { dropped: 0 }
}
