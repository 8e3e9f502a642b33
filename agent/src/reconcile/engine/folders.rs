//! Logs and volumes of tasks that nobody knows: the store that did was lost, or was moved away.
//!
//! Such a task may be alive for the control plane, which then orders it anew: on its volumes, as after any other restart of
//! the machine. So nothing is removed before the control plane has said, to this agent, that it has no more to hand over.
//! People may want to read what a task printed, so folders stay as long as those of a task that has stopped, too: since this
//! agent has found them. How old they look says nothing: a task that is quiet for days is no less alive, and the wall clock
//! may have been anything.
//!
//! Limits: an empty cgroup of such a task stays until the machine is restarted, since other agents may have theirs beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_protocol::arn::ResourceId;
use longshore_protocol::poll::{Cursor, PollResponse};

use super::{Engine, Swept};

/// Between two looks. Hardly ever is there anything.
const EVERY: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct Abandoned {
    /// Whether a look is under way: on a disk that hangs it takes long.
    looking: bool,
    /// When the last one began, since boot.
    looked: Option<Duration>,
    /// Which have folders, and since when that is known, since boot.
    since: BTreeMap<ResourceId, Duration>,
    /// Whether the control plane has said that what is stored here is all that there is.
    heard_all: bool,
    /// Whose are to be removed, as of the last look.
    due: BTreeSet<ResourceId>,
    /// Whose are being removed: one task's at a time. They are on the disk that what lives needs, and nobody waits for them.
    clearing: Option<ResourceId>,
}

impl Engine {
    /// After a list, in which these tasks were, has been taken.
    pub(super) fn look_for_folders(&mut self, listed: BTreeSet<ResourceId>) {
        let now = self.shared.clock().since_boot();
        let lately = self.abandoned.looked.is_some_and(|looked| now < looked + EVERY);
        if self.abandoned.looking || lately {
            return;
        }
        self.abandoned.looking = true;
        self.abandoned.looked = Some(now);
        let mut known = listed;
        known.extend(self.mailboxes.keys().cloned());
        known.extend(self.sweeping.iter().map(|container| container.task().clone()));
        let janitor = self.janitor.clone();
        self.sweeps
            .spawn(async move { Swept::Folders(janitor.folders(known).await) });
    }

    /// Has those removed that were kept for long enough.
    pub(super) fn found_folders(&mut self, others: Option<BTreeSet<ResourceId>>) {
        self.abandoned.looking = false;
        let Some(others) = others else { return };
        let (now, wait) = (self.shared.clock().since_boot(), self.shared.policy.cleanup_wait);
        let since = &mut self.abandoned.since;
        since.retain(|task, _| others.contains(task));
        for task in others {
            since.entry(task).or_insert(now);
        }
        let is_due = |(_, since): &(&ResourceId, &Duration)| now.saturating_sub(**since) >= wait;
        self.abandoned.due = since
            .iter()
            .filter(is_due)
            .map(|(task, _)| task.clone())
            .collect();
        self.clear_next();
    }

    fn clear_next(&mut self) {
        while self.abandoned.heard_all
            && self.abandoned.clearing.is_none()
            && let Some(task) = self.abandoned.due.pop_first()
        {
            if self.is_coming(&task) {
                continue;
            }
            let janitor = self.janitor.clone();
            self.abandoned.clearing = Some(task.clone());
            self.sweeps.spawn(async move {
                janitor.remove_folders(&task).await;
                Swept::Cleared
            });
        }
    }

    pub(super) fn cleared(&mut self) {
        self.abandoned.clearing = None;
        self.clear_next();
    }

    /// What an answer of a poll that changes nothing means to folders that nobody knows.
    ///
    /// The default cursor is no control plane's: one that comes back was not looked at, as while it is not known yet which
    /// of two machines the node is.
    pub(super) fn note_all_heard(&mut self, response: &PollResponse) {
        let asks = response.want_inventory || !response.want_tasks.is_empty();
        let changes_nothing = response.assignments.is_empty() && response.cursor == *self.intake.stored();
        if changes_nothing && !asks && !response.cloned && response.cursor != Cursor::default() {
            self.abandoned.heard_all = true;
        }
    }

    /// Another container instance has other tasks.
    pub(super) fn hear_all_again(&mut self) {
        self.abandoned.heard_all = false;
    }

    /// Whether a task's folders are being removed: it must not begin before that is done.
    pub(super) fn is_clearing(&self, task: &ResourceId) -> bool {
        self.abandoned.clearing.as_ref() == Some(task)
    }

    /// Whether a task is here, or is just being stored.
    fn is_coming(&self, task: &ResourceId) -> bool {
        let mut news = self.taking.iter().flat_map(|taking| taking.news());
        self.mailboxes.contains_key(task) || news.any(|arn| arn.id == *task)
    }
}
