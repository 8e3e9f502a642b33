//! What tests do to a store: they decide who gets on at each access, and end the program before or after a commit.
//!
//! Invariant: while it is driven, one operation is under way at a time; all others are finished or wait here. So an order
//! of accesses is a choice of the test's, and no accident.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use sqlx::pool::PoolConnection;
use sqlx::{Executor as _, Sqlite};
use tokio::sync::{Notify, oneshot};

use super::{Result, Store, StoreError, open, writers};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The program dies before it.
    DieBefore,
    /// The program dies after it, before anybody is told.
    DieAfter,
    /// It fails, as on a full disk, and the program goes on.
    Fail,
    /// A planted bug: the answer goes out, the program dies, and the commit was not on the disk.
    Early,
}

#[derive(Debug, Default)]
pub(crate) struct Tap {
    state: Mutex<State>,
    calm: Notify,
}

#[derive(Debug, Default)]
struct State {
    driven: bool,
    dead: bool,
    under_way: usize,
    waiting: Vec<oneshot::Sender<()>>,
    commits: u64,
    /// After how many more commits what happens.
    fate: Option<(u64, Fate)>,
    /// What the disk had before a commit that was not on it.
    kept: Option<PathBuf>,
    disk: PathBuf,
}

fn dead() -> StoreError {
    StoreError::Sql(sqlx::Error::PoolClosed)
}

impl Tap {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until this access is let through.
    pub(super) async fn pass(tap: Option<&Self>) -> Result<()> {
        let Some(tap) = tap else { return Ok(()) };
        let turn = {
            let mut state = tap.lock();
            if state.dead {
                return Err(dead());
            }
            if !state.driven {
                return Ok(());
            }
            let (sender, turn) = oneshot::channel();
            state.waiting.push(sender);
            state.under_way -= 1;
            tap.calm.notify_one();
            turn
        };
        turn.await.map_err(|_| dead())?;
        if tap.lock().dead { Err(dead()) } else { Ok(()) }
    }

    /// Whether a commit is to be.
    fn commits(&self) -> bool {
        let mut state = self.lock();
        state.commits += 1;
        let Some((left, fate)) = state.fate else {
            return true;
        };
        if left > 0 {
            state.fate = Some((left - 1, fate));
            return true;
        }
        state.fate = None;
        if fate == Fate::Early {
            let kept = state.disk.with_extension("kept");
            copy(&state.disk, &kept);
            state.kept = Some(kept);
        }
        state.dead = fate != Fate::Fail;
        matches!(fate, Fate::DieAfter | Fate::Early)
    }

    /// Lets `left` more commits be; then this happens.
    pub(crate) fn arm(&self, left: u64, fate: Fate) {
        self.lock().fate = Some((left, fate));
    }

    pub(crate) fn disarm(&self) {
        self.lock().fate = None;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Whether what was answered by the last operation before the death went out.
    pub(crate) fn answers_early(&self) -> bool {
        self.lock().kept.is_some()
    }

    /// How many commits there were.
    pub(crate) fn count(&self) -> u64 {
        self.lock().commits
    }

    /// The program dies now.
    pub(crate) fn kill(&self) {
        self.lock().dead = true;
    }

    /// What a new program finds, put to `to`.
    pub(crate) fn salvage(&self, to: &Path) {
        let mut state = self.lock();
        copy(state.kept.take().as_deref().unwrap_or(&state.disk), to);
        state.dead = false;
    }

    /// One more operation begins, or goes on.
    pub(crate) fn begins(&self) {
        let mut state = self.lock();
        state.driven = true;
        state.under_way += 1;
    }

    /// An operation has ended.
    pub(crate) fn ends(&self) {
        self.lock().under_way -= 1;
        self.calm.notify_one();
    }

    /// Waits until each operation waits here or has ended; says how many wait.
    pub(crate) async fn settled(&self) -> usize {
        loop {
            {
                let state = self.lock();
                if state.under_way == 0 {
                    return state.waiting.len();
                }
            }
            self.calm.notified().await;
        }
    }

    /// Lets one of those that wait go on.
    pub(crate) fn release(&self, which: usize) {
        let mut state = self.lock();
        state.under_way += 1;
        let _ = state.waiting.remove(which).send(());
    }

    /// Nobody is driven any more.
    pub(crate) fn rest(&self) {
        self.lock().driven = false;
    }
}

/// Copies a database as it lies there, with its write-ahead log.
pub(crate) fn copy(from: &Path, to: &Path) {
    let side = |path: &Path| {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        PathBuf::from(name)
    };
    std::fs::copy(from, to).unwrap();
    if side(from).exists() {
        std::fs::copy(side(from), side(to)).unwrap();
    }
}

impl Store {
    /// Opens a database whose every access and commit goes through `tap`. What is committed is not synced to the disk:
    /// programs die here, machines don't.
    pub(crate) async fn open_tapped(path: &Path, tap: &Arc<Tap>) -> Result<Self> {
        open::check_or_make(path).await?;
        tap.lock().disk = path.to_owned();
        let hook = Arc::clone(tap);
        let writers = writers().after_connect(move |connection, _| {
            let hook = Arc::clone(&hook);
            Box::pin(async move {
                connection.execute("PRAGMA synchronous = OFF").await?;
                connection
                    .lock_handle()
                    .await?
                    .set_commit_hook(move || hook.commits());
                Ok(())
            })
        });
        let mut store = Self::connect(path, writers).await?;
        store.tap = Some(Arc::clone(tap));
        Ok(store)
    }

    /// A connection to look at what is there, past the tap.
    pub(crate) async fn peek(&self) -> PoolConnection<Sqlite> {
        self.readers.acquire().await.unwrap()
    }
}
