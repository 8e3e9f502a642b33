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

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_protocol::poll::{InventoryTask, NodeStatus, PollRequest, WAIT_GRACE_SECONDS};
use longshore_protocol::status::InstanceStatus;
use tokio::sync::watch;

use super::{CONNECTED_FOR, Link, Progress, lock};
use crate::clock::Clock;

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

#[derive(Debug)]
struct State {
    runs: Vec<Run>,
    replaced: VecDeque<Replaced>,
    /// Counts the polls that were let in.
    tickets: u64,
    /// Since when the known machine would have been heard here.
    born: Duration,
    seen: bool,
    last_seen: Duration,
    last_seen_at: i64,
    connected_since: i64,
    /// The fingerprint of the machine that the node has become, until it has registered as that.
    unregistered: Option<String>,
}

/// A start of an agent that was replaced, and the newest poll that was seen of it.
#[derive(Debug)]
struct Replaced {
    run: uuid::Uuid,
    n: u64,
}

/// What is known of one start of an agent.
#[derive(Debug)]
struct Run {
    caller: Caller,
    /// How many polls are open: more than one for a moment, when a newer one replaces an older.
    open: u32,
    /// The newest poll.
    ticket: u64,
    /// The first poll that was seen of it, by its count and by ours.
    first: (u64, u64),
    last_seen: Duration,
    progress: HashMap<String, Progress>,
    /// What the node says is wrong with it.
    trouble: Option<String>,
    /// The hash of the list that was taken in, and whether that was as one of several machines.
    inventory: Option<(String, bool)>,
    /// Whether a list was taken in from it, other than as one of several machines.
    listed: bool,
    /// The ids of the tasks of its last list.
    holds: BTreeSet<String>,
    /// The ids of the tasks whose bodies it was asked for, and how often.
    asked: HashMap<String, u32>,
    /// The ids of the tasks that can't be taken in.
    given_up: BTreeSet<String>,
    told: Option<(InstanceStatus, bool)>,
}

impl Run {
    fn is_alive(&self, now: Duration) -> bool {
        self.open > 0 || now.saturating_sub(self.last_seen) < self.caller.patience()
    }
}

impl State {
    fn open(&self) -> u32 {
        self.runs.iter().map(|run| run.open).sum()
    }

    fn is_connected(&self, now: Duration) -> bool {
        self.seen && (self.open() > 0 || now.saturating_sub(self.last_seen) < CONNECTED_FOR)
    }

    fn is_cloned(&self, now: Duration) -> bool {
        let mut alive = self.runs.iter().filter(|run| run.is_alive(now));
        let first = alive.next();
        first.is_some_and(|first| alive.any(|other| other.caller.fingerprint != first.caller.fingerprint))
    }

    fn run(&mut self, id: uuid::Uuid) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.caller.run == id)
    }

    /// Whether a poll of this run was held up on its way: a newer one of it was seen, or a run took its place that is
    /// alive. One that was first seen in the middle, and once, may have been held up itself, since before this control
    /// plane began; then the one that polls on is the living one.
    fn is_late(&self, caller: &Caller, now: Duration) -> bool {
        let Some(replaced) = self.replaced.iter().find(|replaced| replaced.run == caller.run) else {
            return false;
        };
        let surely = |run: &Run| {
            let (n, ticket) = run.first;
            run.caller.fingerprint == caller.fingerprint
                && run.is_alive(now)
                && (n == 1 || run.ticket != ticket)
        };
        caller.n <= replaced.n || self.runs.iter().any(surely)
    }

    /// How long the machine that is known may still be alive without having been heard; zero if that is over.
    fn unproved(&self, caller: &Caller, known: &str, now: Duration) -> Duration {
        let others = self.runs.iter().any(|run| run.is_alive(now));
        if known.is_empty() || known == caller.fingerprint || others {
            return Duration::ZERO;
        }
        let heard = self.runs.iter().filter(|run| run.caller.fingerprint == known);
        let heard = heard.map(|run| run.last_seen).max().unwrap_or(self.born);
        caller.patience().saturating_sub(now.saturating_sub(heard))
    }

    /// A run that is new here takes the place of the older ones of its machine.
    fn replace(&mut self, caller: &Caller, now: Duration) {
        self.runs.retain(|run| {
            let same = run.caller.fingerprint == caller.fingerprint;
            if same {
                self.replaced.push_back(Replaced {
                    run: run.caller.run,
                    n: run.caller.n,
                });
            }
            !same && run.is_alive(now)
        });
        while self.replaced.len() > MAX_REPLACED {
            self.replaced.pop_front();
        }
        if self.runs.len() >= MAX_RUNS {
            self.runs.remove(0);
        }
        self.runs.push(Run {
            caller: caller.clone(),
            open: 0,
            ticket: 0,
            first: (caller.n, self.tickets + 1),
            last_seen: now,
            progress: HashMap::new(),
            trouble: None,
            inventory: None,
            listed: false,
            holds: BTreeSet::new(),
            asked: HashMap::new(),
            given_up: BTreeSet::new(),
            told: None,
        });
    }
}

