//! The shim's side of a connection: reading calls without waiting, answering them from any thread.
//!
//! Invariants:
//! - Whoever takes a [`Responder`] answers it once; one that is dropped answers INTERNAL, so that no client waits for
//!   ever for a call that was forgotten.
//! - Nobody who answers waits for the client. One that does not read its answers has them kept, [`MAX_UNREAD`] at most,
//!   by a thread that is there as long as it reads too slowly; after [`WRITE_DEADLINE`] without a byte it is cut off.
//!
//! Limits: calls that stream are refused; containerd's task API has none.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::Message;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::clock;

use super::frame::{self, Code, Parsed, Request, Response, Status};

/// How long an answer may take to be written. Long, since containerd takes a shim that it has lost for dead, and has its
/// containers killed: a machine that swaps must not come to that.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(120);
/// How many bytes of answers are kept for a client: some thousands of answers. containerd waits for far fewer.
pub const MAX_UNREAD: usize = 4 * frame::MAX_MESSAGE;
/// How much is read at once.
const READ: usize = 16 * 1024;
/// Of the thread that writes; it calls nothing that goes deep.
const STACK: usize = 64 * 1024;

/// A client's connection, the writing half.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// Held while a frame is written, so that frames don't mix.
    unread: Mutex<Unread>,
}

/// What a client has no room for.
#[derive(Debug, Default)]
struct Unread {
    frames: Vec<u8>,
    /// A thread writes them.
    writing: bool,
}

/// The reading half.
#[derive(Debug)]
pub struct Reader {
    connection: Arc<Connection>,
    buffer: Vec<u8>,
}

/// A call, and the way back.
#[derive(Debug)]
pub struct Call {
    /// What is called.
    pub request: Request,
    /// Where the answer goes.
    pub responder: Responder,
}

/// The way back to whoever called.
#[derive(Debug)]
pub struct Responder {
    connection: Arc<Connection>,
    stream: u32,
    answered: bool,
}

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More may come.
    Open,
    /// The client has gone, or sent what can't be read.
    Closed,
}

