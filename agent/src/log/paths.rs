//! Where logs are, and what the log writer is told.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use longshore_protocol::arn::ResourceId;
use longshore_protocol::json_file::WriterOptions;

use crate::files::{absent_is_none, make_private_dir, write_for_this_boot};
use crate::model::LogOptions;

/// A log's folder or file that could not be written or removed: again later.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {source}")]
pub struct PathsError {
    /// What was tried.
    what: &'static str,
    /// On what.
    path: PathBuf,
    /// The system's words.
    source: io::Error,
}

/// The logs below a data folder.
#[derive(Clone, Debug)]
pub struct Logs {
    folder: PathBuf,
}

impl Logs {
    /// Nothing is made.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join("logs"),
        }
    }

    /// Where the tasks' folders are, by their ids.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A container's newest log file, whether it is there or not. `container` is its name in the definition, which
    /// has letters, digits, `-` and `_` only.
    #[must_use]
    pub fn file(&self, task: &ResourceId, container: &str) -> PathBuf {
        self.folder.join(task.as_str()).join(format!("{container}.log"))
    }

    /// Writes the writer's options for a container that is about to be made, mode 0600, and makes the folder of its log; answers with the
    /// options file. It is the same each time.
    ///
    /// # Errors
    /// [`PathsError`].
    pub fn write_options(
        &self,
        task: &ResourceId,
        container: &str,
        options: LogOptions,
    ) -> Result<PathBuf, PathsError> {
        let options = WriterOptions {
            path: self.file(task, container),
            max_size: options.max_size,
            max_file: options.max_file,
        };
        let folder = self.folder.join(task.as_str());
        make_private_dir(&folder).map_err(|source| PathsError {
            what: "make folder",
            path: folder.clone(),
            source,
        })?;
        let path = folder.join(format!("{container}.options.json"));
        serde_json::to_vec(&options)
            .map_err(io::Error::from)
            .and_then(|text| write_for_this_boot(&path, &text, 0o600))
            .map_err(|source| PathsError {
                what: "write",
                path: path.clone(),
                source,
            })?;
        Ok(path)
    }

    /// Removes a task's logs and options. There may be none.
    ///
    /// # Errors
    /// [`PathsError`].
    pub fn remove_task(&self, task: &ResourceId) -> Result<(), PathsError> {
        let path = self.folder.join(task.as_str());
        absent_is_none(fs::remove_dir_all(&path))
            .map(|_| ())
            .map_err(|source| PathsError {
                what: "remove",
                path,
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_writer_is_told_where_and_how_and_all_of_it_can_be_removed() {
        let data = tempfile::tempdir().unwrap();
        let logs = Logs::new(data.path());
        let task: ResourceId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let options = LogOptions {
            max_size: 1000,
            max_file: 3,
        };
        let path = logs.write_options(&task, "web", options).unwrap();
        assert_eq!(logs.write_options(&task, "web", options).unwrap(), path);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let read: WriterOptions = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(read.path, logs.file(&task, "web"));
        assert_eq!((read.max_size, read.max_file), (1000, 3));
        for _ in 0..2 {
            logs.remove_task(&task).unwrap();
        }
        assert!(!path.exists());
    }
}
