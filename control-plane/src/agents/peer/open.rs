//! A poll that is being served: what is known and noted of its run meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use longshore_protocol::poll::{InventoryTask, NodeStatus};
use longshore_protocol::status::{InstanceStatus, ReportedStatus};
use tokio::sync::watch;

use super::Peer;
use super::state::{Epoch, Run};
use crate::agents::{Progress, lock};
use crate::clock::Clock;

/// A poll that is being served. Dropping it closes it.
#[derive(Debug)]
pub struct Open {
    pub(super) peer: Arc<Peer>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) run: uuid::Uuid,
    pub(super) ticket: u64,
    pub(super) is_known: bool,
    pub(super) bell: watch::Receiver<u64>,
}

impl Open {
    /// Listens from now on: what is committed later rings [`Open::rung`].
    pub(in crate::agents) fn listen(&mut self) {
        self.bell.mark_unchanged();
    }

    /// Waits until something may have changed since [`Open::listen`].
    pub(in crate::agents) async fn rung(&mut self) {
        // The sender lives in the peer, which lives in here.
        let _ = self.bell.changed().await;
    }

    #[cfg(test)]
    pub(in crate::agents) fn has_rung(&self) -> bool {
        self.bell.has_changed().unwrap_or(true)
    }

    /// What the run's state gives; the default once another run has taken its place.
    fn with<T: Default>(&self, look: impl FnOnce(&mut Run) -> T) -> T {
        let mut state = lock(&self.peer.state);
        state.run(self.run).map(look).unwrap_or_default()
    }

    /// Whether no newer poll of this run has come, nor a newer run of its machine.
    pub(in crate::agents) fn is_newest(&self) -> bool {
        self.with(|run| run.ticket == self.ticket)
    }

    /// Whether another machine polls as this node.
    pub(in crate::agents) fn is_cloned(&self) -> bool {
        lock(&self.peer.state).is_cloned(self.clock.elapsed())
    }

    /// This machine takes the place of the known one as soon as it has registered. Says whether that is news; `None` where
    /// another polls by now, so that it takes no place.
    pub(in crate::agents) fn succeed(&self, fingerprint: &str) -> Option<bool> {
        let mut state = lock(&self.peer.state);
        if state.is_cloned(self.clock.elapsed()) {
            return None;
        }
        let is_news = state.successor.as_deref() != Some(fingerprint);
        state.successor = Some(fingerprint.to_owned());
        Some(is_news)
    }

    /// Takes in what the node says of its tasks.
    pub(in crate::agents) fn note(&self, mut status: NodeStatus) {
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

    /// How long a list is good that is looked at from now on.
    pub(in crate::agents) fn list_epoch(&self) -> Epoch {
        lock(&self.peer.state).list_epoch(self.clock.elapsed())
    }

    /// Whether a list of this hash was taken in from this run, and is still good.
    pub(in crate::agents) fn has_inventory(&self, hash: &str) -> bool {
        let epoch = self.list_epoch();
        self.with(|run| run.inventory.as_ref() == Some(&(hash.to_owned(), epoch)))
    }

    /// Records what a list says, with its hash once there is nothing more to ask about it. `epoch` is that of before it was
    /// looked at; `None` if it was over before that was done.
    pub(in crate::agents) fn took_inventory(
        &self,
        list: &[InventoryTask],
        complete: Option<&str>,
        epoch: Option<Epoch>,
    ) {
        let id = |task: &InventoryTask| task.task_arn.id.to_string();
        let ids: BTreeSet<_> = list.iter().map(id).collect();
        let alive = list.iter().filter(|task| task.status != ReportedStatus::Stopped);
        self.with(|run| {
            run.holds = alive.map(id).collect();
            run.listed |= epoch.is_some_and(|epoch| epoch.cloned.is_none());
            run.inventory = complete.map(str::to_owned).zip(epoch);
            run.given_up.retain(|id| ids.contains(id));
        });
    }

    /// Whether a list was taken in from this run before.
    pub(in crate::agents) fn has_listed(&self) -> bool {
        self.with(|run| run.listed)
    }

    /// Whether the run's last list had this task, and not as STOPPED.
    pub(in crate::agents) fn holds(&self, task: &str) -> bool {
        self.with(|run| run.holds.contains(task))
    }

    /// Records which bodies the run is being asked for.
    pub(in crate::agents) fn ask(&self, tasks: HashMap<String, u32>) {
        self.with(|run| run.asked = tasks);
    }

    /// The bodies that the run was asked for before, and how often. They stay so until it is asked again: what it answers
    /// may not find its way into the store, and come once more.
    pub(in crate::agents) fn asked(&self) -> HashMap<String, u32> {
        self.with(|run| run.asked.clone())
    }

    /// Records that a task can't be taken in.
    pub(in crate::agents) fn give_up(&self, task: String) {
        self.with(|run| run.given_up.insert(task));
    }

    /// Whether that was recorded.
    pub(in crate::agents) fn is_given_up(&self, task: &str) -> bool {
        self.with(|run| run.given_up.contains(task))
    }

    /// Whether this run was told this last: the instance's status, and whether it is cloned.
    pub(in crate::agents) fn was_told(&self, status: InstanceStatus, cloned: bool) -> bool {
        self.with(|run| run.told == Some((status, cloned)))
    }

    /// Records that this run is being told this.
    pub(in crate::agents) fn tell(&self, status: InstanceStatus, cloned: bool) {
        self.with(|run| run.told = Some((status, cloned)));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let now = self.clock.elapsed();
        let mut state = lock(&self.peer.state);
        if self.is_known {
            state.last_seen = now;
            state.last_seen_at = self.clock.now_millis();
        }
        if let Some(run) = state.run(self.run) {
            run.open = run.open.saturating_sub(1);
            run.last_seen = now;
        }
    }
}
