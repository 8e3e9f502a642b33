//! The pause between a call that failed and the next try.

use std::time::Duration;

use crate::clock::{Backoff, Clock};

/// How soon a new way is tried at the latest: it may be new to many machines at once.
const SPREAD: Duration = Duration::from_secs(1);

/// Waits as long as `backoff` says, and as the control plane wants to be left alone. Once there is a new way, what failed on
/// the old one counts no more: a machine that has just got its link does not wait a minute. Not where it was the control
/// plane that has no time.
pub async fn rest(
    clock: &dyn Clock,
    backoff: &mut Backoff,
    retry_after: Option<Duration>,
    new_way: impl Future<Output = ()>,
) {
    let pause = backoff.next(clock) + retry_after.unwrap_or_default();
    if pause.is_zero() {
        return;
    }
    tokio::select! {
        biased;
        () = clock.sleep(pause) => {}
        () = new_way, if retry_after.is_none() => {
            tracing::debug!("there is a new route: the control plane is tried soon");
            backoff.reset();
            let spread = u64::try_from(SPREAD.as_millis()).unwrap_or(u64::MAX);
            clock.sleep(Duration::from_millis(clock.random(spread))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::clock::SystemClock;

    const MOST: Duration = Duration::from_secs(60);

    fn failed_often() -> Backoff {
        let mut backoff = Backoff::new(Duration::from_millis(250), MOST);
        for _ in 0..20 {
            backoff.next(&SystemClock);
        }
        backoff
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_way_ends_the_pause_and_what_failed_before_counts_no_more() {
        for _ in 0..50 {
            let (mut backoff, begun) = (failed_often(), Instant::now());
            rest(&SystemClock, &mut backoff, None, std::future::ready(())).await;
            assert!(begun.elapsed() <= SPREAD + Duration::from_millis(1));
            assert!(backoff.next(&SystemClock) <= Duration::from_millis(250));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_one_pauses_are_as_long_as_they_were() {
        let mut longest = Duration::ZERO;
        for _ in 0..50 {
            let (mut backoff, begun) = (failed_often(), Instant::now());
            rest(&SystemClock, &mut backoff, None, std::future::pending()).await;
            longest = longest.max(begun.elapsed());
        }
        assert!(longest > Duration::from_secs(10), "{longest:?}");
        assert!(longest <= MOST + Duration::from_millis(1), "{longest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_to_be_left_alone_is_whatever_the_way() {
        let (mut backoff, begun) = (failed_often(), Instant::now());
        let alone = Duration::from_secs(300);
        rest(&SystemClock, &mut backoff, Some(alone), std::future::ready(())).await;
        assert!(begun.elapsed() >= alone);
    }
}
