//! A clock that goes when it is told to, for tests beside the code.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Clock;

/// Stands still until [`ManualClock::advance`].
#[derive(Debug)]
pub(crate) struct ManualClock {
    elapsed: Mutex<Duration>,
    /// How many milliseconds the time of day is ahead.
    ahead: Mutex<i64>,
}

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self {
            elapsed: Mutex::new(Duration::from_secs(1_800_000_000)),
            ahead: Mutex::new(0),
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.elapsed.lock().unwrap() += by;
    }

    /// Sets the time of day forth, or back, by so many seconds.
    pub(crate) fn step(&self, seconds: i64) {
        *self.ahead.lock().unwrap() += seconds * 1000;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> jiff::Timestamp {
        let elapsed = i64::try_from(self.elapsed().as_millis()).unwrap();
        jiff::Timestamp::from_millisecond(elapsed + *self.ahead.lock().unwrap()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().unwrap()
    }
}
