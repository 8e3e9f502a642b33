//! Both of Longshore's sides together.

use std::time::Duration;

use super::super::client::{Client, Said};
use super::super::host::{Event, Host, Now, Output};
use super::*;

struct Pair {
    host: Host,
    client: Client,
    since: Duration,
    random: u64,
    /// Of a hundred messages, each way.
    lost: u64,
    said: Vec<Said>,
    events: Vec<Event>,
}

impl Pair {
    fn new(seed: u64, lost: u64, offer: Offer) -> Self {
        let since = Duration::from_secs(7);
        Self {
            host: Host::new(at(since), "s", "1.0.0.0", "Hello"),
            client: Client::new(Uuid::from_u128(9), "1.0.0.0", offer),
            since,
            random: seed,
            lost,
            said: Vec::new(),
            events: Vec::new(),
        }
    }

    fn arrives(&mut self) -> bool {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % 100 >= self.lost
    }

    /// Ten milliseconds of both.
    fn step(&mut self) {
        let frames: Vec<_> = self.host.take_frames().collect();
        for frame in frames {
            if self.arrives() {
                self.client.receive(at(self.since), &frame);
            }
        }
        let frames: Vec<_> = self.client.take_frames().collect();
        for frame in frames {
            if self.arrives() {
                self.host.receive(at(self.since), &frame, true);
            }
        }
        self.since += Duration::from_millis(10);
        self.host.tick(at(self.since));
        self.client.tick(at(self.since));
        self.said.extend(self.client.take_events());
        self.events.extend(self.host.take_events());
    }

    fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if holds(self) {
                return;
            }
            self.step();
        }
        panic!("it never holds: {:?} {:?}", self.said.len(), self.events.len());
    }

    fn now(&self) -> Now {
        at(self.since)
    }
}

fn at(since: Duration) -> Now {
    Now {
        since,
        wall: jiff::Timestamp::UNIX_EPOCH + since,
    }
}

fn written(said: &[Said], from: Output) -> Vec<u8> {
    let bytes = |said: &Said| match said {
        Said::Output(output, bytes) if *output == from => bytes.clone(),
        _ => Vec::new(),
    };
    said.iter().flat_map(bytes).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_session_is_whole_over_a_bad_network(seed: u64, lost in 0_u64..30, terminal: bool) {
        let mut pair = Pair::new(seed, lost, Offer { terminal });
        pair.until(|pair| !pair.said.is_empty());
        prop_assert_eq!(&pair.said, &[Said::Ready("Hello".to_owned())]);
        let size = Size { cols: 100, rows: 50 };
        pair.client.resize(pair.now(), size);
        pair.until(|pair| !pair.events.is_empty());
        prop_assert_eq!(pair.host.offer(), Some(&Offer { terminal }));
        let typed: Vec<u8> = (0..60_u8).collect();
        for piece in typed.chunks(7) {
            pair.until(|pair| pair.client.has_room());
            pair.client.input(pair.now(), piece);
            pair.until(|pair| pair.host.has_room());
            pair.host.write(pair.now(), Output::Stdout, piece);
            pair.host.write(pair.now(), Output::Stderr, b"!");
        }
        pair.client.end_of_input(pair.now());
        pair.until(|pair| pair.events.last() == Some(&Event::EndOfInput));
        pair.host.exited(pair.now(), 77);
        pair.until(|pair| pair.host.is_over() || pair.said.contains(&Said::Closed(String::new())));
        let start = pair.events.remove(0);
        let is_start = matches!(start, Event::Start(None)) || start == Event::Start(Some(size));
        prop_assert!(is_start);
        let got: Vec<u8> = pair.events.iter().flat_map(|event| match event {
            Event::Input(bytes) => bytes.clone(),
            _ => Vec::new(),
        }).collect();
        prop_assert_eq!(got, typed.clone());
        prop_assert_eq!(written(&pair.said, Output::Stdout), typed);
        prop_assert_eq!(written(&pair.said, Output::Stderr), b"!!!!!!!!!");
        prop_assert!(pair.said.contains(&Said::Exited(77)));
    }

    #[test]
    fn nothing_that_comes_makes_a_client_fail(frames in prop::collection::vec(any_message(), 0..40)) {
        let mut client = Client::new(Uuid::from_u128(9), "1.0.0.0", Offer::default());
        for parts in &frames {
            client.receive(at(Duration::from_secs(1)), &made(parts).encode());
        }
    }
}
