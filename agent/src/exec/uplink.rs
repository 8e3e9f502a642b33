//! A session's socket: dialled, read and written at the same time, and dialled again when it is lost.
//!
//! Invariants: writing never keeps from reading, so the two sides can't wait for each other; what is to be written is
//! bounded by whoever writes, who looks at [`Uplink::is_clear`] first, or, for answers, at [`Uplink::has_room`]. Buffers are
//! small: a session that idles has little. A relay that says nothing, and doesn't ping either, is gone.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use longshore_protocol::session::{MAX_MESSAGE_BYTES, SILENCE_SECONDS};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::clock::{Backoff, Clock};
use crate::http::Connection;
use crate::link::{DialError, SessionLink};

/// Between two tries. A client waits for its session meanwhile.
const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(5);
/// Bytes that are read at a time, and that are gathered before they are written.
const BUFFER: usize = 8 * 1024;
/// How many messages may wait to be written for more to be answered: twice what a client sends without an answer. One
/// that sends and does not read is not to fill the memory with its answers.
const ANSWERS: usize = 1024;

type Socket = WebSocketStream<Box<dyn Connection>>;
type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

enum State {
    Dialling(Later<Result<Socket, DialError>>),
    Pausing(Later<()>),
    Up(Box<Socket>),
}

/// What happens to the socket.
#[derive(Debug)]
pub enum UplinkEvent {
    /// There is a new one. What was to be written to the last is forgotten.
    Connected,
    /// A binary message has come.
    Message(Bytes),
    /// Everything was written.
    Clear,
    /// It was lost, or could not be had; it is dialled again.
    Lost,
    /// The relay has closed it, since the session is over. One that closes it for another reason is dialled again.
    Closed,
    /// The control plane knows of no such session any more.
    Over(String),
}

/// The socket, or the way to one.
pub struct Uplink {
    link: Arc<dyn SessionLink>,
    clock: Arc<dyn Clock>,
    session: String,
    backoff: Backoff,
    state: State,
    outgoing: VecDeque<Message>,
    /// Something was handed to the socket that may be in its buffer still.
    unflushed: bool,
    /// When something came last.
    heard: Duration,
}

impl Uplink {
    pub fn new(link: Arc<dyn SessionLink>, clock: Arc<dyn Clock>, session: &str) -> Self {
        Self {
            state: State::Dialling(dial(Arc::clone(&link), session.to_owned())),
            session: session.to_owned(),
            backoff: Backoff::new(FIRST, MOST),
            outgoing: VecDeque::new(),
            unflushed: false,
            heard: Duration::ZERO,
            link,
            clock,
        }
    }

    /// Whether there is room for an answer.
    pub fn has_room(&self) -> bool {
        self.outgoing.len() < ANSWERS
    }

    /// When the relay is gone, if nothing comes before.
    pub fn silent_at(&self) -> Option<Duration> {
        let silence = Duration::from_secs(SILENCE_SECONDS.into());
        matches!(self.state, State::Up(_)).then_some(self.heard + silence)
    }

    /// Whether everything was written, to a socket that is there.
    pub fn is_clear(&self) -> bool {
        matches!(self.state, State::Up(_)) && self.outgoing.is_empty() && !self.unflushed
    }

    /// Has it written; nothing where there is no socket.
    pub fn send(&mut self, message: Message) {
        if matches!(self.state, State::Up(_)) {
            self.outgoing.push_back(message);
        }
    }

    /// Gives this socket up for another.
    pub fn redial(&mut self) {
        self.pause();
    }

    /// Goes on until something happens. May be dropped at any time.
    pub async fn next(&mut self) -> UplinkEvent {
        loop {
            match &mut self.state {
                State::Dialling(dialling) => match dialling.await {
                    Ok(socket) => {
                        self.outgoing.clear();
                        self.unflushed = false;
                        self.state = State::Up(Box::new(socket));
                        self.heard = self.clock.since_boot();
                        return UplinkEvent::Connected;
                    }
                    Err(DialError::Over(why)) => {
                        self.pause();
                        return UplinkEvent::Over(why);
                    }
                    Err(DialError::Link(error)) => {
                        tracing::debug!(session = self.session, %error, "a session can't be dialled");
                        self.pause();
                        return UplinkEvent::Lost;
                    }
                },
                State::Pausing(pause) => {
                    pause.await;
                    self.state = State::Dialling(dial(Arc::clone(&self.link), self.session.clone()));
                }
                State::Up(_) => {
                    let event = poll_fn(|context| self.poll_socket(context)).await;
                    match event {
                        UplinkEvent::Lost | UplinkEvent::Closed => self.pause(),
                        UplinkEvent::Message(_) => self.backoff.reset(),
                        UplinkEvent::Connected | UplinkEvent::Clear | UplinkEvent::Over(_) => {}
                    }
                    return event;
                }
            }
        }
    }

    fn pause(&mut self) {
        let (clock, pause) = (Arc::clone(&self.clock), self.backoff.next(self.clock.as_ref()));
        self.state = State::Pausing(Box::pin(async move { clock.sleep(pause).await }));
    }

    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<UplinkEvent> {
        let State::Up(socket) = &mut self.state else {
            return Poll::Pending;
        };
        let mut socket = Pin::new(socket.as_mut());
        let lost = |error: &dyn std::fmt::Display| {
            tracing::debug!(session = self.session, %error, "a session's socket was lost");
            Poll::Ready(UplinkEvent::Lost)
        };
        while !self.outgoing.is_empty() {
            match socket.as_mut().poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return lost(&error),
                Poll::Pending => break,
            }
            if let Some(message) = self.outgoing.pop_front()
                && let Err(error) = socket.as_mut().start_send(message)
            {
                return lost(&error);
            }
            self.unflushed = true;
        }
        if self.unflushed {
            match socket.as_mut().poll_flush(context) {
                Poll::Ready(Ok(())) if self.outgoing.is_empty() => {
                    self.unflushed = false;
                    return Poll::Ready(UplinkEvent::Clear);
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(error)) => return lost(&error),
            }
        }
        loop {
            let next = socket.as_mut().poll_next(context);
            if next.is_ready() {
                self.heard = self.clock.since_boot();
            }
            return match next {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(Message::Binary(bytes)))) => Poll::Ready(UplinkEvent::Message(bytes)),
                Poll::Ready(Some(Ok(Message::Close(Some(frame))))) if frame.code == CloseCode::Normal => {
                    Poll::Ready(UplinkEvent::Closed)
                }
                Poll::Ready(Some(Ok(Message::Close(_)))) => lost(&"the relay has closed it"),
                // A relay says nothing in text; pings are answered by the socket.
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(Some(Err(error))) => lost(&error),
                Poll::Ready(None) => lost(&"it has ended"),
            };
        }
    }
}

fn dial(link: Arc<dyn SessionLink>, session: String) -> Later<Result<Socket, DialError>> {
    Box::pin(async move {
        let connection = link.dial(&session).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        Ok(WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await)
    })
}
