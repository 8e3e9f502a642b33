//! One side's websocket: opened from an HTTP request, read, written, pinged, closed.
//!
//! Invariants: a socket holds one message that came and one that goes at most, each of [`MAX_MESSAGE_BYTES`] at most; it
//! counts as a connection as long as it is open; a peer that says nothing, not even an answer to a ping, is lost, unless
//! it is a client that may not have read yet what it was sent, and whose machine is there ([`alive`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use longshore_protocol::session::MAX_MESSAGE_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::{Limits, alive};
use crate::server::Place;

/// What is read from a socket at a time: a terminal's 4 KiB, and what is around them.
const READ: usize = 8 * 1024;
/// How long a few bytes may take to be written that are not the peers' own.
const SAY: Duration = Duration::from_secs(5);
/// How long a peer that was told that it is over may go on reading what it has still to get.
const LINGER: Duration = Duration::from_secs(60);

/// Either of what a connection is.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// What is below it.
    fn tcp(&self) -> Option<&TcpStream>;
}

impl Stream for TcpStream {
    fn tcp(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> Option<&TcpStream> {
        Some(self.get_ref().0)
    }
}

impl Stream for TokioIo<Upgraded> {
    fn tcp(&self) -> Option<&TcpStream> {
        None
    }
}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Whose socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// It may leave unread what it gets for as long as it likes.
    Client,
    /// It always reads.
    Agent,
}

/// Whether a request's head asks for a websocket; what is answered then.
pub(crate) fn accept(headers: &HeaderMap) -> Option<Response<axum::body::Body>> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).iter();
        let mut words = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        words.any(|each| each.trim().eq_ignore_ascii_case(word))
    };
    let asked = has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    if !asked || !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return None;
    }
    let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    Some(response)
}

/// One side's socket. Dropping it cuts it.
pub(super) struct Leg {
    pub(super) input: Input,
    pub(super) output: Output,
    _place: Option<Place>,
}

