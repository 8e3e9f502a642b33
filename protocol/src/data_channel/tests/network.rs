//! Both sides over networks that lose, repeat, reorder and delay, or break; a seed decides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::super::receiver::{Numbering, Receiver};
use super::super::sender::Sender;
use super::*;

const BYTES: usize = 10 << 20;
const PIECE: usize = 4096;

/// What happens to a message on its way.
#[derive(Clone, Copy, Debug, Default)]
struct Network {
    /// In a hundred.
    lost: u64,
    /// In a hundred, of acknowledgements alone.
    acknowledgements_lost: u64,
    /// In a hundred.
    doubled: u64,
    /// Milliseconds at most, each for itself: messages overtake each other.
    delay: u64,
    /// Messages between two breaks of the socket, with all that is on its way; 0 for none.
    break_every: u64,
    /// In a hundred breaks, of the far leg alone: what is on its way to it comes by its successor.
    replaced: u64,
    /// In a hundred, for want of room.
    refused: u64,
    /// The receiver acknowledges once, as the clients in use do.
    acknowledged_once: bool,
}

pub(super) struct Random(pub(super) u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn happens(&mut self, of_a_hundred: u64) -> bool {
        self.below(100) < of_a_hundred
    }
}

/// What is on its way, by when it arrives: data, or the number that is acknowledged.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Carried {
    Data(Vec<u8>),
    Acknowledged(i64),
}

struct Run {
    network: Network,
    random: Random,
    now: u64,
    /// A socket keeps its order.
    order: u64,
    way: BinaryHeap<Reverse<(u64, u64, Carried)>>,
    until_break: u64,
    sender: Sender,
    receiver: Receiver,
    acknowledged: std::collections::HashSet<i64>,
    sent: usize,
    got: Vec<u8>,
}

pub(super) fn pattern(index: usize) -> u8 {
    (index.wrapping_mul(2_654_435_761) >> 13) as u8
}

