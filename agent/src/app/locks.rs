//! One agent to a place: locks that the kernel takes back when their holder dies, however it dies.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use longshore_protocol::node::InstanceId;
use longshore_protocol::sigv4::sha256_hex;
use nix::fcntl::{Flock, FlockArg};

use super::AppError;
use crate::config::Config;
use crate::files;

/// Where locks lie that belong to the machine, not to a data folder; gone at a reboot, as their holders are.
const RUN_DIR: &str = "/run/longshore";

/// Held by `run`, and by the commands that change the identity.
#[derive(Debug)]
pub struct DataDirLock {
    _file: Flock<File>,
}

impl DataDirLock {
    /// Makes the data folder if it isn't there, and takes its lock.
    ///
    /// # Errors
    /// [`AppError::Busy`] while another agent has it; [`AppError::Io`].
    pub fn take(data_dir: &Path) -> Result<Self, AppError> {
        files::make_private_dir(data_dir).map_err(|source| AppError::Io {
            path: data_dir.to_owned(),
            source,
        })?;
        let what = format!("the data folder {}", data_dir.display());
        lock(&data_dir.join("agent.lock"), what).map(|file| Self { _file: file })
    }
}

/// Held by `run`: no other agent may tend the same containers, whatever its data folder.
#[derive(Debug)]
pub(super) struct RuntimeLock {
    _file: Flock<File>,
}

impl RuntimeLock {
    /// Takes the lock of (containerd address, namespace, identity).
    pub(super) fn take(config: &Config, identity: &InstanceId) -> Result<Self, AppError> {
        let dir = Path::new(RUN_DIR);
        files::make_private_dir(dir).map_err(|source| AppError::Io {
            path: dir.to_owned(),
            source,
        })?;
        // Two spellings of one socket are one containerd.
        let address = &config.containerd_address;
        let address = std::fs::canonicalize(address).unwrap_or_else(|_| address.clone());
        let place = format!(
            "{}\n{}\n{identity}",
            address.display(),
            config.containerd_namespace
        );
        let path = dir.join(format!("{}.lock", &sha256_hex(place.as_bytes())[..32]));
        let what = format!(
            "the containers of {identity} in the namespace {} of {}",
            config.containerd_namespace,
            address.display()
        );
        lock(&path, what).map(|file| Self { _file: file })
    }
}

fn lock(path: &PathBuf, what: String) -> Result<Flock<File>, AppError> {
    let io = |source| AppError::Io {
        path: path.clone(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        nix::errno::Errno::EWOULDBLOCK => AppError::Busy { what },
        other => io(other.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let held = DataDirLock::take(&data).unwrap();
        let error = DataDirLock::take(&data).unwrap_err();
        assert!(matches!(error, AppError::Busy { .. }), "{error}");
        drop(held);
        DataDirLock::take(&data).unwrap();
    }
}
