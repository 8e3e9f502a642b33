//! What becomes of a file that can't be used: it gets a dated name, and a new one is begun.
//!
//! Limits: nothing that was put aside is ever removed; after [`MOST`] of them no more are, since a disk that has spoilt so
//! many is to be looked at.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{StoreError, schema};
use crate::files;

/// How many files may lie aside.
const MOST: usize = 10;

/// A file that was put aside.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Why it could not be used.
    pub why: StoreError,
    /// Where it is now.
    pub path: PathBuf,
    /// How many lie aside by now. They are there for people, and people's to remove.
    pub kept: usize,
}

impl std::fmt::Display for SetAside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { why, path, kept } = self;
        let path = path.display();
        write!(
            f,
            "{why}. It is kept as {path} ({kept} such files are kept; the agent removes none), and a new one is begun: \
             containers that run are adopted, tasks that have not started come again"
        )
    }
}

/// Gives the file a dated name, and its log with it.
pub(super) fn set_aside(path: &Path, why: StoreError, now: Timestamp) -> Result<SetAside, StoreError> {
    let wrap = |error: io::Error| StoreError::Failed {
        operation: "setting aside",
        path: path.to_owned(),
        why: error.to_string(),
    };
    let prefix = with(path, ".damaged-");
    let kept = count(path, &prefix).map_err(wrap)?;
    if kept >= MOST {
        return Err(StoreError::TooMany {
            path: path.to_owned(),
            count: kept,
            why: why.to_string(),
        });
    }
    let dated = with(&prefix, &now.strftime("%Y%m%dT%H%M%SZ").to_string());
    let names = (1..=MOST + 1).map(|number| match number {
        1 => dated.clone(),
        number => with(&dated, &format!("-{number}")),
    });
    let free = names.into_iter().find(|name| !name.exists());
    let to = free.ok_or_else(|| wrap(io::ErrorKind::AlreadyExists.into()))?;
    // The file first: without its log it might look like a whole file of some time ago.
    files::rename(path, &to).map_err(wrap)?;
    files::absent_is_none(files::rename(&schema::log_of(path), &schema::log_of(&to))).map_err(wrap)?;
    Ok(SetAside {
        why,
        path: to,
        kept: kept + 1,
    })
}

fn count(path: &Path, prefix: &Path) -> io::Result<usize> {
    let prefix = prefix.file_name().unwrap_or_default().as_encoded_bytes();
    let mut count = 0;
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new("/")))? {
        let name = entry?.file_name();
        let name = name.as_encoded_bytes();
        count += usize::from(name.starts_with(prefix) && !name.ends_with(b"-wal"));
    }
    Ok(count)
}

fn with(path: &Path, more: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}