impl Run {
    fn new(seed: u64, numbering: Numbering, network: Network) -> Self {
        let mut sender = Sender::new(MessageType::OutputStreamData);
        if network.acknowledged_once {
            sender.infers();
        }
        Self {
            network,
            random: Random(seed),
            now: 0,
            order: 0,
            way: BinaryHeap::new(),
            until_break: network.break_every,
            sender,
            receiver: Receiver::new(numbering),
            acknowledged: std::collections::HashSet::new(),
            sent: 0,
            got: Vec::new(),
        }
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    fn carry(&mut self, carried: impl Fn() -> Carried, is_acknowledgement: bool) {
        let network = self.network;
        let lost = network.lost + u64::from(is_acknowledgement) * network.acknowledgements_lost;
        let times = u64::from(!self.random.happens(lost)) + u64::from(self.random.happens(network.doubled));
        for _ in 0..times {
            self.order += 1;
            let at = self.now + 1 + self.random.below(network.delay);
            self.way.push(Reverse((at, self.order, carried())));
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.carry(|| Carried::Data(bytes.to_vec()), false);
        if self.network.break_every > 0 {
            self.until_break -= 1;
            if self.until_break == 0 {
                self.until_break = 1 + self.random.below(2 * self.network.break_every);
                self.break_socket();
            }
        }
    }

    fn break_socket(&mut self) {
        let way = std::mem::take(&mut self.way);
        if self.random.happens(self.network.replaced) {
            let data = |carried: &Reverse<(u64, u64, Carried)>| matches!(carried.0.2, Carried::Data(_));
            self.way = way.into_iter().filter(data).collect();
        } else {
            self.now += self.random.below(3000);
        }
        let now = self.time();
        self.receiver.reconnected(now);
        for bytes in self.sender.reconnected(now) {
            self.carry(|| Carried::Data(bytes.clone()), false);
        }
    }

    fn arrive(&mut self, carried: Carried) {
        let now = self.time();
        match carried {
            Carried::Acknowledged(number) => self.sender.acknowledged(now, number),
            Carried::Data(bytes) => {
                let message = Message::decode(&bytes).unwrap();
                if self.random.happens(self.network.refused) {
                    self.receiver.refuse(now, &message);
                    return;
                }
                let Some(payloads) = self.receiver.take(now, &message) else {
                    return;
                };
                for payload in payloads {
                    self.got.extend(payload.bytes);
                }
                let number = message.sequence;
                if self.acknowledged.insert(number) || !self.network.acknowledged_once {
                    self.carry(|| Carried::Acknowledged(number), true);
                }
            }
        }
    }

    /// Nobody can know of an acknowledgement that is never repeated, and of which none comes after.
    fn is_over(&self) -> bool {
        match self.network.acknowledged_once {
            true => self.got.len() == BYTES,
            false => self.sender.is_settled(),
        }
    }

    /// Sends all of it; the simulated milliseconds that it took.
    fn whole(mut self) -> u64 {
        while self.sent < BYTES || !self.is_over() {
            while self.sent < BYTES && self.sender.has_room() {
                let end = BYTES.min(self.sent + PIECE);
                let piece: Vec<u8> = (self.sent..end).map(pattern).collect();
                self.sent = end;
                let id = Uuid::from_u128(u128::from(self.random.next()));
                let bytes = self
                    .sender
                    .send(self.time(), 1, id, (PayloadType::OUTPUT, &piece));
                self.write(&bytes);
            }
            for bytes in self.sender.due(self.time()) {
                self.write(&bytes);
            }
            while let Some(Reverse((at, _, _))) = self.way.peek() {
                if *at > self.now {
                    break;
                }
                let Some(Reverse((_, _, carried))) = self.way.pop() else {
                    break;
                };
                self.arrive(carried);
            }
            let due = self.receiver.due(self.time());
            self.got.extend(due.into_iter().flat_map(|payload| payload.bytes));
            self.now += 1;
            assert!(self.now < 100_000, "it goes on: {} of {BYTES}", self.got.len());
        }
        assert!(self.got.len() == BYTES, "{} of {BYTES}", self.got.len());
        let wrong = (0..BYTES).find(|index| self.got[*index] != pattern(*index));
        assert_eq!(wrong, None, "the first byte that is wrong");
        self.now
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn ten_megabytes_come_whole_over_a_network_without_order(seed: u64) {
        let network = Network { lost: 10, doubled: 20, delay: 50, ..Network::default() };
        Run::new(seed, Numbering::Exact, network).whole();
    }

    #[test]
    fn ten_megabytes_come_whole_over_sockets_that_break(seed: u64, acknowledged_once: bool) {
        for numbering in [Numbering::Exact, Numbering::Racy] {
            let network = Network { break_every: 300, acknowledged_once, ..Network::default() };
            Run::new(seed, numbering, network).whole();
        }
    }

    #[test]
    fn ten_megabytes_come_whole_over_sockets_that_are_replaced_and_break(seed: u64) {
        let network = Network { break_every: 100, replaced: 50, acknowledged_once: true, ..Network::default() };
        Run::new(seed, Numbering::Racy, network).whole();
    }

    #[test]
    fn ten_megabytes_come_whole_though_much_of_it_is_refused(seed: u64) {
        for numbering in [Numbering::Exact, Numbering::Racy] {
            let network = Network { break_every: 1000, refused: 5, ..Network::default() };
            Run::new(seed, numbering, network).whole();
        }
    }

    /// It would be waited for for ever, were it not known that these have come.
    #[test]
    fn acknowledgements_that_are_lost_and_never_repeated_stop_nothing(seed: u64) {
        let network = Network { acknowledgements_lost: 20, acknowledged_once: true, ..Network::default() };
        let took = Run::new(seed, Numbering::Racy, network).whole();
        prop_assert!(took < 10_000, "{}", took);
    }
}
