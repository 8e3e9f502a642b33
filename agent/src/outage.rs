//! What the log says of somebody who is lost and found: a line per change, not per try.
//!
//! Limits: while it is lost, another reason is said at most every ten minutes; a way that comes and goes is named at most
//! once a minute.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A way that is lost again sooner than this after the last line about it is lost in silence, until this has passed.
const QUIET: Duration = Duration::from_secs(60);
/// Between two lines about one loss, where the reason changes.
const OTHER_REASON: Duration = Duration::from_secs(600);

/// Follows one way to the control plane or to containerd, such as the poll's. Times are since boot.
#[derive(Debug)]
pub struct Outage {
    who: &'static str,
    way: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since when it is lost.
    lost: Option<Lost>,
    last_line: Option<Duration>,
}

#[derive(Debug)]
struct Lost {
    since: Duration,
    /// What was said of it; `None` as long as nothing was.
    said: Option<String>,
}

/// What is to be said.
#[derive(Debug, PartialEq)]
enum Line {
    Lost(Duration),
    OtherReason(Duration),
    Back(Duration),
}

impl Outage {
    /// Of a way that works until it is said not to; `who` is there at its end, and both are names for the log.
    #[must_use]
    pub fn new(who: &'static str, way: &'static str) -> Self {
        Self {
            who,
            way,
            state: Mutex::default(),
        }
    }

    /// A try failed.
    pub fn failed(&self, now: Duration, error: &dyn std::fmt::Display) {
        let why = error.to_string();
        let line = self.lock().failed(now, &why);
        match line {
            Some(Line::Lost(lasted)) => {
                tracing::warn!(
                    way = self.way,
                    error = why,
                    seconds = lasted.as_secs(),
                    "{} is lost; the tasks go on",
                    self.who
                );
            }
            Some(Line::OtherReason(lasted)) => {
                tracing::warn!(
                    way = self.way,
                    error = why,
                    seconds = lasted.as_secs(),
                    "{} is still lost, for another reason",
                    self.who
                );
            }
            Some(Line::Back(_)) | None => tracing::debug!(way = self.way, error = why, "a try failed"),
        }
    }

    /// A try succeeded. Says whether the one before it had failed.
    pub fn succeeded(&self, now: Duration) -> bool {
        let (was_lost, line) = self.lock().succeeded(now);
        if let Some(Line::Back(lasted)) = line {
            tracing::info!(way = self.way, seconds = lasted.as_secs(), "{} is back", self.who);
        }
        was_lost
    }

    /// Whether the last try failed.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lock().lost.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is half done under this lock, so a panic elsewhere leaves good values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn failed(&mut self, now: Duration, why: &str) -> Option<Line> {
        let lost = self.lost.get_or_insert(Lost {
            since: now,
            said: None,
        });
        let silence = self.last_line.map(|last| now.saturating_sub(last));
        let lasted = now.saturating_sub(lost.since);
        let line = match &lost.said {
            None if silence.is_none_or(|silence| silence >= QUIET) => Line::Lost(lasted),
            Some(said) if said != why && silence.is_none_or(|silence| silence >= OTHER_REASON) => {
                Line::OtherReason(lasted)
            }
            None | Some(_) => return None,
        };
        lost.said = Some(why.to_owned());
        self.last_line = Some(now);
        Some(line)
    }

    fn succeeded(&mut self, now: Duration) -> (bool, Option<Line>) {
        let Some(lost) = self.lost.take() else {
            return (false, None);
        };
        if lost.said.is_none() {
            return (true, None);
        }
        self.last_line = Some(now);
        (true, Some(Line::Back(now.saturating_sub(lost.since))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_is_two_lines_however_often_it_is_tried() {
        let mut state = State::default();
        assert_eq!(state.failed(at(5), "refused"), Some(Line::Lost(at(0))));
        for second in 6..100_000 {
            assert_eq!(state.failed(at(second), "refused"), None);
        }
        assert_eq!(
            state.succeeded(at(100_005)),
            (true, Some(Line::Back(at(100_000))))
        );
        assert_eq!(state.succeeded(at(100_006)), (false, None));
    }

    #[test]
    fn another_reason_is_said_but_rarely() {
        let mut state = State::default();
        state.failed(at(0), "refused");
        assert_eq!(state.failed(at(599), "no route"), None);
        assert_eq!(
            state.failed(at(600), "no route"),
            Some(Line::OtherReason(at(600)))
        );
        let lines = (601..4200).filter(|second| {
            let why = if second % 2 == 0 { "refused" } else { "no route" };
            state.failed(at(*second), why).is_some()
        });
        assert_eq!(lines.count(), 5);
    }

    #[test]
    fn a_link_that_comes_and_goes_is_named_once_a_minute() {
        let mut state = State::default();
        let mut lines = 0;
        for second in 0..600 {
            lines += usize::from(state.failed(at(second), "refused").is_some());
            lines += usize::from(state.succeeded(at(second)).1.is_some());
        }
        assert_eq!(lines, 20, "lost and back, ten times");
        assert_eq!(state.failed(at(600), "refused"), Some(Line::Lost(at(0))));
    }

    #[test]
    fn a_loss_in_silence_is_said_once_it_lasts() {
        let mut state = State::default();
        state.failed(at(0), "refused");
        state.succeeded(at(1));
        assert_eq!(state.failed(at(2), "refused"), None);
        assert_eq!(state.failed(at(60), "refused"), None);
        assert_eq!(state.failed(at(61), "refused"), Some(Line::Lost(at(59))));
    }
}
