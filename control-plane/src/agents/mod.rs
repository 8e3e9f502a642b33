//! The nodes: who is connected, who waits for work, what they hold.
//!
//! What is here is memory only and level-triggered: a control plane that starts anew learns it from the next polls.
//! Invariant: a poll that waits sees every assignment that was committed after it last looked, because the bell rings
//! after the commit and is heard by everyone who had begun to listen before looking.

mod cut;
mod import;
mod inventory;
mod peer;
pub mod poll;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_protocol::poll::ContainerProgress;

use crate::clock::Clock;

pub(crate) use cut::check_task;
use peer::Peer;
pub use peer::{Admission, Caller};

/// How long after its last poll an agent still counts as connected.
pub const CONNECTED_FOR: Duration = Duration::from_secs(15);

/// Whether a node is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// A poll is open, or was within [`CONNECTED_FOR`].
    pub connected: bool,
    /// Since when, in milliseconds since 1970; `None` if its node was never seen.
    pub since: Option<i64>,
    /// Two machines poll as this node.
    pub cloned: bool,
}

/// What the containers of a task wait for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress(Vec<ContainerProgress>);

impl Progress {
    /// In words, for one container that was restarted; what is said of another may be from before it ran.
    #[must_use]
    pub fn of_restarted(&self, container: &str) -> Option<String> {
        let found = self.0.iter().find(|each| each.name == container)?;
        (found.restart_count > 0).then(|| self.of(container))?
    }

    /// In words, for one container.
    #[must_use]
    pub fn of(&self, container: &str) -> Option<String> {
        let found = self.0.iter().find(|each| each.name == container)?;
        let mut text = found.cause.clone();
        if let Some(percent) = found.percent {
            text.push_str(&format!(" ({percent} %)"));
        }
        if let Some(deadline) = found.deadline {
            text.push_str(&format!(", until {deadline}"));
        }
        Some(crate::tasks::cut_reason(&text))
    }
}

/// All nodes that were heard of since the start.
#[derive(Debug)]
pub struct Hub {
    clock: Arc<dyn Clock>,
    // Held for a look-up only, never over an await.
    peers: Mutex<HashMap<String, Arc<Peer>>>,
}

impl Hub {
    /// Nobody yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            peers: Mutex::default(),
        }
    }

    /// Wakes the poll of an instance, if one waits. To be called after the commit.
    pub fn wake(&self, instance: &str) {
        if let Some(peer) = lock(&self.peers).get(instance) {
            peer.ring();
        }
    }

    /// Whether an instance is connected.
    #[must_use]
    pub fn link(&self, instance: &str) -> Link {
        let peer = lock(&self.peers).get(instance).cloned();
        peer.map(|peer| peer.link(&*self.clock)).unwrap_or_default()
    }

    /// What an instance said in its last poll to be wrong with it; `None` where it said that it is well, or nothing.
    #[must_use]
    pub fn trouble(&self, instance: &str) -> Option<String> {
        let peer = lock(&self.peers).get(instance).cloned();
        peer.and_then(|peer| peer.trouble())
    }

    /// What a task's containers wait for, as its node last said.
    #[must_use]
    pub fn progress(&self, instance: &str, task: &str) -> Progress {
        let peer = lock(&self.peers).get(instance).cloned();
        peer.map(|peer| peer.progress(task)).unwrap_or_default()
    }

    /// Whether a task that the node of an instance holds can't be taken in.
    #[must_use]
    pub fn is_given_up(&self, instance: &str, task: &str) -> bool {
        let peer = lock(&self.peers).get(instance).cloned();
        peer.is_some_and(|peer| peer.is_given_up(task))
    }

    /// The fingerprint of the machine that an instance's node becomes by registering, if that is the one that this word
    /// stands for.
    #[must_use]
    pub fn successor(&self, instance: &str, machine: Option<&str>) -> Option<String> {
        let peer = lock(&self.peers).get(instance).cloned();
        peer.and_then(|peer| peer.successor(machine))
    }

    /// The known machine of an instance's node has registered. To be called after the commit.
    pub fn stay(&self, instance: &str) {
        let peer = lock(&self.peers).get(instance).cloned();
        if let Some(peer) = peer {
            peer.stay();
        }
    }

    /// What an instance had been assigned has ended on its node. To be called after the commit. If that is several
    /// machines, one of them said so, and what the others still run of it is looked for.
    pub fn assignment_is_over(&self, instance: &str) {
        let peer = lock(&self.peers).get(instance).cloned();
        if let Some(peer) = peer {
            peer.assignment_is_over(&*self.clock);
        }
    }

    /// Tasks were taken off the books without a word of their node. To be called after the commit. Others may have them by
    /// now, such as the node that their machine has become: all are asked for their lists with their next polls.
    pub fn buried(&self) {
        for peer in lock(&self.peers).values() {
            peer.buried();
        }
    }

    /// Forgets a node that was deregistered, and lets go of its poll.
    pub fn forget(&self, instance: &str) {
        if let Some(peer) = lock(&self.peers).remove(instance) {
            peer.ring();
        }
    }

    /// How many polls of an instance were let in, and how many of them are open: what tests wait for.
    #[cfg(test)]
    pub(crate) fn polls(&self, instance: &str) -> (u64, u32) {
        self.peer(instance).polls()
    }

    fn peer(&self, instance: &str) -> Arc<Peer> {
        let mut peers = lock(&self.peers);
        let peer = peers
            .entry(instance.to_owned())
            .or_insert_with(|| Arc::new(Peer::new(self.clock.elapsed())));
        Arc::clone(peer)
    }
}

/// The lock, whether or not a thread panicked with it: every change under it is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
