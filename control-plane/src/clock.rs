//! Where the control plane's time comes from.

mod watched;

use std::time::Duration;

pub use watched::{Earlier, WatchedClock};

/// The time of day, and time that only goes forward.
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// The time of day in UTC. May step.
    fn now(&self) -> jiff::Timestamp;

    /// Time since some fixed point; never steps.
    fn elapsed(&self) -> Duration;

    /// The time of day in milliseconds since 1970.
    fn now_millis(&self) -> i64 {
        self.now().as_millisecond()
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// The machine's clock; [`Clock::elapsed`] counts from now.
    #[must_use]
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the Clock's own implementation")]
        let start = std::time::Instant::now();
        Self { start }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the Clock's own implementation")]
        let now = std::time::SystemTime::now();
        jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
