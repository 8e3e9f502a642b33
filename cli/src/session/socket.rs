//! The websocket of a session, at its client.
//!
//! Invariants: what is to be written never keeps from reading, so that two sides that both write can't wait for each
//! other; what is queued is bounded by what the other side may send without an acknowledgement, past which nothing is
//! read; nothing is read while [`Socket::next`] is told so, and what then waits, waits in the network.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use longshore_protocol::data_channel::payload::OpenDataChannel;
use longshore_protocol::session::MAX_MESSAGE_BYTES;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use uuid::Uuid;

use super::{Opened, SessionError};
use crate::api::{self, ApiError};

/// For the upgrade, once the connection stands.
const UPGRADE: Duration = Duration::from_secs(10);
/// How often we ping: less than what ways between forget idle connections after.
const PING: Duration = Duration::from_secs(20);
/// Without a word for so long, the other side is gone: three pings.
const SILENCE: Duration = Duration::from_secs(60);
/// The most messages that wait to be written: twice what a host sends without an acknowledgement.
const QUEUE: usize = 1024;
/// The most messages that are read before what they bring about is done.
const AT_ONCE: usize = 16;
/// For reading; output comes in messages of some KiB.
const READ_BUFFER: usize = 64 * 1024;
/// What clients in use call the version of the text by which they open the channel.
const SCHEMA: &str = "1.0";

/// Why there is no socket.
#[derive(Debug)]
pub enum DialError {
    /// The same may work a little later.
    Later(String),
    /// It won't.
    Never(SessionError),
}

/// An open one.
pub struct Socket {
    stream: WebSocketStream<api::Stream>,
    queue: VecDeque<Message>,
    /// Something was given to the stream that it may still have.
    unflushed: bool,
    /// Why nothing more can be read.
    failure: Option<String>,
    heard: Instant,
    next_ping: Instant,
}

impl Socket {
    /// Dials, and opens the channel. `id` is the client's own, the same for all its sockets.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn open(client: &api::Client, opened: &Opened, id: Uuid) -> Result<Self, DialError> {
        let connection = client.connect(&opened.url).await.map_err(|error| match error {
            ApiError::Unreachable { .. } => DialError::Later(error.to_string()),
            other => DialError::Never(other.into()),
        })?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let upgrade =
            tokio_tungstenite::client_async_with_config(opened.url.as_str(), connection, Some(config));
        let refused = |error| refusal(error, opened);
        let (stream, _) = tokio::time::timeout(UPGRADE, upgrade)
            .await
            .map_err(|_| DialError::Later(format!("no upgrade within {} s", UPGRADE.as_secs())))?
            .map_err(refused)?;
        let mut socket = Self {
            stream,
            queue: VecDeque::new(),
            unflushed: false,
            failure: None,
            heard: Instant::now(),
            next_ping: Instant::now() + PING,
        };
        socket.queue.push_back(Message::text(opening(opened, id)));
        Ok(socket)
    }

    /// Puts messages of the data channel where they are written from.
    pub fn push(&mut self, frames: impl Iterator<Item = Vec<u8>>) {
        self.queue.extend(frames.map(Message::binary));
    }

    /// Writes what there is, and reads, if it may: the next messages of the data channel, at least one. It may be dropped
    /// at any time.
    ///
    /// # Errors
    /// Why the socket is of no use any more.
    pub async fn next(&mut self, may_read: bool) -> Result<Vec<Bytes>, String> {
        if !may_read {
            // A peer that isn't listened to is not silent.
            self.heard = Instant::now();
        }
        loop {
            let ping = self.next_ping;
            tokio::select! {
                biased;
                messages = std::future::poll_fn(|context| self.step(context, may_read)) => return messages,
                () = tokio::time::sleep_until(ping) => {
                    if may_read && self.heard.elapsed() >= SILENCE {
                        return Err(format!("nothing came for {} s", SILENCE.as_secs()));
                    }
                    self.queue.push_back(Message::Ping(Bytes::from_static(b"keepalive")));
                    self.next_ping = Instant::now() + PING;
                }
            }
        }
    }

    /// Writes what is queued, for as long as the caller waits.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn flush(&mut self) -> Result<(), String> {
        std::future::poll_fn(|context| self.write(context)).await
    }

    fn step(&mut self, context: &mut Context<'_>, may_read: bool) -> Poll<Result<Vec<Bytes>, String>> {
        loop {
            if let Poll::Ready(Err(why)) = self.write(context) {
                return Poll::Ready(Err(why));
            }
            if !may_read || self.queue.len() >= QUEUE {
                return Poll::Pending;
            }
            let flushed = !self.unflushed;
            match self.read(context) {
                // A ping was answered: that is still to be written.
                Poll::Pending if flushed && self.unflushed => {}
                other => return other,
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        while !self.queue.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_ready(context)).map_err(|error| words(&error))?;
            if let Some(message) = self.queue.pop_front() {
                self.unflushed = true;
                let sent = Pin::new(&mut self.stream).start_send(message);
                sent.map_err(|error| words(&error))?;
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context)).map_err(|error| words(&error))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn read(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Bytes>, String>> {
        let mut messages = Vec::new();
        while self.failure.is_none() && messages.len() < AT_ONCE {
            let message = match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => {
                    self.failure = Some(words(&error));
                    break;
                }
                Poll::Ready(None) => {
                    self.failure = Some("it was closed".to_owned());
                    break;
                }
            };
            self.heard = Instant::now();
            match message {
                Message::Binary(bytes) => messages.push(bytes),
                // The stream answers pings by itself, at the next write.
                Message::Ping(_) => self.unflushed = true,
                Message::Text(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
            }
        }
        match (messages.is_empty(), &self.failure) {
            (false, _) => Poll::Ready(Ok(messages)),
            (true, Some(why)) => Poll::Ready(Err(why.clone())),
            (true, None) => Poll::Pending,
        }
    }
}

/// The text by which the channel is opened.
fn opening(opened: &Opened, id: Uuid) -> String {
    let open = OpenDataChannel {
        message_schema_version: SCHEMA.to_owned(),
        request_id: Uuid::new_v4().to_string(),
        token_value: opened.token.clone(),
        client_id: id.to_string(),
        client_version: Some(super::VERSION.to_owned()),
    };
    // Strings: nothing in them can fail to be JSON.
    serde_json::to_string(&open).unwrap_or_default()
}

/// Why the upgrade did not come about, and whether it may.
fn refusal(error: WsError, opened: &Opened) -> DialError {
    match error {
        WsError::Http(answer) if !answer.status().is_server_error() => {
            DialError::Never(SessionError::Refused {
                url: opened.url.to_string(),
                why: format!("HTTP status {}", answer.status()),
            })
        }
        other => DialError::Later(words(&other)),
    }
}

fn words(error: &WsError) -> String {
    api::chain(error)
}
