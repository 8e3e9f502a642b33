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
    /// Takes the lock of (containerd address, namespace, owner).
    pub(super) fn take(config: &Config, owner: &InstanceId) -> Result<Self, AppError> {
        // Two spellings of one socket are one containerd.
        let address = &config.containerd_address;
        let address = std::fs::canonicalize(address).unwrap_or_else(|_| address.clone());
        let place = format!("{}\n{}\n{owner}", address.display(), config.containerd_namespace);
        let what = format!(
            "the containers of {owner} in the namespace {} of {}",
            config.containerd_namespace,
            address.display()
        );
        lock_of_machine(Path::new(RUN_DIR), &place, what).map(|file| Self { _file: file })
    }
}

/// Held by `run`: of two agents that are told to listen at one admin socket, which of them has it.
#[derive(Debug)]
pub(super) struct SocketLock {
    _file: Flock<File>,
}

impl SocketLock {
    /// Takes the lock of an admin socket.
    pub(super) fn take(socket: &Path) -> Result<Self, AppError> {
        Self::take_in(Path::new(RUN_DIR), socket)
    }

    fn take_in(run_dir: &Path, socket: &Path) -> Result<Self, AppError> {
        // Two spellings of one folder are one folder, once it is there.
        if let Some(folder) = socket.parent() {
            files::make_private_dir(folder).map_err(|source| AppError::Io {
                path: folder.to_owned(),
                source,
            })?;
        }
        let folder = socket
            .parent()
            .and_then(|folder| std::fs::canonicalize(folder).ok());
        let one = match (folder, socket.file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => socket.to_owned(),
        };
        let place = format!("admin socket\n{}", one.display());
        let what = format!("the admin socket {}", socket.display());
        lock_of_machine(run_dir, &place, what).map(|file| Self { _file: file })
    }
}

fn lock_of_machine(run_dir: &Path, place: &str, what: String) -> Result<Flock<File>, AppError> {
    files::make_private_dir(run_dir).map_err(|source| AppError::Io {
        path: run_dir.to_owned(),
        source,
    })?;
    let path = run_dir.join(format!("{}.lock", &sha256_hex(place.as_bytes())[..32]));
    lock(&path, what)
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
    #[test]
    fn an_admin_socket_has_one_holder_at_a_time_however_it_is_spelled() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let run_dir = dir.path().join("run");
        let take = |path: &Path| SocketLock::take_in(&run_dir, path);
        let held = take(&folder.join("a.sock")).unwrap();
        let error = take(&link.join("a.sock")).unwrap_err();
        assert!(matches!(error, AppError::Busy { .. }), "{error}");
        assert!(error.to_string().contains("link/a.sock"), "{error}");
        take(&folder.join("b.sock")).unwrap();
        drop(held);
        take(&link.join("a.sock")).unwrap();
    }
}
