//! A client: one call at a time, each with a deadline.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use prost::Message;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::frame::{self, Code, HEADER, Header, Request, Response, Status};

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    next: u32,
}

/// A call that gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other side refused; the connection is good.
    #[error("{}", .0.message)]
    Refused(Status),
    /// The connection is of no more use: connect again.
    #[error("the connection failed")]
    Broken(#[source] std::io::Error),
}

impl CallError {
    /// Whether the other side refused with this code.
    #[must_use]
    pub fn is(&self, code: Code) -> bool {
        matches!(self, Self::Refused(status) if status.code == code as i32)
    }
}

impl Client {
    /// Connects. This, and each read or write of a call, takes `deadline` at most.
    ///
    /// # Errors
    /// As the system has it: nobody listens, there is no such socket, or [`WouldBlock`] where too many wait already for
    /// whoever listens.
    ///
    /// [`WouldBlock`]: std::io::ErrorKind::WouldBlock
    pub fn connect(path: &Path, deadline: Duration) -> std::io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // Before the connection: it waits as long as a write.
        set_socket_timeout(&socket, Timeout::Send, Some(deadline))?;
        connect(&socket, &address)?;
        let stream = UnixStream::from(socket);
        stream.set_read_timeout(Some(deadline))?;
        Ok(Self { stream, next: 1 })
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call<R: Message + Default>(
        &mut self,
        service: &str,
        method: &str,
        request: &impl Message,
    ) -> Result<R, CallError> {
        let stream = self.next;
        self.next = self.next.wrapping_add(2);
        let request = Request {
            service: service.to_owned(),
            method: method.to_owned(),
            payload: request.encode_to_vec(),
            timeout_nano: 0,
        };
        let frame = frame::frame(stream, frame::REQUEST, &request);
        self.stream.write_all(&frame).map_err(CallError::Broken)?;
        loop {
            let (header, message) = self.frame().map_err(CallError::Broken)?;
            // What answers an earlier call that nobody waited for.
            if header.stream != stream || header.kind != frame::RESPONSE {
                continue;
            }
            let response = Response::decode(message.as_slice()).map_err(broken)?;
            return match response.status {
                Some(status) if status.code != 0 => Err(CallError::Refused(status)),
                _ => R::decode(response.payload.as_slice()).map_err(broken),
            };
        }
    }

    fn frame(&mut self) -> std::io::Result<(Header, Vec<u8>)> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header)?;
        let header = Header::parse(&header);
        if header.length > frame::MAX_MESSAGE {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; header.length];
        self.stream.read_exact(&mut message)?;
        Ok((header, message))
    }
}

fn broken(error: prost::DecodeError) -> CallError {
    CallError::Broken(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
}
