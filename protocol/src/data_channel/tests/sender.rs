use std::time::Duration;

use super::super::sender::{KEPT, Sender, WINDOW};
use super::*;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn sender() -> Sender {
    Sender::new(MessageType::OutputStreamData)
}

fn send(sender: &mut Sender, now: Duration) -> Vec<u8> {
    sender.send(now, 1, Uuid::new_v4(), (PayloadType::OUTPUT, b"x"))
}

fn numbers(messages: &[Vec<u8>]) -> Vec<i64> {
    let number = |bytes: &Vec<u8>| Message::decode(bytes).unwrap().sequence;
    messages.iter().map(number).collect()
}

#[test]
fn numbers_begin_at_0_and_only_the_first_has_the_flag() {
    let mut sender = sender();
    for number in 0..3 {
        let bytes = send(&mut sender, ms(0));
        let message = Message::decode(&bytes).unwrap();
        assert_eq!(
            (message.sequence, message.flags),
            (number, u64::from(number == 0))
        );
    }
}

#[test]
fn what_is_late_is_sent_again_and_ever_more_seldom() {
    let mut sender = sender();
    let first = send(&mut sender, ms(0));
    assert!(sender.due(ms(199)).is_empty());
    assert_eq!(sender.next_due(), Some(ms(200)));
    assert_eq!(
        sender.due(ms(200)),
        std::slice::from_ref(&first),
        "the same bytes"
    );
    assert!(sender.due(ms(599)).is_empty());
    assert_eq!(sender.due(ms(600)), std::slice::from_ref(&first));
    assert_eq!(sender.due(ms(1400)), std::slice::from_ref(&first));
    assert_eq!(sender.next_due(), Some(ms(2400)), "a second, and no longer");
    sender.acknowledged(ms(1500), 0);
    assert!(sender.due(ms(9000)).is_empty() && sender.is_settled());
}

/// Not the oldest alone: it may be one that is never acknowledged.
#[test]
fn all_that_is_late_is_sent_again() {
    let mut sender = sender();
    for _ in 0..3 {
        let _ = send(&mut sender, ms(0));
    }
    sender.acknowledged(ms(10), 1);
    assert_eq!(numbers(&sender.due(ms(1000))), [0, 2]);
}

#[test]
fn the_window_is_bounded() {
    let mut sender = sender();
    for _ in 0..WINDOW {
        assert!(sender.has_room());
        let _ = send(&mut sender, ms(0));
    }
    assert!(!sender.has_room());
    sender.acknowledged(ms(1), 7);
    assert!(sender.has_room());
}

#[test]
fn what_must_have_come_is_not_waited_for() {
    let mut sender = sender();
    sender.infers();
    for _ in 0..WINDOW {
        let _ = send(&mut sender, ms(0));
    }
    // The acknowledgements of all before were lost.
    sender.acknowledged(ms(1), WINDOW as i64 - 2);
    assert!(sender.has_room());
    assert_eq!(numbers(&sender.due(ms(1000))), [WINDOW as i64 - 1]);
    sender.acknowledged(ms(2), WINDOW as i64 - 1);
    assert!(sender.is_settled());
}

/// A client drops what comes before it is ready, and acknowledges what comes after.
#[test]
fn nothing_is_known_of_what_was_sent_before_the_other_side_was_ready() {
    let mut sender = sender();
    let _ = send(&mut sender, ms(0));
    sender.infers();
    let _ = send(&mut sender, ms(1));
    sender.acknowledged(ms(2), 1);
    for round in 1..100 {
        assert_eq!(numbers(&sender.due(ms(round * 1000))), [0]);
    }
    assert!(!sender.is_settled());
}

#[test]
fn a_new_socket_gets_all_again_and_has_room() {
    let mut sender = sender();
    sender.infers();
    for _ in 0..WINDOW {
        let _ = send(&mut sender, ms(0));
    }
    sender.acknowledged(ms(1), 0);
    let again = numbers(&sender.reconnected(ms(5000)));
    assert_eq!(again, (1..WINDOW as i64).collect::<Vec<_>>());
    assert!(
        sender.has_room(),
        "what was lost with a socket may never be acknowledged"
    );
    for round in 0..10 {
        while sender.has_room() {
            let _ = send(&mut sender, ms(5000));
        }
        let _ = sender.reconnected(ms(6000 + round));
    }
    let kept = sender.reconnected(ms(7000)).len();
    assert!(kept <= KEPT, "{kept}");
}

/// A message that was on its way when the socket changed overtakes what is sent again: its acknowledgement says nothing.
#[test]
fn an_acknowledgement_of_before_says_nothing_of_what_was_sent_again() {
    let mut sender = sender();
    sender.infers();
    for _ in 0..3 {
        let _ = send(&mut sender, ms(0));
    }
    let _ = sender.reconnected(ms(10));
    sender.acknowledged(ms(20), 2);
    assert_eq!(numbers(&sender.reconnected(ms(30))), [0, 1]);
    // What is new comes after them, on the same socket.
    let _ = send(&mut sender, ms(40));
    sender.acknowledged(ms(50), 3);
    assert!(sender.is_settled());
}
