//! A client's FIFO for output: clients come late, go away, and come back.
//!
//! Only the write end is open, and only while a client has the other one. So a client that goes is noticed, and what
//! comes then is dropped rather than left to fill the FIFO. Before the first one has come, output waits for it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;

/// How often the first client is looked for: 30 s of the engine's ticks. containerd's own shims wait as long.
const TRIES: u32 = 3000;

/// The write end, when there is someone to read.
#[derive(Debug)]
pub(super) struct Fifo {
    path: PathBuf,
    writer: Option<File>,
    /// How often the first client may still be looked for; 0 once it has come.
    tries: u32,
}

/// What became of bytes that were offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// So many were taken.
    Taken(usize),
    /// The client has to read first.
    Full,
    /// No client has come yet; it still may.
    NotYet,
    /// There is no client.
    Nobody,
}

impl Fifo {
    /// `None` if the path is something else than a FIFO.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        if !std::fs::metadata(path)?.file_type().is_fifo() {
            return Ok(None);
        }
        let mut fifo = Self {
            path: path.into(),
            writer: None,
            tries: TRIES,
        };
        fifo.connect();
        Ok(Some(fifo))
    }

    /// Whether a client is there, looked for if need be.
    pub(super) fn connect(&mut self) -> bool {
        if self.writer.is_none() {
            // It fails if nobody reads, and also if the client has taken the FIFO away with itself.
            self.writer = OpenOptions::new()
                .write(true)
                .custom_flags(O_NONBLOCK)
                .open(&self.path)
                .ok();
        }
        if self.writer.is_some() {
            self.tries = 0;
        }
        self.writer.is_some()
    }

    /// Whether the first client is still waited for.
    pub(super) fn is_expected(&self) -> bool {
        self.tries > 0
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        self.tries = self.tries.saturating_sub(1);
    }

    /// Don't wait for a client that hasn't come.
    pub(super) fn give_up(&mut self) {
        self.tries = 0;
    }

    pub(super) fn offer(&mut self, bytes: &[u8]) -> Offer {
        // The client that has left may have made room for the next one, but not twice within one call.
        for _ in 0..2 {
            if !self.connect() {
                break;
            }
            let Some(writer) = &mut self.writer else { break };
            match writer.write(bytes) {
                Ok(count) => return Offer::Taken(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Offer::Taken(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Offer::Full,
                Err(_) => self.writer = None,
            }
        }
        if self.is_expected() {
            Offer::NotYet
        } else {
            Offer::Nobody
        }
    }

    /// The write end, to wait on.
    pub(super) fn writer(&self) -> Option<BorrowedFd<'_>> {
        self.writer.as_ref().map(AsFd::as_fd)
    }
}
