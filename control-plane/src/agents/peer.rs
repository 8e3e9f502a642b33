//! One node's polls: which run of its agent is served, which poll is the newest, when it was last seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_protocol::poll::{NodeStatus, PollRequest, WAIT_GRACE_SECONDS};
use longshore_protocol::status::InstanceStatus;
use tokio::sync::watch;

use super::{CONNECTED_FOR, Link, Progress, lock};
use crate::clock::Clock;

/// What an agent says of itself with each poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The start of the agent.
    pub run: uuid::Uuid,
    /// Counts its polls.
    pub n: u64,
    /// What tells the machine from a copy.
    pub fingerprint: String,
    /// How long it lets its polls wait.
    pub wait: Duration,
}

impl From<&PollRequest> for Caller {
    fn from(request: &PollRequest) -> Self {
        let most = longshore_protocol::poll::MAX_WAIT_SECONDS;
        Self {
            run: request.agent_run,
            n: request.n,
            fingerprint: request.fingerprint.clone(),
            wait: Duration::from_secs(request.wait_seconds.clamp(1, most).into()),
        }
    }
}

/// Whether a poll is served.
#[derive(Debug)]
pub enum Admission {
    /// It is, while this lives and is the newest.
    Served(Open),
    /// A later poll of this run was seen: this one was held up on its way, and nobody waits for its answer.
    Stale,
    /// Another run of this node is alive. It counts as silent after so long, if it doesn't poll again.
    Rival(Duration),
}

#[derive(Debug)]
pub(super) struct Peer {
    state: Mutex<State>,
    bell: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    caller: Option<Caller>,
    /// How many polls of the served run are open: more than one for a moment, when a newer one replaces an older.
    open: u32,
    /// The newest poll.
    ticket: u64,
    last_seen: Duration,
    last_seen_at: i64,
    connected_since: i64,
    progress: HashMap<String, Progress>,
    /// What the node says is wrong with it.
    trouble: Option<String>,
    inventory: Option<String>,
    told: Option<InstanceStatus>,
}

