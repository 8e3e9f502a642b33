//! The data folder: what lies where, one `up` at a time, and what must be the same at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::UpError;
use super::names::{Names, routes};

/// The longest path of a socket that Linux takes.
const MAX_SOCKET_PATH: usize = 107;

/// A data folder that is ours as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: Flock<File>,
}

impl Folder {
    /// Makes the folder where it is missing, and takes it.
    ///
    /// # Errors
    /// [`UpError::InUse`], [`UpError::File`].
    pub fn take(path: &Path) -> Result<Self, UpError> {
        make(path)?;
        let path = fs::canonicalize(path).map_err(UpError::file(path))?;
        let lock_path = path.join("lock");
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path);
        let file = open.map_err(UpError::file(&lock_path))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                // Only for the error's text.
                let _ = file.read_to_string(&mut pid);
                return Err(UpError::InUse {
                    folder: path,
                    pid: pid.trim().parse().ok(),
                });
            }
            Err((_, error)) => return Err(UpError::file(&lock_path)(error.into())),
        };
        let mut write = || {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        write().map_err(UpError::file(&lock_path))?;
        Ok(Self { path, lock })
    }

    /// The folder, absolute and without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Something in it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A folder in it, made where it is missing, for root only.
    ///
    /// # Errors
    /// [`UpError::File`].
    pub fn make(&self, name: &str) -> Result<PathBuf, UpError> {
        let path = self.join(name);
        make(&path)?;
        Ok(path)
    }

    /// Where a program's output goes.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.join(format!("log/{name}.log"))
    }

    /// The names of what lies outside, as chosen at the first start.
    ///
    /// # Errors
    /// [`UpError::File`], [`UpError::Damaged`].
    pub fn names(&self) -> Result<Names, UpError> {
        let path = self.join("names.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| UpError::Damaged {
                path,
                why: error.to_string(),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let taken = fs::read_to_string("/proc/net/route")
                    .map(|table| routes(&table))
                    .unwrap_or_default();
                let names = Names::of(&self.path, &taken);
                let text = serde_json::to_vec_pretty(&names).map_err(std::io::Error::other);
                let text = text.map_err(UpError::file(&path))?;
                write(&path, 0o600, &text)?;
                Ok(names)
            }
            Err(error) => Err(UpError::file(&path)(error)),
        }
    }

    /// Removes the folder with everything in it.
    ///
    /// # Errors
    /// [`UpError::File`].
    pub fn remove(self) -> Result<(), UpError> {
        fs::remove_dir_all(&self.path).map_err(UpError::file(&self.path))?;
        drop(self.lock);
        Ok(())
    }
}

/// Refuses a path that is too long for a socket.
///
/// # Errors
/// [`UpError::PathTooLong`].
pub fn check_socket(path: PathBuf) -> Result<PathBuf, UpError> {
    match path.as_os_str().len() > MAX_SOCKET_PATH {
        true => Err(UpError::PathTooLong { path }),
        false => Ok(path),
    }
}

fn make(path: &Path) -> Result<(), UpError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(UpError::file(path))
}

/// Writes a file as a whole or not at all.
///
/// # Errors
/// [`UpError::File`].
pub fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), UpError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let all = || {
        // One that was left by a crash has another's mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    all().map_err(UpError::file(path))
}

/// Removes a file that may be missing.
///
/// # Errors
/// [`UpError::File`].
pub fn remove(path: &Path) -> Result<(), UpError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(UpError::file(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_has_one_up_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = Folder::take(&path).unwrap();
        let error = Folder::take(&path).unwrap_err();
        assert!(
            matches!(error, UpError::InUse { pid: Some(pid), .. } if pid == std::process::id()),
            "{error}"
        );
        drop(folder);
        Folder::take(&path).unwrap().remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn names_are_chosen_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::take(parent.path()).unwrap();
        let names = folder.names().unwrap();
        assert_eq!(folder.names().unwrap(), names);
        fs::write(folder.join("names.json"), "{}").unwrap();
        assert!(matches!(folder.names().unwrap_err(), UpError::Damaged { .. }));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_with_its_mode() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("f");
        write(&path, 0o644, b"one").unwrap();
        write(&path, 0o600, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused() {
        assert!(check_socket(PathBuf::from("/x".repeat(60))).is_err());
        assert!(check_socket(PathBuf::from("/x".repeat(50))).is_ok());
    }
}
