//! The host's side of a session: handshake, terms, input, output and end, without sockets, processes or clocks.
//!
//! Whoever has those tells what happened ([`Host::receive`], [`Host::write`], [`Host::exited`], [`Host::reconnected`], and
//! [`Host::tick`] when [`Host::next_due`] has come), and takes what is to be done: [`Host::take_frames`] to the socket,
//! [`Host::take_events`] to the process.
//!
//! Invariants:
//! - The program starts once, when the client is ready for its output: with the client's first size, or some time after
//!   the handshake if none comes. A client in use drops what comes before.
//! - A session ends with `channel_closed`, after everything before it was acknowledged or a time is over; never with
//!   nothing. A client in use waits for ever at a socket that just closes.
//! - What a client in use does not know is only sent to one that offered it in its answer to the handshake
//!   ([`Offer`]).

mod event;
mod said;

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

use super::line::Line;
use super::payload::{
    END_OF_INPUT, HandshakeComplete, HandshakeResponse, Offer, ProcessedAction, SUCCESS, Size,
    TERMINATE_SESSION,
};
use super::receiver::{Numbering, Payload};
use super::{Message, MessageType, PayloadType};

pub use event::{Event, Now, Output};

/// For the client's answer.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// For the client's size, once it has been told that the handshake is over.
const FIRST_SIZE: Duration = Duration::from_secs(2);
/// For the client's acknowledgements, at the end.
const DRAIN: Duration = Duration::from_secs(5);

enum Phase {
    /// Until the client has answered.
    Handshake {
        asked: Duration,
    },
    /// Until it is ready.
    Sizing {
        told: Duration,
    },
    Running,
    /// The process has ended: until everything has come, with what is then said.
    Draining {
        ended: Duration,
        output: String,
    },
    /// `channel_closed` was said: this.
    Over(Vec<u8>),
}

/// A session, at its host.
pub struct Host {
    session_id: String,
    greeting: String,
    phase: Phase,
    offer: Option<Offer>,
    client_version: String,
    line: Line,
    events: VecDeque<Event>,
}

impl Host {
    /// A session whose socket has just been opened. `agent_version` is four numbers; `greeting` is shown to the user,
    /// unless it is empty.
    #[must_use]
    pub fn new(now: Now, session_id: &str, agent_version: &str, greeting: &str) -> Self {
        let base = Uuid::new_v5(&Uuid::NAMESPACE_OID, session_id.as_bytes());
        let mut host = Self {
            session_id: session_id.to_owned(),
            greeting: greeting.to_owned(),
            phase: Phase::Handshake { asked: now.since },
            offer: None,
            client_version: String::new(),
            line: Line::new(base, MessageType::OutputStreamData, Numbering::Racy),
            events: VecDeque::new(),
        };
        let request = said::request(agent_version);
        host.line.send_json(now, PayloadType::HANDSHAKE_REQUEST, &request);
        host
    }

    /// What the client offered, if it is one that does: `longshore exec`.
    #[must_use]
    pub fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// What the client calls its version; empty before its answer.
    #[must_use]
    pub fn client_version(&self) -> &str {
        &self.client_version
    }

    /// Whether output can be taken now: if not, the process has to wait.
    #[must_use]
    pub fn has_room(&self) -> bool {
        matches!(self.phase, Phase::Running) && self.line.sender.has_room()
    }

    /// Whether `channel_closed` was said.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// A binary message has come from the client. Without room for input, input is left for the client to send again,
    /// while acknowledgements are taken.
    pub fn receive(&mut self, now: Now, bytes: &[u8], has_room: bool) {
        // What can't be read is dropped: the client sends it again if it was good once.
        let Ok(message) = Message::decode(bytes) else {
            return;
        };
        match message.message_type {
            MessageType::Acknowledge => {
                self.line.acknowledged(now, message.payload);
                self.close_if_drained(now);
            }
            MessageType::InputStreamData if has_room => self.input(now, &message),
            MessageType::InputStreamData => self.line.refuse(now, &message),
            MessageType::ChannelClosed => self.hang_up(now),
            MessageType::OutputStreamData
            | MessageType::PausePublication
            | MessageType::StartPublication
            | MessageType::AgentSessionState => {}
        }
    }

    fn input(&mut self, now: Now, message: &Message<'_>) {
        for payload in self.line.take(now, message) {
            self.payload(now, payload);
        }
    }

    fn payload(&mut self, now: Now, payload: Payload) {
        match (&self.phase, payload.payload_type) {
            (Phase::Handshake { asked }, PayloadType::HANDSHAKE_RESPONSE) => {
                let took = now.since.saturating_sub(*asked);
                self.answered(now, took, &payload.bytes);
            }
            // Nobody has asked for it yet.
            (Phase::Handshake { .. } | Phase::Over(_), _) => {}
            (_, PayloadType::SIZE) => self.sized(&payload.bytes),
            (_, PayloadType::OUTPUT) => self.events.push_back(Event::Input(payload.bytes)),
            (_, PayloadType::FLAG) => self.flagged(now, &payload.bytes),
            // Of a version that is yet to come.
            (_, _) => {}
        }
    }

