//! Restarts inside a task: ECS's `restartPolicy`, and what is remembered of the runs of a container.
//!
//! A container that is restarted keeps its record, its writable layer, its network, its ports and its log; only its
//! process is a new one. So its status stays RUNNING, and a restart is a number that grows. Runs are counted from 0; the
//! number of a run is in the store before the runtime is asked for it, and the runtime keeps it with the container, so
//! that after a crash nobody takes the end of one run for that of another.
//!
//! As in ECS, what ends before its `restartAttemptPeriod` is over, with a code that is ignored, or with a code that
//! nobody knows, is not restarted. Unlike there, what ended while no agent ran is judged the same way, and restarts that
//! follow each other wait longer and longer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ContainerRecord, Exit};

/// A run that took so long ends a row of restarts.
const STEADY: Duration = Duration::from_secs(600);
/// Between the second end in a row and its restart; twice as long for each further one. The first waits for nothing.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_MOST: Duration = Duration::from_secs(300);

/// An enabled restart policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// The exit codes that end the container for good.
    pub ignored_exit_codes: Vec<i32>,
    /// How long a run must have taken to be followed by another.
    pub attempt_period: Duration,
}

/// A moment that survives the agent and is deaf to steps of the wall clock. After a reboot it has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Of which boot.
    pub boot_id: String,
    /// Time since that boot.
    pub since_boot: Duration,
}

/// A run that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which, from 0.
    pub number: u32,
    /// When it began, in milliseconds since 1970.
    pub at_millis: i64,
    /// The same by the clock that never steps.
    pub begun: Moment,
}

/// What is remembered of a container's runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// How often it was restarted, the one that is due included: the number of its newest run.
    pub count: u32,
    /// How many in a row followed a run that was not long.
    pub in_a_row: u32,
    /// Until when the newest run waits; `None` once it was seen to run.
    pub due: Option<Moment>,
    /// The newest run that was seen.
    pub run: Option<Run>,
    /// How the run before the newest ended.
    pub last_exit: Option<Exit>,
}

impl Restarts {
    /// Whether there is nothing to remember.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the newest run has not begun as far as anybody knows: nothing of the container runs, or it has just been
    /// asked for.
    #[must_use]
    pub fn awaited(&self) -> bool {
        self.due.is_some()
    }

    /// A run has ended, and another is to follow after a pause. `ran_for` is `None` where nobody knows.
    pub(super) fn again(&mut self, exit: Exit, pause: Duration, steady: bool, now: &Moment) {
        self.in_a_row = if steady {
            0
        } else {
            self.in_a_row.saturating_add(1)
        };
        self.count = self.count.saturating_add(1);
        self.last_exit = Some(exit);
        self.due = Some(Moment {
            boot_id: now.boot_id.clone(),
            since_boot: now.since_boot + pause,
        });
    }

    /// How long the next restart waits.
    pub(super) fn pause(&self, steady: bool) -> Duration {
        match self.in_a_row.checked_sub(1) {
            Some(before) if !steady => PAUSE.saturating_mul(2_u32.saturating_pow(before)).min(PAUSE_MOST),
            Some(_) | None => Duration::ZERO,
        }
    }
}

/// In which boot of the machine a container's newest run that was seen began.
#[must_use]
pub fn boot_of(record: &ContainerRecord) -> Option<&str> {
    let run = record.restarts.run.as_ref().map(|run| &run.begun.boot_id);
    let first = record.started.as_ref().map(|started| &started.boot_id);
    run.or(first).map(String::as_str)
}

/// What becomes of a container whose run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another run follows; whether this one was long.
    Again {
        /// Whether it ends a row of restarts.
        steady: bool,
    },
    /// That was its last, with the reason where it needs saying.
    Over(Option<String>),
}

/// What its policy says of a run that has ended, while the task is to run.
pub(super) fn judge(policy: &RestartPolicy, record: &ContainerRecord, exit: &Exit) -> Verdict {
    let before = match record.restarts.count {
        0 => String::new(),
        count => format!("; it was restarted {} before", times(count)),
    };
    let Some(code) = exit.code else {
        return Verdict::Over(None);
    };
    if policy.ignored_exit_codes.contains(&code) {
        let reason = format!("RestartPolicy: exit code {code} is not restarted{before}");
        return Verdict::Over((record.restarts.count > 0).then_some(reason));
    }
    // A run of which nobody saw the beginning began while an agent died: it was not long ago, or it was long.
    let ran_for = ran_for(record, exit);
    match ran_for {
        Some(ran) if ran < policy.attempt_period => Verdict::Over(Some(format!(
            "RestartPolicy: it ended {} s after its start, before its restartAttemptPeriod of {} s was over{before}",
            ran.as_secs(),
            policy.attempt_period.as_secs()
        ))),
        Some(ran) => Verdict::Again {
            steady: ran >= STEADY,
        },
        None => Verdict::Again { steady: false },
    }
}

