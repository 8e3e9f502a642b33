//! One writer at a time, and everything that waits in one commit.
//!
//! There is no thread that waits for work: whoever finds the writer idle starts it, on the runtime's pool of blocking
//! threads unless the store was opened with another [`Hand`], and it ends when the queue is empty, or when the disk takes
//! no writes: then those who wait for an answer wait for the pause to pass as well, and the first of them starts it again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::Instant;

use longshore_protocol::arn::TaskArn;

use super::database::{Database, Failure};
use super::{StoreError, Write};
use crate::failpoint;
use crate::model::Report;

/// How many changes may wait. Each actor waits for its own, so this is reached only when several hundred tasks change
/// while the disk does not answer; the others then wait in line with what they hold, which is bounded as well.
const QUEUE: usize = 256;
/// How long to wait after a disk failed, and at most after it failed often.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// A write that takes longer is worth telling.
const SLOW: Duration = Duration::from_secs(10);

/// Who writes. A test that has to say when a write happens, or that it never does, has a hand of its own.
pub trait Hand: std::fmt::Debug + Send + Sync {
    /// Does `work` soon, once. It blocks for as long as the disk does.
    fn run(&self, work: Box<dyn FnOnce() + Send>);
}

/// The runtime's pool of blocking threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockingThreads;

impl Hand for BlockingThreads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) {
        // It owns itself: it ends when the queue is empty, and is waited for by those whose jobs it does.
        drop(tokio::task::spawn_blocking(work));
    }
}

/// Something to do with the file.
#[derive(Debug)]
pub(super) enum Job {
    /// Make changes.
    Commit(Commit),
    /// Read a value.
    Get {
        key: String,
        done: oneshot::Sender<Result<Option<Vec<u8>>, StoreError>>,
    },
}

/// Changes that are made together.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) writes: Vec<Write>,
    /// Of which it is to be said whether they have ended before.
    pub(super) news: Vec<TaskArn>,
    pub(super) done: oneshot::Sender<Result<Vec<Report>, StoreError>>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<(Job, OwnedSemaphorePermit)>,
    /// Since when somebody is working on it.
    busy: Option<Instant>,
    /// Why the disk took no writes the last time.
    trouble: Option<Trouble>,
    /// Why nothing can be written any more.
    lost: Option<StoreError>,
}

#[derive(Debug)]
struct Trouble {
    why: String,
    pause: Duration,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    hand: Arc<dyn Hand>,
    database: Mutex<Database>,
    queue: Mutex<Queue>,
    room: Arc<Semaphore>,
    commits: AtomicU64,
    /// When to try again, while the disk takes no writes.
    again: watch::Sender<Option<Instant>>,
}

/// Commits in line.
type Line = Vec<(Commit, OwnedSemaphorePermit)>;

/// What came of an attempt at several commits, and those that were not made.
enum Attempt {
    Done,
    /// The disk may recover.
    Later(String, Line),
    Lost(StoreError, Line),
}

