//! A host without room for input, now and then, and clients that send it again; a seed decides.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::client::{Client, Said};
use super::super::host::{Event, Host};
use super::super::payload::HandshakeResponse;
use super::host::at;
use super::network::{Random, pattern};
use super::*;

const BYTES: usize = 20_000;
const SIZE: Size = Size { cols: 80, rows: 24 };

/// Whoever types.
trait Typist {
    fn gets(&mut self, now: u64, frame: &[u8]);
    fn has_room(&self) -> bool;
    fn types(&mut self, now: u64, bytes: &[u8], random: &mut Random);
    /// What is to be written to the socket.
    fn frames(&mut self, now: u64) -> Vec<Vec<u8>>;
}

struct Unacknowledged {
    number: i64,
    frame: Vec<u8>,
    last: u64,
}

/// As `session-manager-plugin`: sources that share a counter, a list from which an acknowledgement takes the first that
/// has its number, and of which the first alone is sent again.
#[derive(Default)]
struct Plugin {
    next: i64,
    expected: i64,
    list: VecDeque<Unacknowledged>,
    out: Vec<Vec<u8>>,
}

impl Plugin {
    fn send(&mut self, now: u64, payload_type: PayloadType, payload: &[u8]) {
        let frame = Message {
            id: Uuid::new_v4(),
            payload_type,
            ..message(MessageType::InputStreamData, self.next, payload)
        };
        let frame = frame.encode();
        self.out.push(frame.clone());
        self.list.push_back(Unacknowledged {
            number: self.next,
            frame,
            last: now,
        });
        self.next += 1;
    }
}

impl Typist for Plugin {
    fn gets(&mut self, now: u64, frame: &[u8]) {
        let message = Message::decode(frame).unwrap();
        if message.message_type == MessageType::OutputStreamData {
            if message.sequence != self.expected {
                return;
            }
            self.expected += 1;
            let acknowledge = Acknowledge::of(message.message_type, message.id, message.sequence);
            let payload = serde_json::to_vec(&acknowledge).unwrap();
            self.out
                .push(super::message(MessageType::Acknowledge, 0, &payload).encode());
        }
        match (message.message_type, message.payload_type) {
            (MessageType::Acknowledge, _) => {
                let number = serde_json::from_slice::<Acknowledge>(message.payload)
                    .unwrap()
                    .sequence;
                let first = self.list.iter().position(|sent| sent.number == number);
                first.and_then(|index| self.list.remove(index));
            }
            (_, PayloadType::HANDSHAKE_REQUEST) => {
                let response = HandshakeResponse {
                    client_version: "1.2.0.0".to_owned(),
                    processed_client_actions: None,
                    errors: None,
                };
                let response = serde_json::to_vec(&response).unwrap();
                self.send(now, PayloadType::HANDSHAKE_RESPONSE, &response);
            }
            (_, PayloadType::HANDSHAKE_COMPLETE) => {
                self.send(now, PayloadType::SIZE, &serde_json::to_vec(&SIZE).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }

    fn has_room(&self) -> bool {
        self.list.len() < 100
    }

    fn types(&mut self, now: u64, bytes: &[u8], random: &mut Random) {
        self.send(now, PayloadType::OUTPUT, bytes);
        // Another source counted at the same time: a number is given again, left out, or the counter goes back.
        let off = match random.below(20) {
            0 | 1 => -1,
            2 => 1,
            3 => -2,
            _ => 0,
        };
        self.next = 0.max(self.next + off);
    }

    fn frames(&mut self, now: u64) -> Vec<Vec<u8>> {
        if let Some(first) = self.list.front_mut().filter(|first| first.last + 200 <= now) {
            first.last = now;
            self.out.push(first.frame.clone());
        }
        std::mem::take(&mut self.out)
    }
}

impl Typist for Client {
    fn gets(&mut self, now: u64, frame: &[u8]) {
        self.receive(at(Duration::from_millis(now)), frame);
        let ready = |said: Said| matches!(said, Said::Ready(_));
        if self.take_events().any(ready) {
            self.resize(at(Duration::from_millis(now)), SIZE);
        }
    }

    fn has_room(&self) -> bool {
        Client::has_room(self)
    }

    fn types(&mut self, now: u64, bytes: &[u8], _: &mut Random) {
        self.input(at(Duration::from_millis(now)), bytes);
    }

    fn frames(&mut self, now: u64) -> Vec<Vec<u8>> {
        self.tick(at(Duration::from_millis(now)));
        self.take_frames().collect()
    }
}

/// Both sides until all was typed and has come: what has.
fn typed(seed: u64, mut typist: impl Typist) -> Vec<u8> {
    let mut random = Random(seed);
    let mut host = Host::new(at(Duration::ZERO), "s", "1.0.0.0", "");
    // Each way keeps its order.
    let (mut up, mut down) = (VecDeque::new(), VecDeque::new());
    let (mut sent, mut started, mut full_until) = (0, false, 0);
    let mut got: Vec<u8> = Vec::new();
    let rarely_full = random.below(200);
    for now in 0..200_000 {
        let time = at(Duration::from_millis(now));
        while started && sent < BYTES && typist.has_room() && random.happens(30) {
            let end = BYTES.min(sent + 1 + random.below(60) as usize);
            let piece: Vec<u8> = (sent..end).map(pattern).collect();
            typist.types(now, &piece, &mut random);
            sent = end;
        }
        let delay = now + 1 + random.below(20);
        up.extend(typist.frames(now).into_iter().map(|frame| (delay, frame)));
        while let Some((_, frame)) = up.pop_front_if(|(arrives, _)| *arrives <= now) {
            if started && random.below(rarely_full + 10) == 0 {
                full_until = now + random.below(400);
            }
            host.receive(time, &frame, now >= full_until);
        }
        host.tick(time);
        down.extend(host.take_frames().map(|frame| (delay, frame)));
        while let Some((_, frame)) = down.pop_front_if(|(arrives, _)| *arrives <= now) {
            typist.gets(now, &frame);
        }
        for event in host.take_events() {
            match event {
                Event::Input(bytes) => got.extend(bytes),
                Event::Start(_) => started = true,
                other => panic!("{other:?}"),
            }
        }
        if got.len() >= BYTES {
            return got;
        }
    }
    panic!("it goes on: {} of {BYTES}", got.len());
}

fn first_wrong(got: &[u8]) -> Option<usize> {
    (0..got.len().max(BYTES)).find(|index| got.get(*index) != Some(&pattern(*index)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_a_host_had_no_room_for_comes_again_in_its_place(seed: u64) {
        prop_assert_eq!(first_wrong(&typed(seed, Plugin::default())), None, "of one that counts badly");
        let client = Client::new(Uuid::new_v4(), "1.0.0.0", Offer { terminal: true });
        prop_assert_eq!(first_wrong(&typed(seed, client)), None, "of one that counts exactly");
    }
}
