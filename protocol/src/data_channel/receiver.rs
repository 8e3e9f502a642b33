//! What one side of a data channel gets: each message once, and in order.
//!
//! Invariants: everything that is taken is acknowledged, copies too: the acknowledgement may be what was lost. What is held
//! is bounded by [`HELD`] and [`HELD_BYTES`]; past them a message is neither taken nor acknowledged, and comes again. So
//! does what there was no room for ([`Receiver::refuse`]): what came after it is held until it has come.
//!
//! The client in use has three sources that count with one counter and no lock ([`Numbering::Racy`]): under stress it gives
//! one number twice, and leaves another out. Keeping to the numbers would lose input or wait for ever. So what is a
//! copy is said by the message's id; a number of before that comes with another id is new; and a number that was left out
//! is not waited for, since a socket keeps its order: only after a change of sockets may it still come. What was refused
//! keeps the place in which it came first; what the client drops of it (it keeps 10,000 messages) is waited for until the
//! session ends. It takes an acknowledgement for the first message that it keeps with that number, so of those that share
//! a number none is acknowledged before an earlier one that was refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::{Message, PayloadType};

/// How many messages are held for one that is missing: as far ahead as a [`Sender`](super::sender::Sender) goes.
pub const HELD: usize = super::sender::KEPT;
/// How many bytes are in what is held: messages may be as long as the relay lets them be.
pub const HELD_BYTES: usize = 2 << 20;
/// How many messages are known as had; a client repeats only what it has not seen acknowledged.
/// The same for what it was refused.
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

/// What has come and can't be delivered yet.
struct Waiting {
    number: i64,
    id: Uuid,
    /// Nothing where it was refused: it comes again.
    payload: Option<Payload>,
    /// On which socket it was acknowledged last.
    socket: u64,
}

struct Had {
    id: Uuid,
    /// On which socket it was acknowledged last.
    socket: u64,
}

/// One direction, at its end.
pub struct Receiver {
    numbering: Numbering,
    expected: i64,
    had: VecDeque<Had>,
    /// By place, which is the number where the order on the socket says nothing else, and by arrival.
    waiting: BTreeMap<(i64, u64), Waiting>,
    arrivals: u64,
    patient_until: Option<Duration>,
    /// Counts the sockets.
    socket: u64,
}

impl Receiver {
    /// A direction of which nothing has come.
    #[must_use]
    pub fn new(numbering: Numbering) -> Self {
        Self {
            numbering,
            expected: 0,
            had: VecDeque::new(),
            waiting: BTreeMap::new(),
            arrivals: 0,
            patient_until: None,
            socket: 0,
        }
    }

    /// The other side has said how it counts.
    pub fn counts(&mut self, numbering: Numbering) {
        self.numbering = numbering;
        if numbering == Numbering::Exact {
            // It waits for what is missing, however long that takes; the numbers say what that is.
            self.patient_until = None;
            self.had.clear();
            let waiting = std::mem::take(&mut self.waiting).into_iter();
            let waiting = waiting.filter(|(_, waiting)| waiting.payload.is_some());
            self.waiting = waiting
                .map(|((_, arrival), waiting)| ((waiting.number, arrival), waiting))
                .collect();
        }
    }

    /// Takes a numbered message: what can be delivered now, in order, or none if it was not taken and must not be
    /// acknowledged.
    #[must_use]
    pub fn take(&mut self, now: Duration, message: &Message<'_>) -> Option<Vec<Payload>> {
        let (number, id) = (message.sequence, message.id);
        if self.is_copy(number, id) {
            return self.may_acknowledge_copy(number, id).then(Vec::new);
        }
        let place = self.place(now, number, id);
        if !self.has_room(now, place, message) || self.is_behind_its_like(place, number) {
            self.refuse_at(place, number, id);
            return None;
        }
        let payload = Payload {
            payload_type: message.payload_type,
            bytes: message.payload.to_vec(),
        };
        let socket = self.socket;
        let waiting = Waiting {
            number,
            id,
            payload: Some(payload),
            socket,
        };
        self.waiting.insert(place, waiting);
        Some(self.in_order(now))
    }

    /// There is no room for a message: it is not taken, must not be acknowledged, and comes again.
    pub fn refuse(&mut self, now: Duration, message: &Message<'_>) {
        let (number, id) = (message.sequence, message.id);
        if !self.is_copy(number, id) {
            let place = self.place(now, number, id);
            self.refuse_at(place, number, id);
        }
    }

