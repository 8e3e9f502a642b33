//! One at a time a container, over restarts of the agent too.
//!
//! The lock is of the open file description, and each plugin gets a copy of it as its standard error. So it is free
//! only when neither an attach or detach nor a plugin that a killed agent left behind works on the container.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::NetworkError;
use super::files::{failed, make_folder};
use crate::clock::Clock;
use crate::files::absent_is_none;

const NAME: &str = "lock";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Longer than the plugins of one chain may take together.
const DEADLINE: Duration = Duration::from_secs(300);

/// A container's lock: free again when the last copy is closed.
pub(super) type Lock = Arc<File>;

/// Locks a container's folder, making it if `make` is set; `None` if there is none.
pub(super) async fn lock(folder: &Path, make: bool, clock: &dyn Clock) -> Result<Option<Lock>, NetworkError> {
    let path = folder.join(NAME);
    let mut waited = Duration::ZERO;
    loop {
        if make {
            make_folder(folder)?;
        }
        match absent_is_none(try_lock(&path)).map_err(failed("cannot lock", &path))? {
            Some(Attempt::Locked(lock)) => return Ok(Some(lock)),
            Some(Attempt::Stale) => continue,
            Some(Attempt::Busy) => {}
            None if make => continue,
            None => return Ok(None),
        }
        if waited >= DEADLINE {
            let busy = io::Error::new(io::ErrorKind::TimedOut, "a CNI plugin still works on it");
            return Err(failed("cannot lock", &path)(busy));
        }
        clock.sleep(PAUSE).await;
        waited += PAUSE;
    }
}

enum Attempt {
    Locked(Lock),
    /// Somebody has it.
    Busy,
    /// Whoever had it before removed the folder.
    Stale,
}

fn try_lock(path: &Path) -> io::Result<Attempt> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Attempt::Busy),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let ours = file.metadata()?;
    let there = absent_is_none(fs::metadata(path))?;
    if there.is_some_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
        Ok(Attempt::Locked(Arc::new(file)))
    } else {
        Ok(Attempt::Stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_copy_keeps_the_lock_and_a_removed_folder_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("c");
        assert!(lock(&folder, false, &SystemClock).await.unwrap().is_none());
        let first = lock(&folder, true, &SystemClock).await.unwrap().unwrap();
        let copy = first.try_clone().unwrap();
        drop(first);
        assert!(matches!(try_lock(&folder.join(NAME)).unwrap(), Attempt::Busy));
        let waiting = lock(&folder, true, &SystemClock);
        let release = async {
            fs::remove_dir_all(&folder).unwrap();
            drop(copy);
        };
        let (got, ()) = tokio::join!(waiting, release);
        got.unwrap().unwrap();
        assert!(folder.join(NAME).exists());
    }
}
