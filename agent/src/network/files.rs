//! The folders and files of attachments, with errors that name them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::NetworkError;
use crate::files::{self, absent_is_none, make_private_dir, write_atomically};

/// Names what was tried, and on what, beside the kernel's words.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NetworkError {
    let path = path.to_owned();
    move |source| NetworkError::Io { what, path, source }
}

/// Makes a folder of mode 0700 and those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), NetworkError> {
    make_private_dir(path).map_err(failed("cannot make folder", path))
}

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), NetworkError> {
    write_atomically(path, content, mode).map_err(failed("cannot write", path))
}

/// Writes a file that is made anew in each boot.
pub(super) fn write_for_this_boot(path: &Path, content: &[u8], mode: u32) -> Result<(), NetworkError> {
    files::write_for_this_boot(path, content, mode).map_err(failed("cannot write", path))
}

/// The content of a file, `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, NetworkError> {
    absent_is_none(fs::read(path)).map_err(failed("cannot read", path))
}

/// The names in a folder; none if there is no such folder.
pub(super) fn names(path: &Path) -> Result<Vec<String>, NetworkError> {
    let list = || {
        let Some(entries) = absent_is_none(fs::read_dir(path))? else {
            return Ok(Vec::new());
        };
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    list().map_err(failed("cannot list", path))
}

/// Removes a folder and all that is in it, if it is there.
pub(super) fn remove_folder(path: &Path) -> Result<(), NetworkError> {
    absent_is_none(fs::remove_dir_all(path))
        .map(|_| ())
        .map_err(failed("cannot remove", path))
}

/// Where things are kept: all of it below the data folder.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// One folder a container: its record and its files.
    pub attachments: PathBuf,
    /// One mount a container: its namespace.
    pub namespaces: PathBuf,
}

impl Layout {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            attachments: data_dir.join("network"),
            namespaces: data_dir.join("netns"),
        }
    }
}
