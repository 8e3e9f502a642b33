//! What is waited for: descriptors and time.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};

use super::Event;
use crate::cgroup::OomWatch;
use crate::pool::Job;
use crate::service::Waiting;
use crate::{clock, sockets};

/// The socket that clients connect to.
pub(super) const LISTENER: u64 = 0;
/// A signal came.
pub(super) const SIGNALS: u64 = 1;
/// There is a new point in time to wait for.
pub(super) const WAKE: u64 = 2;
/// The first number of a connection.
const FIRST: u64 = 16;

/// Told about memory.
type OnOom = Box<dyn Fn() + Send + Sync>;

/// Everything that is waited for.
pub(super) struct Loop {
    epoll: OwnedFd,
    wake: OwnedFd,
    next: AtomicU64,
    /// When what is to be done; a number tells apart what is due at once.
    timers: Mutex<BTreeMap<(Duration, u64), Job>>,
    ooms: Mutex<HashMap<u64, Arc<(OomWatch, OnOom)>>>,
    socket: PathBuf,
    ending: AtomicBool,
}

impl Loop {
    pub(super) fn new(socket: PathBuf) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self {
            epoll,
            wake,
            next: AtomicU64::new(FIRST),
            timers: Mutex::default(),
            ooms: Mutex::default(),
            socket,
            ending: AtomicBool::new(false),
        })
    }

    /// A number for one more descriptor.
    pub(super) fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn add(&self, fd: impl AsFd, id: u64) -> std::io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            EventData::new_u64(id),
            EventFlags::IN,
        )?)
    }

    pub(super) fn remove(&self, fd: impl AsFd) {
        // It fails only if it is not there, which is what is wanted.
        let _ = epoll::delete(&self.epoll, fd);
    }

    fn timers(&self) -> MutexGuard<'_, BTreeMap<(Duration, u64), Job>> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a descriptor, or for the next point in time, but not longer than `most`.
    pub(super) fn wait(&self, events: &mut Vec<Event>, most: Option<Duration>) -> std::io::Result<()> {
        let next = self.timers().keys().next().map(|(at, _)| *at);
        let left = next.map(|at| at.saturating_sub(clock::monotonic()));
        let left = left.into_iter().chain(most).min();
        let timeout = left.map(clock::timespec);
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is due.
    pub(super) fn due(&self) -> Vec<Job> {
        let now = clock::monotonic();
        let mut timers = self.timers();
        let later = timers.split_off(&(now, u64::MAX));
        std::mem::replace(&mut *timers, later).into_values().collect()
    }

    pub(super) fn woken(&self) {
        let mut number = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut number);
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Memory was short in some cgroup, or the cgroup has gone.
    pub(super) fn short_of_memory(&self, id: u64) {
        let watch = {
            let ooms = self.ooms.lock().unwrap_or_else(PoisonError::into_inner);
            ooms.get(&id).cloned()
        };
        let Some(watch) = watch else {
            return;
        };
        let (fd, tell) = &*watch;
        let there = fd.take();
        tell();
        if !there {
            self.unwatch_oom(id);
        }
    }
}

impl Waiting for Loop {
    fn after(&self, delay: Duration, job: Job) {
        let id = self.id();
        self.timers().insert((clock::monotonic() + delay, id), job);
        self.wake();
    }

    fn container_gone(&self) {
        self.wake();
    }

    fn watch_oom(&self, watch: OomWatch, job: OnOom) -> Option<u64> {
        let id = self.id();
        let watch = Arc::new((watch, job));
        let mut ooms = self.ooms.lock().unwrap_or_else(PoisonError::into_inner);
        ooms.insert(id, Arc::clone(&watch));
        drop(ooms);
        let added = self.add(&watch.0, id);
        if added.is_err() {
            self.unwatch_oom(id);
        }
        added.is_ok().then_some(id)
    }

    fn unwatch_oom(&self, id: u64) {
        let watch = {
            let mut ooms = self.ooms.lock().unwrap_or_else(PoisonError::into_inner);
            ooms.remove(&id)
        };
        if let Some(watch) = watch {
            self.remove(&watch.0);
        }
    }

    fn end(&self, within: Duration, may: &dyn Fn() -> bool) {
        let folder = self.socket.parent().map(PathBuf::from).unwrap_or_default();
        let Ok(_lock) = sockets::lock(&folder, within) else {
            return;
        };
        if may() {
            let _ = std::fs::remove_file(&self.socket);
            self.ending.store(true, Ordering::Relaxed);
            self.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_is_ended_leaves_nothing_though_the_kernel_tells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        std::fs::write(&file, "oom_kill 0\n").unwrap();
        let waiting = Loop::new(dir.path().join("socket")).unwrap();
        let told = Arc::new(AtomicU64::new(0));
        let job = {
            let told = Arc::clone(&told);
            move || {
                told.fetch_add(1, Ordering::Relaxed);
            }
        };
        let watch = OomWatch::by_inotify(&file).unwrap();
        let id = waiting.watch_oom(watch, Box::new(job)).unwrap();
        std::fs::write(&file, "oom_kill 1\n").unwrap();
        let mut events = Vec::with_capacity(4);
        waiting.wait(&mut events, None).unwrap();
        assert_eq!(
            events.drain(..).map(|event| event.data.u64()).collect::<Vec<_>>(),
            [id]
        );
        waiting.short_of_memory(id);
        assert_eq!(told.load(Ordering::Relaxed), 1);
        waiting.unwatch_oom(id);
        // The job has gone, and with it the descriptor that it was kept with.
        assert_eq!(Arc::strong_count(&told), 1);
        waiting.short_of_memory(id);
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
