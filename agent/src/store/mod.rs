//! What the agent remembers: one SQLite file.
//!
//! Invariants: a commit that has been answered is on the disk (WAL, `synchronous=FULL`), in the file that the name leads
//! to; one connection writes, and everything that waits goes into one commit; a file that can't be read is an error, or
//! is set aside and told, never silently an empty store; no second process can have it open. What is in a transaction is
//! there as a whole or not at all.
//!
//! A disk that is full or fails makes commits wait and be tried again, with one line in the log when that begins and one
//! when it ends; [`Store::trouble`] says so meanwhile. What those who wait may do until then is theirs to know.

mod aside;
mod database;
mod ended;
mod rows;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use longshore_protocol::arn::TaskArn;
use longshore_protocol::poll::Cursor;
use tokio::sync::oneshot;

use crate::model::{Assignment, Boot, Report, TaskRecord};

pub use aside::SetAside;

use database::Database;
use writer::{Commit, Job, Writer};

pub use writer::{BlockingThreads, Hand};

/// A store that can't be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("{path} is in use by another process: is an agent running already?")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged. Nothing was changed.
    #[error("{path} is damaged: {why}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is no store of ours.
    #[error("{path} belongs to another program (application id {application_id})")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What SQLite has as its `application_id`.
        application_id: i32,
    },
    /// It is older than any that can be brought up to date.
    #[error("{path} has format {found}, and this agent can't bring it up to {known}: {why}")]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The newest format that this agent knows.
        known: i32,
        /// What went wrong.
        why: String,
    },
    /// Too many were set aside.
    #[error(
        "{path} can't be used ({why}), and {count} files like it lie aside already: this disk spoils what it is given. \
         Containers go on running. Look at the disk, then remove the files {path}.damaged-*"
    )]
    TooMany {
        /// The file.
        path: PathBuf,
        /// How many lie aside.
        count: usize,
        /// What is wrong with this one.
        why: String,
    },
    /// Somebody put another file in its place while it was in use.
    #[error(
        "{path} was replaced by another file while it was in use; the agent has to begin anew with that one"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// A later agent wrote it.
    #[error(
        "{path} has format {found}, and this agent knows formats up to {known}: a later agent wrote it. Containers go \
         on running. Install that agent again; or move {path} away to go on with this one: containers that run are \
         adopted, tasks that have not started come again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The newest format that this agent knows.
        known: i32,
    },
    /// SQLite failed in a way that trying again won't mend.
    #[error("{operation} of {path}: {why}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        why: String,
    },
}

/// One change.
#[derive(Clone, Debug)]
pub enum Write {
    /// Where in the stream of assignments the node is.
    Cursor(Cursor),
    /// What is wanted of a task. Only `intake` writes it.
    Assignment(Assignment),
    /// In which boot of which machine the tasks are looked after from now on.
    Boot(Boot),
    /// What a task that was found running is taken to be; an assignment that is there already is worth more.
    Adopted(Assignment),
    /// What is remembered of a task. Only the task's actor and its adoption write it.
    Record(TaskArn, TaskRecord),
    /// An order about a task that has ended came: its end is to be told again. It is in one commit with the cursor that
    /// acknowledges the order, and apart from the record, of which an older version may be on its way.
    TellAgain(TaskArn),
    /// The record that is written with it knows of every such order.
    KnowsOfOrders(TaskArn),
    /// The task is forgotten.
    Forget(TaskArn),
    /// With what a task was last reported, and when it was forgotten: should it be ordered again, it is not run.
    Ended(Box<Report>, Timestamp),
    /// A value of another part of the agent, under a key of its own; `None` removes it.
    Value(String, Option<Vec<u8>>),
}

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTask {
    /// What is wanted.
    pub assignment: Assignment,
    /// What is remembered; `None` until something happened that counts.
    pub record: Option<TaskRecord>,
}

/// What a store held when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Where in the stream of assignments the node is.
    pub cursor: Cursor,
    /// In which boot of which machine the last agent was; `None` where none has said.
    pub boot: Option<Boot>,
    /// The tasks, by ARN.
    pub tasks: Vec<StoredTask>,
}

