//! A clock that remembers how the wall clock has stepped, so that what is over is not forgotten by a step.
//!
//! What is stored is stamped by the wall clock, which may be days behind until a machine without a battery has heard of
//! the time, or years ahead for a moment. So something counts as older than an age only if it is so by the wall clock as
//! far behind as it has been within that age, by the time that only goes forward: what was stamped within it never does.
//! The time at which the control plane began before counts as a reading at this start, so that a clock that is far ahead
//! from the beginning is not believed at once either.
//!
//! Kept for longer than it need be is what was stamped before a step back, or within an age of a step forward; the sleep of
//! a machine is one. After an age without a step, a clock is believed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Clock;

/// The wall clock stands as it did while it is not this many milliseconds further ahead.
const SAME: i64 = 1000;
/// The most steps forward that are told apart: a thousand nights of a machine that sleeps. Beyond that, old ones count for
/// longer.
const MOST: usize = 1000;

/// How far the wall clock was ahead, and how long it was so at least. Milliseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    ahead: i64,
    until: i64,
}

/// Notes each reading of a clock.
#[derive(Debug)]
pub struct WatchedClock {
    clock: Arc<dyn Clock>,
    /// The older, the further behind: an older reading that is further ahead than a newer one decides nothing.
    readings: Mutex<Vec<Reading>>,
}

impl WatchedClock {
    /// Watches a clock from now on. `last_start` is the time in milliseconds since 1970 at which that was done before.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, last_start: Option<i64>) -> Self {
        let watched = Self {
            clock,
            readings: Mutex::default(),
        };
        if let Some(last_start) = last_start {
            watched.note(last_start);
        }
        watched.now();
        watched
    }

    /// What has a time before this one, in milliseconds since 1970, is older than `age`.
    #[must_use]
    pub fn before(&self, age: Duration) -> i64 {
        let since = self.note(self.clock.now_millis()).saturating_sub(millis(age));
        let readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let furthest_behind = readings.iter().find(|reading| reading.until >= since);
        // The one that was just noted is there.
        furthest_behind.map_or(i64::MIN, |reading| reading.ahead.saturating_add(since))
    }

    /// Notes that the wall clock shows this; says how far the time that only goes forward is.
    fn note(&self, wall: i64) -> i64 {
        // Read later than the wall clock, so that it seems to be behind, if anything.
        let elapsed = millis(self.clock.elapsed());
        let ahead = wall.saturating_sub(elapsed);
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        while readings.pop_if(|last| last.ahead > ahead).is_some() {}
        match readings.last_mut() {
            Some(last) if ahead - last.ahead < SAME => last.until = last.until.max(elapsed),
            Some(_) | None => readings.push(Reading {
                ahead,
                until: elapsed,
            }),
        }
        if readings.len() > MOST {
            let second = readings.remove(1);
            readings[0].until = second.until;
        }
        elapsed
    }
}

impl Clock for WatchedClock {
    fn now(&self) -> jiff::Timestamp {
        let now = self.clock.now();
        self.note(now.as_millisecond());
        now
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::ManualClock;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn set_up() -> (Arc<ManualClock>, WatchedClock) {
        let manual = Arc::new(ManualClock::new());
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&manual);
        (manual, WatchedClock::new(clock, None))
    }

    proptest! {
        #[test]
        fn nothing_is_older_than_it_is_and_a_steady_clock_is_believed_in_the_end(
            course in proptest::collection::vec((0..30_u64, -500..500_i64), 1..40),
            age in 1..60_u64,
        ) {
            let (manual, watched) = set_up();
            let age = DAY * u32::try_from(age).unwrap();
            let mut stamps = Vec::new();
            for (days, step) in course {
                manual.advance(DAY * u32::try_from(days).unwrap());
                manual.step(step * 24 * 3600);
                stamps.push((watched.elapsed(), watched.now_millis()));
                let before = watched.before(age);
                for (made, stamp) in &stamps {
                    prop_assert!(watched.elapsed() - *made > age || *stamp >= before);
                }
            }
            manual.advance(age + Duration::from_millis(1));
            prop_assert_eq!(watched.before(age), watched.now_millis() - millis(age));
        }
    }

    #[test]
    fn a_clock_that_steps_on_and_on_costs_no_more_than_some_memory() {
        let (manual, watched) = set_up();
        let first = watched.now_millis();
        for _ in 0..2 * MOST {
            manual.advance(Duration::from_secs(1));
            manual.step(3600);
            watched.now();
        }
        assert_eq!(watched.readings.lock().unwrap().len(), MOST);
        assert!(watched.before(DAY) < first, "what is not told apart counts");
    }

    #[test]
    fn the_start_before_is_a_reading_for_as_long_as_is_asked_for() {
        let (manual, _) = set_up();
        let before = manual.now_millis();
        manual.step(400 * 24 * 3600);
        let watched = WatchedClock::new(Arc::<ManualClock>::clone(&manual), Some(before));
        assert_eq!(watched.before(DAY), before - millis(DAY));
        manual.advance(DAY);
        assert_eq!(watched.before(DAY), before);
        manual.advance(Duration::from_millis(1));
        assert_eq!(watched.before(DAY), watched.now_millis() - millis(DAY));
    }
}