/// How long a run took, by the clock that never steps if both ends are known by it.
fn ran_for(record: &ContainerRecord, exit: &Exit) -> Option<Duration> {
    let wall = |from: i64| {
        let millis = exit.at_millis.saturating_sub(from);
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    };
    let run = record.restarts.run.as_ref();
    if let Some(run) = run.filter(|run| run.number == exit.run) {
        let same_boot = exit.moment.as_ref();
        let moment = same_boot.filter(|moment| moment.boot_id == run.begun.boot_id);
        return Some(moment.map_or_else(
            || wall(run.at_millis),
            |moment| moment.since_boot.saturating_sub(run.begun.since_boot),
        ));
    }
    let first = record.started.as_ref();
    let first = first.filter(|started| exit.run == 0 && started.at_millis > 0);
    first.map(|started| wall(started.at_millis))
}

/// A number of times, in words.
#[must_use]
pub fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: u64) -> Moment {
        Moment {
            boot_id: "b".to_owned(),
            since_boot: Duration::from_secs(seconds),
        }
    }

    fn exit(code: Option<i32>, seconds: u64) -> Exit {
        Exit {
            code,
            // The wall clock has been set back by an hour meanwhile.
            at_millis: i64::try_from(seconds).unwrap() * 1000 - 3_600_000,
            out_of_memory: None,
            peak_memory: None,
            reason: None,
            run: 0,
            moment: Some(moment(seconds)),
        }
    }

    fn record(begun: u64) -> ContainerRecord {
        let run = Run {
            number: 0,
            at_millis: i64::try_from(begun).unwrap() * 1000,
            begun: moment(begun),
        };
        ContainerRecord {
            restarts: Restarts {
                run: Some(run),
                ..Restarts::default()
            },
            ..ContainerRecord::default()
        }
    }

    fn policy() -> RestartPolicy {
        RestartPolicy {
            ignored_exit_codes: vec![0, 42],
            attempt_period: Duration::from_secs(60),
        }
    }

    #[test]
    fn ecs_rules_decide_in_ecs_order_and_by_the_clock_that_never_steps() {
        for (code, seconds, again) in [
            (Some(1), 160, true),
            (Some(1), 159, false),
            (Some(42), 500, false),
            (Some(0), 101, false),
            (None, 500, false),
            (Some(137), 100_000, true),
        ] {
            let verdict = judge(&policy(), &record(100), &exit(code, seconds));
            let is_again = matches!(verdict, Verdict::Again { .. });
            assert_eq!(is_again, again, "{code:?} after {seconds}: {verdict:?}");
        }
        let early = judge(&policy(), &record(100), &exit(Some(1), 112));
        let says =
            "RestartPolicy: it ended 12 s after its start, before its restartAttemptPeriod of 60 s was over";
        assert_eq!(early, Verdict::Over(Some(says.to_owned())));
    }

    #[test]
    fn without_that_clock_the_wall_clock_tells() {
        let mut exit = exit(Some(1), 0);
        exit.moment = None;
        exit.at_millis = 159_999;
        assert!(matches!(judge(&policy(), &record(100), &exit), Verdict::Over(_)));
        exit.at_millis = 160_000;
        assert!(matches!(
            judge(&policy(), &record(100), &exit),
            Verdict::Again { .. }
        ));
        exit.run = 1;
        exit.at_millis = 0;
        assert!(
            matches!(
                judge(&policy(), &record(100), &exit),
                Verdict::Again { steady: false }
            ),
            "of that run nobody saw the beginning"
        );
    }

    #[test]
    fn restarts_in_a_row_wait_longer_and_longer_until_a_run_is_steady() {
        let mut restarts = Restarts::default();
        let mut pauses = Vec::new();
        for steady in [
            false, false, false, false, false, false, false, true, false, false,
        ] {
            let pause = restarts.pause(steady);
            pauses.push(pause.as_secs());
            restarts.again(exit(Some(1), 0), pause, steady, &moment(0));
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 300, 0, 0, 10]);
        assert_eq!(restarts.count, 10);
    }
}