/// The store. Cloning is cheap; the file is closed with the last clone.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Arc<Writer>,
}

impl Store {
    /// Opens the store, or makes it where there is none, and reads it. Blocks.
    ///
    /// # Errors
    /// Each variant of [`StoreError`]; none goes away by trying again, but [`StoreError::InUse`] does when the other
    /// process ends.
    pub fn open(path: &Path) -> Result<(Self, Contents), StoreError> {
        Self::open_with(path, Arc::new(BlockingThreads))
    }

    /// As [`Store::open`], with this one to write.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(path: &Path, hand: Arc<dyn Hand>) -> Result<(Self, Contents), StoreError> {
        let connection = schema::open(path)?;
        let contents = rows::load(&connection, path)?;
        schema::keep_log(&connection, false).map_err(|error| schema::classify(error, "opening", path))?;
        let database = Database::new(connection, path)?;
        let writer = Arc::new(Writer::new(database, path.to_owned(), hand));
        Ok((Self { writer }, contents))
    }

    /// As [`Store::open`], but a file that is damaged or too old is set aside, and a new one is begun. Blocks.
    ///
    /// # Errors
    /// As [`Store::open`]; and [`StoreError::TooMany`].
    pub fn open_or_begin(
        path: &Path,
        now: Timestamp,
    ) -> Result<(Self, Contents, Option<SetAside>), StoreError> {
        let why = match Self::open(path) {
            Ok((store, contents)) => return Ok((store, contents, None)),
            Err(why @ (StoreError::Corrupt { .. } | StoreError::Older { .. })) => why,
            Err(
                error @ (StoreError::InUse { .. }
                | StoreError::Foreign { .. }
                | StoreError::Newer { .. }
                | StoreError::TooMany { .. }
                | StoreError::Replaced { .. }
                | StoreError::Failed { .. }),
            ) => return Err(error),
        };
        let aside = aside::set_aside(path, why, now)?;
        tracing::error!("{aside}");
        let (store, contents) = Self::open(path)?;
        Ok((store, contents, Some(aside)))
    }

    /// Why nothing can be written at the moment, in words; `None` while all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.writer.trouble()
    }

    /// Whether the disk took no writes the last time.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.writer.is_failing()
    }

    /// Waits until the disk takes no writes.
    pub async fn failing(&self) {
        self.writer.failing().await;
    }

    /// Makes changes, all or none; returns when they are on the disk. While the disk is full or fails, it waits.
    ///
    /// # Errors
    /// The store is lost for good; the agent has to end.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.take_in(writes, Vec::new()).await.map(drop)
    }

    /// Makes changes with the next commit, whoever's that is. They may be lost: only for what can be found out again.
    pub fn add_to_next(&self, writes: Vec<Write>) {
        self.writer.add(writes);
    }

    /// As [`Store::commit`]; says which of the tasks that are new here have ended here before, and how.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn take_in(&self, writes: Vec<Write>, news: Vec<TaskArn>) -> Result<Vec<Report>, StoreError> {
        let (done, answer) = oneshot::channel();
        let commit = Commit { writes, news, done };
        self.writer.submit(Job::Commit(commit)).await?;
        self.answer(answer).await
    }

    /// A value of another part of the agent.
    ///
    /// # Errors
    /// The store is lost for good.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (done, answer) = oneshot::channel();
        let key = key.to_owned();
        self.writer.submit(Job::Get { key, done }).await?;
        self.answer(answer).await
    }

    /// Keeps a value of another part of the agent; `None` removes it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn put(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), StoreError> {
        self.commit(vec![Write::Value(key.to_owned(), value)]).await
    }

    /// How many commits were made since it was opened: what a disk has to bear.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    async fn answer<T>(&self, answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        let lost = || StoreError::Failed {
            operation: "writing",
            path: self.writer.path().to_owned(),
            why: "the writer has ended".to_owned(),
        };
        let answer = self.writer.while_waiting(answer).await;
        answer.unwrap_or_else(|_| Err(lost()))
    }
}

#[cfg(test)]
mod tests;
