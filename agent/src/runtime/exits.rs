//! The records that Longshore's shim writes about exits, in a folder of the agent's.
//!
//! A record is read as often as somebody asks how its container ended, and is removed with the container, which is after
//! the store has the exit. So there is no moment at which a power cut loses it.
//!
//! Invariants: what is in the folder can't stop anything: what is no record is named in the log once and put into
//! `aside/`, where it stays until its task's files are cleaned, or until [`ASIDE`] newer ones are there.
//!
//! Limits: of executed processes nobody reads a record. It goes with its process; one that a dead agent has left, when the
//! folder is listed, so that it stays as small as there are containers.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use longshore_protocol::arn::ResourceId;
use longshore_protocol::exit_record::{self, ExitRecord, UNFINISHED};

use super::RuntimeError;
use crate::failpoint;
use crate::files::{absent_is_none, make_private_dir, remove};
use crate::model::ContainerId;

/// Records have a few hundred bytes. What is larger is none.
const MOST_BYTES: u64 = 64 << 10;
/// How many files are kept aside: enough to see what went wrong, and too few to fill a disk.
const ASIDE: usize = 64;

/// The exit records of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exits {
    folder: PathBuf,
}

impl Exits {
    /// Those below a data folder. Nothing is made.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join("exits"),
        }
    }

    /// The folder that shims write to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder, mode 0700.
    ///
    /// # Errors
    /// What the system says.
    pub fn prepare(&self) -> io::Result<()> {
        make_private_dir(&self.folder)
    }

    /// How a container's first process ended; `None` where there is no record of it.
    ///
    /// # Errors
    /// [`RuntimeError::File`]: there is one that can't be read now.
    pub fn read(&self, id: &ContainerId) -> Result<Option<ExitRecord>, RuntimeError> {
        let name = exit_record::file_name(&id.to_string(), None);
        let path = self.folder.join(&name);
        let Some(bytes) = read_small(&path).map_err(RuntimeError::file("read", &path))? else {
            return Ok(None);
        };
        let record = bytes.ok_or_else(|| "it is no file of a record's size".to_owned());
        let record = record.and_then(|bytes| ExitRecord::parse(&bytes).map_err(|error| error.to_string()));
        match record {
            Ok(record) if record.container == id.to_string() && record.exec.is_none() => {
                if record.version > exit_record::VERSION {
                    tracing::info!(container = %id, version = record.version, "an exit record of a newer shim; what is known of it is used");
                }
                Ok(Some(record))
            }
            Ok(record) => {
                self.put_aside(&name, &format!("it is about {}", record.container));
                Ok(None)
            }
            Err(why) => {
                self.put_aside(&name, &why);
                Ok(None)
            }
        }
    }

    /// The containers of whose first process there is a record. What is none is put aside; records of executed processes
    /// are removed.
    ///
    /// # Errors
    /// [`RuntimeError::File`]: the folder can't be read, or a file not removed.
    pub fn list(&self) -> Result<BTreeSet<ContainerId>, RuntimeError> {
        let mut ids = BTreeSet::new();
        for name in self.names()? {
            let record = exit_record::parse_file_name(&name);
            match record.map(|(container, exec)| (container.parse::<ContainerId>(), exec)) {
                Some((Ok(id), None)) => {
                    ids.insert(id);
                }
                Some((Ok(_), Some(_))) => {
                    let path = self.folder.join(&name);
                    absent_is_none(fs::remove_file(&path)).map_err(RuntimeError::file("remove", &path))?;
                }
                Some((Err(_), _)) => self.put_aside(&name, "its name is not that of a container of ours"),
                // Its writer may be at it.
                None if name.ends_with(UNFINISHED) => {}
                None => self.put_aside(&name, "its name is not that of an exit record"),
            }
        }
        Ok(ids)
    }

    /// Removes what is written of a container, whole or half, and of what was executed in it.
    ///
    /// # Errors
    /// [`RuntimeError::File`].
    pub fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let own = [format!("{id}."), format!("{id}+")];
        for name in self.names()? {
            if own.iter().any(|own| name.starts_with(own)) {
                let path = self.folder.join(&name);
                failpoint::around_blocking("forget-exit", || remove(&path))
                    .map_err(RuntimeError::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes what was put aside of a task's containers.
    ///
    /// # Errors
    /// [`RuntimeError::File`].
    pub fn clean_task(&self, task: &ResourceId) -> Result<(), RuntimeError> {
        for (_, path) in self.aside() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(task.as_str()) {
                remove(&path).map_err(RuntimeError::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Names of files. A name that is not UTF-8 is nobody's, and stays where it is.
    fn names(&self) -> Result<Vec<String>, RuntimeError> {
        let entries = absent_is_none(fs::read_dir(&self.folder));
        let entries = entries.map_err(RuntimeError::file("list", &self.folder))?;
        let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| !kind.is_dir());
        let names = entries.into_iter().flatten().flatten().filter(is_file);
        Ok(names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect())
    }

    fn put_aside(&self, name: &str, why: &str) {
        let (path, aside) = (self.folder.join(name), self.folder.join("aside"));
        let moved = make_private_dir(&aside).and_then(|()| fs::rename(&path, aside.join(name)));
        match moved {
            Ok(()) => {
                tracing::warn!(path = %path.display(), why, "what is no exit record was put into aside/");
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), why, %error, "this is no exit record, and can't be put aside");
            }
        }
        let mut aside = self.aside();
        aside.sort();
        for (_, path) in aside.iter().rev().skip(ASIDE) {
            let removed = fs::remove_file(path);
            tracing::debug!(path = %path.display(), ?removed, "too much was aside");
        }
    }

    /// What was put aside, with its age.
    fn aside(&self) -> Vec<(SystemTime, PathBuf)> {
        let entries = fs::read_dir(self.folder.join("aside")).into_iter().flatten();
        let dated = |entry: fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
        entries.flatten().filter_map(dated).collect()
    }
}

/// The bytes of a file that is small enough; `Some(None)` of anything else by that name, `None` of nothing.
fn read_small(path: &Path) -> io::Result<Option<Option<Vec<u8>>>> {
    let Some(there) = absent_is_none(fs::symlink_metadata(path))? else {
        return Ok(None);
    };
    if !there.is_file() || there.len() > MOST_BYTES {
        return Ok(Some(None));
    }
    let Some(file) = absent_is_none(File::open(path))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(Some(bytes)))
}

#[cfg(test)]
mod tests;
