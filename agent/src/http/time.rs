//! The time that certificates are judged by.
//!
//! Edge boxes boot in 1970, and then no certificate is valid yet and no control plane can be asked for the time. So it
//! is the latest of the system's clock, the time of the build, and the last `Date` of a verified answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::clock::Clock;

/// When this program was built, in seconds since 1970.
const BUILD_SECONDS: &str = env!("LONGSHORE_BUILD_SECONDS");

/// A clock that is never before a time that is known to have passed.
pub struct CertificateClock {
    system: Arc<dyn Clock>,
    floor: AtomicI64,
}

impl std::fmt::Debug for CertificateClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateClock")
            .field("floor", &self.floor)
            .finish_non_exhaustive()
    }
}

impl CertificateClock {
    /// Over the system's clock, not before this program's build.
    #[must_use]
    pub fn new(system: Arc<dyn Clock>) -> Self {
        Self {
            system,
            floor: AtomicI64::new(BUILD_SECONDS.parse().unwrap_or(0)),
        }
    }

    /// Learns that this time, in seconds since 1970, has passed.
    pub fn at_least(&self, seconds: i64) {
        self.floor.fetch_max(seconds, Ordering::Relaxed);
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.system
            .now()
            .as_second()
            .max(self.floor.load(Ordering::Relaxed))
    }
}

impl TimeProvider for CertificateClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            seconds,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Boot1970;

    #[async_trait::async_trait]
    impl Clock for Boot1970 {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }
        fn since_boot(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }
        async fn sleep(&self, _: std::time::Duration) {}
        fn random(&self, _: u64) -> u64 {
            0
        }
    }

    #[test]
    fn a_box_without_a_battery_is_not_in_1970() {
        let clock = CertificateClock::new(Arc::new(Boot1970));
        let built = clock.now();
        assert!(built > 1_700_000_000, "the build's time is the least");
        clock.at_least(built + 50);
        clock.at_least(built + 20);
        assert_eq!(clock.now(), built + 50);
    }
}
