//! Who looks at the processes of which container.
//!
//! Invariant: at those of one container one thread looks at a time. Where one of them hangs, whoever looks hangs too, so
//! that a container whose sessions end again and again takes no more than one thread from the others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::ContainerId;

/// The containers whose processes are looked at.
#[derive(Clone, Default)]
pub(in super::super) struct Looks(Arc<Looked>);

#[derive(Default)]
struct Looked {
    at: Mutex<BTreeSet<ContainerId>>,
    over: Notify,
}

impl Looked {
    fn at(&self) -> MutexGuard<'_, BTreeSet<ContainerId>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look; it lasts until this is dropped.
pub(super) struct Look {
    looked: Arc<Looked>,
    container: ContainerId,
}

impl Looks {
    /// Waits until nobody else looks at this container's processes.
    pub(super) async fn begin(&self, container: &ContainerId) -> Look {
        loop {
            // Before it is asked: what is over meanwhile is told all the same.
            let over = self.0.over.notified();
            if self.0.at().insert(container.clone()) {
                return Look {
                    looked: Arc::clone(&self.0),
                    container: container.clone(),
                };
            }
            over.await;
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.looked.at().remove(&self.container);
        self.looked.over.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_looks_at_a_container_at_a_time_and_another_at_another() {
        let id = |index| ContainerId::new("0123456789abcdef0123456789abcdef".parse().unwrap(), index);
        let (one, other) = (id(0), id(1));
        let looks = Looks::default();
        let first = looks.begin(&one).await;
        let _other = looks.begin(&other).await;
        let mut second = Box::pin(looks.begin(&one));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let _second = second.await;
    }
}
