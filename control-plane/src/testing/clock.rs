//! A clock that goes when it is told to, for tests beside the code.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Clock;

/// Stands still until [`ManualClock::advance`].
#[derive(Debug)]
pub(crate) struct ManualClock(Mutex<Duration>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Duration::from_secs(1_800_000_000)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(i64::try_from(self.elapsed().as_millis()).unwrap()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}
