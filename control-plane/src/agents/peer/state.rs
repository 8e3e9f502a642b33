//! What is known of a node's runs, and which of them are alive.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use longshore_protocol::poll::{MAX_WAIT_SECONDS, WAIT_GRACE_SECONDS};
use longshore_protocol::status::InstanceStatus;

use super::{Caller, MAX_REPLACED, MAX_RUNS};
use crate::agents::{CONNECTED_FOR, Progress};

/// How long a machine that lives may be without having been heard since the control plane began: what is left of a poll that
/// it sent before, at most, and the longest pause between its tries after that. It makes a longer one only if `Retry-After`
/// tells it to.
const UNHEARD_FOR: Duration = Duration::from_secs((MAX_WAIT_SECONDS + WAIT_GRACE_SECONDS + 60) as u64);

#[derive(Debug)]
pub(super) struct State {
    pub(super) runs: Vec<Run>,
    pub(super) replaced: VecDeque<Replaced>,
    /// Counts the polls that were let in.
    pub(super) tickets: u64,
    /// Counts the assignments that ended by the word of the node.
    pub(super) ended: u64,
    /// Counts how often tasks were taken off the books without a word of their node, this one or another.
    pub(super) buried: u64,
    /// Since when the known machine would have been heard here.
    pub(super) born: Duration,
    /// Whether the known machine was heard.
    pub(super) seen: bool,
    pub(super) last_seen: Duration,
    pub(super) last_seen_at: i64,
    pub(super) connected_since: i64,
    /// The fingerprint of the machine that takes the known one's place as soon as it has registered.
    pub(super) successor: Option<String>,
}

/// For how long a list is good: as long as this is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// For one of several machines', until another assignment ends: what ended on one of them another may still run. `None`
    /// for the only machine's.
    pub cloned: Option<u64>,
    /// Until tasks are taken off the books: it may have them.
    buried: u64,
}

/// A start of an agent that was replaced, and the newest poll that was seen of it.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) run: uuid::Uuid,
    pub(super) n: u64,
}

/// What is known of one start of an agent.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) caller: Caller,
    /// Whether its machine is the one that the node is known to be.
    pub(super) is_known: bool,
    /// How many polls are open: more than one for a moment, when a newer one replaces an older.
    pub(super) open: u32,
    /// The newest poll.
    pub(super) ticket: u64,
    /// The first poll that was seen of it, by its count and by ours.
    pub(super) first: (u64, u64),
    pub(super) last_seen: Duration,
    pub(super) progress: HashMap<String, Progress>,
    /// What the node says is wrong with it.
    pub(super) trouble: Option<String>,
    /// The hash of the list that was taken in, and the [`State::list_epoch`] of then.
    pub(super) inventory: Option<(String, Epoch)>,
    /// Whether a list was taken in from it, other than as one of several machines.
    pub(super) listed: bool,
    /// The ids of the tasks of its last list that are not STOPPED.
    pub(super) holds: BTreeSet<String>,
    /// The ids of the tasks whose bodies it was asked for, and how often.
    pub(super) asked: HashMap<String, u32>,
    /// The ids of the tasks that can't be taken in.
    pub(super) given_up: BTreeSet<String>,
    pub(super) told: Option<(InstanceStatus, bool)>,
}

impl Run {
    pub(super) fn is_alive(&self, now: Duration) -> bool {
        self.open > 0 || now.saturating_sub(self.last_seen) < self.caller.patience()
    }
}

impl State {
    #[cfg(test)]
    pub(super) fn open(&self) -> u32 {
        self.runs.iter().map(|run| run.open).sum()
    }

    /// Whether the machine is there whose tasks and resources are in the books: what another has is not known.
    pub(super) fn is_connected(&self, now: Duration) -> bool {
        let is_open = self.runs.iter().any(|run| run.is_known && run.open > 0);
        self.seen && (is_open || now.saturating_sub(self.last_seen) < CONNECTED_FOR)
    }

    pub(super) fn is_cloned(&self, now: Duration) -> bool {
        let mut alive = self.runs.iter().filter(|run| run.is_alive(now));
        let first = alive.next();
        first.is_some_and(|first| alive.any(|other| other.caller.fingerprint != first.caller.fingerprint))
    }

    /// How long a list is good that is looked at now.
    pub(super) fn list_epoch(&self, now: Duration) -> Epoch {
        Epoch {
            cloned: self.is_cloned(now).then_some(self.ended),
            buried: self.buried,
        }
    }

    pub(super) fn run(&mut self, id: uuid::Uuid) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.caller.run == id)
    }

    /// Whether a poll of this run was held up on its way: a newer one of it was seen, or a run took its place that is
    /// alive. One that was first seen in the middle, and once, may have been held up itself, since before this control
    /// plane began; then the one that polls on is the living one.
    pub(super) fn is_late(&self, caller: &Caller, now: Duration) -> bool {
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
    pub(super) fn unproved(&self, caller: &Caller, known: &str, now: Duration) -> Duration {
        let others = self.runs.iter().any(|run| run.is_alive(now));
        if known.is_empty() || known == caller.fingerprint || others {
            return Duration::ZERO;
        }
        let heard = self.runs.iter().filter(|run| run.caller.fingerprint == known);
        let heard = heard.map(|run| run.last_seen).max();
        let (since, long) = heard.map_or((self.born, UNHEARD_FOR), |heard| (heard, caller.patience()));
        long.saturating_sub(now.saturating_sub(since))
    }

    /// A run that is new here takes the place of the older ones of its machine.
    pub(super) fn replace(&mut self, caller: &Caller, now: Duration) {
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
            is_known: false,
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
