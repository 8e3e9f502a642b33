//! What one side of a data channel sends: numbered, kept until it has come, and sent again.
//!
//! Invariants: nothing leaves before it was acknowledged or is known to have come; a message that is sent again is the same
//! to the byte; what is kept is bounded by [`WINDOW`] and [`KEPT`], past which [`Sender::has_room`] says no.
//!
//! The clients in use never acknowledge twice, so an acknowledgement that was lost with a socket would be waited for for
//! ever. But a websocket keeps its order: that a message was acknowledged says that those have come that were written to
//! the same socket before it, if the client took messages by then. [`Sender::infers`] has this rule begin; where the other
//! side acknowledges copies too, it is not needed. After a change of sockets only what is new has this say: what is sent
//! again may have been on its way to the new socket already, ahead of what was lost before it.
//!
//! Times are durations since any fixed moment, by a clock that never steps.

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

use super::{Message, MessageType, PayloadType, SYN};

/// How many messages may be on their way.
pub const WINDOW: usize = 256;
/// How far the last may be ahead of the first that has not come, with those that a new socket does not count.
pub const KEPT: usize = 2 * WINDOW;
/// How many are sent again at a time.
const BURST: usize = 64;
/// Before anything was measured.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Before anything was measured.
const FIRST_TIMEOUT: Duration = Duration::from_millis(200);
/// The longest pause between two copies.
const LONGEST: Duration = Duration::from_secs(1);
/// Least allowance for a round trip that varies.
const GRANULARITY: Duration = Duration::from_millis(10);

struct Sent {
    sequence: i64,
    bytes: Vec<u8>,
    last: Duration,
    pause: Duration,
    /// How often it was sent again on this socket.
    copies: u32,
    /// It was first written to a socket that is gone.
    old: bool,
    /// It was written to this socket when [`Sender::infers`] had been called.
    inferred: bool,
}

/// One direction, at its source.
pub struct Sender {
    message_type: MessageType,
    next: i64,
    infers: bool,
    sent: VecDeque<Sent>,
    round_trip: Duration,
    variance: Duration,
    timeout: Duration,
}

impl Sender {
    /// A direction of which nothing was sent.
    #[must_use]
    pub fn new(message_type: MessageType) -> Self {
        Self {
            message_type,
            next: 0,
            infers: false,
            sent: VecDeque::new(),
            round_trip: FIRST_ROUND_TRIP,
            variance: Duration::ZERO,
            timeout: FIRST_TIMEOUT,
        }
    }

    /// Whether one more may be sent now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let first = self.sent.front().map_or(self.next, |sent| sent.sequence);
        let counted = self.sent.iter().filter(|sent| !sent.old);
        self.next - first < KEPT as i64 && counted.count() < WINDOW
    }

    /// From now on a message that is acknowledged stands for those before it: the other side takes what it gets, over a
    /// socket that keeps its order. Clients in use drop what comes before they are ready, without a word.
    pub fn infers(&mut self) {
        self.infers = true;
    }

    /// Numbers a message; its bytes are to be written to the socket, if there is one.
    #[must_use]
    pub fn send(
        &mut self,
        now: Duration,
        created: u64,
        id: Uuid,
        (payload_type, payload): (PayloadType, &[u8]),
    ) -> Vec<u8> {
        let sequence = self.next;
        self.next += 1;
        let message = Message {
            message_type: self.message_type,
            created,
            sequence,
            flags: if sequence == 0 { SYN } else { 0 },
            id,
            payload_type,
            payload,
        };
        let bytes = message.encode();
        self.sent.push_back(Sent {
            sequence,
            bytes: bytes.clone(),
            last: now,
            pause: self.timeout,
            copies: 0,
            old: false,
            inferred: self.infers,
        });
        bytes
    }

    /// The other side has a message.
    pub fn acknowledged(&mut self, now: Duration, sequence: i64) {
        let Ok(index) = self.sent.binary_search_by_key(&sequence, |sent| sent.sequence) else {
            return;
        };
        let Some(sent) = self.sent.remove(index) else {
            return;
        };
        if sent.copies == 0 && !sent.old {
            self.measure(now.saturating_sub(sent.last));
        }
        if sent.inferred && !sent.old {
            let came = |earlier: &Sent| earlier.inferred && earlier.sequence < sequence;
            self.sent.retain(|earlier| !came(earlier));
        }
    }

    /// RFC 6298, with the clients' constants.
    fn measure(&mut self, took: Duration) {
        let off = self.round_trip.abs_diff(took);
        self.variance = self.variance * 3 / 4 + off / 4;
        self.round_trip = self.round_trip * 7 / 8 + took / 8;
        self.timeout = LONGEST.min(self.round_trip + GRANULARITY.max(self.variance * 4));
    }

    /// Copies of what should have been acknowledged by now, to be written to the socket.
    #[must_use]
    pub fn due(&mut self, now: Duration) -> Vec<Vec<u8>> {
        let due = self.sent.iter_mut().filter(|sent| sent.last + sent.pause <= now);
        due.take(BURST)
            .map(|sent| {
                sent.last = now;
                sent.pause = LONGEST.min(sent.pause * 2);
                sent.copies += 1;
                sent.bytes.clone()
            })
            .collect()
    }

    /// When [`Self::due`] has something next.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.sent.iter().map(|sent| sent.last + sent.pause).min()
    }

    /// The socket is another one: everything that may not have come, to be written to it first and in this order.
    #[must_use]
    pub fn reconnected(&mut self, now: Duration) -> Vec<Vec<u8>> {
        for sent in &mut self.sent {
            sent.last = now;
            sent.pause = self.timeout;
            sent.copies = 0;
            sent.old = true;
            sent.inferred = self.infers;
        }
        self.sent.iter().map(|sent| sent.bytes.clone()).collect()
    }

    /// Whether the next message's acknowledgement would tell of messages of an earlier socket, of which nothing else may.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.infers && self.has_room() && self.sent.back().is_some_and(|last| last.old)
    }

    /// Whether all that was sent has come.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.sent.is_empty()
    }
}
