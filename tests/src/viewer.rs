//! The client of a session, over any websocket: what a person at a terminal would do, step by step.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use longshore_protocol::data_channel::client::{Client, Said};
use longshore_protocol::data_channel::host::{Now, Output};
use longshore_protocol::data_channel::payload::{Offer, Size};
use longshore_protocol::data_channel::{Message as Frame, MessageType, PayloadType};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How long it waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client, and the socket that it has.
pub struct Viewer<S> {
    socket: Option<WebSocketStream<S>>,
    client: Client,
    begun: Instant,
    /// Whether sizes and input may be sent.
    pub ready: bool,
    /// What it was shown, as text; on a terminal both streams.
    pub shown: String,
    /// How many bytes that was.
    pub bytes: usize,
    /// What came by a stream of its own.
    pub errors: String,
    /// The process's code.
    pub code: Option<u32>,
    /// That it is over; with what the user reads.
    pub closed: Option<String>,
    /// What is no message of the protocol: an agent's last words to its relay.
    pub texts: Vec<String>,
    /// Keeps no text, for what is long.
    pub forgetful: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Viewer<S> {
    /// A client that has no socket yet. `terminal` is whether it asks for one; pipes otherwise.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        // A program that tests: the clock is the machine's.
        #[expect(clippy::disallowed_methods, reason = "a test's own clock")]
        let begun = Instant::now();
        Self {
            socket: None,
            client: Client::new(uuid::Uuid::new_v4(), "1.0.0.0", Offer { terminal }),
            begun,
            ready: false,
            shown: String::new(),
            bytes: 0,
            errors: String::new(),
            code: None,
            closed: None,
            texts: Vec::new(),
            forgetful: false,
        }
    }

    /// Takes a socket at which its agent is at once, and says as a relay would that there is a client.
    pub async fn meet(&mut self, stream: S) {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        self.take(socket);
        self.say(MessageType::StartPublication).await;
    }

    /// Takes another socket of the same session's agent.
    pub async fn resume(&mut self, stream: S) {
        self.reconnected();
        self.meet(stream).await;
    }

    /// Its next socket is another one of the same session.
    pub fn reconnected(&mut self) {
        self.client.reconnected(self.now());
    }

    /// Takes a socket whose opening is over, to a relay that knows both.
    pub fn take(&mut self, socket: WebSocketStream<S>) {
        self.socket = Some(socket);
    }

    /// Loses its socket.
    pub fn lose(&mut self) -> Option<WebSocketStream<S>> {
        self.socket.take()
    }

    /// Says what a relay says.
    pub async fn say(&mut self, message_type: MessageType) {
        let frame = Frame {
            message_type,
            created: 1,
            sequence: 0,
            flags: 0,
            id: uuid::Uuid::new_v4(),
            payload_type: PayloadType::NONE,
            payload: b"",
        };
        let message = Message::Binary(frame.encode().into());
        self.socket.as_mut().unwrap().send(message).await.unwrap();
    }

    fn now(&self) -> Now {
        Now {
            since: self.begun.elapsed(),
            wall: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// Its window.
    pub fn size(&mut self, cols: u32, rows: u32) {
        self.client.resize(self.now(), Size { cols, rows });
    }

    /// Types.
    pub fn types(&mut self, text: &str) {
        self.client.input(self.now(), text.as_bytes());
    }

    /// Has no more to type.
    pub fn end_of_input(&mut self) {
        self.client.end_of_input(self.now());
    }

    /// Ends the session.
    pub fn terminate(&mut self) {
        self.client.terminate(self.now());
    }

    /// Goes on until something is so.
    ///
    /// # Panics
    /// It does not come, or the socket ends before.
    pub async fn until(&mut self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let waiting = async {
            while !so(self) {
                assert!(self.step().await, "the socket has ended before {what}");
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!(
                "{what} did not come: shown {:?}, closed {:?}, code {:?}",
                self.shown, self.closed, self.code
            );
        }
        // What is typed next is answered to what is shown next.
        self.flush().await;
    }

    /// Goes on until this was shown since the last time.
    pub async fn until_shown(&mut self, text: &str) {
        self.until(text, |viewer| viewer.shown.contains(text)).await;
    }

    /// Has the handshake, and a window of 80 and 24.
    pub async fn begin(&mut self) {
        self.until("the handshake", |viewer| viewer.ready).await;
        self.size(80, 24);
        self.flush().await;
    }

    /// Forgets what was shown.
    pub fn clear(&mut self) {
        self.shown.clear();
    }

    async fn flush(&mut self) -> bool {
        let Some(socket) = &mut self.socket else {
            return false;
        };
        let frames: Vec<_> = self.client.take_frames().collect();
        for frame in frames {
            if socket.send(Message::Binary(frame.into())).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Sends what is to be sent, and takes one message; whether there may be more.
    pub async fn step(&mut self) -> bool {
        if !self.flush().await {
            return false;
        }
        let now = self.now();
        let due = self
            .client
            .next_due()
            .map_or(PATIENCE, |due| due.saturating_sub(now.since));
        let Some(socket) = &mut self.socket else {
            return false;
        };
        let message = tokio::select! {
            message = socket.next() => message,
            () = tokio::time::sleep(due) => {
                self.client.tick(self.now());
                return true;
            }
        };
        match message {
            Some(Ok(Message::Binary(bytes))) => self.client.receive(self.now(), &bytes),
            Some(Ok(Message::Text(text))) => self.texts.push(text.to_string()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
        let said: Vec<_> = self.client.take_events().collect();
        for said in said {
            match said {
                Said::Ready(_) => self.ready = true,
                Said::Output(output, bytes) => {
                    self.bytes += bytes.len();
                    let text = match output {
                        Output::Stdout => &mut self.shown,
                        Output::Stderr => &mut self.errors,
                    };
                    if !self.forgetful {
                        text.push_str(&String::from_utf8_lossy(&bytes));
                    }
                }
                Said::Exited(code) => self.code = Some(code),
                Said::Closed(why) => self.closed = Some(why),
            }
        }
        self.flush().await
    }
}
