//! What the agent's neighbours have in common: time, faults, and the moment at which the agent dies.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore_agent::clock::Clock;
use longshore_agent::model::Moment;
use longshore_agent::store::Hand;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The wall clock at the beginning.
pub const EPOCH_MILLIS: i64 = 1_750_000_000_000;

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
    /// How many of a thousand crossings take up to ten minutes.
    pub hang_permille: AtomicU64,
    /// How far the wall clock is off, in milliseconds.
    pub wall_off: AtomicI64,
    /// The agent is dead: nothing that it was about to do happens.
    dead: AtomicBool,
    /// The calls that are under way, and how many of each.
    under_way: Mutex<BTreeMap<String, u32>>,
    /// The calls that have hung: which, how long in milliseconds, and when that was to end.
    hung: Mutex<Vec<(String, u64, i64)>>,
    /// What must never be so, and was.
    violations: Mutex<Vec<String>>,
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
            hang_permille: AtomicU64::new(0),
            wall_off: AtomicI64::new(0),
            dead: AtomicBool::new(false),
            under_way: Mutex::default(),
            hung: Mutex::default(),
            violations: Mutex::default(),
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

    /// The wall clock, as far off as it is.
    pub fn wall_millis(&self) -> i64 {
        self.millis() + self.wall_off.load(Ordering::Relaxed)
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

    /// Crosses the border; the agent that dies here never learns what came of its call. It may hang there.
    pub async fn cross(&self, what: &str) {
        let _busy = self.busy(what);
        self.cross_at_once(what).await;
        if self.roll() % 1000 < self.hang_permille.load(Ordering::Relaxed) {
            let long = self.roll() % 600_000;
            let until = self.millis() + i64::try_from(long).unwrap();
            self.hung.lock().unwrap().push((what.to_owned(), long, until));
            tokio::time::sleep(Duration::from_millis(long)).await;
        }
    }

    /// A call is under way until this is dropped, whatever becomes of whoever made it.
    pub fn busy<'a>(&'a self, what: &str) -> Busy<'a> {
        *self.under_way.lock().unwrap().entry(what.to_owned()).or_default() += 1;
        Busy {
            world: self,
            what: what.to_owned(),
        }
    }

    /// Whether a call is under way that has this in its name.
    pub fn is_busy(&self, what: &str) -> bool {
        self.under_way
            .lock()
            .unwrap()
            .keys()
            .any(|each| each.contains(what))
    }

    /// Whether a call has hung of which this is so: its name, and for how long at most, in milliseconds. What ended before
    /// `since` does not count.
    pub fn has_hung(&self, since: i64, is_so: impl Fn(&str, u64) -> bool) -> bool {
        let hung = self.hung.lock().unwrap();
        let mut late = hung.iter().filter(|(_, _, until)| *until >= since);
        late.any(|(what, long, _)| is_so(what, *long))
    }

    /// Crosses the border where nothing hangs.
    pub async fn cross_at_once(&self, what: &str) {
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let crossing = self.crossings.fetch_add(1, Ordering::Relaxed);
        self.note(&format!("{crossing} {what}"));
        if crossing >= self.crash_at.load(Ordering::Relaxed) {
            self.crash_at.store(u64::MAX, Ordering::Relaxed);
            self.dead.store(true, Ordering::Relaxed);
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
        // Calls take time, so that others get between.
        tokio::time::sleep(Duration::from_micros(100 + self.roll() % 900)).await;
    }

    /// Writes a line into the run's log.
    pub fn note(&self, what: &str) {
        let at = self.begun.elapsed().as_micros();
        self.log.lock().unwrap().push(format!("{at:>12} {what}"));
    }

    /// An agent lives again.
    pub fn revive(&self) {
        self.dead.store(false, Ordering::Relaxed);
    }

    /// Notes what must never be so.
    pub fn blame(&self, what: String) {
        self.note(&format!("VIOLATION {what}"));
        self.violations.lock().unwrap().push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// Whether this call fails in passing.
    pub fn faulty(&self) -> bool {
        self.roll() % 100 < self.fault_percent.load(Ordering::Relaxed)
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

/// A call that is under way.
pub struct Busy<'a> {
    world: &'a World,
    what: String,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut under_way = self.world.under_way.lock().unwrap();
        if let Some(count) = under_way.get_mut(&self.what) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.what);
            }
        }
    }
}

/// The agent's clock in the simulation: tokio's paused one.
pub struct SimClock(pub Arc<World>);

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0.wall_millis()).unwrap()
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

/// Writes for the store on simulated time: a crash comes before a commit or after it, and never while it happens.
#[derive(Clone)]
pub struct SimHand {
    world: Arc<World>,
    /// Ends with the agent.
    works: Arc<Mutex<JoinSet<()>>>,
    /// A store that answers before its newest commit is on the disk: where it is, and what the disk has.
    lying: Option<Arc<Lying>>,
}

struct Lying {
    path: PathBuf,
    on_disk: Mutex<Vec<(PathBuf, Vec<u8>)>>,
}

impl Lying {
    fn files(&self) -> [PathBuf; 2] {
        [
            self.path.clone(),
            PathBuf::from(format!("{}-wal", self.path.display())),
        ]
    }

    fn keep(&self) {
        let there = self.files().into_iter().filter_map(|file| {
            let bytes = std::fs::read(&file).ok()?;
            Some((file, bytes))
        });
        *self.on_disk.lock().unwrap() = there.collect();
    }

    fn lose(&self) {
        let on_disk = std::mem::take(&mut *self.on_disk.lock().unwrap());
        if on_disk.is_empty() {
            return;
        }
        for file in self.files() {
            // Only one of them needs to be there.
            let _ = std::fs::remove_file(file);
        }
        for (file, bytes) in on_disk {
            std::fs::write(file, bytes).unwrap();
        }
    }
}

impl SimHand {
    /// One that lies does so about the store at this path.
    pub fn new(world: &Arc<World>, lying: Option<PathBuf>) -> Self {
        let on_disk = Mutex::default();
        Self {
            world: Arc::clone(world),
            works: Arc::default(),
            lying: lying.map(|path| Arc::new(Lying { path, on_disk })),
        }
    }

    /// What was not on the disk is gone; the store has been closed.
    pub fn lose(&self) {
        if let Some(lying) = &self.lying {
            lying.lose();
        }
    }

    /// The agent is dead: what is not on the disk stays away.
    pub fn stop(&self) {
        self.works.lock().unwrap().abort_all();
    }
}

impl std::fmt::Debug for SimHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimHand").finish_non_exhaustive()
    }
}

impl Hand for SimHand {
    fn run(&self, work: Box<dyn FnOnce() + Send>) {
        let (world, lying) = (Arc::clone(&self.world), self.lying.clone());
        let mut works = self.works.lock().unwrap();
        while works.try_join_next().is_some() {}
        works.spawn(async move {
            world.cross("> commit").await;
            if let Some(lying) = lying {
                lying.keep();
            }
            work();
            world.cross("< commit").await;
        });
    }
}
