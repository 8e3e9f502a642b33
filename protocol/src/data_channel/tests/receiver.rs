use std::time::Duration;

use super::super::receiver::{HELD, HELD_BYTES, Numbering, Payload, Receiver};
use super::*;

const T0: Duration = Duration::from_secs(100);

fn take(receiver: &mut Receiver, now: Duration, number: i64, id: u128, text: &str) -> Option<String> {
    let message = Message {
        id: Uuid::from_u128(id),
        ..message(MessageType::InputStreamData, number, text.as_bytes())
    };
    receiver.take(now, &message).map(joined)
}

fn joined(payloads: Vec<Payload>) -> String {
    let bytes = payloads.into_iter().flat_map(|payload| payload.bytes).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn copies_are_acknowledged_and_not_delivered() {
    for numbering in [Numbering::Exact, Numbering::Racy] {
        let mut receiver = Receiver::new(numbering);
        assert_eq!(take(&mut receiver, T0, 0, 1, "a").as_deref(), Some("a"));
        assert_eq!(take(&mut receiver, T0, 0, 1, "a").as_deref(), Some(""));
        assert_eq!(take(&mut receiver, T0, 1, 2, "b").as_deref(), Some("b"));
        assert_eq!(take(&mut receiver, T0, 0, 1, "a").as_deref(), Some(""));
    }
}

#[test]
fn an_exact_number_is_waited_for() {
    let mut receiver = Receiver::new(Numbering::Exact);
    assert_eq!(take(&mut receiver, T0, 1, 2, "b").as_deref(), Some(""));
    assert_eq!(take(&mut receiver, T0, 1, 2, "b").as_deref(), Some(""));
    assert_eq!(receiver.next_due(), None);
    assert!(receiver.due(T0 * 2).is_empty());
    assert_eq!(take(&mut receiver, T0, 2, 3, "c").as_deref(), Some(""));
    assert_eq!(take(&mut receiver, T0, 0, 1, "a").as_deref(), Some("abc"));
}

/// Two of the client's sources took the same number, and one was left out.
#[test]
fn a_number_that_is_given_twice_is_two_inputs_and_one_left_out_is_none() {
    let mut receiver = Receiver::new(Numbering::Racy);
    assert_eq!(take(&mut receiver, T0, 0, 1, "a").as_deref(), Some("a"));
    assert_eq!(take(&mut receiver, T0, 0, 2, "b").as_deref(), Some("b"));
    assert_eq!(take(&mut receiver, T0, 2, 3, "c").as_deref(), Some("c"));
    assert_eq!(take(&mut receiver, T0, 3, 4, "d").as_deref(), Some("d"));
}

#[test]
fn after_a_change_of_sockets_a_missing_number_is_waited_for_a_while() {
    let mut receiver = Receiver::new(Numbering::Racy);
    let late = T0 + Duration::from_secs(2);
    receiver.reconnected(T0);
    assert_eq!(take(&mut receiver, T0, 1, 2, "b").as_deref(), Some(""));
    assert_eq!(take(&mut receiver, T0, 1, 9, "B").as_deref(), Some(""));
    assert_eq!(receiver.next_due(), Some(late));
    assert_eq!(take(&mut receiver, T0, 0, 1, "a").as_deref(), Some("abB"));
    assert_eq!(receiver.next_due(), None);

    receiver.reconnected(T0);
    assert_eq!(take(&mut receiver, T0, 4, 5, "e").as_deref(), Some(""));
    assert_eq!(joined(receiver.due(late)), "e", "it was never sent");
    assert_eq!(take(&mut receiver, late, 9, 6, "f").as_deref(), Some("f"));
}

/// Nothing would come of it, again and again.
#[test]
fn who_counts_exactly_is_not_waited_for_by_time() {
    let mut receiver = Receiver::new(Numbering::Racy);
    receiver.reconnected(T0);
    receiver.counts(Numbering::Exact);
    assert_eq!(take(&mut receiver, T0, 1, 2, "b").as_deref(), Some(""));
    assert_eq!(receiver.next_due(), None);
}

#[test]
fn no_more_is_held_than_the_bound() {
    let mut receiver = Receiver::new(Numbering::Exact);
    for number in 1..=HELD as i64 {
        assert!(take(&mut receiver, T0, number, number as u128, "x").is_some());
    }
    assert_eq!(take(&mut receiver, T0, 1000, 1000, "y"), None, "it comes again");
    let all = take(&mut receiver, T0, 0, 2000, "x").unwrap();
    assert_eq!(all.len(), HELD + 1);
}

#[test]
fn no_number_is_too_great() {
    let mut receiver = Receiver::new(Numbering::Racy);
    assert_eq!(take(&mut receiver, T0, i64::MAX, 1, "a").as_deref(), Some("a"));
    assert_eq!(take(&mut receiver, T0, i64::MIN, 2, "b").as_deref(), Some("b"));
    assert_eq!(take(&mut receiver, T0, i64::MIN, 2, "b").as_deref(), Some(""));
}

fn refuse(receiver: &mut Receiver, number: i64, id: u128) {
    let message = Message {
        id: Uuid::from_u128(id),
        ..message(MessageType::InputStreamData, number, b"")
    };
    receiver.refuse(T0, &message);
}

#[test]
fn what_was_refused_is_waited_for_and_keeps_its_place() {
    let mut receiver = Receiver::new(Numbering::Racy);
    refuse(&mut receiver, 0, 1);
    assert_eq!(take(&mut receiver, T0, 4, 2, "b").as_deref(), Some(""));
    // The counter went back.
    assert_eq!(take(&mut receiver, T0, 3, 3, "c").as_deref(), Some(""));
    receiver.reconnected(T0);
    assert!(receiver.due(T0 * 2).is_empty());
    refuse(&mut receiver, 0, 1);
    assert_eq!(take(&mut receiver, T0 * 2, 0, 1, "a").as_deref(), Some("abc"));
}

/// The client would take it for the acknowledgement of the one that was refused.
#[test]
fn what_shares_its_number_with_one_that_was_refused_is_not_acknowledged_before_it() {
    let mut receiver = Receiver::new(Numbering::Racy);
    refuse(&mut receiver, 0, 1);
    assert_eq!(take(&mut receiver, T0, 0, 2, "b"), None);
    assert_eq!(take(&mut receiver, T0, 1, 3, "c").as_deref(), Some(""));
    assert_eq!(take(&mut receiver, T0, 0, 1, "a").as_deref(), Some("a"));
    assert_eq!(take(&mut receiver, T0, 0, 1, "a"), None, "a copy that crossed");
    receiver.reconnected(T0);
    assert_eq!(
        take(&mut receiver, T0, 0, 1, "a").as_deref(),
        Some(""),
        "the acknowledgement may be lost"
    );
    assert_eq!(take(&mut receiver, T0, 0, 2, "b").as_deref(), Some("bc"));
}

#[test]
fn no_more_is_held_behind_what_was_refused_than_the_bound() {
    let mut receiver = Receiver::new(Numbering::Racy);
    refuse(&mut receiver, 0, 1);
    for number in 1..=HELD as i64 {
        assert!(take(&mut receiver, T0, number, 1 + number as u128, "x").is_some());
    }
    assert_eq!(take(&mut receiver, T0, 600, 600, "y"), None, "it comes again");
    let all = take(&mut receiver, T0, 0, 1, "a").unwrap();
    assert_eq!(all.len(), HELD + 1);
    assert_eq!(take(&mut receiver, T0, 601, 601, "z").as_deref(), Some(""));
    assert_eq!(take(&mut receiver, T0, 600, 600, "y").as_deref(), Some("yz"));
}

#[test]
fn exact_numbers_need_no_record_of_what_was_refused() {
    let mut receiver = Receiver::new(Numbering::Racy);
    refuse(&mut receiver, 0, 1);
    assert_eq!(take(&mut receiver, T0, 1, 2, "b").as_deref(), Some(""));
    receiver.counts(Numbering::Exact);
    assert_eq!(take(&mut receiver, T0, 0, 1, "a").as_deref(), Some("ab"));
    refuse(&mut receiver, 2, 3);
    assert_eq!(take(&mut receiver, T0, 3, 4, "d").as_deref(), Some(""));
    assert_eq!(take(&mut receiver, T0, 2, 3, "c").as_deref(), Some("cd"));
}

/// A client may send messages as long as the relay takes, with a number missing before them.
#[test]
fn no_more_bytes_are_held_than_the_bound() {
    for numbering in [Numbering::Exact, Numbering::Racy] {
        let mut receiver = Receiver::new(numbering);
        receiver.reconnected(Duration::ZERO);
        let long = vec![0; 64 * 1024];
        let taken = (1..HELD as i64).filter(|number| {
            let message = Message {
                id: Uuid::from_u128(*number as u128),
                ..message(MessageType::InputStreamData, *number, &long)
            };
            receiver.take(Duration::from_millis(1), &message).is_some()
        });
        assert_eq!(taken.count() * long.len(), HELD_BYTES);
        // What is missing is taken, whatever is held.
        let missing = message(MessageType::InputStreamData, 0, &long);
        assert_eq!(
            receiver.take(Duration::from_millis(1), &missing).unwrap().len(),
            33
        );
    }
}
