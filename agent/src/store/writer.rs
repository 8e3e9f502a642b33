//! One writer at a time, and everything that waits in one commit.
//!
//! There is no thread that waits for work: whoever finds the writer idle starts it, on the runtime's pool of blocking
//! threads unless the store was opened with another [`Hand`], and it ends when the queue is empty.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{StoreError, Write, rows, schema};

/// How many changes may wait. Each actor waits for its own, so this is reached only when several hundred tasks change
/// while the disk does not answer; the others then wait in line with what they hold, which is bounded as well.
const QUEUE: usize = 256;
/// How long to wait after a disk failed, and at most after it failed often.
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

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
    Commit {
        writes: Vec<Write>,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Read a value.
    Get {
        key: String,
        done: oneshot::Sender<Result<Option<Vec<u8>>, StoreError>>,
    },
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<(Job, OwnedSemaphorePermit)>,
    /// Whether somebody is working on it.
    busy: bool,
    /// Why nothing can be written any more.
    lost: Option<StoreError>,
}

#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    hand: Arc<dyn Hand>,
    connection: Mutex<Connection>,
    queue: Mutex<Queue>,
    room: Arc<Semaphore>,
    commits: AtomicU64,
}

/// A panic while the lock was held can't have left these half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    pub(super) fn new(connection: Connection, path: PathBuf, hand: Arc<dyn Hand>) -> Self {
        Self {
            path,
            hand,
            connection: Mutex::new(connection),
            queue: Mutex::default(),
            room: Arc::new(Semaphore::new(QUEUE)),
            commits: AtomicU64::new(0),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Puts a job in line, waiting for room.
    pub(super) async fn submit(self: &Arc<Self>, job: Job) -> Result<(), StoreError> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let Ok(permit) = room else {
            return Err(self.failed("the queue is closed"));
        };
        let start = {
            let mut queue = lock(&self.queue);
            if let Some(error) = &queue.lost {
                return Err(error.clone());
            }
            queue.jobs.push_back((job, permit));
            !std::mem::replace(&mut queue.busy, true)
        };
        if start {
            let writer = Arc::clone(self);
            self.hand.run(Box::new(move || writer.drain()));
        }
        Ok(())
    }

    fn drain(&self) {
        let mut connection = lock(&self.connection);
        loop {
            let jobs = {
                let mut queue = lock(&self.queue);
                if queue.jobs.is_empty() {
                    queue.busy = false;
                    return;
                }
                std::mem::take(&mut queue.jobs)
            };
            self.serve(&mut connection, jobs);
        }
    }

    fn serve(&self, connection: &mut Connection, jobs: VecDeque<(Job, OwnedSemaphorePermit)>) {
        let (mut commits, mut gets) = (Vec::new(), Vec::new());
        for (job, permit) in jobs {
            match job {
                Job::Commit { writes, done } => commits.push((writes, done, permit)),
                Job::Get { key, done } => gets.push((key, done)),
            }
        }
        if !commits.is_empty() {
            let writes = || commits.iter().flat_map(|(writes, ..)| writes);
            let awaited = || commits.iter().any(|(_, done, _)| !done.is_closed());
            let result = self.commit_for_certain(connection, writes, awaited);
            for (_, done, _) in commits {
                // Nobody waits any more: the actor has ended, which is its own affair.
                let _ = done.send(result.clone());
            }
        }
        for (key, done) in gets {
            let value = rows::get(connection, &key);
            let _ = done.send(value.map_err(|error| schema::classify(error, "reading", &self.path)));
        }
    }

    /// Commits, and tries again for as long as the disk may recover and somebody waits for it.
    fn commit_for_certain<'a, I>(
        &self,
        connection: &mut Connection,
        writes: impl Fn() -> I,
        awaited: impl Fn() -> bool,
    ) -> Result<(), StoreError>
    where
        I: Iterator<Item = &'a Write>,
    {
        let mut pause = RETRY;
        loop {
            match commit(connection, writes()) {
                Ok(()) => {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) if schema::is_transient(&error) && awaited() => {
                    tracing::error!(path = %self.path.display(), %error, "the store can't be written, trying again");
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(RETRY_MOST);
                }
                // Nobody waits for it any more; the next may be luckier.
                Err(error) if schema::is_transient(&error) => {
                    return Err(schema::classify(error, "writing", &self.path));
                }
                Err(error) => {
                    let error = schema::classify(error, "writing", &self.path);
                    lock(&self.queue).lost = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    fn failed(&self, why: &str) -> StoreError {
        StoreError::Failed {
            operation: "writing",
            path: self.path.clone(),
            why: why.to_owned(),
        }
    }
}

fn commit<'a>(connection: &mut Connection, writes: impl Iterator<Item = &'a Write>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for write in writes {
        rows::write(&transaction, write)?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(folder: &tempfile::TempDir) -> Arc<Writer> {
        let path = folder.path().join("store.db");
        let connection = schema::open(&path).unwrap();
        Arc::new(Writer::new(connection, path, Arc::new(BlockingThreads)))
    }

    async fn put(writer: &Arc<Writer>, size: usize) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        let writes = vec![Write::Value("test.value".to_owned(), Some(vec![7; size]))];
        writer.submit(Job::Commit { writes, done }).await?;
        answer.await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        lock(&writer.connection)
            .execute_batch("PRAGMA max_page_count = 20")
            .unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(300), put(&writer, 1_000_000)).await;
        assert!(waiting.is_err(), "it neither fails nor is done");
        // Nobody waits for it any more: then others get their turn.
        put(&writer, 10).await.unwrap();
        assert_eq!(writer.commits(), 1);
    }

    #[tokio::test]
    async fn what_waits_together_is_committed_together() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        // As if somebody were at work already.
        lock(&writer.queue).busy = true;
        let mut jobs = tokio::task::JoinSet::new();
        for size in 1..=100 {
            let writer = Arc::clone(&writer);
            jobs.spawn(async move { put(&writer, size).await });
        }
        while lock(&writer.queue).jobs.len() < 100 {
            tokio::task::yield_now().await;
        }
        writer.drain();
        while let Some(done) = jobs.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(writer.commits(), 1);
    }

    #[tokio::test]
    async fn a_damage_is_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        lock(&writer.connection)
            .execute_batch("DROP TABLE value")
            .unwrap();
        let first = put(&writer, 1).await.unwrap_err();
        assert!(matches!(first, StoreError::Failed { .. }), "{first}");
        assert_eq!(put(&writer, 1).await.unwrap_err().to_string(), first.to_string());
    }
}
