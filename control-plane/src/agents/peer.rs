//! One node's polls: which runs of its agent are alive, which poll of each is the newest, when it was last seen.
//!
//! ```text
//!  a poll of …
//!    a known run, of a lower n                          Stale
//!    a run that a newer one of its machine replaced     Stale, while that one is alive; Served if it polls on, and the
//!                                                       one that replaced it came from nowhere and did not poll again
//!    a new run of a machine that is known               Served; the older run is replaced
//!    the machine that the node is known to be           Served
//!    another machine, while a known one is alive        Served, and all of them are CLONED
//!    another machine, and nobody heard of the known one Unproved, until that has been silent for long enough
//! ```
//!
//! A run is alive while a poll of it is open, and for its `waitSeconds` and 10 seconds after the last one.

mod open;
mod state;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_protocol::poll::{PollRequest, WAIT_GRACE_SECONDS};
use tokio::sync::watch;

use super::{CONNECTED_FOR, Link, Progress, lock};
use crate::clock::Clock;

pub use open::Open;
use state::State;

/// The most runs of a node that are told apart: more copies than that are cloned all the same.
const MAX_RUNS: usize = 8;
/// How many replaced runs are remembered: a poll that a proxy held up is not older than a few restarts.
const MAX_REPLACED: usize = 16;

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

impl Caller {
    /// How long after its last poll it may still be alive.
    fn patience(&self) -> Duration {
        self.wait + Duration::from_secs(WAIT_GRACE_SECONDS.into())
    }
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
    /// A later poll was seen: this one was held up on its way, and nobody waits for its answer.
    Stale,
    /// It comes from another machine than the node is known to be, and that one may be alive for so long.
    Unproved(Duration),
}

#[derive(Debug)]
pub(super) struct Peer {
    state: Mutex<State>,
    bell: watch::Sender<u64>,
}

impl Peer {
    pub(super) fn new(now: Duration) -> Self {
        let state = State {
            runs: Vec::new(),
            replaced: VecDeque::new(),
            tickets: 0,
            ended: 0,
            buried: 0,
            born: now,
            seen: false,
            last_seen: now,
            last_seen_at: 0,
            connected_since: 0,
            successor: None,
        };
        Self {
            state: Mutex::new(state),
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
                .seen
                .then_some(if connected { state.connected_since } else { end }),
            cloned: state.is_cloned(clock.elapsed()),
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let state = lock(&self.state);
        let newest = state.runs.iter().max_by_key(|run| run.ticket);
        newest.and_then(|run| run.trouble.clone())
    }

    pub(super) fn progress(&self, task: &str) -> Progress {
        let state = lock(&self.state);
        let found = state.runs.iter().find_map(|run| run.progress.get(task));
        found.cloned().unwrap_or_default()
    }

    pub(super) fn is_given_up(&self, task: &str) -> bool {
        lock(&self.state)
            .runs
            .iter()
            .any(|run| run.given_up.contains(task))
    }

    /// The fingerprint of the machine that takes the known one's place by registering, if this is the word for it; `None`
    /// where that is not known is taken for it.
    pub(super) fn successor(&self, machine: Option<&str>) -> Option<String> {
        let state = lock(&self.state);
        let is_this = |fingerprint: &&String| {
            machine.is_none_or(|machine| crate::auth::machine(fingerprint) == machine)
        };
        state.successor.as_ref().filter(is_this).cloned()
    }

    /// The known machine is there, or another has become it: none takes its place.
    pub(super) fn stay(&self) {
        lock(&self.state).successor = None;
    }

    /// An assignment has ended; where there are several machines, their lists are wanted again.
    pub(super) fn assignment_is_over(&self, clock: &dyn Clock) {
        let mut state = lock(&self.state);
        state.ended += 1;
        let cloned = state.is_cloned(clock.elapsed());
        drop(state);
        if cloned {
            self.ring();
        }
    }

    /// Lists that were taken in are good no more.
    pub(super) fn buried(&self) {
        lock(&self.state).buried += 1;
    }

    #[cfg(test)]
    pub(super) fn polls(&self) -> (u64, u32) {
        let state = lock(&self.state);
        (state.tickets, state.open())
    }

    /// Lets a poll in, or says why not. `known` is the fingerprint of the machine that the node is known to be; empty
    /// where that isn't known.
    pub(super) fn admit(self: &Arc<Self>, caller: &Caller, known: &str, clock: &Arc<dyn Clock>) -> Admission {
        let now = clock.elapsed();
        let mut state = lock(&self.state);
        if state.is_late(caller, now) {
            return Admission::Stale;
        }
        state.replaced.retain(|replaced| replaced.run != caller.run);
        let was_connected = state.is_connected(now);
        match state.run(caller.run) {
            Some(run) if caller.n < run.caller.n => return Admission::Stale,
            Some(run) => run.caller = caller.clone(),
            None => {
                let left = state.unproved(caller, known, now);
                if !left.is_zero() {
                    return Admission::Unproved(left);
                }
                state.replace(caller, now);
            }
        }
        let is_known = known.is_empty() || known == caller.fingerprint;
        if is_known {
            // Whoever was to take its place is a copy again.
            state.successor = None;
            state.seen = true;
            state.last_seen = now;
            state.last_seen_at = clock.now_millis();
            if !was_connected {
                state.connected_since = state.last_seen_at;
            }
        }
        state.tickets += 1;
        let ticket = state.tickets;
        if let Some(run) = state.run(caller.run) {
            run.is_known = is_known;
            run.open += 1;
            run.ticket = ticket;
            run.last_seen = now;
        }
        drop(state);
        // Whoever waits with an older ticket is to leave, and whoever is cloned now is to know.
        self.ring();
        Admission::Served(Open {
            bell: self.bell.subscribe(),
            peer: Arc::clone(self),
            clock: Arc::clone(clock),
            run: caller.run,
            ticket,
            is_known,
        })
    }
}

#[cfg(test)]
mod tests;