impl Reader {
    /// Takes a connection over.
    ///
    /// # Errors
    /// If it can't be set not to block.
    pub fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        let connection = Arc::new(Connection {
            stream,
            unread: Mutex::default(),
        });
        Ok(Self {
            connection,
            buffer: Vec::new(),
        })
    }

    /// Reads what is there and hands on each whole call.
    pub fn read(&mut self, mut each: impl FnMut(Call)) -> Progress {
        let mut chunk = [0; READ];
        match (&self.connection.stream).read(&mut chunk) {
            Ok(0) => return Progress::Closed,
            Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Progress::Closed,
        }
        let mut taken = 0;
        loop {
            match frame::parse(&self.buffer[taken..]) {
                Parsed::Incomplete => break,
                Parsed::TooLong(header) => {
                    let text = format!(
                        "a message of {} bytes is longer than {}",
                        header.length,
                        frame::MAX_MESSAGE
                    );
                    self.responder(header.stream).fail(Code::ResourceExhausted, text);
                    return Progress::Closed;
                }
                Parsed::Frame(header, place) => {
                    let responder = self.responder(header.stream);
                    let message = &self.buffer[taken + place.start..taken + place.end];
                    match (header.kind, Request::decode(message)) {
                        (frame::REQUEST, Ok(request)) => each(Call { request, responder }),
                        (frame::REQUEST, Err(error)) => {
                            responder.fail(Code::InvalidArgument, format!("no ttrpc request: {error}"));
                        }
                        _ => responder.fail(Code::Unimplemented, "the task API has no streams".into()),
                    }
                    taken += place.end;
                }
            }
        }
        self.buffer.drain(..taken);
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        Progress::Open
    }

    fn responder(&self, stream: u32) -> Responder {
        Responder {
            connection: Arc::clone(&self.connection),
            stream,
            answered: false,
        }
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.stream.as_fd()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Whoever still has a way back learns at once that there is none.
        let _ = self.connection.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Responder {
    /// Answers.
    pub fn answer(self, message: &impl Message) {
        self.send(&Response {
            status: None,
            payload: message.encode_to_vec(),
        });
    }

    /// Answers that it failed.
    pub fn fail(self, code: Code, message: String) {
        self.send(&failed(code, message));
    }

    /// Whether the client is still there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut fds = [PollFd::new(&self.connection.stream, PollFlags::empty())];
        let now = clock::timespec(Duration::ZERO);
        let _ = poll(&mut fds, Some(&now));
        !fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    fn send(mut self, response: &Response) {
        self.answered = true;
        self.connection
            .write(&frame::frame(self.stream, frame::RESPONSE, response));
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.answered {
            let response = failed(Code::Internal, "the shim dropped the call".into());
            self.connection
                .write(&frame::frame(self.stream, frame::RESPONSE, &response));
        }
    }
}

fn failed(code: Code, message: String) -> Response {
    Response {
        status: Some(Status {
            code: code as i32,
            message,
        }),
        payload: Vec::new(),
    }
}

impl Connection {
    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a frame, now or as the client reads.
    fn write(self: &Arc<Self>, frame: &[u8]) {
        let mut unread = self.unread();
        if !unread.writing {
            match self.send(frame) {
                Ok(sent) if sent == frame.len() => return,
                Ok(sent) => unread.frames.extend_from_slice(&frame[sent..]),
                Err(_) => return self.cut_off(&mut unread),
            }
            let connection = Arc::clone(self);
            let thread = std::thread::Builder::new()
                .name("answers".into())
                .stack_size(STACK);
            unread.writing = thread.spawn(move || connection.write_unread()).is_ok();
            if !unread.writing {
                self.cut_off(&mut unread);
            }
        } else if unread.frames.len() + frame.len() <= MAX_UNREAD {
            unread.frames.extend_from_slice(frame);
        } else {
            self.cut_off(&mut unread);
        }
    }

    /// Writes what is kept, until nothing is.
    fn write_unread(&self) {
        loop {
            let frames = {
                let mut unread = self.unread();
                if unread.frames.is_empty() {
                    unread.writing = false;
                    return;
                }
                std::mem::take(&mut unread.frames)
            };
            let mut rest = frames.as_slice();
            while !rest.is_empty() {
                match self.send(rest) {
                    Ok(0) if self.writable() => {}
                    Ok(sent) if sent > 0 => rest = &rest[sent..],
                    Ok(_) | Err(_) => {
                        let mut unread = self.unread();
                        unread.writing = false;
                        return self.cut_off(&mut unread);
                    }
                }
            }
        }
    }

    /// Writes as much as there is room for now.
    fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut sent = 0;
        while sent < bytes.len() {
            // MSG_NOSIGNAL: a client that has gone is no SIGPIPE.
            match rustix::net::send(&self.stream, &bytes[sent..], SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Half a frame can't be gone on from.
    fn cut_off(&self, unread: &mut Unread) {
        unread.frames = Vec::new();
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn writable(&self) -> bool {
        let mut fds = [PollFd::new(&self.stream, PollFlags::OUT)];
        let deadline = clock::timespec(WRITE_DEADLINE);
        poll(&mut fds, Some(&deadline)).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::task::{StateRequest, StateResponse};
    use std::io::Write as _;

    #[test]
    fn calls_are_answered_in_any_order_and_a_dropped_one_is_not_forgotten() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut reader = Reader::new(server).unwrap();
        let request = |id: &str| Request {
            service: "s".into(),
            method: "State".into(),
            payload: StateRequest {
                id: id.into(),
                exec_id: String::new(),
            }
            .encode_to_vec(),
            timeout_nano: 0,
        };
        let mut bytes = frame::frame(1, frame::REQUEST, &request("a"));
        bytes.extend(frame::frame(3, frame::REQUEST, &request("b")));
        let mut calls = Vec::new();
        for piece in bytes.chunks(7) {
            client.write_all(piece).unwrap();
            assert_eq!(reader.read(|call| calls.push(call)), Progress::Open);
        }
        let second = calls.pop().unwrap();
        second.responder.answer(&StateResponse {
            id: "b".into(),
            ..Default::default()
        });
        drop(calls);
        let mut answers = [0; 4096];
        let count = client.read(&mut answers).unwrap();
        let Parsed::Frame(header, place) = frame::parse(&answers[..count]) else {
            panic!("an answer")
        };
        assert_eq!(header.stream, 3);
        let Parsed::Frame(header, last) = frame::parse(&answers[place.end..count]) else {
            panic!("another")
        };
        assert_eq!(header.stream, 1);
        let dropped = Response::decode(&answers[place.end + last.start..place.end + last.end]).unwrap();
        assert_eq!(dropped.status.unwrap().code, Code::Internal as i32);
        drop(client);
        assert_eq!(reader.read(|_| ()), Progress::Closed);
    }
}