/// A panic while the lock was held can't have left these half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    pub(super) fn new(database: Database, path: PathBuf, hand: Arc<dyn Hand>) -> Self {
        Self {
            path,
            hand,
            database: Mutex::new(database),
            queue: Mutex::default(),
            room: Arc::new(Semaphore::new(QUEUE)),
            commits: AtomicU64::new(0),
            again: watch::Sender::new(None),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn execute(&self, sql: &str) {
        lock(&self.database).execute(sql);
    }

    /// Why nothing is written at the moment.
    pub(super) fn trouble(&self) -> Option<String> {
        let queue = lock(&self.queue);
        let path = self.path().display();
        if let Some(trouble) = &queue.trouble {
            let seconds = trouble.since.elapsed().as_secs();
            return Some(format!(
                "{path} can't be written for {seconds} s: {}",
                trouble.why
            ));
        }
        let slow = queue
            .busy
            .map(|since| since.elapsed())
            .filter(|time| *time >= SLOW)?;
        Some(format!(
            "{path}: a write has not come back for {} s",
            slow.as_secs()
        ))
    }

    /// Waits until the disk takes no writes.
    pub(super) async fn failing(&self) {
        let mut again = self.again.subscribe();
        while !self.is_failing() {
            // The sender is in here, so it is there.
            let _ = again.changed().await;
        }
    }

    /// Whether the disk took no writes the last time.
    pub(super) fn is_failing(&self) -> bool {
        lock(&self.queue).trouble.is_some()
    }

    /// Puts a job in line, waiting for room.
    pub(super) async fn submit(self: &Arc<Self>, job: Job) -> Result<(), StoreError> {
        let room = Arc::clone(&self.room);
        let permit = self.while_waiting(room.acquire_owned()).await;
        let Ok(permit) = permit else {
            return Err(self.failed("the queue is closed"));
        };
        let begin = {
            let mut queue = lock(&self.queue);
            if let Some(error) = &queue.lost {
                return Err(error.clone());
            }
            queue.jobs.push_back((job, permit));
            // A disk that takes no writes is not asked more often because more is to be written.
            queue.trouble.is_none() || self.again.borrow().is_none()
        };
        if begin {
            self.start();
        }
        Ok(())
    }

    /// Puts changes in line that no commit is made for: they go with the next, or are lost with the process, or with a disk
    /// that fails.
    pub(super) fn add(self: &Arc<Self>, writes: Vec<Write>) {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return;
        };
        let (news, (done, _)) = (Vec::new(), oneshot::channel());
        let job = Job::Commit(Commit { writes, news, done });
        {
            let mut queue = lock(&self.queue);
            if queue.trouble.is_some() || queue.lost.is_some() {
                return;
            }
            queue.jobs.push_back((job, permit));
        }
        // What somebody waits for must find room.
        if self.room.available_permits() < QUEUE / 2 {
            self.start();
        }
    }

    /// Waits for something, and meanwhile for the time to try again.
    pub(super) async fn while_waiting<T>(self: &Arc<Self>, wait: impl Future<Output = T>) -> T {
        let mut again = self.again.subscribe();
        tokio::pin!(wait);
        loop {
            let due = *again.borrow_and_update();
            tokio::select! {
                biased;
                done = &mut wait => return done,
                () = reached(due) => {
                    // Only the first who wakes finds it still there.
                    if self.again.send_if_modified(|at| *at == due && at.take().is_some()) {
                        self.start();
                    }
                }
                // The sender is in here, so it is there.
                Ok(()) = again.changed() => {}
            }
        }
    }

    fn start(self: &Arc<Self>) {
        {
            let mut queue = lock(&self.queue);
            if queue.busy.is_some() {
                return;
            }
            queue.busy = Some(Instant::now());
        }
        let writer = Arc::clone(self);
        self.hand.run(Box::new(move || writer.drain()));
    }

    fn drain(&self) {
        let mut database = lock(&self.database);
        loop {
            let jobs = {
                let mut queue = lock(&self.queue);
                if queue.jobs.is_empty() {
                    queue.busy = None;
                    return;
                }
                queue.busy = Some(Instant::now());
                std::mem::take(&mut queue.jobs)
            };
            if !self.serve(&mut database, jobs) {
                return;
            }
        }
    }

    /// Says whether to go on.
    fn serve(&self, database: &mut Database, jobs: VecDeque<(Job, OwnedSemaphorePermit)>) -> bool {
        let (mut commits, mut gets) = (Vec::new(), Vec::new());
        for (job, permit) in jobs {
            match job {
                Job::Commit(commit) => commits.push((commit, permit)),
                Job::Get { key, done } => gets.push((key, done)),
            }
        }
        let attempt = match commits.is_empty() {
            true => Attempt::Done,
            false => self.attempt(database, commits),
        };
        for (key, done) in gets {
            let _ = done.send(database.get(&key));
        }
        match attempt {
            Attempt::Done => {}
            Attempt::Later(why, left) => {
                self.put_back(why, left);
                return false;
            }
            Attempt::Lost(error, left) => {
                lock(&self.queue).lost = Some(error.clone());
                for (commit, _) in left {
                    let _ = commit.done.send(Err(error.clone()));
                }
            }
        }
        true
    }

    /// All in one; if there is no room for that, one after the other, so that one that is too big holds up nobody else.
    fn attempt(&self, database: &mut Database, commits: Line) -> Attempt {
        match self.commit(database, commits.iter().map(|(commit, _)| commit)) {
            Ok(ended) => {
                self.recovered();
                for (commit, _) in commits {
                    answer(commit, &ended);
                }
                return Attempt::Done;
            }
            Err(Failure::Lost(error)) => return Attempt::Lost(error, commits),
            Err(Failure::Later { why, is_full }) if !is_full || is_awaited_alone(&commits) => {
                return Attempt::Later(why, commits);
            }
            Err(Failure::Later { .. }) => {}
        }
        let (mut failure, mut left) = (None, Line::new());
        let mut line = commits.into_iter();
        while let Some((commit, permit)) = line.next() {
            match self.commit(database, std::iter::once(&commit)) {
                Ok(ended) => answer(commit, &ended),
                // Nobody would see to it that it is tried again.
                Err(Failure::Later { .. }) if commit.done.is_closed() => {}
                Err(Failure::Later { why, .. }) => {
                    failure = Some(why);
                    left.push((commit, permit));
                }
                Err(Failure::Lost(error)) => {
                    left.push((commit, permit));
                    left.extend(line);
                    return Attempt::Lost(error, left);
                }
            }
        }
        match failure {
            None => {
                self.recovered();
                Attempt::Done
            }
            Some(why) => Attempt::Later(why, left),
        }
    }

    fn commit<'a>(
        &self,
        database: &mut Database,
        commits: impl Iterator<Item = &'a Commit> + Clone,
    ) -> Result<Vec<Report>, Failure> {
        let writes = commits.clone().flat_map(|commit| &commit.writes);
        let news = commits.flat_map(|commit| &commit.news);
        let ended = failpoint::around_blocking("commit", || database.commit(writes, news))?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(ended)
    }

    fn recovered(&self) {
        let trouble = lock(&self.queue).trouble.take();
        if let Some(trouble) = trouble {
            let seconds = trouble.since.elapsed().as_secs();
            tracing::info!(path = %self.path().display(), seconds, "the disk takes writes again");
        }
    }

    /// What the disk did not take waits for the next try, unless nobody waits for it any more.
    fn put_back(&self, why: String, left: Line) {
        let now = Instant::now();
        let mut queue = lock(&self.queue);
        let before = queue.trouble.take();
        if before.as_ref().is_none_or(|trouble| trouble.why != why) {
            let path = self.path().display();
            tracing::error!(%path, why, "the disk takes no writes; what is new waits, what runs goes on");
        }
        let pause = before
            .as_ref()
            .map_or(RETRY, |trouble| (trouble.pause * 2).min(RETRY_MOST));
        let since = before.map_or(now, |trouble| trouble.since);
        queue.trouble = Some(Trouble { why, pause, since });
        for (commit, permit) in left.into_iter().rev() {
            if !commit.done.is_closed() {
                queue.jobs.push_front((Job::Commit(commit), permit));
            }
        }
        queue.busy = None;
        drop(queue);
        self.again.send_replace(Some(now + pause));
    }

    fn failed(&self, why: &str) -> StoreError {
        StoreError::Failed {
            operation: "writing",
            path: self.path().to_owned(),
            why: why.to_owned(),
        }
    }
}

/// Whether there is one commit, and somebody waits for it.
fn is_awaited_alone(commits: &Line) -> bool {
    matches!(commits.as_slice(), [(commit, _)] if !commit.done.is_closed())
}

async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// With those of `ended` that it asked for.
fn answer(commit: Commit, ended: &[Report]) {
    let asked = |report: &&Report| commit.news.contains(&report.task);
    let ended = ended.iter().filter(asked).cloned().collect();
    // Nobody waits any more: the actor has ended, which is its own affair.
    let _ = commit.done.send(Ok(ended));
}

#[cfg(test)]
mod tests;
