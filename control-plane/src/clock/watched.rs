//! A clock that remembers how the wall clock has stepped, so that what is over is not forgotten by a step.
//!
//! What is stored is stamped by the wall clock, which may be days behind until a machine without a battery has heard of
//! the time, or years ahead for a moment. So something counts as older than an age only if it is so by the wall clock as
//! far behind as it has been within that age, by the time that only goes forward: what was stamped within it never does.
//!
//! That outlives the program. What is known of the clock is stored with the commit before which it stepped back, since that
//! may have a stamp by it; and now and then, so that it gets older. The next start takes it as if no time had gone by since:
//! what was stored seems younger than it is, if anything. A crash before the commit loses a step back with all that was
//! stamped by it. So a clock that is far ahead from the beginning is not believed at once either, however often it begins.
//!
//! Kept for longer than it need be is what was stamped before a step back, or within an age of a step forward; the sleep of
//! a machine is one, and so is the time between two starts. After an age without a step, a clock is believed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Clock;

/// The wall clock stands as it did while it is not this many milliseconds further ahead.
const SAME: i64 = 1000;
/// The most steps forward that are told apart: a thousand nights of a machine that sleeps. Beyond that, the smallest ones
/// count for as long as the next.
const MOST: usize = 1000;

/// How far the wall clock was ahead, and how long it was so at least. Milliseconds.
#[derive(Clone, Copy, Debug)]
struct Reading {
    ahead: i64,
    until: i64,
    /// The number of the last look that found it so.
    look: u64,
}

/// A reading as it is stored. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// What the wall clock would show now, since 1970.
    pub shows: i64,
    /// For how long it has not stood so.
    pub ago: i64,
}

/// What is to be stored.
#[derive(Debug)]
pub struct News {
    /// The older, the further behind.
    pub readings: Vec<Earlier>,
    /// As long as the wall clock is at least this far ahead, what is stamped is covered by it.
    covers: i64,
    /// How many looks at the clock they come from.
    looks: u64,
}

#[derive(Debug)]
struct State {
    /// The older, the further behind: an older reading that is further ahead than a newer one decides nothing.
    readings: Vec<Reading>,
    /// [`News::covers`] of what is stored.
    covered: i64,
    /// Whether what is stored is to be stored anew in any case.
    is_due: bool,
    /// How many looks at the clock there were, and how many there had been for what is stored.
    looks: u64,
    stored: u64,
}

/// Notes each reading of a clock.
#[derive(Debug)]
pub struct WatchedClock {
    clock: Arc<dyn Clock>,
    // Held for a look, never over an await.
    state: Mutex<State>,
}

impl WatchedClock {
    /// Watches a clock from now on. `earlier` is what was stored last when that was done before.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, earlier: &[Earlier]) -> Self {
        let elapsed = millis(clock.elapsed());
        let reading = |earlier: &Earlier| Reading {
            ahead: earlier.shows.saturating_sub(elapsed),
            until: elapsed.saturating_sub(earlier.ago),
            look: 0,
        };
        let state = State {
            readings: earlier.iter().map(reading).collect(),
            covered: i64::MAX,
            is_due: true,
            looks: 0,
            stored: 0,
        };
        let watched = Self {
            clock,
            state: Mutex::new(state),
        };
        watched.now();
        watched
    }

    /// What has a time before this one, in milliseconds since 1970, is older than `age`.
    #[must_use]
    pub fn before(&self, age: Duration) -> i64 {
        let since = self.note(self.clock.now_millis()).saturating_sub(millis(age));
        let state = self.lock();
        let furthest_behind = state.readings.iter().find(|reading| reading.until >= since);
        // The one that was just noted is there.
        furthest_behind.map_or(i64::MIN, |reading| reading.ahead.saturating_add(since))
    }

    /// What has to be stored with what is being committed, if something has.
    #[must_use]
    pub fn news(&self) -> Option<News> {
        let state = self.lock();
        let newest = state.readings.last()?.ahead;
        // It may be over, and what is being committed is stamped by it all the same.
        let is_news = |reading: &Reading| reading.look > state.stored && reading.ahead < state.covered;
        if !state.is_due && !state.readings.iter().any(is_news) {
            return None;
        }
        let elapsed = millis(self.clock.elapsed());
        // So that a clock that is slowed down is no news with every commit.
        let covers = newest.saturating_sub(SAME);
        let earlier = |reading: &Reading| Earlier {
            shows: reading.ahead.min(covers).saturating_add(elapsed),
            ago: elapsed.saturating_sub(reading.until).max(0),
        };
        let mut readings: Vec<_> = state.readings.iter().map(earlier).collect();
        // What is stamped later, and no news, is stamped by it.
        if let Some(newest) = readings.last_mut() {
            newest.ago = 0;
        }
        Some(News {
            readings,
            covers,
            looks: state.looks,
        })
    }

    /// The news are stored: to be called after the commit.
    pub fn stored(&self, news: &News) {
        let mut state = self.lock();
        if news.looks > state.stored {
            (state.stored, state.covered, state.is_due) = (news.looks, news.covers, false);
        }
    }

    /// Has what is known stored with the next commit, so that it is not taken to be younger than it is.
    pub fn refresh(&self) {
        self.note(self.clock.now_millis());
        self.lock().is_due = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under it is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the wall clock shows this; says how far the time that only goes forward is.
    fn note(&self, wall: i64) -> i64 {
        // Read later than the wall clock, so that it seems to be behind, if anything.
        let elapsed = millis(self.clock.elapsed());
        let ahead = wall.saturating_sub(elapsed);
        let mut state = self.lock();
        state.looks += 1;
        let look = state.looks;
        let readings = &mut state.readings;
        while readings.pop_if(|last| last.ahead > ahead).is_some() {}
        match readings.last_mut() {
            Some(last) if ahead - last.ahead < SAME => {
                last.until = last.until.max(elapsed);
                last.look = look;
            }
            Some(_) | None => readings.push(Reading {
                ahead,
                until: elapsed,
                look,
            }),
        }
        if readings.len() > MOST {
            thin(readings);
        }
        elapsed
    }
}