    fn refuse_at(&mut self, place: (i64, u64), number: i64, id: Uuid) {
        // Exact numbers say by themselves what is missing.
        if self.numbering == Numbering::Racy && self.waiting.len() < REMEMBERED {
            self.waiting.entry(place).or_insert(Waiting {
                number,
                id,
                payload: None,
                socket: 0,
            });
        }
    }

    fn is_copy(&self, number: i64, id: Uuid) -> bool {
        let had = number < self.expected
            && (self.numbering == Numbering::Exact || self.had.iter().any(|had| had.id == id));
        let taken = |waiting: &Waiting| waiting.id == id && waiting.payload.is_some();
        had || self.waiting.values().any(taken)
    }

    /// Whether the acknowledgement may have been lost, or can't be taken for that of another message.
    fn may_acknowledge_copy(&mut self, number: i64, id: Uuid) -> bool {
        let refused = |waiting: &Waiting| waiting.payload.is_none() && waiting.number == number;
        let shared = self.waiting.values().any(refused);
        let had = self.had.iter_mut().filter(|had| had.id == id);
        let waiting = self.waiting.values_mut().filter(|waiting| waiting.id == id);
        let mut sockets = had
            .map(|had| &mut had.socket)
            .chain(waiting.map(|waiting| &mut waiting.socket));
        let again = sockets
            .next()
            .is_none_or(|socket| std::mem::replace(socket, self.socket) != self.socket);
        again || !shared
    }

    /// Where a message belongs that was not taken yet.
    fn place(&mut self, now: Duration, number: i64, id: Uuid) -> (i64, u64) {
        let before = self.waiting.iter().find(|(_, waiting)| waiting.id == id);
        if let Some((place, _)) = before {
            return *place;
        }
        self.arrivals += 1;
        let last = self.waiting.last_key_value().map(|((last, _), _)| *last);
        match self.waits(now) {
            true => (number, self.arrivals),
            // The order on the socket counts, not the number.
            false => (last.map_or(number, |last| last.max(number)), self.arrivals),
        }
    }

    /// Whether a message can be held, or delivered at once.
    fn has_room(&self, now: Duration, place: (i64, u64), message: &Message<'_>) -> bool {
        let first = self
            .waiting
            .first_key_value()
            .is_none_or(|(first, _)| place <= *first);
        if first && (message.sequence <= self.expected || !self.waits(now)) {
            return true;
        }
        let held = self
            .waiting
            .values()
            .filter_map(|waiting| waiting.payload.as_ref());
        let (count, bytes) = held.fold((0, 0), |(count, bytes), held| {
            (count + 1, bytes + held.bytes.len())
        });
        count < HELD && bytes + message.payload.len() <= HELD_BYTES
    }

    /// Whether one that was refused earlier has the same number.
    fn is_behind_its_like(&self, place: (i64, u64), number: i64) -> bool {
        let mut earlier = self.waiting.range(..place);
        earlier.any(|(_, waiting)| waiting.number == number && waiting.payload.is_none())
    }

    /// What need not be waited for any more.
    #[must_use]
    pub fn due(&mut self, now: Duration) -> Vec<Payload> {
        self.in_order(now)
    }

    /// When [`Self::due`] has something, if nothing comes before.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(self.patient_until).flatten()
    }

    /// The socket is another one.
    pub fn reconnected(&mut self, now: Duration) {
        self.socket += 1;
        if self.numbering == Numbering::Racy {
            self.patient_until = Some(now + PATIENCE);
        }
    }

    /// Whether a number that is missing may still come.
    fn waits(&self, now: Duration) -> bool {
        match self.numbering {
            Numbering::Exact => true,
            Numbering::Racy => self.patient_until.is_some_and(|until| now < until),
        }
    }

    fn in_order(&mut self, now: Duration) -> Vec<Payload> {
        let waits = self.waits(now);
        if !waits {
            self.patient_until = None;
        }
        let mut delivered = Vec::new();
        while let Some(mut first) = self.waiting.first_entry() {
            if waits && first.key().0 > self.expected {
                break;
            }
            let Some(payload) = first.get_mut().payload.take() else {
                break;
            };
            let Waiting {
                number, id, socket, ..
            } = first.remove();
            self.expected = self.expected.max(number.saturating_add(1));
            self.remember(Had { id, socket });
            delivered.push(payload);
        }
        delivered
    }

    fn remember(&mut self, had: Had) {
        if self.numbering == Numbering::Racy {
            if self.had.len() >= REMEMBERED {
                self.had.pop_front();
            }
            self.had.push_back(had);
        }
    }
}
