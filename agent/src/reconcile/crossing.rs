//! Orders about tasks on their way into the store, and tasks on their way out of it: never both of one task.
//!
//! An order is acknowledged once it is stored, and does not come again. Were its task forgotten meanwhile, nobody would
//! answer it. So a task stays while an order about it is being stored, and an order about a task that is just being
//! forgotten waits until that has gone, and then is one about a task that is new.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_protocol::arn::ResourceId;
use tokio::sync::watch;

#[derive(Debug, Default)]
pub(super) struct Crossing {
    ways: Mutex<Ways>,
    /// Rung when those who could not leave may ask again.
    free: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Ways {
    /// Of one answer: there is one at a time.
    orders: BTreeSet<ResourceId>,
    leaving: BTreeSet<ResourceId>,
}

impl Crossing {
    /// Orders about these tasks are to be stored. Says whether they may; if not, one of the tasks is being forgotten.
    pub(super) fn come<'a>(&self, tasks: impl Iterator<Item = &'a ResourceId>) -> bool {
        let tasks: BTreeSet<_> = tasks.cloned().collect();
        let mut ways = self.lock();
        let may = ways.leaving.is_disjoint(&tasks);
        if may {
            ways.orders = tasks;
        }
        may
    }

    /// They are stored, and handed to the tasks.
    pub(super) fn have_come(&self) {
        self.lock().orders.clear();
        self.free.send_replace(());
    }

    /// Tells a task that could not leave when to ask again.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.free.subscribe()
    }

    /// A task is to be forgotten. Says whether it may; if not, an order about it is coming.
    pub(super) fn leave(&self, task: &ResourceId) -> bool {
        let mut ways = self.lock();
        let may = !ways.orders.contains(task);
        if may {
            ways.leaving.insert(task.clone());
        }
        may
    }

    /// It stays after all, or has been forgotten.
    pub(super) fn stop_leaving(&self, task: &ResourceId) {
        self.lock().leaving.remove(task);
    }

    fn lock(&self) -> MutexGuard<'_, Ways> {
        // No change is left half done by a panic, and none is held across an await.
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_and_a_task_that_goes_do_not_cross() {
        let crossing = Crossing::default();
        let id = |text: &str| text.parse::<ResourceId>().unwrap();
        let (one, two) = (id(&"1".repeat(32)), id(&"2".repeat(32)));
        assert!(crossing.come([&one].into_iter()));
        assert!(!crossing.leave(&one), "an order about it is coming");
        assert!(crossing.leave(&two));
        crossing.have_come();
        assert!(crossing.leave(&one));
        assert!(!crossing.come([&one].into_iter()), "it is being forgotten");
        crossing.stop_leaving(&one);
        assert!(!crossing.come([&one, &two].into_iter()));
        assert!(crossing.come([&one].into_iter()));
    }
}
