use super::*;
use crate::testing::ManualClock;

fn caller(run: u128, n: u64, fingerprint: &str) -> Caller {
    Caller {
        run: uuid::Uuid::from_u128(run),
        n,
        fingerprint: fingerprint.into(),
        wait: Duration::from_secs(30),
    }
}

fn set_up() -> (Arc<Peer>, Arc<ManualClock>, Arc<dyn Clock>) {
    let manual = Arc::new(ManualClock::new());
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&manual);
    (Arc::new(Peer::new(manual.elapsed())), manual, clock)
}

fn served(admission: Admission) -> Open {
    match admission {
        Admission::Served(open) => open,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_is_connected_while_it_polls_and_for_fifteen_seconds_after() {
    let (peer, manual, clock) = set_up();
    assert_eq!(peer.link(&*clock), Link::default());
    let open = served(peer.admit(&caller(1, 1, "f"), "f", &clock));
    manual.advance(Duration::from_secs(60));
    assert!(peer.link(&*clock).connected);
    drop(open);
    manual.advance(Duration::from_millis(14_999));
    assert!(peer.link(&*clock).connected);
    manual.advance(Duration::from_millis(1));
    let link = peer.link(&*clock);
    assert_eq!((link.connected, link.since), (false, Some(clock.now_millis())));
}

#[test]
fn a_newer_poll_of_the_run_replaces_the_older_and_a_late_one_is_ignored() {
    let (peer, _, clock) = set_up();
    let first = served(peer.admit(&caller(1, 1, "f"), "f", &clock));
    let second = served(peer.admit(&caller(1, 2, "f"), "f", &clock));
    assert!(!first.is_newest() && second.is_newest());
    assert!(first.bell.has_changed().unwrap());
    assert!(matches!(
        peer.admit(&caller(1, 1, "f"), "f", &clock),
        Admission::Stale
    ));
}

#[test]
fn a_run_that_a_poll_of_an_older_one_replaced_is_let_in_again() {
    let (peer, manual, clock) = set_up();
    drop(served(peer.admit(&caller(2, 1, "f"), "f", &clock)));
    // Held up since before the agent was started anew, and the control plane too.
    let late = served(peer.admit(&caller(1, 9, "f"), "f", &clock));
    let copy = peer.admit(&caller(2, 1, "f"), "f", &clock);
    assert!(matches!(copy, Admission::Stale), "it may be as late");
    let alive = served(peer.admit(&caller(2, 2, "f"), "f", &clock));
    assert!(alive.is_newest() && !late.is_newest());
    drop((late, alive));
    let again = peer.admit(&caller(1, 9, "f"), "f", &clock);
    assert!(matches!(again, Admission::Stale));
    manual.advance(Duration::from_secs(40));
    let again = peer.admit(&caller(1, 9, "f"), "f", &clock);
    assert!(matches!(again, Admission::Stale), "however late");
    drop(served(peer.admit(&caller(2, 3, "f"), "f", &clock)));
    let other = peer.admit(&caller(1, 10, "f"), "f", &clock);
    assert!(matches!(other, Admission::Stale), "the other one polls on");
}

#[test]
fn two_machines_that_poll_as_one_node_are_cloned_until_one_is_silent() {
    let (peer, manual, clock) = set_up();
    let first = served(peer.admit(&caller(1, 9, "f"), "f", &clock));
    let copy = served(peer.admit(&caller(2, 1, "copy"), "f", &clock));
    assert!(first.bell.has_changed().unwrap(), "it is told at once");
    assert!(first.is_newest() && copy.is_newest() && first.is_cloned() && copy.is_cloned());
    drop(first);
    manual.advance(Duration::from_secs(39));
    assert!(copy.is_cloned() && peer.link(&*clock).cloned);
    manual.advance(Duration::from_secs(1));
    assert!(!copy.is_cloned() && !peer.link(&*clock).cloned);
    let restarted = served(peer.admit(&caller(3, 1, "copy"), "copy", &clock));
    assert!(!copy.is_newest() && restarted.is_newest() && !restarted.is_cloned());
    let late = peer.admit(&caller(2, 7, "copy"), "copy", &clock);
    assert!(
        matches!(late, Admission::Stale),
        "a poll of a run that was replaced"
    );
    assert!(restarted.is_newest());
}

#[test]
fn a_machine_that_is_not_the_known_one_waits_until_that_must_have_been_heard() {
    let (peer, manual, clock) = set_up();
    let Admission::Unproved(left) = peer.admit(&caller(2, 1, "copy"), "f", &clock) else {
        panic!()
    };
    assert_eq!(left, Duration::from_secs(130), "its pause between tries counts");
    manual.advance(Duration::from_secs(129));
    let known = served(peer.admit(&caller(1, 1, "f"), "f", &clock));
    let copy = served(peer.admit(&caller(2, 2, "copy"), "f", &clock));
    assert!(known.is_cloned() && copy.is_cloned());
    drop((known, copy));
    let (peer, manual, clock) = set_up();
    manual.advance(Duration::from_secs(130));
    assert!(!served(peer.admit(&caller(2, 1, "copy"), "f", &clock)).is_cloned());
}

#[test]
fn many_copies_are_cloned_and_bounded() {
    let (peer, _, clock) = set_up();
    let opens: Vec<_> = (0..50)
        .map(|run| served(peer.admit(&caller(run, 1, &run.to_string()), "0", &clock)))
        .collect();
    assert!(opens.iter().all(Open::is_cloned));
    assert_eq!(lock(&peer.state).runs.len(), MAX_RUNS);
}
