//! The volumes of a task: folders and files of the host, and folders that live as long as the task.
//!
//! Invariants: a folder of the host is made when it isn't there and never removed; a task's own folders are
//! `DATA_DIR/volumes/TASK/NAME` and go with it. Preparing twice is preparing once.
//!
//! Limits: a path of the host is followed through symbolic links, as an operator expects of `/var/run`; so a task that
//! is given a folder can redirect another task's mount *below* that folder. Give such tasks separate folders.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use longshore_protocol::arn::{ResourceId, is_valid_name};

use crate::blocking;
use crate::files::absent_is_none;
use crate::model::{BindMount, MountPoint, ResolvedContainer, ResolvedTask, VolumeSource};

/// A folder of the host that is made for a task.
const HOST_MODE: u32 = 0o755;
/// A task's own folder: images run as any user, and only the task's containers see it.
const TASK_MODE: u32 = 0o777;

/// A volume that a container can't have (ECS: `InvalidVolumeError`). Trying again does not help before somebody has
/// done something.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A mount point names no volume of the task.
    #[error(
        "InvalidVolumeError: container {container} mounts volume {volume:?}, which the task does not have"
    )]
    Unknown {
        /// The container's name.
        container: String,
        /// What it asked for.
        volume: String,
    },
    /// A path or a name is none that can be mounted.
    #[error("volume {volume:?}: {path} {why}")]
    Invalid {
        /// The volume.
        volume: String,
        /// What was written.
        path: PathBuf,
        /// What it should be.
        why: &'static str,
    },
    /// The host refused.
    #[error("volume {volume:?}: cannot {what} {path}: {source}")]
    Io {
        /// The volume.
        volume: String,
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's words.
        source: io::Error,
    },
    /// A task's folders could not be removed: again later.
    #[error("cannot remove the volumes {path}: {source}")]
    Remove {
        /// The task's folder.
        path: PathBuf,
        /// The kernel's words.
        source: io::Error,
    },
}

/// Makes and removes volumes.
#[derive(Clone, Debug)]
pub struct Volumes {
    folder: PathBuf,
}

impl Volumes {
    /// Keeps the tasks' own folders below the data folder.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join("volumes"),
        }
    }

    /// Where the tasks' folders are, by their ids.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes what a container mounts; answers with its mounts, in the order of its mount points.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub async fn prepare(
        &self,
        task: &ResolvedTask,
        container: &ResolvedContainer,
    ) -> Result<Vec<BindMount>, VolumeError> {
        let folder = self.folder.join(task.arn.id.as_str());
        let mut mounts = Vec::new();
        for point in &container.mount_points {
            let volume = task
                .volumes
                .iter()
                .find(|volume| volume.name == point.source_volume);
            let source = volume
                .map(|volume| &volume.source)
                .ok_or_else(|| VolumeError::Unknown {
                    container: container.name.clone(),
                    volume: point.source_volume.clone(),
                })?;
            mounts.push(mount(point, source, &folder)?);
        }
        if mounts.is_empty() {
            return Ok(Vec::new());
        }
        // What is the host's may hang where the data folder does not.
        let gate = match mounts.iter().all(|(_, is_tasks)| *is_tasks) {
            true => &blocking::DISK,
            false => &blocking::NAMED,
        };
        let made = mounts.clone();
        let points = container.mount_points.iter();
        let names: Vec<_> = points.map(|point| point.source_volume.clone()).collect();
        let making = gate.run(move || make_all(&made, &names));
        making.await.map_err(|error| self.broken(error))??;
        Ok(mounts.into_iter().map(|(mount, _)| mount).collect())
    }

    /// Removes a task's own folders. There may be none.
    ///
    /// # Errors
    /// [`VolumeError::Remove`].
    pub async fn remove_task(&self, task: &ResourceId) -> Result<(), VolumeError> {
        let path = self.folder.join(task.as_str());
        let failed = |source| VolumeError::Remove {
            path: path.clone(),
            source,
        };
        let there = {
            let path = path.clone();
            blocking::DISK.io(move || fs::exists(path))
        };
        // Who has none waits for nobody who has many files.
        if !there.await.map_err(failed)? {
            return Ok(());
        }
        let removing = {
            let path = path.clone();
            blocking::REMOVALS.io(move || absent_is_none(fs::remove_dir_all(path)))
        };
        removing.await.map(drop).map_err(failed)
    }

    fn broken(&self, source: io::Error) -> VolumeError {
        VolumeError::Remove {
            path: self.folder.clone(),
            source,
        }
    }
}

fn make_all(mounts: &[(BindMount, bool)], volumes: &[String]) -> Result<(), VolumeError> {
    for ((mount, is_tasks), volume) in mounts.iter().zip(volumes) {
        make(&mount.source, *is_tasks).map_err(|(what, source)| VolumeError::Io {
            volume: volume.clone(),
            what,
            path: mount.source.clone(),
            source,
        })?;
    }
    Ok(())
}

/// The mount of a mount point, and whether its source is the task's own.
fn mount(point: &MountPoint, source: &VolumeSource, folder: &Path) -> Result<(BindMount, bool), VolumeError> {
    let invalid = |path: &Path, why| VolumeError::Invalid {
        volume: point.source_volume.clone(),
        path: path.to_owned(),
        why,
    };
    if !is_plain(&point.container_path) || point.container_path == Path::new("/") {
        let why = "is no place for a mount: it must be absolute, without `..`, and not `/`";
        return Err(invalid(&point.container_path, why));
    }
    let (source, is_tasks) = match source {
        VolumeSource::Host(path) if !is_plain(path) => {
            return Err(invalid(path, "must be absolute and without `..`"));
        }
        VolumeSource::Host(path) => (path.clone(), false),
        VolumeSource::Task if !is_valid_name(&point.source_volume) => {
            return Err(invalid(Path::new(&point.source_volume), "is no volume name"));
        }
        VolumeSource::Task => (folder.join(&point.source_volume), true),
    };
    let mount = BindMount {
        source,
        destination: point.container_path.clone(),
        read_only: point.read_only,
    };
    Ok((mount, is_tasks))
}

/// Whether a path is absolute and means the same wherever links lead.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

/// Makes a folder unless something is there: a folder, a file, a socket, a device.
fn make(path: &Path, is_tasks: bool) -> Result<(), (&'static str, io::Error)> {
    match fs::metadata(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(("look at", error)),
    }
    if fs::symlink_metadata(path).is_ok() {
        let dangling = io::Error::new(io::ErrorKind::NotFound, "it is a symbolic link to nothing");
        return Err(("make folder", dangling));
    }
    let (parents, mode) = if is_tasks {
        (0o700, TASK_MODE)
    } else {
        (HOST_MODE, HOST_MODE)
    };
    let attempt = || {
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(parents).create(parent)?;
        }
        match fs::create_dir(path) {
            // Another container of the task may have been first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            // Whatever the umask is.
            Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        }
    };
    attempt().map_err(|error| ("make folder", error))
}

#[cfg(test)]
mod tests;
