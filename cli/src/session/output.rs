//! Standard output and standard error, written by a thread of its own, in the order in which they came.
//!
//! Invariants: at most [`QUEUE`] pieces wait, and [`Writer::put`] is waited for before more is read from the network: a
//! slow reader slows the command down, and takes no memory here. A thread that is held by a reader who never reads ends
//! with the program.

use std::io;

use longshore_protocol::data_channel::host::Output;
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{mpsc, oneshot};

use super::SessionError;

/// Bytes for one of the two.
pub type Piece = (Output, Vec<u8>);
/// How many lists of pieces wait: one that is written, and one that follows at once.
const QUEUE: usize = 1;

/// Where they are put.
pub struct Writer {
    pieces: mpsc::Sender<Vec<Piece>>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`SessionError::Local`], if the system has no room for it.
    pub fn start() -> Result<Self, SessionError> {
        let (pieces, mut to_write) = mpsc::channel::<Vec<Piece>>(QUEUE);
        let (end, ended) = oneshot::channel();
        let write = move || {
            let mut written = Ok(());
            while let Some(list) = to_write.blocking_recv()
                && written.is_ok()
            {
                written = list.iter().try_for_each(|(output, bytes)| put(*output, bytes));
            }
            // Nobody listens if the program is about to end.
            let _ = end.send(written);
        };
        std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(write)
            .map_err(local)?;
        Ok(Self { pieces, ended })
    }

    /// Waits until a list can be put at once, and puts it. Dropped before that, it has not taken it.
    ///
    /// # Errors
    /// [`SessionError::Local`], if what was put before could not be written.
    pub async fn put(&mut self, list: &mut Vec<Piece>) -> Result<(), SessionError> {
        if let Ok(place) = self.pieces.reserve().await {
            place.send(std::mem::take(list));
            return Ok(());
        }
        self.end().await
    }

    /// Puts a list if it can be put at once, and leaves it otherwise.
    pub fn try_put(&mut self, list: &mut Vec<Piece>) {
        if let Ok(place) = self.pieces.try_reserve() {
            place.send(std::mem::take(list));
        }
    }

    /// Waits until all that was put is written. Nothing can be put afterwards.
    ///
    /// # Errors
    /// [`SessionError::Local`].
    pub async fn finish(&mut self) -> Result<(), SessionError> {
        self.pieces = mpsc::channel(1).0;
        self.end().await
    }

    async fn end(&mut self) -> Result<(), SessionError> {
        (&mut self.ended).await.unwrap_or(Ok(())).map_err(local)
    }
}

fn local(source: io::Error) -> SessionError {
    SessionError::Local {
        what: "standard output",
        source,
    }
}

fn put(output: Output, bytes: &[u8]) -> io::Result<()> {
    match output {
        Output::Stdout => all(&io::stdout(), bytes),
        Output::Stderr => all(&io::stderr(), bytes),
    }
}

/// Past the standard library's buffer, which would keep what has no line's end.
fn all(stream: &impl std::os::fd::AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stream, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            // Somebody who has it too made it so.
            Err(rustix::io::Errno::AGAIN) => match poll(&mut [PollFd::new(stream, PollFlags::OUT)], None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
