//! The folder that containerd makes for a task, its bundle, where it is in the way of another try.
//!
//! What containerd gives up it takes down by the shim, and by one more run of it, with five seconds for each. On a busy
//! machine that is not always enough. Then it has no task any more, and nobody removes the folder before containerd's next
//! start: each try would fail with `mkdir ...: file exists`.
//!
//! Invariants: a folder is removed only by the container's own name, where nothing runs in its cgroup; what is mounted in it
//! is taken off first, so that no file of a container is touched.

use std::io;
use std::path::{Path, PathBuf};

use super::{ContainerdRuntime, cgroup};
use crate::blocking;
use crate::containerd::{CallError, Class};
use crate::files::{absent_is_none, unmount};
use crate::model::ContainerId;

/// The bundle that is in the way, by an error of CreateTask's: containerd says so in words only.
pub(super) fn in_the_way(error: &CallError) -> Option<PathBuf> {
    let (_, rest) = error.message.rsplit_once("mkdir ")?;
    let (path, _) = rest.rsplit_once(": file exists")?;
    path.starts_with('/').then(|| path.into())
}

impl ContainerdRuntime {
    /// Removes the bundle of a container that containerd has no task of. `error` is what it was in the way of.
    pub(super) async fn remove_bundle(
        &self,
        id: &ContainerId,
        bundle: PathBuf,
        error: CallError,
    ) -> Result<(), CallError> {
        let (name, group) = (id.to_string(), cgroup(id));
        if !bundle.ends_with(Path::new(&self.settings.namespace).join(&name)) {
            return Err(error);
        }
        // If its program ran after all, its shim writes down how it ends, and the next try finds that.
        if !self.cgroups.kill(&group).is_ok_and(|left| left.is_empty()) {
            return Err(CallError {
                class: Class::Unavailable,
                message: "processes of an earlier try were left, and were killed".to_owned(),
                ..error
            });
        }
        let path = bundle.clone();
        let removed = blocking::DISK.io(move || remove(&path)).await;
        tracing::warn!(container = name, bundle = %bundle.display(), ?removed, "removed what containerd had left of an earlier try");
        removed.map_err(|_| error)
    }
}

fn remove(bundle: &Path) -> io::Result<()> {
    let root = bundle.join("rootfs");
    unmount(&root)?;
    // Only if it is empty: whatever has files there is no mere leftover.
    absent_is_none(std::fs::remove_dir(&root))?;
    absent_is_none(std::fs::remove_dir_all(bundle)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> CallError {
        CallError {
            operation: "CreateTask",
            subject: "a".to_owned(),
            class: Class::Failed,
            message: message.to_owned(),
        }
    }

    #[test]
    fn containerds_words_name_the_folder() {
        let text = "failed to start shim: mkdir /run/containerd/io.containerd.runtime.v2.task/ns/a-0: file exists: unknown";
        let path = "/run/containerd/io.containerd.runtime.v2.task/ns/a-0";
        assert_eq!(in_the_way(&error(text)), Some(path.into()));
        let text = text.trim_end_matches(": unknown");
        assert_eq!(in_the_way(&error(text)), Some(path.into()));
        for other in [
            "mkdir /run/a: no space left on device",
            "rename a b: file exists",
            "mkdir a: file exists",
            "",
        ] {
            assert_eq!(in_the_way(&error(other)), None, "{other}");
        }
    }

    #[test]
    fn a_folder_with_files_in_its_root_stays() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("bundle");
        std::fs::create_dir_all(bundle.join("rootfs/etc")).unwrap();
        assert!(remove(&bundle).is_err());
        assert!(bundle.join("rootfs/etc").exists());
        std::fs::remove_dir(bundle.join("rootfs/etc")).unwrap();
        std::fs::write(bundle.join("config.json"), "{}").unwrap();
        remove(&bundle).unwrap();
        assert!(!bundle.exists());
        remove(&bundle).unwrap();
    }
}
