//! What is durable: SQL on SQLite, in WAL mode with full synchronisation.
//!
//! One connection writes, a pool reads; every write is one transaction that takes the database's write lock at its
//! start, so what it reads stays true until it commits. The functions of the submodules run on whichever connection
//! they are given, so that an operation composes them into its own transaction.
//!
//! Invariant: sequence numbers of an instance are given under that lock, so their order is the order of commits.

pub mod assignments;
pub mod client_tokens;
pub mod clusters;
pub mod definitions;
pub mod instances;
pub mod nodes;
mod open;
pub mod reservations;
pub mod sessions;
pub mod system;
#[cfg(test)]
pub(crate) mod tap;
pub mod tasks;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use sqlx::{Connection as _, Sqlite, SqliteConnection};

use crate::clock::WatchedClock;

/// How long an operation waits for a connection before it fails as `ServerException`.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Readers are short; more of them than cores only queue on the disk.
pub(crate) const READERS: u32 = 8;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be opened.
    #[error("can't open the database {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// There is a file, and it is not what this control plane has written. It is never replaced: its nodes hold tasks
    /// that a new database would not know.
    #[error(
        "{path} is no usable database: {why}; put a backup in its place, or, to begin with nothing, move it away \
         (with {path}-wal and {path}-shm): a control plane makes a new database only where there is none"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The schema can't be brought up to date.
    #[error("can't bring the database {path} up to date{}: {source}", newer(source))]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What the migration says.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement failed.
    #[error("a database statement failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// A stored document can't be read or written.
    #[error("a stored document can't be read or written: {0}")]
    Document(#[from] serde_json::Error),
    /// A stored word is none that we know.
    #[error("a stored value is not known: {0}")]
    Value(String),
}

/// What is likely where a migration is recorded that we don't have.
fn newer(error: &sqlx::migrate::MigrateError) -> &'static str {
    match error {
        sqlx::migrate::MigrateError::VersionMissing(_) => {
            ", which a newer Longshore has written (run that version, or put back a backup from before it)"
        }
        _ => "",
    }
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    readers: SqlitePool,
    writer: SqlitePool,
    watched: Option<Arc<WatchedClock>>,
    #[cfg(test)]
    tap: Option<Arc<tap::Tap>>,
}

/// A transaction that writes. Dropping it rolls it back.
#[derive(Debug)]
pub struct Transaction {
    inner: sqlx::Transaction<'static, Sqlite>,
    watched: Option<Arc<WatchedClock>>,
}

impl Transaction {
    /// Makes all of it durable, and with it that the wall clock has stepped back, as it may have stamps by that.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; nothing of it was done, as far as that is known.
    pub async fn commit(mut self) -> Result<()> {
        let news = self.watched.as_deref().and_then(WatchedClock::news);
        if let Some(news) = &news {
            system::keep_readings(&mut self.inner, &news.readings).await?;
        }
        self.inner.commit().await?;
        if let (Some(watched), Some(news)) = (&self.watched, news) {
            watched.stored(&news);
        }
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.inner
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

fn pool(most: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
}

fn writers() -> SqlitePoolOptions {
    // SQLite ends a transaction by itself when the disk is full or fails; sqlx then counts one for ever, and would
    // begin no other. Such a connection is thrown away, so that writing goes on once there is room.
    pool(1).before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
}

impl Store {
    /// Opens the database, makes it if there is no file, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Migrate`]; [`StoreError::Unusable`] where a file is there that is empty,
    /// damaged, or something else.
    pub async fn open(path: &Path) -> Result<Self> {
        open::check_or_make(path).await?;
        Self::connect(path, writers()).await
    }

    async fn connect(path: &Path, writers: SqlitePoolOptions) -> Result<Self> {
        let options = open::options(path);
        let open = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let writer = writers.connect_with(options.clone()).await.map_err(open)?;
        open::migrate(path, &writer).await?;
        let readers = pool(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(open)?;
        Ok(Self {
            readers,
            writer,
            watched: None,
            #[cfg(test)]
            tap: None,
        })
    }

    /// The same, which stores what is known of this clock with what is stamped by it.
    #[must_use]
    pub fn watching(mut self, clock: Arc<WatchedClock>) -> Self {
        self.watched = Some(clock);
        self
    }

    /// A connection that only reads.
    ///
    /// # Errors
    /// [`StoreError::Sql`] if none gets free.
    pub async fn read(&self) -> Result<PoolConnection<Sqlite>> {
        #[cfg(test)]
        tap::Tap::pass(self.tap.as_deref()).await?;
        Ok(self.readers.acquire().await?)
    }

    /// The write lock: nobody else writes until this commits or is dropped, which rolls back.
    ///
    /// # Errors
    /// [`StoreError::Sql`] if it doesn't get free.
    pub async fn write(&self) -> Result<Transaction> {
        #[cfg(test)]
        tap::Tap::pass(self.tap.as_deref()).await?;
        Ok(Transaction {
            inner: self.writer.begin_with("BEGIN IMMEDIATE").await?,
            watched: self.watched.clone(),
        })
    }

    /// Closes every connection, after which the WAL is folded into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A connection, whichever.
pub type Connection = SqliteConnection;

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    Ok(serde_json::to_string(value)?)
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    Ok(serde_json::from_str(text)?)
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    text.parse()
        .map_err(|error: T::Err| StoreError::Value(error.to_string()))
}

/// A count or sequence number as SQL has it; none ever comes near the edge.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much of a full disk as SQLite sees: it ends the transaction by itself.
    async fn fill(store: &Store) -> sqlx::Error {
        let mut transaction = store.write().await.unwrap();
        sqlx::query("PRAGMA max_page_count = 1")
            .execute(&mut *transaction)
            .await
            .unwrap();
        sqlx::query("INSERT INTO settings (name, value) VALUES ('large', zeroblob(10000000))")
            .execute(&mut *transaction)
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn what_a_full_disk_broke_off_does_not_end_all_writing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("db")).await.unwrap();
        let full = fill(&store).await.to_string();
        assert!(full.contains("full"), "{full}");
        let mut transaction = store.write().await.unwrap();
        system::token_key(&mut transaction, &[1]).await.unwrap();
        transaction.commit().await.unwrap();
        let mut transaction = store.write().await.unwrap();
        let stored = system::token_key(&mut transaction, &[2]).await.unwrap();
        assert_eq!(stored, [1]);
    }
}
