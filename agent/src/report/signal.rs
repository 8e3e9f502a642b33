//! Tells all who wait that something has happened again.
//!
//! Unlike [`tokio::sync::watch`], which wakes them in an order of chance, it wakes them in the order in which they came: what
//! waited longest goes first, and a simulated life is the same each time.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Signal {
    times: AtomicU64,
    told: Notify,
}

impl Signal {
    /// How often it has happened.
    pub(super) fn times(&self) -> u64 {
        self.times.load(Ordering::Acquire)
    }

    pub(super) fn tell(&self) {
        self.times.fetch_add(1, Ordering::AcqRel);
        self.told.notify_waiters();
    }

    /// Returns once it has happened since [`Signal::times`] was `seen`.
    pub(super) async fn since(&self, seen: u64) {
        loop {
            // It hears from here on, so nothing is missed between the look and the wait.
            let told = self.told.notified();
            if self.times() != seen {
                return;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_told_in_the_order_in_which_they_came() {
        let signal = Arc::new(Signal::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (signal, order) = (Arc::clone(&signal), Arc::clone(&order));
            waiting.spawn(async move {
                signal.since(0).await;
                order.lock().unwrap().push(number);
            });
        }
        tokio::task::yield_now().await;
        signal.tell();
        waiting.join_all().await;
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
        assert_eq!(signal.times(), 1);
        signal.since(0).await;
    }
}