    fn answered(&mut self, now: Now, took: Duration, answer: &[u8]) {
        let Ok(response) = serde_json::from_slice::<HandshakeResponse>(answer) else {
            return self.fail(now, "the client's answer to the handshake can't be read");
        };
        let actions = response.processed_client_actions.unwrap_or_default();
        let refused = |action: &&ProcessedAction| {
            action.action_type == "SessionType" && action.action_status != SUCCESS
        };
        if actions.iter().any(|action| refused(&action)) {
            return self.fail(
                now,
                "the client can't take part in interactive sessions: upgrade it",
            );
        }
        self.client_version = response.client_version;
        self.offer = actions.iter().find_map(Offer::read);
        if self.offer.is_some() {
            self.line.receiver.counts(Numbering::Exact);
        }
        let complete = HandshakeComplete {
            handshake_time_to_complete: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            customer_message: std::mem::take(&mut self.greeting),
        };
        self.line
            .send_json(now, PayloadType::HANDSHAKE_COMPLETE, &complete);
        self.phase = Phase::Sizing { told: now.since };
    }

    fn sized(&mut self, bytes: &[u8]) {
        let Ok(size) = serde_json::from_slice::<Size>(bytes) else {
            return;
        };
        match self.phase {
            Phase::Sizing { .. } => self.start(Some(size)),
            Phase::Running => self.events.push_back(Event::Resize(size)),
            Phase::Handshake { .. } | Phase::Draining { .. } | Phase::Over(_) => {}
        }
        // It takes what it gets from now on. One that acknowledges copies needs no guesses.
        if self.offer.is_none() {
            self.line.sender.infers();
        }
    }

    fn start(&mut self, size: Option<Size>) {
        self.phase = Phase::Running;
        // What was typed before is kept for the program.
        self.events.push_front(Event::Start(size));
    }

    fn flagged(&mut self, now: Now, bytes: &[u8]) {
        let Ok(flag) = bytes.try_into().map(u32::from_be_bytes) else {
            return;
        };
        match flag {
            TERMINATE_SESSION => self.hang_up(now),
            END_OF_INPUT if self.offer.is_some() => self.events.push_back(Event::EndOfInput),
            _ => {}
        }
    }

    fn hang_up(&mut self, now: Now) {
        match self.phase {
            // There is no process, and there is to be none.
            Phase::Handshake { .. } | Phase::Sizing { .. } => self.close(now, String::new()),
            Phase::Running | Phase::Draining { .. } => self.events.push_back(Event::HangUp),
            Phase::Over(_) => {}
        }
    }

    /// The process has written this. To be called with [`Self::has_room`] only.
    pub fn write(&mut self, now: Now, output: Output, bytes: &[u8]) {
        let separate = output == Output::Stderr && self.offer.is_some();
        let payload_type = match separate {
            true => PayloadType::STDERR,
            false => PayloadType::OUTPUT,
        };
        self.line.send(now, payload_type, bytes);
    }

    /// The process has ended, and all that it wrote was taken. The code goes to a client that offered to take it.
    pub fn exited(&mut self, now: Now, code: u32) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        if self.offer.is_some() {
            self.line.send(
                now,
                PayloadType::EXIT_CODE,
                format!("EXIT_CODE: {code}").as_bytes(),
            );
        }
        self.drain(now, String::new());
    }

    /// The session ends for another reason, which the user reads.
    pub fn fail(&mut self, now: Now, why: &str) {
        match self.phase {
            // There is nothing that could come after it and be lost.
            Phase::Handshake { .. } => self.close(now, why.to_owned()),
            Phase::Sizing { .. } | Phase::Running => self.drain(now, why.to_owned()),
            Phase::Draining { .. } | Phase::Over(_) => {}
        }
    }

    fn drain(&mut self, now: Now, output: String) {
        self.phase = Phase::Draining {
            ended: now.since,
            output,
        };
        self.close_if_drained(now);
    }

    fn close_if_drained(&mut self, now: Now) {
        let Phase::Draining { ended, output } = &mut self.phase else {
            return;
        };
        if self.line.sender.is_settled() || now.since >= *ended + DRAIN {
            let output = std::mem::take(output);
            self.close(now, output);
        }
    }

    fn close(&mut self, now: Now, output: String) {
        let closed = said::closed(now, &self.session_id, output);
        let closed = self.line.say(now, MessageType::ChannelClosed, &closed);
        self.phase = Phase::Over(closed);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        match self.phase {
            Phase::Handshake { asked } if now.since >= asked + HANDSHAKE => {
                self.fail(now, "the client did not answer the handshake in 15 seconds");
            }
            Phase::Sizing { told } if now.since >= told + FIRST_SIZE => self.start(None),
            _ => {}
        }
        for payload in self.line.receiver.due(now.since) {
            self.payload(now, payload);
        }
        self.close_if_drained(now);
        if !self.is_over() {
            self.line.repeat(now);
        }
    }

    /// When [`Self::tick`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let own = match self.phase {
            Phase::Handshake { asked } => Some(asked + HANDSHAKE),
            Phase::Sizing { told } => Some(told + FIRST_SIZE),
            Phase::Running => None,
            Phase::Draining { ended, .. } => Some(ended + DRAIN),
            Phase::Over(_) => return None,
        };
        self.line.next_due().into_iter().chain(own).min()
    }

    /// The socket is another one, and the session the same: what was not written to the last one yet is forgotten, as what
    /// is numbered is written again.
    pub fn reconnected(&mut self, now: Now) {
        match &self.phase {
            Phase::Over(closed) => self.line.only_says(closed.clone()),
            _ => self.again(now),
        }
    }

    fn again(&mut self, now: Now) {
        self.line.reconnected(now);
        if self.line.sender.is_in_doubt() {
            // A client in use shows nothing of it, and acknowledges it: then it has what comes before.
            self.line.send(now, PayloadType::OUTPUT, &[]);
        }
    }

    /// What is to be written to the socket.
    pub fn take_frames(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.line.take_frames()
    }

    /// What is to be done to the process.
    pub fn take_events(&mut self) -> impl Iterator<Item = Event> {
        self.events.drain(..)
    }
}
