//! Time and chance, as the rest of the agent may know them.
//!
//! Nothing else asks the system for the time, so that a test can say what time it is.

use std::time::Duration;

use async_trait::async_trait;

/// Where time comes from.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The wall clock. It may step, and on boxes without a battery it begins in 1970.
    fn now(&self) -> jiff::Timestamp;

    /// Time since this boot, sleep included (CLOCK_BOOTTIME): never steps, means nothing after a reboot.
    fn since_boot(&self) -> Duration;

    /// Returns after `duration` of [`Clock::since_boot`].
    async fn sleep(&self, duration: Duration);

    /// A number in `0..=bound`, evenly spread: for jitter, never for secrets.
    fn random(&self, bound: u64) -> u64;
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn since_boot(&self) -> Duration {
        // The call can't fail for this clock on any Linux that containerd runs on.
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
            .map(Duration::from)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self, bound: u64) -> u64 {
        // The upper half of a random UUID has 4 fixed bits; its lowest 64 have 2 at the top.
        let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
        let spread = low << 2;
        u64::try_from((u128::from(spread) * (u128::from(bound) + 1)) >> 64).unwrap_or(bound)
    }
}

/// Waits between tries that grow from `first` to `most`, each spread over its whole length (full jitter), so that many
/// nodes do not come back at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// A backoff that has not failed yet.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: 0,
        }
    }

    /// How long to wait now; the next wait is twice as long at most.
    pub fn next(&mut self, clock: &dyn Clock) -> Duration {
        let ceiling = self
            .first
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(self.most);
        self.failures = self.failures.saturating_add(1);
        let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(clock.random(millis))
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_stay_within_their_bound_and_reach_both_ends() {
        let drawn: Vec<_> = (0..500).map(|_| SystemClock.random(3)).collect();
        for number in 0..=3 {
            assert!(drawn.contains(&number), "{number} was never drawn");
        }
        assert!(drawn.iter().all(|number| *number <= 3));
        assert_eq!(SystemClock.random(0), 0);
    }

    #[test]
    fn the_backoff_never_passes_its_ceiling() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(60));
        for _ in 0..100 {
            assert!(backoff.next(&SystemClock) <= Duration::from_secs(60));
        }
        backoff.reset();
        assert!(backoff.next(&SystemClock) <= Duration::from_millis(250));
    }
}
