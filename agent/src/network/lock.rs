//! One at a time a container, over restarts of the agent too.
//!
//! The lock is of the open file description, and each plugin gets a copy of it as its standard error. So it is free
//! only when neither an attach or detach nor a plugin that a killed agent left behind works on the container.
//!
//! On a disk that hangs a lock may be had when nobody waits for it any more: then it is let go, and a folder in which there
//! is nothing else goes with it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::NetworkError;
use super::files::{failed, make_folder, names, remove_folder};
use crate::blocking;
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
        let at = folder.to_owned();
        let attempt = blocking::DISK.run(move || attempt(&at, make)).await;
        match attempt.map_err(failed("cannot lock", &path))?? {
            Some(Attempt::Locked(claim)) => return Ok(claim.take()),
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
    Locked(Claim),
    /// Somebody has it.
    Busy,
    /// Whoever had it before removed the folder.
    Stale,
}

/// A lock on its way to who wanted it.
struct Claim {
    folder: PathBuf,
    lock: Option<Lock>,
}

impl Claim {
    fn take(mut self) -> Option<Lock> {
        self.lock.take()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.lock.is_some()
            && let Err(error) = remove_if_bare(&self.folder)
        {
            tracing::warn!(%error, "a folder that nobody needs any more is left");
        }
    }
}

/// Removes a folder that has nothing but the lock, which the caller holds.
pub(super) fn remove_if_bare(folder: &Path) -> Result<(), NetworkError> {
    match names(folder)?.iter().all(|name| name == NAME) {
        true => remove_folder(folder),
        false => Ok(()),
    }
}

/// `None` if there is no folder.
fn attempt(folder: &Path, make: bool) -> Result<Option<Attempt>, NetworkError> {
    if make {
        make_folder(folder)?;
    }
    let path = folder.join(NAME);
    absent_is_none(try_lock(folder, &path)).map_err(failed("cannot lock", &path))
}

fn try_lock(folder: &Path, path: &Path) -> io::Result<Attempt> {
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
        Ok(Attempt::Locked(Claim {
            folder: folder.to_owned(),
            lock: Some(Arc::new(file)),
        }))
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
        assert!(matches!(attempt(&folder, false).unwrap(), Some(Attempt::Busy)));
        let waiting = lock(&folder, true, &SystemClock);
        let release = async {
            fs::remove_dir_all(&folder).unwrap();
            drop(copy);
        };
        let (got, ()) = tokio::join!(waiting, release);
        got.unwrap().unwrap();
        assert!(folder.join(NAME).exists());
    }
    /// A FIFO that nobody reads is a lock on a disk that does not answer.
    fn hanging(folder: &Path) -> std::path::PathBuf {
        fs::create_dir(folder).unwrap();
        let fifo = folder.join(NAME);
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        fifo
    }

    /// Lets whoever waits for it go on, and who comes later too, as long as this is open.
    fn answer(fifo: &Path) -> File {
        File::options().read(true).write(true).open(fifo).unwrap()
    }

    /// One thread serves all tasks here.
    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_nobody_but_who_wants_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().join("c-0"), dir.path().join("c-1")];
        let fifos = folders.each_ref().map(|folder| hanging(folder));
        let others = async { fifos.each_ref().map(|fifo| answer(fifo)) };
        let (first, second, _answers) = tokio::join!(
            lock(&folders[0], true, &SystemClock),
            lock(&folders[1], true, &SystemClock),
            others
        );
        first.unwrap().unwrap();
        second.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_lock_that_is_had_too_late_leaves_nothing_and_no_record_is_lost_by_it() {
        let dir = tempfile::tempdir().unwrap();
        for has_record in [false, true] {
            let folder = dir.path().join("c");
            let fifo = hanging(&folder);
            if has_record {
                fs::write(folder.join("attachment.json"), "{}").unwrap();
            }
            let given_up = tokio::time::timeout(PAUSE, lock(&folder, true, &SystemClock)).await;
            assert!(given_up.is_err());
            let answer = answer(&fifo);
            // Until the thread has let it go.
            while blocking::DISK.free() < blocking::DISK.most() {
                tokio::task::yield_now().await;
            }
            assert_eq!(folder.exists(), has_record);
            answer.try_lock().unwrap();
        }
    }
}
