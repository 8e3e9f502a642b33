//! Streams that are left alone for a moment, so that more is there to be read at once.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{Expiration, TimerFd, TimerSetTimeFlags};

/// How long a stream is left alone that is read without end: its pipe must hold what comes meanwhile.
const REST: Duration = Duration::from_micros(500);

/// The streams that rest: all that are there when the timer ends are read again.
pub(super) struct Rests {
    timer: TimerFd,
    /// In the order that they were opened in: stdout before stderr.
    streams: BTreeSet<u64>,
}

impl Rests {
    /// The timer must not block.
    pub(super) fn new(timer: TimerFd) -> Self {
        let streams = BTreeSet::new();
        Self { timer, streams }
    }

    pub(super) fn timer(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    /// False if the timer can't be set.
    pub(super) fn add(&mut self, id: u64) -> bool {
        let rest = Expiration::OneShot(TimeSpec::from_duration(REST));
        let runs = !self.streams.is_empty() || self.timer.set(rest, TimerSetTimeFlags::empty()).is_ok();
        runs && {
            self.streams.insert(id);
            true
        }
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = u64> {
        self.streams.iter().copied()
    }

    /// Those whose rest is over, when the timer can be read.
    pub(super) fn take(&mut self) -> BTreeSet<u64> {
        // Nothing to read is as good.
        let _ = self.timer.wait();
        std::mem::take(&mut self.streams)
    }
}