impl State {
    fn is_connected(&self, now: Duration) -> bool {
        self.caller.is_some() && (self.open > 0 || now.saturating_sub(self.last_seen) < CONNECTED_FOR)
    }
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            bell: watch::Sender::new(0),
        }
    }

    pub(super) fn ring(&self) {
        self.bell.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn link(&self, clock: &dyn Clock) -> Link {
        let state = lock(&self.state);
        let connected = state.is_connected(clock.elapsed());
        let end = state.last_seen_at + i64::try_from(CONNECTED_FOR.as_millis()).unwrap_or(0);
        Link {
            connected,
            since: state
                .caller
                .as_ref()
                .map(|_| if connected { state.connected_since } else { end }),
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.state).trouble.clone()
    }

    pub(super) fn progress(&self, task: &str) -> Progress {
        lock(&self.state).progress.get(task).cloned().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn polls(&self) -> (u64, u32) {
        let state = lock(&self.state);
        (state.ticket, state.open)
    }

    /// Lets a poll in, or says why not.
    pub(super) fn admit(self: &Arc<Self>, caller: &Caller, clock: &Arc<dyn Clock>) -> Admission {
        let now = clock.elapsed();
        let mut state = lock(&self.state);
        let known = state.caller.as_ref();
        if let Some(known) = known.filter(|known| known.run == caller.run) {
            if caller.n < known.n {
                return Admission::Stale;
            }
        } else if let Some(known) = known {
            let patience = known.wait + Duration::from_secs(WAIT_GRACE_SECONDS.into());
            let silence = now.saturating_sub(state.last_seen);
            let restarted = known.fingerprint == caller.fingerprint;
            if state.open > 0 && !restarted {
                return Admission::Rival(patience);
            }
            if silence < patience && !restarted {
                return Admission::Rival(patience.saturating_sub(silence));
            }
            state.forget_run();
        }
        if !state.is_connected(now) {
            state.connected_since = clock.now_millis();
        }
        state.caller = Some(caller.clone());
        state.open += 1;
        state.ticket += 1;
        state.last_seen = now;
        state.last_seen_at = clock.now_millis();
        let ticket = state.ticket;
        drop(state);
        // Whoever waits with an older ticket is to leave.
        self.ring();
        Admission::Served(Open {
            bell: self.bell.subscribe(),
            peer: Arc::clone(self),
            clock: Arc::clone(clock),
            ticket,
        })
    }
}

impl State {
    fn forget_run(&mut self) {
        self.progress.clear();
        self.trouble = None;
        self.inventory = None;
        self.told = None;
    }
}

/// A poll that is being served. Dropping it closes it.
#[derive(Debug)]
pub struct Open {
    peer: Arc<Peer>,
    clock: Arc<dyn Clock>,
    ticket: u64,
    bell: watch::Receiver<u64>,
}

impl Open {
    /// Listens from now on: what is committed later rings [`Open::rung`].
    pub(super) fn listen(&mut self) {
        self.bell.mark_unchanged();
    }

    /// Waits until something may have changed since [`Open::listen`].
    pub(super) async fn rung(&mut self) {
        // The sender lives in the peer, which lives in here.
        let _ = self.bell.changed().await;
    }

    /// Whether no newer poll has come.
    pub(super) fn is_newest(&self) -> bool {
        lock(&self.peer.state).ticket == self.ticket
    }

    /// Takes in what the node says of its tasks.
    pub(super) fn note(&self, mut status: NodeStatus) {
        for container in status.tasks.iter_mut().flat_map(|task| &mut task.containers) {
            container.cause = crate::tasks::cut_reason(&container.cause);
        }
        let progress = status.tasks.into_iter();
        let mut state = lock(&self.peer.state);
        state.progress = progress
            .map(|task| (task.task_arn.id.to_string(), Progress(task.containers)))
            .collect();
        state.trouble = status.trouble.as_deref().map(crate::tasks::cut_reason);
    }

    /// Whether a list of this hash was taken in from this run.
    pub(super) fn has_inventory(&self, hash: &str) -> bool {
        lock(&self.peer.state).inventory.as_deref() == Some(hash)
    }

    /// Records that a list of this hash was taken in.
    pub(super) fn took_inventory(&self, hash: String) {
        lock(&self.peer.state).inventory = Some(hash);
    }

    /// Whether this run was told this status last.
    pub(super) fn was_told(&self, status: InstanceStatus) -> bool {
        lock(&self.peer.state).told == Some(status)
    }

    /// Records that this run is being told this status.
    pub(super) fn tell(&self, status: InstanceStatus) {
        lock(&self.peer.state).told = Some(status);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = lock(&self.peer.state);
        state.open = state.open.saturating_sub(1);
        state.last_seen = self.clock.elapsed();
        state.last_seen_at = self.clock.now_millis();
    }
}

#[cfg(test)]
mod tests {
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
        (Arc::new(Peer::new()), manual, clock)
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
        let open = served(peer.admit(&caller(1, 1, "f"), &clock));
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
        let first = served(peer.admit(&caller(1, 1, "f"), &clock));
        let second = served(peer.admit(&caller(1, 2, "f"), &clock));
        assert!(!first.is_newest() && second.is_newest());
        assert!(first.bell.has_changed().unwrap());
        assert!(matches!(peer.admit(&caller(1, 1, "f"), &clock), Admission::Stale));
    }

    #[test]
    fn another_run_is_served_once_the_old_one_is_silent_or_the_machine_is_the_same() {
        let (peer, manual, clock) = set_up();
        let open = served(peer.admit(&caller(1, 9, "f"), &clock));
        assert!(matches!(
            peer.admit(&caller(2, 1, "copy"), &clock),
            Admission::Rival(_)
        ));
        drop(open);
        manual.advance(Duration::from_secs(39));
        let Admission::Rival(left) = peer.admit(&caller(2, 1, "copy"), &clock) else {
            panic!()
        };
        assert_eq!(left, Duration::from_secs(1));
        manual.advance(left);
        let open = served(peer.admit(&caller(2, 1, "copy"), &clock));
        let restarted = served(peer.admit(&caller(3, 1, "copy"), &clock));
        assert!(!open.is_newest() && restarted.is_newest());
    }
}
