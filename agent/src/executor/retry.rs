//! Calls that are tried again: which, how long, and what people are told meanwhile.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Backoff, Clock};
use crate::model::ContainerId;
use crate::network::NetworkError;
use crate::runtime::RuntimeError;

use super::assembler::AssembleError;
use super::progress::{Cause, Progress};

const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(30);
/// For calls that have a deadline of their own, this is the second line: nothing waits longer for one answer.
const ATTEMPT: Duration = Duration::from_secs(300);

/// An error that says whether the same call can succeed later.
pub(super) trait Classified: std::fmt::Display {
    fn is_transient(&self) -> bool;

    /// Whether a try that ends so counts as one. It does not where it is known that what it lacks is on its way.
    fn counts(&self) -> bool {
        true
    }
}

impl Classified for RuntimeError {
    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }
}

impl Classified for AssembleError {
    fn is_transient(&self) -> bool {
        self.transient
    }
}

impl Classified for NetworkError {
    fn is_transient(&self) -> bool {
        match self {
            // What somebody else has does not become free by waiting; plugins and files may race with others.
            Self::Port { .. } | Self::Subnet { .. } => false,
            Self::Plugin { .. } | Self::NoAddressYet(_) | Self::Io { .. } => true,
        }
    }

    fn counts(&self) -> bool {
        !matches!(self, Self::NoAddressYet(_))
    }
}

/// How long a call is tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Until this has passed, and only while the error says that it may help.
    For(Duration),
    /// So many times that count, and only while the error says that it may help.
    Times(u32),
    /// For ever, whatever the error: there is nothing else to be done about it.
    Forever,
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Outcome<T, E> {
    /// It was done.
    Done(T),
    /// It failed for good.
    Failed(E),
    /// It did not answer in time, all tries included; how long that was.
    TimedOut(Duration),
    /// It is not wanted any more.
    Cancelled,
}

/// Tries calls for a container.
pub(super) struct Retry<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) progress: &'a Progress,
    pub(super) container: &'a ContainerId,
    pub(super) cancel: &'a CancellationToken,
    /// What is being done, as people are told, such as `creating it`.
    pub(super) doing: &'static str,
    pub(super) patience: Patience,
}

impl Retry<'_> {
    /// Tries until it is done, fails for good, takes too long, or is not wanted any more. A call that is under way is
    /// never dropped for a cancellation: what it did would not be known.
    pub(super) async fn call<T, E, F>(&self, mut call: impl FnMut() -> F) -> Outcome<T, E>
    where
        E: Classified,
        F: Future<Output = Result<T, E>>,
    {
        let begun = self.clock.since_boot();
        let (limit, times) = match self.patience {
            Patience::For(limit) => (Some(limit), u32::MAX),
            Patience::Times(times) => (None, times),
            Patience::Forever => (None, u32::MAX),
        };
        let forever = matches!(self.patience, Patience::Forever);
        let mut backoff = Backoff::new(FIRST, MOST);
        let (mut tries, mut counted) = (0_u32, 0_u32);
        loop {
            let spent = self.clock.since_boot().saturating_sub(begun);
            let left = limit.map_or(ATTEMPT, |limit| limit.saturating_sub(spent).min(ATTEMPT));
            let result = tokio::select! {
                biased;
                result = call() => Some(result),
                () = self.clock.sleep(left) => None,
            };
            tries = tries.saturating_add(1);
            if !matches!(&result, Some(Err(error)) if !error.counts()) {
                counted = counted.saturating_add(1);
            }
            let over = !forever
                && (counted >= times
                    || limit.is_some_and(|limit| self.clock.since_boot().saturating_sub(begun) >= limit));
            let why = match result {
                Some(Ok(value)) => return Outcome::Done(value),
                Some(Err(error)) if over || (!forever && !error.is_transient()) => {
                    return Outcome::Failed(error);
                }
                Some(Err(error)) => error.to_string(),
                None if over => return Outcome::TimedOut(self.clock.since_boot().saturating_sub(begun)),
                None => format!("no answer within {} s", left.as_secs()),
            };
            self.tell(tries, &why, limit.map(|limit| begun + limit));
            let pause = backoff.next(self.clock);
            tokio::select! {
                biased;
                () = self.clock.sleep(pause) => {}
                () = self.cancel.cancelled() => return Outcome::Cancelled,
            }
        }
    }

    fn tell(&self, tries: u32, why: &str, until: Option<Duration>) {
        // Each failure once at first, then only now and then: it may go on for days.
        if tries.is_power_of_two() {
            tracing::warn!(container = %self.container, doing = self.doing, tries, why, "trying again");
        }
        let text = format!("{}: tried {tries} times, the last answer was: {why}", self.doing);
        let cause = Cause {
            text,
            percent: None,
            until,
        };
        self.progress.set(self.container, Some(cause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn no_address(yet: bool) -> NetworkError {
        let container = container();
        let why = "no IP addresses available in range set".to_owned();
        let error = NetworkError::Plugin {
            command: "ADD",
            container,
            plugin: "bridge".to_owned(),
            why,
        };
        if yet {
            NetworkError::NoAddressYet(Box::new(error))
        } else {
            error
        }
    }

    fn container() -> ContainerId {
        "0123456789abcdef0123456789abcdef-0".parse().unwrap()
    }

    async fn attach(
        results: Vec<Result<(), NetworkError>>,
        cancel: &CancellationToken,
    ) -> (Outcome<(), NetworkError>, String) {
        let (progress, container) = (Progress::default(), container());
        let retry = Retry {
            clock: &SystemClock,
            progress: &progress,
            container: &container,
            cancel,
            doing: "giving it its network",
            patience: Patience::Times(3),
        };
        let mut results = results.into_iter();
        let outcome = retry.call(|| std::future::ready(results.next().unwrap())).await;
        let cause = progress
            .get(&container)
            .map(|cause| cause.text)
            .unwrap_or_default();
        (outcome, cause)
    }

    #[tokio::test(start_paused = true)]
    async fn what_lacks_only_what_is_on_its_way_is_tried_as_long_as_that_is_so() {
        let never = CancellationToken::new();
        let waits = || (0..20).map(|_| Err(no_address(true)));
        let (outcome, cause) = attach(waits().chain([Ok(())]).collect(), &never).await;
        assert!(matches!(outcome, Outcome::Done(())), "{outcome:?}");
        assert!(cause.contains("are being given back"), "{cause}");
        let fails = || (0..3).map(|_| Err(no_address(false)));
        let (outcome, _) = attach(waits().chain(fails()).collect(), &never).await;
        assert!(
            matches!(outcome, Outcome::Failed(NetworkError::Plugin { .. })),
            "{outcome:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_so_is_told_at_once_that_he_need_not() {
        let stopped = CancellationToken::new();
        stopped.cancel();
        let begun = tokio::time::Instant::now();
        let (outcome, _) = attach(vec![Err(no_address(true))], &stopped).await;
        assert!(matches!(outcome, Outcome::Cancelled), "{outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
