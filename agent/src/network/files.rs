//! Files of an attachment: written whole or not at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::NetworkError;

/// Names what was tried, and on what, beside the kernel's words.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NetworkError {
    let path = path.to_owned();
    move |source| NetworkError::Io { what, path, source }
}

/// Makes a folder of mode 0700 and those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), NetworkError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("cannot make folder", path))
}

/// Writes a file beside its place, syncs it and moves it there, so that a reader or a power cut meets the old one or
/// the new one. `mode` holds whatever the umask is.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), NetworkError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let attempt = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    attempt().map_err(failed("cannot write", path))
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

pub(super) fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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