impl Leg {
    /// Takes over a connection that was upgraded.
    pub(super) async fn open(
        upgraded: Upgraded,
        whose: Whose,
        place: Option<Place>,
        limits: &Limits,
    ) -> Self {
        let (stream, read) = untie(upgraded);
        if let (Whose::Client, Some(tcp)) = (whose, stream.tcp()) {
            alive::keep_unread(tcp);
        }
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ;
        // Each message goes out at once.
        config.write_buffer_size = 0;
        config.max_write_buffer_size = 2 * MAX_MESSAGE_BYTES + READ;
        config.max_message_size = Some(MAX_MESSAGE_BYTES);
        config.max_frame_size = Some(MAX_MESSAGE_BYTES);
        let socket =
            WebSocketStream::from_partially_read(stream, read.into(), Role::Server, Some(config)).await;
        let wire = Wire {
            socket,
            unflushed: false,
            written: 0,
            read: 0,
        };
        let wire = Shared(Arc::new(Mutex::new(wire)));
        let now = Instant::now();
        let mut ping = interval_at(now + limits.ping, limits.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (silence, may_hold) = (limits.silence, whose == Whose::Client);
        Self {
            input: Input {
                wire: wire.clone(),
                heard: now,
                silence,
                may_hold,
            },
            output: Output {
                wire,
                ping,
                silence,
                may_hold,
            },
            _place: place,
        }
    }

    /// Says something of the relay's own. Says whether it went out.
    pub(super) async fn say(&mut self, frame: Vec<u8>) -> bool {
        let said = self.output.wire.send(Message::Binary(frame.into()));
        matches!(timeout(SAY, said).await, Ok(Ok(())))
    }

    /// Waits some time for the peer to close, then closes. While it says something it is still reading what it got; once
    /// the control plane ends, that is waited for no longer.
    pub(super) async fn part(
        mut self,
        quiet: Duration,
        (code, reason): (CloseCode, &'static str),
        ending: &CancellationToken,
    ) {
        let peer = async { while let Ok(Some(_)) = timeout(quiet, self.input.next()).await {} };
        tokio::select! {
            // However long it talks.
            _ = timeout(LINGER, peer) => {}
            () = ending.cancelled() => {}
        }
        self.close(code, reason).await;
    }

    /// Closes at once, and gives the peer a moment to take it.
    pub(super) async fn close(mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let closed = async {
            if self.output.wire.send(Message::Close(Some(frame))).await.is_ok() {
                while self.input.next().await.is_some() {}
            }
        };
        // What it does not take in time it finds out by the cut.
        let _ = timeout(Duration::from_secs(1), closed).await;
    }
}

/// What both halves of a socket have.
struct Wire {
    socket: Socket,
    /// Something was handed to the socket that it may have still.
    unflushed: bool,
    /// How many of the other side's messages were handed to it.
    written: u64,
    /// How many of them the peer is known to have read, by its answer to a ping that came after them.
    read: u64,
}

#[derive(Clone)]
struct Shared(
    // Held for one poll, never over an await.
    Arc<Mutex<Wire>>,
);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wire> {
        // Whether or not a thread panicked with it: then the session has ended.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        let mut slot = Some(message);
        std::future::poll_fn(|context| self.lock().poll_send(context, &mut slot)).await
    }

    /// Whether the peer may not have read all of the other side's messages, and its machine is there.
    fn is_held(&self, lately: Duration) -> bool {
        let wire = self.lock();
        let answers = |tcp| alive::answers(tcp, lately);
        wire.read != wire.written && wire.socket.get_ref().tcp().is_some_and(answers)
    }
}

impl Wire {
    /// Sends what is in the slot, which is then empty, and writes all that is there.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        slot: &mut Option<Message>,
    ) -> Poll<Result<(), Error>> {
        if slot.is_some() {
            ready!(self.socket.poll_ready_unpin(context))?;
        }
        if let Some(message) = slot.take() {
            self.written += u64::from(message.is_binary());
            self.unflushed = true;
            self.socket.start_send_unpin(message)?;
        }
        if self.unflushed {
            ready!(self.socket.poll_flush_unpin(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn ping(&self) -> Message {
        Message::Ping(Bytes::copy_from_slice(&self.written.to_be_bytes()))
    }

    fn ponged(&mut self, ping: &[u8]) {
        if let Ok(read) = ping.try_into().map(u64::from_be_bytes) {
            self.read = self.read.max(read.min(self.written));
        }
    }
}

/// What comes from a side.
pub(super) struct Input {
    wire: Shared,
    heard: Instant,
    silence: Duration,
    may_hold: bool,
}

impl Input {
    /// The next message that is no ping or the like; `None` once the side is lost. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            let next = std::future::poll_fn(|context| self.wire.lock().socket.poll_next_unpin(context));
            let Ok(next) = timeout_at(self.heard + self.silence, next).await else {
                if self.may_hold && self.wire.is_held(self.silence) {
                    self.heard = Instant::now();
                    continue;
                }
                return None;
            };
            let message = next?.ok()?;
            self.heard = Instant::now();
            match message {
                Message::Pong(ping) => self.wire.lock().ponged(&ping),
                Message::Ping(_) | Message::Frame(_) => {}
                Message::Close(_) => return None,
                Message::Binary(_) | Message::Text(_) => return Some(message),
            }
        }
    }

    /// Nobody listened for a while: that is no silence of the peer's.
    pub(super) fn listens_again(&mut self) {
        self.heard = Instant::now();
    }
}

/// What goes to a side.
pub(super) struct Output {
    wire: Shared,
    ping: Interval,
    silence: Duration,
    may_hold: bool,
}

impl Output {
    /// Sends what is in the slot. If this is dropped while it waits, the message is in the slot still, or on its way.
    pub(super) async fn send(&mut self, slot: &mut Option<Message>) -> bool {
        loop {
            let sending = std::future::poll_fn(|context| self.wire.lock().poll_send(context, slot));
            match timeout(self.silence, sending).await {
                Ok(sent) => return sent.is_ok(),
                Err(_) if self.may_hold && !self.wire.is_held(self.silence) => return false,
                // An agent that takes nothing is the kernel's business.
                Err(_) => {}
            }
        }
    }

    /// Writes what was left unwritten, and pings whenever it is time, until that fails. May be dropped while it waits.
    pub(super) async fn keep_alive(&mut self) {
        let mut slot = None;
        while self.send(&mut slot).await {
            self.ping.tick().await;
            slot = Some(self.wire.lock().ping());
        }
    }
}

/// The connection below the HTTP library, and what of it was read too early.
fn untie(upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            return (Box::new(parts.io.into_inner()), parts.read_buf);
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>() {
        Ok(parts) => {
            let mut stream = parts.io.into_inner();
            // What TLS keeps of what is to be written comes on top of what the websocket keeps.
            stream.get_mut().1.set_buffer_limit(Some(2 * READ));
            (Box::new(stream), parts.read_buf)
        }
        Err(upgraded) => (Box::new(TokioIo::new(upgraded)), Bytes::new()),
    }
}