impl Peer {
    pub(super) fn new(now: Duration) -> Self {
        let state = State {
            runs: Vec::new(),
            replaced: VecDeque::new(),
            tickets: 0,
            born: now,
            seen: false,
            last_seen: now,
            last_seen_at: 0,
            connected_since: 0,
            unregistered: None,
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

    /// A machine has registered, and what it said that it has was taken; the word for it where that is known.
    pub(super) fn registered(&self, machine: Option<&str>) {
        let of = |fingerprint: &mut String| {
            machine.is_none_or(|machine| crate::auth::machine(fingerprint) == machine)
        };
        let _ = lock(&self.state).unregistered.take_if(of);
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
        if !was_connected {
            state.connected_since = clock.now_millis();
        }
        state.seen = true;
        state.tickets += 1;
        state.last_seen = now;
        state.last_seen_at = clock.now_millis();
        let ticket = state.tickets;
        if let Some(run) = state.run(caller.run) {
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
        })
    }
}

/// A poll that is being served. Dropping it closes it.
#[derive(Debug)]
pub struct Open {
    peer: Arc<Peer>,
    clock: Arc<dyn Clock>,
    run: uuid::Uuid,
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

    #[cfg(test)]
    pub(super) fn has_rung(&self) -> bool {
        self.bell.has_changed().unwrap_or(true)
    }

    /// What the run's state gives; the default once another run has taken its place.
    fn with<T: Default>(&self, look: impl FnOnce(&mut Run) -> T) -> T {
        let mut state = lock(&self.peer.state);
        state.run(self.run).map(look).unwrap_or_default()
    }

    /// Whether no newer poll of this run has come, nor a newer run of its machine.
    pub(super) fn is_newest(&self) -> bool {
        self.with(|run| run.ticket == self.ticket)
    }

    /// Whether another machine polls as this node.
    pub(super) fn is_cloned(&self) -> bool {
        lock(&self.peer.state).is_cloned(self.clock.elapsed())
    }

    /// The node has become this machine; what is known of its resources is another's.
    pub(super) fn must_register(&self) {
        let fingerprint = self.with(|run| run.caller.fingerprint.clone());
        lock(&self.peer.state).unregistered = Some(fingerprint);
    }

    /// Whether this machine need not register again.
    pub(super) fn has_registered(&self) -> bool {
        let fingerprint = self.with(|run| run.caller.fingerprint.clone());
        lock(&self.peer.state).unregistered != Some(fingerprint)
    }

    /// Takes in what the node says of its tasks.
    pub(super) fn note(&self, mut status: NodeStatus) {
        for container in status.tasks.iter_mut().flat_map(|task| &mut task.containers) {
            container.cause = crate::tasks::cut_reason(&container.cause);
        }
        let progress = status.tasks.into_iter();
        let progress = progress.map(|task| (task.task_arn.id.to_string(), Progress(task.containers)));
        self.with(|run| {
            run.progress = progress.collect();
            run.trouble = status.trouble.as_deref().map(crate::tasks::cut_reason);
        });
    }

    /// Whether a list of this hash was taken in from this run.
    pub(super) fn has_inventory(&self, hash: &str) -> bool {
        let cloned = self.is_cloned();
        self.with(|run| run.inventory.as_ref() == Some(&(hash.to_owned(), cloned)))
    }

    /// Records what a list says, with its hash once there is nothing more to ask about it.
    pub(super) fn took_inventory(&self, list: &[InventoryTask], complete: Option<&str>) {
        let ids = list.iter().map(|task| task.task_arn.id.to_string());
        let cloned = self.is_cloned();
        self.with(|run| {
            run.holds = ids.collect();
            run.listed |= !cloned;
            run.inventory = complete.map(|hash| (hash.to_owned(), cloned));
            run.given_up.retain(|id| run.holds.contains(id));
        });
    }

    /// Whether a list was taken in from this run before.
    pub(super) fn has_listed(&self) -> bool {
        self.with(|run| run.listed)
    }

    /// Whether the run's last list had this task.
    pub(super) fn holds(&self, task: &str) -> bool {
        self.with(|run| run.holds.contains(task))
    }

    /// Records which bodies the run is being asked for.
    pub(super) fn ask(&self, tasks: HashMap<String, u32>) {
        self.with(|run| run.asked = tasks);
    }

    /// The bodies that the run was asked for before, and how often. They stay so until it is asked again: what it answers
    /// may not find its way into the store, and come once more.
    pub(super) fn asked(&self) -> HashMap<String, u32> {
        self.with(|run| run.asked.clone())
    }

    /// Records that a task can't be taken in.
    pub(super) fn give_up(&self, task: String) {
        self.with(|run| run.given_up.insert(task));
    }

    /// Whether that was recorded.
    pub(super) fn is_given_up(&self, task: &str) -> bool {
        self.with(|run| run.given_up.contains(task))
    }

    /// Whether this run was told this last: the instance's status, and whether it is cloned.
    pub(super) fn was_told(&self, status: InstanceStatus, cloned: bool) -> bool {
        self.with(|run| run.told == Some((status, cloned)))
    }

    /// Records that this run is being told this.
    pub(super) fn tell(&self, status: InstanceStatus, cloned: bool) {
        self.with(|run| run.told = Some((status, cloned)));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let now = self.clock.elapsed();
        let mut state = lock(&self.peer.state);
        state.last_seen = now;
        state.last_seen_at = self.clock.now_millis();
        if let Some(run) = state.run(self.run) {
            run.open = run.open.saturating_sub(1);
            run.last_seen = now;
        }
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
        assert_eq!(left, Duration::from_secs(40));
        manual.advance(Duration::from_secs(39));
        let known = served(peer.admit(&caller(1, 1, "f"), "f", &clock));
        let copy = served(peer.admit(&caller(2, 2, "copy"), "f", &clock));
        assert!(known.is_cloned() && copy.is_cloned());
        drop((known, copy));
        let (peer, manual, clock) = set_up();
        manual.advance(Duration::from_secs(40));
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
}
