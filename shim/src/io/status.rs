//! What the thread lets others know of a process's I/O.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared by a process's streams and its handle.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// Outputs and loggers that have not ended.
    open: Mutex<usize>,
    ended: Condvar,
    dropped: AtomicU64,
}

impl Status {
    /// One more output or logger.
    pub(super) fn begin(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    /// One has ended, and all that came from it is written.
    pub(super) fn end(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = open.saturating_sub(1);
        self.ended.notify_all();
    }

    pub(super) fn wait_drained(&self, within: Duration) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (open, _) = self
            .ended
            .wait_timeout_while(open, within, |open| *open > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *open == 0
    }

    pub(super) fn drop_bytes(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