/// Takes the smallest step for none, other than the newest.
fn thin(readings: &mut Vec<Reading>) {
    let step = |at: &usize| readings[*at].ahead.saturating_sub(readings[*at - 1].ahead);
    let smallest = (1..readings.len().saturating_sub(1)).min_by_key(step);
    if let Some(at) = smallest {
        let later = readings.remove(at);
        readings[at - 1].until = later.until;
        readings[at - 1].look = later.look;
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
        (manual, WatchedClock::new(clock, &[]))
    }

    /// As a commit does.
    fn store(watched: &WatchedClock, disk: &mut Vec<Earlier>) {
        if let Some(news) = watched.news() {
            disk.clone_from(&news.readings);
            watched.stored(&news);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_older_than_it_is_and_a_steady_clock_is_believed_in_the_end(
            course in proptest::collection::vec(
                ((0..30_u64, -500..500_i64), any::<bool>(), any::<bool>(), (any::<bool>(), 1..500_i64)),
                1..40,
            ),
            age in 1..60_u64,
        ) {
            let (manual, mut watched) = set_up();
            let age = DAY * u32::try_from(age).unwrap();
            let (mut stamps, mut disk) = (Vec::new(), Vec::new());
            for ((days, step), sweeps, restarts, (is_over, over)) in course {
                manual.advance(DAY * u32::try_from(days).unwrap());
                manual.step(step * 24 * 3600);
                if sweeps {
                    watched.refresh();
                }
                if restarts {
                    watched = WatchedClock::new(Arc::<ManualClock>::clone(&manual), &disk);
                }
                stamps.push((watched.elapsed(), watched.now_millis()));
                // A step back may be over before what is stamped by it is stored.
                if is_over {
                    manual.step(over * 24 * 3600);
                    watched.now();
                }
                store(&watched, &mut disk);
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
    fn a_clock_that_is_steady_is_stored_when_that_is_asked_for_and_one_that_steps_back_at_once() {
        let (manual, watched) = set_up();
        let mut disk = Vec::new();
        store(&watched, &mut disk);
        let first = disk.clone();
        manual.advance(DAY);
        watched.now();
        assert!(watched.news().is_none());
        manual.step(3600);
        watched.now();
        assert!(watched.news().is_none(), "nothing is stamped further behind");
        watched.refresh();
        store(&watched, &mut disk);
        assert_eq!((first.len(), disk.len(), disk[0].ago), (1, 2, 0));
        manual.step(-2);
        watched.now();
        let lost = watched.news().unwrap();
        assert_eq!(lost.readings.len(), 2);
        store(&watched, &mut disk);
        watched.stored(&lost);
        assert!(watched.news().is_none());
    }

    #[test]
    fn the_smallest_steps_are_the_first_that_are_not_told_apart() {
        let (manual, watched) = set_up();
        manual.step(500 * 24 * 3600);
        for _ in 0..2 * MOST {
            manual.advance(DAY);
            manual.step(2);
            watched.now();
        }
        let longer = watched.now_millis() - millis(DAY * 400) - watched.before(DAY * 400);
        assert!((0..500 * 2000).contains(&longer), "{longer}");
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
        assert_eq!(watched.lock().readings.len(), MOST);
        assert!(watched.before(DAY) < first, "what is not told apart counts");
    }

    #[test]
    fn what_was_stored_is_a_reading_for_as_long_as_is_asked_for() {
        let (manual, _) = set_up();
        let before = manual.now_millis();
        manual.step(400 * 24 * 3600);
        let watched = WatchedClock::new(
            Arc::<ManualClock>::clone(&manual),
            &[Earlier {
                shows: before,
                ago: 0,
            }],
        );
        assert_eq!(watched.before(DAY), before - millis(DAY));
        manual.advance(DAY);
        assert_eq!(watched.before(DAY), before);
        manual.advance(Duration::from_millis(1));
        assert_eq!(watched.before(DAY), watched.now_millis() - millis(DAY));
    }
}
