//! What one side of a data channel gets: each message once, and in order.
//!
//! Invariants: everything that is taken is acknowledged, copies too: the acknowledgement may be what was lost. What is held
//! is bounded by [`HELD`]; past it a message is neither taken nor acknowledged, and comes again.
//!
//! The client in use has three sources that count with one counter and no lock ([`Numbering::Racy`]): under stress it gives
//! one number twice, and leaves another out. Keeping to the numbers would lose input or wait for ever. So what is a
//! copy is said by the message's id; a number of before that comes with another id is new; and a number that was left out
//! is not waited for, since a socket keeps its order: only after a change of sockets may it still come.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::{Message, PayloadType};

/// How many messages are held for one that is missing: as far ahead as a [`Sender`](super::sender::Sender) goes.
pub const HELD: usize = super::sender::KEPT;
/// How many messages are known as had; a client repeats only what it has not seen acknowledged.
const REMEMBERED: usize = 16_384;
/// How long after a change of sockets a missing number may still come from a client that counts badly.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the other side counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Each number once, and none left out: it is waited for.
    Exact,
    /// Nearly so.
    Racy,
}

/// What came in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it is.
    pub payload_type: PayloadType,
    /// Any bytes.
    pub bytes: Vec<u8>,
}

struct Held {
    id: Uuid,
    payload: Payload,
}

/// One direction, at its end.
pub struct Receiver {
    numbering: Numbering,
    expected: i64,
    had: VecDeque<Uuid>,
    /// By number, and by arrival for those that share one.
    held: BTreeMap<(i64, u64), Held>,
    arrivals: u64,
    patient_until: Option<Duration>,
}

impl Receiver {
    /// A direction of which nothing has come.
    #[must_use]
    pub fn new(numbering: Numbering) -> Self {
        Self {
            numbering,
            expected: 0,
            had: VecDeque::new(),
            held: BTreeMap::new(),
            arrivals: 0,
            patient_until: None,
        }
    }

    /// The other side has said how it counts.
    pub fn counts(&mut self, numbering: Numbering) {
        self.numbering = numbering;
        if numbering == Numbering::Exact {
            // It waits for what is missing, however long that takes.
            self.patient_until = None;
            self.had.clear();
        }
    }

    /// Takes a numbered message: what can be delivered now, in order, or none if it was not taken and must not be
    /// acknowledged.
    #[must_use]
    pub fn take(&mut self, now: Duration, message: &Message<'_>) -> Option<Vec<Payload>> {
        let (number, id) = (message.sequence, message.id);
        let payload = || Payload {
            payload_type: message.payload_type,
            bytes: message.payload.to_vec(),
        };
        if number < self.expected {
            return Some(
                match self.numbering == Numbering::Exact || self.had.contains(&id) {
                    true => Vec::new(),
                    false => vec![self.deliver(id, payload())],
                },
            );
        }
        let here = self.held.range((number, 0)..=(number, u64::MAX));
        if here.into_iter().any(|(_, held)| held.id == id) {
            return Some(Vec::new());
        }
        if self.held.len() >= HELD && number > self.expected {
            return None;
        }
        self.arrivals += 1;
        let payload = payload();
        self.held.insert((number, self.arrivals), Held { id, payload });
        Some(self.in_order(now))
    }

    /// What need not be waited for any more.
    #[must_use]
    pub fn due(&mut self, now: Duration) -> Vec<Payload> {
        self.in_order(now)
    }

    /// When [`Self::due`] has something, if nothing comes before.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        (!self.held.is_empty()).then_some(self.patient_until).flatten()
    }

    /// The socket is another one.
    pub fn reconnected(&mut self, now: Duration) {
        if self.numbering == Numbering::Racy {
            self.patient_until = Some(now + PATIENCE);
        }
    }

    fn in_order(&mut self, now: Duration) -> Vec<Payload> {
        let waits = match self.numbering {
            Numbering::Exact => true,
            Numbering::Racy => self.patient_until.is_some_and(|until| now < until),
        };
        if !waits {
            self.patient_until = None;
        }
        let mut delivered = Vec::new();
        while let Some(first) = self.held.first_entry() {
            let (number, _) = *first.key();
            if waits && number > self.expected {
                break;
            }
            let held = first.remove();
            self.expected = self.expected.max(number.saturating_add(1));
            delivered.push(self.deliver(held.id, held.payload));
        }
        delivered
    }

    fn deliver(&mut self, id: Uuid, payload: Payload) -> Payload {
        if self.numbering == Numbering::Racy {
            if self.had.len() >= REMEMBERED {
                self.had.pop_front();
            }
            self.had.push_back(id);
        }
        payload
    }
}
