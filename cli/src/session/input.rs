//! Standard input, read by a thread of its own: a terminal, a file or a pipe, none of which may be made non-blocking, as
//! others have it too.
//!
//! Invariants: at most two pieces are read that nobody has taken, so a fast source waits; the thread ends with the value.
//! Where another process reads from the same source, it may be held in a read until more comes: then it ends with the
//! program.

use std::io;
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

use super::SessionError;

/// The most bytes that are read at once: a message of the data channel carries them.
const PIECE: usize = 16 * 1024;
/// One that is waited for, and one that is read ahead.
const AHEAD: usize = 1;

/// What is read, as it comes.
pub struct Input {
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// Closed with this value, which the thread notices.
    _alive: io::PipeWriter,
}

impl Input {
    /// Begins to read.
    ///
    /// # Errors
    /// [`SessionError::Local`], if the system has no room for a thread.
    pub fn start() -> Result<Self, SessionError> {
        let local = |source| SessionError::Local {
            what: "standard input",
            source,
        };
        let (ended, alive) = io::pipe().map_err(local)?;
        let (sender, pieces) = mpsc::channel(AHEAD);
        let read = move || {
            while let Some(piece) = next(&ended) {
                let is_last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
                if sender.blocking_send(piece).is_err() || is_last {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(read)
            .map_err(local)?;
        Ok(Self {
            pieces,
            _alive: alive,
        })
    }

    /// The next piece; an empty one at the end. It may be dropped at any time.
    ///
    /// # Errors
    /// [`SessionError::Local`].
    pub async fn next(&mut self) -> Result<Vec<u8>, SessionError> {
        let piece = self.pieces.recv().await.unwrap_or(Ok(Vec::new()));
        piece.map_err(|source| SessionError::Local {
            what: "standard input",
            source,
        })
    }
}

/// What can be read; nothing once nobody wants it any more.
fn next(ended: &io::PipeReader) -> Option<io::Result<Vec<u8>>> {
    let stdin = io::stdin();
    loop {
        let mut both = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(ended, PollFlags::IN),
        ];
        match poll(&mut both, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Some(Err(error.into())),
        }
        if !both[1].revents().is_empty() {
            return None;
        }
        let mut piece = vec![0; PIECE];
        match rustix::io::read(stdin.as_fd(), &mut piece[..]) {
            Ok(length) => {
                piece.truncate(length);
                return Some(Ok(piece));
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Some(Err(error.into())),
        }
    }
}
