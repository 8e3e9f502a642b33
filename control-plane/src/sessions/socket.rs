//! One side's websocket: opened from an HTTP request, read, written, pinged, closed.
//!
//! Invariants: a socket holds one message that came and one that goes at most, each of [`MAX_MESSAGE_BYTES`] at most; it
//! counts as a connection as long as it is open; a peer that says nothing, not even an answer to a ping, is lost.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use longshore_protocol::session::MAX_MESSAGE_BYTES;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::Limits;
use crate::server::Place;

/// What is read from a socket at a time: a terminal's 4 KiB, and what is around them.
const READ: usize = 8 * 1024;
/// How long a peer may leave what it gets unread, or be gone with no word of it, in milliseconds: a terminal may be held
/// for a while.
const UNREAD: u32 = 300_000;
/// How long a few bytes may take to be written that are not the peers' own.
const SAY: Duration = Duration::from_secs(5);
/// How long a peer that was told that it is over may go on reading what it has still to get.
const LINGER: Duration = Duration::from_secs(60);

/// Either of what a connection is.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Socket = WebSocketStream<Box<dyn Stream>>;

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
    pub(super) async fn open(upgraded: Upgraded, place: Option<Place>, limits: &Limits) -> Self {
        let (stream, read) = untie(upgraded);
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ;
        // Each message goes out at once.
        config.write_buffer_size = 0;
        config.max_write_buffer_size = 2 * MAX_MESSAGE_BYTES + READ;
        config.max_message_size = Some(MAX_MESSAGE_BYTES);
        config.max_frame_size = Some(MAX_MESSAGE_BYTES);
        let socket =
            WebSocketStream::from_partially_read(stream, read.into(), Role::Server, Some(config)).await;
        let (sink, stream) = socket.split();
        let now = Instant::now();
        let mut ping = interval_at(now + limits.ping, limits.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            input: Input {
                stream,
                heard: now,
                silence: limits.silence,
            },
            output: Output { sink, ping },
            _place: place,
        }
    }

    /// Says something of the relay's own. Says whether it went out.
    pub(super) async fn say(&mut self, frame: Vec<u8>) -> bool {
        let said = self.output.sink.send(Message::Binary(frame.into()));
        matches!(timeout(SAY, said).await, Ok(Ok(())))
    }

    /// Waits some time for the peer to close, then closes. While it says something it is still reading what it got.
    pub(super) async fn part(mut self, quiet: Duration, code: CloseCode, reason: &'static str) {
        let peer = async { while let Ok(Some(_)) = timeout(quiet, self.input.next()).await {} };
        // However long it talks.
        let _ = timeout(LINGER, peer).await;
        self.close(code, reason).await;
    }

    /// Closes at once, and gives the peer a moment to take it.
    pub(super) async fn close(mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let closed = async {
            if self.output.sink.send(Message::Close(Some(frame))).await.is_ok() {
                while self.input.next().await.is_some() {}
            }
        };
        // What it does not take in time it finds out by the cut.
        let _ = timeout(Duration::from_secs(1), closed).await;
    }
}

/// What comes from a side.
pub(super) struct Input {
    stream: SplitStream<Socket>,
    heard: Instant,
    silence: Duration,
}

impl Input {
    /// The next message that is no ping or the like; `None` once the side is lost. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            let next = timeout_at(self.heard + self.silence, self.stream.next()).await;
            let message = next.ok()??.ok()?;
            self.heard = Instant::now();
            match message {
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
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
    sink: SplitSink<Socket, Message>,
    ping: Interval,
}

impl Output {
    /// Sends what is in the slot. If this is dropped while it waits, the message is in the slot still, or on its way.
    pub(super) async fn send(&mut self, slot: &mut Option<Message>) -> bool {
        if let Some(message) = slot.clone() {
            if self.sink.feed(message).await.is_err() {
                return false;
            }
            *slot = None;
        }
        self.sink.flush().await.is_ok()
    }

    /// Pings whenever it is time, until that fails. May be dropped while it waits.
    pub(super) async fn keep_alive(&mut self) {
        loop {
            self.ping.tick().await;
            if self.sink.send(Message::Ping(Bytes::new())).await.is_err() {
                return;
            }
        }
    }
}

/// The connection below the HTTP library, and what of it was read too early.
fn untie(upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner();
            be_patient(&stream);
            return (Box::new(stream), parts.read_buf);
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<tokio_rustls::server::TlsStream<TcpStream>>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner();
            be_patient(stream.get_ref().0);
            (Box::new(stream), parts.read_buf)
        }
        Err(upgraded) => (Box::new(TokioIo::new(upgraded)), Bytes::new()),
    }
}

fn be_patient(stream: &TcpStream) {
    if let Err(error) = setsockopt(stream, TcpUserTimeout, &UNREAD) {
        tracing::debug!(%error, "can't set TCP_USER_TIMEOUT");
    }
}
