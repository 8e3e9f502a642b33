//! Whether reports are sent, or wait for one of them to get through.
//!
//! After a call that got no answer, all others would get none either, and each would wait for its deadline. So the gate
//! closes, and those who wait try by turns, with pauses that grow from 250 ms to 60 s with full jitter. The first who gets
//! through, or a poll, opens it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::signal::Signal;
use crate::clock::{Backoff, Clock};

const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(60);

pub(super) struct Gate {
    clock: Arc<dyn Clock>,
    is_open: AtomicBool,
    opened: Signal,
    /// The one who tries has it; those who wait for it come in the order in which they came, so that a report that never
    /// gets through does not keep the others from trying.
    turn: Semaphore,
    closed: Mutex<Closed>,
}

struct Closed {
    backoff: Backoff,
    /// When the next one may try, since boot.
    until: Duration,
}

impl Gate {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            is_open: AtomicBool::new(true),
            opened: Signal::default(),
            turn: Semaphore::new(1),
            closed: Mutex::new(Closed {
                backoff: Backoff::new(FIRST, MOST),
                until: Duration::ZERO,
            }),
        }
    }

    /// Waits until the gate is open, or it is one's turn to try; then one keeps the turn while one tries.
    pub(super) async fn pass(&self) -> Option<SemaphorePermit<'_>> {
        loop {
            let seen = self.opened.times();
            if self.is_open() {
                return None;
            }
            let turn = tokio::select! {
                biased;
                () = self.opened.since(seen) => continue,
                turn = self.turn.acquire() => turn.ok(),
            };
            let left = self.lock().until.saturating_sub(self.clock.since_boot());
            tokio::select! {
                biased;
                () = self.opened.since(seen) => {}
                () = self.clock.sleep(left) => return turn,
            }
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Something got through.
    pub(super) fn open(&self) {
        self.lock().backoff.reset();
        if !self.is_open.swap(true, Ordering::AcqRel) {
            self.opened.tell();
        }
    }

    /// A call got no answer; `by_turn`: that of one who tried. Calls that were under way when the gate closed count once.
    pub(super) fn close(&self, by_turn: bool) {
        let was_open = self.is_open.swap(false, Ordering::AcqRel);
        if was_open || by_turn {
            let mut closed = self.lock();
            let pause = closed.backoff.next(self.clock.as_ref());
            closed.until = self.clock.since_boot() + pause;
        }
    }

    /// The control plane wants to be left alone. The pause is spread, so that its nodes don't come back all at once.
    pub(super) fn close_for(&self, pause: Duration) {
        self.is_open.store(false, Ordering::Release);
        let mut closed = self.lock();
        let spread = closed.backoff.next(self.clock.as_ref());
        closed.until = closed.until.max(self.clock.since_boot() + pause + spread);
    }

    fn lock(&self) -> MutexGuard<'_, Closed> {
        // Nothing is half done under this lock, so a panic elsewhere leaves good values.
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
