//! What the agent's neighbours have in common: time, faults, and the moment at which the agent dies.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use longshore_agent::clock::Clock;
use longshore_agent::model::Moment;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The wall clock at the beginning.
const EPOCH_MILLIS: i64 = 1_750_000_000_000;

/// Simulated time, chance and trouble. It outlives the agent.
pub struct World {
    begun: Instant,
    /// When this boot began, and its id.
    boot: Mutex<(Instant, String)>,
    dice: AtomicU64,
    /// Crossings of the border between the agent and its neighbours so far: one before and one after each call.
    crossings: AtomicU64,
    /// At which crossing the agent dies.
    crash_at: AtomicU64,
    pub crashed: Notify,
    /// How many of a hundred calls fail in passing.
    pub fault_percent: AtomicU64,
    log: Mutex<Vec<String>>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            begun: Instant::now(),
            boot: Mutex::new((Instant::now(), "boot-1".to_owned())),
            dice: AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            crossings: AtomicU64::new(0),
            crash_at: AtomicU64::new(u64::MAX),
            crashed: Notify::new(),
            fault_percent: AtomicU64::new(0),
            log: Mutex::default(),
        }
    }

    pub fn crossings(&self) -> u64 {
        self.crossings.load(Ordering::Relaxed)
    }

    /// Plants a crash so many crossings from now on.
    pub fn crash_after(&self, crossings: u64) {
        self.crash_at
            .store(self.crossings() + crossings, Ordering::Relaxed);
    }

    pub fn millis(&self) -> i64 {
        EPOCH_MILLIS + i64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    /// A new boot begins: the clock since boot is at 0, and its id is another.
    pub fn reboot(&self, boot_id: &str) {
        *self.boot.lock().unwrap() = (Instant::now(), boot_id.to_owned());
    }

    pub fn moment(&self) -> Moment {
        let boot = self.boot.lock().unwrap();
        Moment {
            boot_id: boot.1.clone(),
            since_boot: boot.0.elapsed(),
        }
    }

    pub fn roll(&self) -> u64 {
        // xorshift: the same seed gives the same run.
        let mut value = self.dice.load(Ordering::Relaxed);
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        self.dice.store(value, Ordering::Relaxed);
        value
    }

    /// Crosses the border; the agent that dies here never learns what came of its call.
    pub async fn cross(&self, what: &str) {
        let crossing = self.crossings.fetch_add(1, Ordering::Relaxed);
        self.log.lock().unwrap().push(format!("{crossing} {what}"));
        if crossing >= self.crash_at.load(Ordering::Relaxed) {
            self.crash_at.store(u64::MAX, Ordering::Relaxed);
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
        // Calls take time, so that others get between.
        tokio::time::sleep(Duration::from_micros(100 + self.roll() % 900)).await;
    }

    /// Whether this call fails in passing.
    pub fn faulty(&self) -> bool {
        self.roll() % 100 < self.fault_percent.load(Ordering::Relaxed)
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

/// The agent's clock in the simulation: tokio's paused one.
pub struct SimClock(pub std::sync::Arc<World>);

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0.millis()).unwrap()
    }

    fn since_boot(&self) -> Duration {
        self.0.moment().since_boot
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self, bound: u64) -> u64 {
        self.0.roll() % (bound + 1)
    }
}
