//! Threads that work, as many as there is work for, and none when there is none.
//!
//! Invariant: never more than `most` threads, nor more than `waiting` jobs before them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is done.
pub type Job = Box<dyn FnOnce() + Send>;

/// How long a thread waits for more to do: calls come in bursts.
const LINGER: Duration = Duration::from_secs(1);
/// The deepest call is parsing JSON; memory that is never touched costs nothing.
const STACK: usize = 256 * 1024;

/// A pool.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    most: usize,
    waiting: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of at most `most` threads, with at most `waiting` jobs before them.
    #[must_use]
    pub fn new(name: &'static str, most: usize, waiting: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                name,
                most,
                waiting,
                state: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    /// Has a job done by one of the threads.
    ///
    /// # Errors
    /// The job, if too many wait already.
    pub fn submit(&self, job: Job) -> Result<(), Job> {
        let mut state = self.shared.state();
        if state.jobs.len() >= self.shared.waiting {
            return Err(job);
        }
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.shared.wake.notify_one();
            return Ok(());
        }
        if state.threads == self.shared.most {
            return Ok(());
        }
        state.threads += 1;
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(self.shared.name.to_owned())
            .stack_size(STACK)
            .spawn(move || shared.work());
        if thread.is_err() {
            state.threads -= 1;
            if state.threads == 0 {
                // The kernel gives no thread: better late, by this one, than never.
                let jobs = std::mem::take(&mut state.jobs);
                drop(state);
                jobs.into_iter().for_each(|job| job());
            }
        }
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.state();
                continue;
            }
            state.idle += 1;
            let (back, timeout) = self
                .wake
                .wait_timeout(state, LINGER)
                .unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn work_is_bounded_and_all_of_it_is_done() {
        let pool = Pool::new("test", 2, 3);
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (done, results) = mpsc::channel();
        let (begun, begins) = mpsc::channel();
        let job = |number: usize| -> Job {
            let (gate, done, begun) = (Arc::clone(&gate), done.clone(), begun.clone());
            Box::new(move || {
                begun.send(()).unwrap();
                let _ = gate.lock().unwrap().recv();
                done.send(number).unwrap();
            })
        };
        for number in 0..2 {
            assert!(pool.submit(job(number)).is_ok());
            begins.recv().unwrap();
        }
        for number in 2..5 {
            assert!(pool.submit(job(number)).is_ok());
        }
        assert!(pool.submit(job(5)).is_err(), "three wait already");
        drop(release);
        let mut numbers: Vec<_> = (0..5).map(|_| results.recv().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }
}
