//! The open file: writes to it, and sees to it that its name still leads to it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use longshore_protocol::arn::TaskArn;
use rusqlite::Connection;

use super::{StoreError, Write, ended, rows, schema};
use crate::files;
use crate::model::Report;

/// Which file it is, whatever its name: device and inode.
type FileId = (u64, u64);

/// A write that was not made. Nothing of it is in the file.
#[derive(Debug)]
pub(super) enum Failure {
    /// The disk may recover.
    Later {
        /// What it said.
        why: String,
        /// Whether less might fit.
        is_full: bool,
    },
    /// Trying again won't help.
    Lost(StoreError),
}

#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    /// Absent only between two files, and for good if the second can't be opened.
    connection: Option<Connection>,
    file: FileId,
}

impl Database {
    pub(super) fn new(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let file = identify(path).map_err(|error| failed("opening", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            connection: Some(connection),
            file,
        })
    }

    /// Makes changes, all or none; says which of the tasks in `news` have ended here, as they were last reported. What
    /// can't be said is not done.
    pub(super) fn commit<'a>(
        &mut self,
        writes: impl Iterator<Item = &'a Write>,
        news: impl Iterator<Item = &'a TaskArn>,
    ) -> Result<Vec<Report>, Failure> {
        self.stay()?;
        let path = self.path.clone();
        let transaction = self.connection()?.transaction();
        let commit = || {
            let transaction = transaction?;
            for write in writes {
                rows::write(&transaction, write)?;
            }
            let ended = ended::among(&transaction, news)?;
            transaction.commit()?;
            Ok(ended)
        };
        commit().map_err(|error| failure(error, "writing", &path))
    }

    pub(super) fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path.clone();
        match self.connection() {
            Ok(connection) => {
                rows::get(connection, key).map_err(|error| schema::classify(error, "reading", &path))
            }
            Err(Failure::Lost(error)) => Err(error),
            Err(Failure::Later { why, .. }) => Err(failed("reading", &path, why)),
        }
    }

    #[cfg(test)]
    pub(super) fn execute(&mut self, sql: &str) {
        self.connection().unwrap().execute_batch(sql).unwrap();
    }

    fn connection(&mut self) -> Result<&mut Connection, Failure> {
        let lost = || Failure::Lost(failed("writing", &self.path, "it is closed"));
        self.connection.as_mut().ok_or_else(lost)
    }

    /// What is written to a file without a name is gone with the process. So a file that was removed is written anew,
    /// whole, from the one that is still open; and one that somebody put in its place is not overwritten.
    fn stay(&mut self) -> Result<(), Failure> {
        let now = files::absent_is_none(identify(&self.path));
        match now {
            Ok(Some(file)) if file == self.file => Ok(()),
            Ok(Some(_)) => Err(Failure::Lost(StoreError::Replaced {
                path: self.path.clone(),
            })),
            Ok(None) => self.write_anew(),
            // The write itself will tell.
            Err(_) => Ok(()),
        }
    }

    fn write_anew(&mut self) -> Result<(), Failure> {
        let path = self.path.clone();
        let later = |error: io::Error| Failure::Later {
            why: format!("it was removed and can't be written anew: {error}"),
            is_full: false,
        };
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        files::remove(&beside).map_err(later)?;
        self.connection()?
            .execute("VACUUM INTO ?1", [beside.to_string_lossy()])
            .map_err(|error| failure(error, "writing anew", &path))?;
        File::open(&beside)
            .and_then(|file| file.sync_all())
            .map_err(later)?;
        // Its log is no part of the new file, and closing the old one would remove the new one's.
        files::remove(&schema::log_of(&path)).map_err(later)?;
        self.connection = None;
        let reopened = files::rename(&beside, &path)
            .map_err(|error| failed("writing anew", &path, error))
            .and_then(|()| schema::open(&path))
            .and_then(|connection| {
                schema::keep_log(&connection, false)
                    .map_err(|error| schema::classify(error, "opening", &path))?;
                Self::new(connection, &path)
            });
        *self = reopened.map_err(Failure::Lost)?;
        tracing::error!(path = %path.display(), "the file was removed while it was in use; it is written anew, and whole");
        Ok(())
    }
}

fn identify(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn failure(error: rusqlite::Error, operation: &'static str, path: &Path) -> Failure {
    match schema::is_transient(&error) {
        true => Failure::Later {
            is_full: schema::is_full(&error),
            why: error.to_string(),
        },
        false => Failure::Lost(schema::classify(error, operation, path)),
    }
}

fn failed(operation: &'static str, path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Failed {
        operation,
        path: path.to_owned(),
        why: why.to_string(),
    }
}
