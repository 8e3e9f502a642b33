//! The client's side of a session, without sockets, terminals or clocks: `longshore exec`.
//!
//! Whoever has those tells what happened ([`Client::receive`], [`Client::input`], [`Client::resize`],
//! [`Client::reconnected`], and [`Client::tick`] when [`Client::next_due`] has come), and takes what is to be done:
//! [`Client::take_frames`] to the socket, [`Client::take_events`] to the terminal.
//!
//! Invariants: it counts exactly, and acknowledges copies too, which is what its [`Offer`] says; input that the host has
//! no room for is kept, up to [`Client::has_room`].

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

use super::host::{Now, Output};
use super::line::Line;
use super::payload::{
    ChannelClosed, END_OF_INPUT, HandshakeComplete, HandshakeRequest, HandshakeResponse, Offer,
    ProcessedAction, SUCCESS, Size, TERMINATE_SESSION,
};
use super::receiver::{Numbering, Payload};
use super::{Message, MessageType, PayloadType};

/// What a client says of an action that it does not know.
const UNSUPPORTED: i64 = 3;
/// What the code of the process comes after.
const EXIT_CODE: &str = "EXIT_CODE: ";

/// What the host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The handshake is over; with what the user is to read first, or nothing. Sizes and input may be sent from now on.
    Ready(String),
    /// The process has written.
    Output(Output, Vec<u8>),
    /// The process has ended, with this code.
    Exited(u32),
    /// The session is over; with what the user is to read, or nothing.
    Closed(String),
}

/// A session, at its client.
pub struct Client {
    version: String,
    offer: Offer,
    ready: bool,
    line: Line,
    events: VecDeque<Said>,
}

impl Client {
    /// A session that is not yet open. `id` is the client's own; `version` is four numbers.
    #[must_use]
    pub fn new(id: Uuid, version: &str, offer: Offer) -> Self {
        Self {
            version: version.to_owned(),
            offer,
            ready: false,
            line: Line::new(id, MessageType::InputStreamData, Numbering::Exact),
            events: VecDeque::new(),
        }
    }

    /// Whether input can be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.ready && self.line.sender.has_room()
    }

    /// A binary message has come from the host, or the relay.
    pub fn receive(&mut self, now: Now, bytes: &[u8]) {
        // What can't be read is dropped: the host sends it again if it was good once.
        let Ok(message) = Message::decode(bytes) else {
            return;
        };
        match message.message_type {
            MessageType::Acknowledge => self.line.acknowledged(now, message.payload),
            MessageType::OutputStreamData => {
                for payload in self.line.take(now, &message) {
                    self.payload(now, payload);
                }
            }
            MessageType::ChannelClosed => {
                // Without a text the session is over all the same.
                let closed = serde_json::from_slice::<ChannelClosed>(message.payload).unwrap_or_default();
                self.events.push_back(Said::Closed(closed.output));
            }
            MessageType::InputStreamData
            | MessageType::PausePublication
            | MessageType::StartPublication
            | MessageType::AgentSessionState => {}
        }
    }

    fn payload(&mut self, now: Now, Payload { payload_type, bytes }: Payload) {
        match payload_type {
            PayloadType::HANDSHAKE_REQUEST => self.asked(now, &bytes),
            PayloadType::HANDSHAKE_COMPLETE => {
                // A greeting that can't be read keeps nobody out.
                let complete = serde_json::from_slice::<HandshakeComplete>(&bytes).ok();
                let greeting = complete.map(|complete| complete.customer_message);
                self.ready = true;
                self.events.push_back(Said::Ready(greeting.unwrap_or_default()));
            }
            PayloadType::OUTPUT => self.events.push_back(Said::Output(Output::Stdout, bytes)),
            PayloadType::STDERR => self.events.push_back(Said::Output(Output::Stderr, bytes)),
            PayloadType::EXIT_CODE => {
                let text = std::str::from_utf8(&bytes).ok();
                let code = text.and_then(|text| text.strip_prefix(EXIT_CODE)?.trim().parse().ok());
                self.events.extend(code.map(Said::Exited));
            }
            // Of a version that is yet to come.
            _ => {}
        }
    }

    fn asked(&mut self, now: Now, request: &[u8]) {
        let request = serde_json::from_slice::<HandshakeRequest>(request).ok();
        let actions = request.map_or_else(Vec::new, |request| request.requested_client_actions);
        let processed = |action_type: String| ProcessedAction {
            action_status: if action_type == "SessionType" {
                SUCCESS
            } else {
                UNSUPPORTED
            },
            action_type,
            action_result: serde_json::Value::Null,
            error: None,
        };
        let done = actions.into_iter().map(|action| processed(action.action_type));
        let response = HandshakeResponse {
            client_version: self.version.clone(),
            processed_client_actions: Some(done.chain([self.offer.action()]).collect()),
            errors: None,
        };
        self.line
            .send_json(now, PayloadType::HANDSHAKE_RESPONSE, &response);
    }

    /// The user has typed this, or it came by a pipe. To be called with [`Self::has_room`] only.
    pub fn input(&mut self, now: Now, bytes: &[u8]) {
        self.line.send(now, PayloadType::OUTPUT, bytes);
    }

    /// There is no more input; output goes on.
    pub fn end_of_input(&mut self, now: Now) {
        self.line
            .send(now, PayloadType::FLAG, &END_OF_INPUT.to_be_bytes());
    }

    /// The terminal has another size. The first is what the program waits for.
    pub fn resize(&mut self, now: Now, size: Size) {
        self.line.send_json(now, PayloadType::SIZE, &size);
    }

    /// The session is to end.
    pub fn terminate(&mut self, now: Now) {
        self.line
            .send(now, PayloadType::FLAG, &TERMINATE_SESSION.to_be_bytes());
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        self.line.repeat(now);
    }

    /// When [`Self::tick`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.line.next_due()
    }

    /// The socket is another one, and the session the same.
    pub fn reconnected(&mut self, now: Now) {
        self.line.reconnected(now);
    }

    /// What is to be written to the socket.
    pub fn take_frames(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.line.take_frames()
    }

    /// What is to be done.
    pub fn take_events(&mut self) -> impl Iterator<Item = Said> {
        self.events.drain(..)
    }
}
