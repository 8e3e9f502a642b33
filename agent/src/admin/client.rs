//! The asking end of the admin socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::LogQuery;
use crate::blocking;
use crate::http::chain;

/// How long an answer may take to begin.
const DEADLINE: Duration = Duration::from_secs(15);
/// The most bytes of an answer that is no stream: some thousand tasks.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// The most bytes of a line: a record is far below.
const MAX_LINE: usize = 1024 * 1024;

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody is there.
    #[error("no agent answers at {path}: {why}; is `longshore-agent run` running with these settings?")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The agent said no.
    #[error("{0}")]
    Refused(String),
    /// Something else came than what was asked for.
    #[error("the agent's answer at {path} broke off: {why}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Asks an agent on this machine.
#[derive(Clone, Debug)]
pub struct AdminClient {
    path: PathBuf,
}

/// An answer in lines, as they come.
pub struct Lines {
    path: PathBuf,
    body: Incoming,
    buffer: BytesMut,
    /// Drives the connection and ends with this value.
    _connection: JoinSet<()>,
}

impl AdminClient {
    /// By the agent's socket. A runtime in which it asks must not wait for its blocking threads when it ends: one of them may
    /// hang.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Asks for something whole.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let (body, _connection) = self.ask(path).await?;
        let body = Limited::new(body, MAX_ANSWER).collect();
        let body = tokio::time::timeout(DEADLINE, body)
            .await
            .map_err(|_| self.broken("it takes too long"))?
            .map_err(|error| self.broken(error))?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| self.broken(error))
    }

    /// Asks for a container's output.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn logs(&self, query: &LogQuery) -> Result<Lines, AdminError> {
        let (body, connection) = self.ask(&query.path()).await?;
        Ok(Lines {
            path: self.path.clone(),
            body,
            buffer: BytesMut::new(),
            _connection: connection,
        })
    }

    async fn ask(&self, path: &str) -> Result<(Incoming, JoinSet<()>), AdminError> {
        let mut connections = JoinSet::new();
        let stream = self.connect().await?;
        let exchange = tokio::time::timeout(DEADLINE, self.exchange(stream, path, &mut connections));
        let response = exchange
            .await
            .map_err(|_| self.unreachable("it does not answer"))??;
        let status = response.status();
        if status.is_success() {
            return Ok((response.into_body(), connections));
        }
        let body = Limited::new(response.into_body(), MAX_LINE).collect();
        let body = tokio::time::timeout(DEADLINE, body)
            .await
            .map_err(|_| self.broken("it takes too long"))?
            .map_err(|error| self.broken(error))?;
        #[derive(Deserialize)]
        struct ErrorBody {
            message: String,
        }
        let error: Result<ErrorBody, _> = serde_json::from_slice(&body.to_bytes());
        Err(AdminError::Refused(
            error.map_or_else(|_| status.to_string(), |body| body.message),
        ))
    }

    async fn exchange(
        &self,
        stream: UnixStream,
        path: &str,
        connections: &mut JoinSet<()>,
    ) -> Result<http::Response<Incoming>, AdminError> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(chain(&error)))?;
        connections.spawn(async move {
            // What goes wrong here is seen by who reads the answer.
            let _ = connection.await;
        });
        let request = http::Request::get(path)
            .header(http::header::HOST, "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.unreachable(error))?;
        sender
            .send_request(request)
            .await
            .map_err(|error| self.unreachable(chain(&error)))
    }

    /// Connecting is a matter of the file system too: it may update the socket's access time, and on a disk that hangs that
    /// does not come back, however little the socket itself may block. So it is done where nobody has to wait for it.
    async fn connect(&self) -> Result<UnixStream, AdminError> {
        let path = self.path.clone();
        let connecting = blocking::DISK.io(move || {
            let stream = std::os::unix::net::UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        tokio::time::timeout(DEADLINE, connecting)
            .await
            .map_err(|_| self.unreachable("connecting takes too long, maybe since its disk hangs"))?
            .and_then(UnixStream::from_std)
            .map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> AdminError {
        AdminError::Unreachable {
            path: self.path.clone(),
            why: why.to_string(),
        }
    }

    fn broken(&self, why: impl std::fmt::Display) -> AdminError {
        AdminError::Broken {
            path: self.path.clone(),
            why: why.to_string(),
        }
    }
}

impl Lines {
    /// The next line's value; `None` at the end.
    ///
    /// # Errors
    /// [`AdminError::Broken`].
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, AdminError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| self.broken(error));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(self.broken("a line is too long"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend(frame.data_ref().into_iter().flatten()),
                Some(Err(error)) => return Err(self.broken(chain(&error))),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(self.broken("the last line has no end")),
            }
        }
    }

    fn broken(&self, why: impl std::fmt::Display) -> AdminError {
        AdminError::Broken {
            path: self.path.clone(),
            why: why.to_string(),
        }
    }
}
