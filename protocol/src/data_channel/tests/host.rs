//! A host and a client that is as the ones in use are, with their defects.

use std::time::Duration;

use super::super::host::{Event, Host, Now, Output};
use super::*;

/// `session-manager-plugin`, as far as a host can see it.
#[derive(Default)]
struct Client {
    next: i64,
    expected: i64,
    /// Its answer was sent, and nothing takes output yet: dropped without an acknowledgement.
    unready: bool,
    offer: Option<Offer>,
    shown: String,
    kinds: Vec<PayloadType>,
    closed: Option<ChannelClosed>,
    unacknowledged: Vec<i64>,
}

struct Stage {
    host: Host,
    client: Client,
    since: Duration,
    events: Vec<Event>,
}

const SIZE: Size = Size { cols: 120, rows: 40 };

impl Stage {
    fn new() -> Self {
        Self::greeted("")
    }

    fn greeted(greeting: &str) -> Self {
        let since = Duration::from_secs(50);
        Self {
            host: Host::new(at(since), "ecs-execute-command-1", "1.0.0.0", greeting),
            client: Client::default(),
            since,
            events: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        at(self.since)
    }

    /// Until the program runs.
    fn started(mut self) -> Self {
        self.deliver();
        self.send_json(PayloadType::SIZE, &SIZE);
        assert_eq!(self.events(), [Event::Start(Some(SIZE))]);
        self
    }

    /// A client that has an offer.
    fn offering(offer: Offer) -> Self {
        let mut stage = Self::new();
        stage.client.offer = Some(offer);
        stage.started()
    }

    fn send_json(&mut self, payload_type: PayloadType, payload: &impl serde::Serialize) {
        self.send(payload_type, &serde_json::to_vec(payload).unwrap());
    }

    fn send(&mut self, payload_type: PayloadType, payload: &[u8]) {
        let number = self.client.next;
        self.client.next += 1;
        self.send_as(number, payload_type, payload, true);
    }

    fn send_as(&mut self, number: i64, payload_type: PayloadType, payload: &[u8], has_room: bool) {
        let bytes = Message {
            id: Uuid::new_v4(),
            payload_type,
            ..message(MessageType::InputStreamData, number, payload)
        };
        self.client.unacknowledged.push(number);
        self.host.receive(self.now(), &bytes.encode(), has_room);
        self.deliver();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.since + time;
        while let Some(due) = self.host.next_due().filter(|due| *due <= until) {
            self.since = self.since.max(due);
            self.host.tick(self.now());
            self.deliver();
        }
        self.since = until;
    }

    fn events(&mut self) -> Vec<Event> {
        self.events.extend(self.host.take_events());
        std::mem::take(&mut self.events)
    }

    /// Everything that the host has written reaches the client.
    fn deliver(&mut self) {
        loop {
            let frames: Vec<_> = self.host.take_frames().collect();
            if frames.is_empty() {
                return;
            }
            for frame in frames {
                self.client_gets(&frame);
            }
        }
    }

    fn client_gets(&mut self, frame: &[u8]) {
        let message = Message::decode(frame).unwrap();
        match message.message_type {
            MessageType::Acknowledge => {
                let number = serde_json::from_slice::<Acknowledge>(message.payload)
                    .unwrap()
                    .sequence;
                self.client.unacknowledged.retain(|other| *other != number);
            }
            MessageType::ChannelClosed => {
                self.client.closed = Some(serde_json::from_slice(message.payload).unwrap());
            }
            MessageType::OutputStreamData => self.client_gets_output(&message),
            other => panic!("{other:?}"),
        }
    }

    fn client_gets_output(&mut self, message: &Message<'_>) {
        let shows = message.payload_type != PayloadType::HANDSHAKE_REQUEST
            && message.payload_type != PayloadType::HANDSHAKE_COMPLETE;
        // Copies are never acknowledged again; what comes early here is a fault of the test.
        if message.sequence != self.client.expected || (shows && self.client.unready) {
            return;
        }
        self.client.expected += 1;
        self.client.kinds.push(message.payload_type);
        let acknowledge = Acknowledge::of(message.message_type, message.id, message.sequence);
        let acknowledge = serde_json::to_vec(&acknowledge).unwrap();
        let acknowledge = super::message(MessageType::Acknowledge, 0, &acknowledge).encode();
        self.host.receive(self.now(), &acknowledge, true);
        match message.payload_type {
            PayloadType::HANDSHAKE_REQUEST => self.answer(message.payload),
            PayloadType::HANDSHAKE_COMPLETE => {
                let complete: HandshakeComplete = serde_json::from_slice(message.payload).unwrap();
                self.client.shown += &complete.customer_message;
            }
            _ => self.client.shown += std::str::from_utf8(message.payload).unwrap(),
        }
    }

    fn answer(&mut self, request: &[u8]) {
        let request: HandshakeRequest = serde_json::from_slice(request).unwrap();
        let mut actions: Vec<_> = request
            .requested_client_actions
            .into_iter()
            .map(|action| ProcessedAction {
                action_type: action.action_type,
                action_status: SUCCESS,
                action_result: serde_json::Value::Null,
                error: Some(String::new()),
            })
            .collect();
        actions.extend(self.client.offer.iter().map(Offer::action));
        let response = HandshakeResponse {
            client_version: "1.2.0.0".to_owned(),
            processed_client_actions: Some(actions),
            errors: None,
        };
        self.send_json(PayloadType::HANDSHAKE_RESPONSE, &response);
    }

    fn write(&mut self, output: Output, text: &str) {
        assert!(self.host.has_room());
        self.host.write(self.now(), output, text.as_bytes());
    }
}

pub(super) fn at(since: Duration) -> Now {
    Now {
        since,
        wall: jiff::Timestamp::UNIX_EPOCH + since,
    }
}

#[test]
fn a_session_runs_from_handshake_to_end() {
    let mut stage = Stage::greeted("Welcome").started();
    assert_eq!(stage.client.shown, "Welcome");
    assert_eq!(stage.host.client_version(), "1.2.0.0");
    stage.write(Output::Stdout, "$ ");
    stage.deliver();
    stage.send(PayloadType::OUTPUT, b"ls\r");
    stage.send_json(PayloadType::SIZE, &Size { cols: 80, rows: 24 });
    let resized = Event::Resize(Size { cols: 80, rows: 24 });
    assert_eq!(stage.events(), [Event::Input(b"ls\r".to_vec()), resized]);
    stage.write(Output::Stdout, "a b\r\n");
    stage.host.exited(stage.now(), 3);
    assert!(!stage.host.is_over(), "its last words have not come yet");
    stage.deliver();
    assert_eq!(stage.client.shown, "Welcome$ a b\r\n", "and no exit code");
    assert_eq!(stage.client.closed.take().unwrap().output, "");
    assert!(stage.client.unacknowledged.is_empty());
    assert!(stage.host.is_over() && stage.host.next_due().is_none());
}

#[test]
fn the_program_starts_when_the_client_is_ready() {
    let mut stage = Stage::new();
    stage.deliver();
    assert_eq!(stage.events(), []);
    assert!(!stage.host.has_room());
    // Typed ahead of the size.
    stage.send(PayloadType::OUTPUT, b"x");
    stage.send_json(PayloadType::SIZE, &SIZE);
    assert_eq!(
        stage.events(),
        [Event::Start(Some(SIZE)), Event::Input(b"x".to_vec())]
    );
}

#[test]
fn a_client_without_a_size_is_waited_for_no_longer_than_two_seconds() {
    let mut stage = Stage::new();
    stage.deliver();
    stage.wait(Duration::from_millis(1999));
    assert_eq!(stage.events(), []);
    stage.wait(Duration::from_millis(1));
    assert_eq!(stage.events(), [Event::Start(None)]);
}

/// Between its answer and the moment when something takes output, a client drops it.
#[test]
fn what_a_client_dropped_comes_again() {
    let mut stage = Stage::new();
    stage.deliver();
    stage.wait(Duration::from_secs(2));
    stage.client.unready = true;
    stage.write(Output::Stdout, "early ");
    stage.deliver();
    stage.client.unready = false;
    stage.send_json(PayloadType::SIZE, &SIZE);
    stage.write(Output::Stdout, "late");
    stage.wait(Duration::from_secs(1));
    assert_eq!(stage.client.shown, "early late");
}

#[test]
fn a_client_that_does_not_answer_is_told_so() {
    let mut stage = Stage::new();
    // Nothing is delivered.
    let _ = stage.host.take_frames().count();
    stage.since += Duration::from_secs(15);
    stage.host.tick(stage.now());
    stage.deliver();
    let closed = stage.client.closed.unwrap();
    assert!(
        closed.output.contains("did not answer the handshake"),
        "{closed:?}"
    );
}

#[test]
fn an_end_has_a_reason_for_the_user() {
    let mut stage = Stage::new().started();
    stage.host.fail(stage.now(), "the task was stopped");
    stage.deliver();
    assert_eq!(stage.client.closed.unwrap().output, "the task was stopped");
}

/// What the runtime says, or a program is called, may be longer than a message may be.
#[test]
fn a_reason_is_no_longer_than_it_may_be() {
    let mut stage = Stage::new();
    stage.host.fail(stage.now(), &"\u{1}ü".repeat(20_000));
    stage.deliver();
    let said = stage.client.closed.unwrap().output;
    assert!((1000..=1024).contains(&said.len()), "{}", said.len());
}

#[test]
fn a_client_that_is_gone_does_not_keep_the_session() {
    let mut stage = Stage::new().started();
    stage.write(Output::Stdout, "unread");
    let _ = stage.host.take_frames().count();
    stage.host.exited(stage.now(), 0);
    assert!(!stage.host.is_over());
    stage.since += Duration::from_secs(5);
    stage.host.tick(stage.now());
    assert!(stage.host.is_over());
}

#[test]
fn input_waits_for_room_and_acknowledgements_do_not() {
    let mut stage = Stage::new().started();
    stage.write(Output::Stdout, "out");
    stage.deliver();
    let full = message(MessageType::InputStreamData, 2, b"full").encode();
    stage.client.unacknowledged.push(2);
    stage.host.receive(stage.now(), &full, false);
    stage.deliver();
    assert_eq!((stage.events(), stage.client.unacknowledged.len()), (vec![], 1));
    stage.send_as(3, PayloadType::OUTPUT, b"later", true);
    assert_eq!((stage.events(), &stage.client.unacknowledged), (vec![], &vec![2]));
    stage.host.receive(stage.now(), &full, true);
    stage.deliver();
    let input = |text: &str| Event::Input(text.into());
    assert_eq!(stage.events(), [input("full"), input("later")]);
    assert!(stage.client.unacknowledged.is_empty());
}

#[test]
fn only_who_offers_to_take_them_gets_exit_codes_and_a_second_stream() {
    let mut stage = Stage::offering(Offer { terminal: false });
    assert_eq!(stage.host.offer(), Some(&Offer { terminal: false }));
    stage.write(Output::Stderr, "oops ");
    stage.send(PayloadType::FLAG, &END_OF_INPUT.to_be_bytes());
    assert_eq!(stage.events(), [Event::EndOfInput]);
    stage.host.exited(stage.now(), 42);
    stage.deliver();
    assert_eq!(stage.client.shown, "oops EXIT_CODE: 42");
    let last = &stage.client.kinds[stage.client.kinds.len() - 2..];
    assert_eq!(last, [PayloadType::STDERR, PayloadType::EXIT_CODE]);

    let mut stage = Stage::new().started();
    stage.write(Output::Stderr, "oops");
    stage.send(PayloadType::FLAG, &END_OF_INPUT.to_be_bytes());
    assert_eq!(stage.events(), []);
    stage.host.exited(stage.now(), 42);
    stage.deliver();
    assert_eq!(stage.client.shown, "oops");
    assert_eq!(stage.client.kinds.last(), Some(&PayloadType::OUTPUT));
}

#[test]
fn a_session_goes_on_over_another_socket() {
    let mut stage = Stage::new().started();
    stage.write(Output::Stdout, "one ");
    stage.deliver();
    stage.write(Output::Stdout, "two ");
    // Lost with the socket.
    let _ = stage.host.take_frames().count();
    stage.since += Duration::from_secs(30);
    stage.host.reconnected(stage.now());
    stage.write(Output::Stdout, "three");
    stage.deliver();
    assert_eq!(stage.client.shown, "one two three");
    stage.host.exited(stage.now(), 0);
    // Lost too.
    let _ = stage.host.take_frames().count();
    stage.host.reconnected(stage.now());
    stage.deliver();
    assert_eq!(stage.client.closed.unwrap().output, "");
}

/// The client has had it all, and the acknowledgements were lost: it never repeats them.
#[test]
fn a_client_that_is_back_and_has_all_is_sent_nothing_for_ever() {
    let mut stage = Stage::new().started();
    stage.write(Output::Stdout, "prompt");
    let frames: Vec<_> = stage.host.take_frames().collect();
    for frame in frames {
        let message = Message::decode(&frame).unwrap();
        assert_eq!(message.sequence, stage.client.expected);
        stage.client.expected += 1;
        stage.client.shown += std::str::from_utf8(message.payload).unwrap();
    }
    stage.host.reconnected(stage.now());
    stage.deliver();
    stage.wait(Duration::from_secs(60));
    assert_eq!(stage.host.next_due(), None, "it is sent again and again");
    assert_eq!(stage.client.shown, "prompt");
    stage.host.exited(stage.now(), 0);
    assert!(stage.host.is_over(), "nothing is waited for");
}

/// Not acknowledged, it would be sent again every 100 ms, and nothing behind it.
#[test]
fn what_only_other_clients_send_is_acknowledged_and_ignored() {
    let mut stage = Stage::new().started();
    for kind in [2, 4, 8, 9, 10, 99] {
        stage.send(PayloadType(kind), b"?");
    }
    assert_eq!(stage.events(), []);
    assert_eq!(stage.client.unacknowledged, [] as [i64; 0]);
    stage.send(PayloadType::OUTPUT, b"x");
    assert_eq!(stage.events(), [Event::Input(b"x".to_vec())]);
}

#[test]
fn a_client_may_end_the_session() {
    let mut stage = Stage::new().started();
    stage.send(PayloadType::FLAG, &TERMINATE_SESSION.to_be_bytes());
    assert_eq!(stage.events(), [Event::HangUp]);
    let closed = message(MessageType::ChannelClosed, 0, b"{}").encode();
    stage.host.receive(stage.now(), &closed, true);
    assert_eq!(stage.events(), [Event::HangUp]);
}

#[test]
fn a_client_that_leaves_before_the_program_starts_has_none_started() {
    let mut stage = Stage::new();
    stage.deliver();
    stage.send(PayloadType::FLAG, &TERMINATE_SESSION.to_be_bytes());
    stage.wait(Duration::from_secs(10));
    assert_eq!(stage.events(), []);
    assert!(stage.host.is_over());

    let mut stage = Stage::new();
    let closed = message(MessageType::ChannelClosed, 0, b"{}").encode();
    stage.host.receive(stage.now(), &closed, true);
    stage.deliver();
    stage.wait(Duration::from_secs(10));
    assert_eq!(stage.events(), []);
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_it_fail(frames in prop::collection::vec((any_message(), any::<bool>()), 0..40)) {
        let mut stage = Stage::new();
        for (parts, has_room) in &frames {
            let frame = made(parts).encode();
            stage.host.receive(stage.now(), &frame, *has_room);
            stage.since += Duration::from_millis(300);
            stage.host.tick(stage.now());
            let _ = stage.host.take_frames().count();
            let _ = stage.host.take_events().count();
        }
    }
}
