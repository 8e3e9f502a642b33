//! Logs and volumes of tasks that nobody knows: the store that did was lost, or was moved away.
//!
//! People may want to read what such a task printed. So its folders stay as long as those of a task that has stopped: since
//! they were last written to, or, since the wall clock may have been ahead then, since this agent has seen them.
//!
//! Limits: an empty cgroup of such a task stays until the machine is restarted, since other agents may have theirs beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_protocol::arn::ResourceId;

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
    /// Whose are being removed.
    clearing: BTreeSet<ResourceId>,
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
    pub(super) fn found_folders(&mut self, others: BTreeMap<ResourceId, i64>) {
        self.abandoned.looking = false;
        self.abandoned.since.retain(|task, _| others.contains_key(task));
        let (now, wait) = (self.shared.now(), self.shared.policy.cleanup_wait);
        for (task, written) in others {
            let since = *self.abandoned.since.entry(task.clone()).or_insert(now.since_boot);
            let age = u64::try_from(now.at_millis.saturating_sub(written)).unwrap_or_default();
            let is_old = Duration::from_millis(age).max(now.since_boot.saturating_sub(since)) >= wait;
            if is_old && !self.is_coming(&task) && self.abandoned.clearing.insert(task.clone()) {
                let janitor = self.janitor.clone();
                self.sweeps.spawn(async move {
                    janitor.remove_folders(&task).await;
                    Swept::Cleared(task)
                });
            }
        }
    }

    pub(super) fn cleared(&mut self, task: &ResourceId) {
        self.abandoned.clearing.remove(task);
    }

    /// Whether a task's folders are being removed: it must not begin before that is done.
    pub(super) fn is_clearing(&self, task: &ResourceId) -> bool {
        self.abandoned.clearing.contains(task)
    }

    /// Whether a task is here, or is just being stored.
    fn is_coming(&self, task: &ResourceId) -> bool {
        let mut news = self.taking.iter().flat_map(|taking| taking.news());
        self.mailboxes.contains_key(task) || news.any(|arn| arn.id == *task)
    }
}
