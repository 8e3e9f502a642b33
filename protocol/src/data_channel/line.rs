//! What both sides of a session have: one direction that they send, one that they get, and what is to be written.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::host::Now;
use super::payload::Acknowledge;
use super::receiver::{Numbering, Payload, Receiver};
use super::sender::Sender;
use super::{FIN, Message, MessageType, PayloadType, SYN};

pub(super) struct Line {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    /// What the messages' ids are made of: one for each message, and the same ones for the same session.
    base: Uuid,
    ids: u64,
    frames: VecDeque<Vec<u8>>,
}

impl Line {
    pub(super) fn new(base: Uuid, sends: MessageType, gets: Numbering) -> Self {
        Self {
            sender: Sender::new(sends),
            receiver: Receiver::new(gets),
            base,
            ids: 0,
            frames: VecDeque::new(),
        }
    }

    /// Takes a numbered message and acknowledges it, unless it is one to be sent again; what is to be dealt with now.
    pub(super) fn take(&mut self, now: Now, message: &Message<'_>) -> Vec<Payload> {
        let Some(payloads) = self.receiver.take(now.since, message) else {
            return Vec::new();
        };
        let acknowledge = Acknowledge::of(message.message_type, message.id, message.sequence);
        self.say(now, MessageType::Acknowledge, &acknowledge);
        payloads
    }

    /// There is no room for a numbered message: it is to be sent again.
    pub(super) fn refuse(&mut self, now: Now, message: &Message<'_>) {
        self.receiver.refuse(now.since, message);
    }

    /// An acknowledgement has come.
    pub(super) fn acknowledged(&mut self, now: Now, payload: &[u8]) {
        if let Ok(acknowledge) = serde_json::from_slice::<Acknowledge>(payload) {
            self.sender.acknowledged(now.since, acknowledge.sequence);
        }
    }

    pub(super) fn send_json(&mut self, now: Now, payload_type: PayloadType, payload: &impl Serialize) {
        self.send(now, payload_type, &json(payload));
    }

    pub(super) fn send(&mut self, now: Now, payload_type: PayloadType, payload: &[u8]) {
        let (id, created) = (self.next_id(), milliseconds(now.wall));
        let frame = self.sender.send(now.since, created, id, (payload_type, payload));
        self.frames.push_back(frame);
    }

    /// Says something that has no number; the frame, for saying it again.
    pub(super) fn say(&mut self, now: Now, message_type: MessageType, payload: &impl Serialize) -> Vec<u8> {
        let message = Message {
            message_type,
            created: milliseconds(now.wall),
            sequence: 0,
            flags: SYN | FIN,
            id: self.next_id(),
            payload_type: PayloadType::NONE,
            payload: &json(payload),
        };
        let frame = message.encode();
        self.frames.push_back(frame.clone());
        frame
    }

    /// What was not acknowledged in time is sent again.
    pub(super) fn repeat(&mut self, now: Now) {
        self.frames.extend(self.sender.due(now.since));
    }

    /// The socket is another one: what was not written to the last one yet is forgotten, as what is numbered is sent again.
    pub(super) fn reconnected(&mut self, now: Now) {
        self.frames.clear();
        self.receiver.reconnected(now.since);
        self.frames.extend(self.sender.reconnected(now.since));
    }

    /// The socket is another one, and this is all that is left to say.
    pub(super) fn only_says(&mut self, frame: Vec<u8>) {
        self.frames.clear();
        self.frames.push_back(frame);
    }

    /// When something is to be repeated, or need not be waited for any more.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let both = [self.sender.next_due(), self.receiver.next_due()];
        both.into_iter().flatten().min()
    }

    pub(super) fn take_frames(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.frames.drain(..)
    }

    fn next_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::new_v5(&self.base, &self.ids.to_be_bytes())
    }
}

fn json(payload: &impl Serialize) -> Vec<u8> {
    // Strings and numbers: nothing in them can fail to be JSON.
    serde_json::to_vec(payload).unwrap_or_default()
}

fn milliseconds(wall: jiff::Timestamp) -> u64 {
    // A clock of before 1970 is wrong, and a date must be there.
    u64::try_from(wall.as_millisecond()).unwrap_or(1).max(1)
}
