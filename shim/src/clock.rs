//! The time, and the only place that asks for it.

use std::time::Duration;

use longshore_protocol::exit_record::ExitedAt;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The wall clock.
#[must_use]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A clock that nobody sets, since some point in the past.
#[must_use]
pub fn monotonic() -> Duration {
    duration(clock_gettime(ClockId::Monotonic))
}

/// Tells the time by both clocks of an exit record.
#[derive(Debug, Clone)]
pub struct Clock {
    boot_id: String,
}

impl Clock {
    /// Reads the boot id; without one (no `/proc`) it is empty.
    #[must_use]
    pub fn new() -> Self {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            boot_id: id.trim().to_owned(),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> ExitedAt {
        let boot = duration(clock_gettime(ClockId::Boottime));
        ExitedAt {
            wall: wall(),
            boot_id: self.boot_id.clone(),
            boot_nanos: u64::try_from(boot.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// A time-out for calls of the system.
#[must_use]
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

fn duration(time: Timespec) -> Duration {
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}
