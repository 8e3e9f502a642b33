//! Brings what containerd wrote to the disk.
//!
//! A file system is synced as a whole (`syncfs`): layers have tens of thousands of files. Where it can't be found,
//! all are (`sync`).

use std::path::{Path, PathBuf};

use crate::blocking;
use crate::containerd::services::v1::PluginsRequest;
use crate::containerd::types::Mount;
use crate::containerd::{CallError, Client, QUICK, call};

/// Could not sync.
#[derive(Debug, thiserror::Error)]
#[error("sync {}: {why}", path.display())]
pub struct SyncError {
    path: PathBuf,
    why: String,
}

/// Syncs the file system that a snapshot is written to.
pub async fn mounted(mounts: Vec<Mount>) -> Result<(), SyncError> {
    let path = mounts.iter().find_map(written);
    of(path).await
}

/// Syncs the file system of the content store.
pub async fn content(client: &Client) -> Result<(), super::PullError> {
    Ok(of(content_root(client).await?).await?)
}

/// The folder behind a mount that takes its writes.
fn written(mount: &Mount) -> Option<PathBuf> {
    let upper = mount
        .options
        .iter()
        .find_map(|option| option.strip_prefix("upperdir="));
    match (mount.r#type.as_str(), upper) {
        (_, Some(upper)) => Some(PathBuf::from(upper)),
        ("bind" | "rbind", None) => Some(PathBuf::from(&mount.source)),
        // A block device is not mounted here; its file system is found by no folder.
        (_, None) => None,
    }
}

async fn content_root(client: &Client) -> Result<Option<PathBuf>, CallError> {
    let request = PluginsRequest {
        filters: vec!["type==io.containerd.content.v1".to_owned()],
    };
    let mut service = client.introspection();
    let response = call("Plugins", "content", QUICK, service.plugins(request)).await?;
    let root = |exports: &std::collections::HashMap<String, String>| exports.get("root").map(PathBuf::from);
    Ok(response.plugins.iter().find_map(|plugin| root(&plugin.exports)))
}

async fn of(path: Option<PathBuf>) -> Result<(), SyncError> {
    let shown = path.clone().unwrap_or_default();
    // A sync takes as long as the disk does.
    let done = blocking::SYNCS.io(move || match path {
        Some(path) => file_system(&path),
        None => {
            nix::unistd::sync();
            Ok(())
        }
    });
    done.await.map_err(|error| SyncError {
        path: shown,
        why: error.to_string(),
    })
}

/// Syncs the file system of a folder. One that isn't visible from here (containerd in a mount namespace of its own)
/// is reached by syncing all.
fn file_system(path: &Path) -> std::io::Result<()> {
    match std::fs::File::open(path) {
        Ok(folder) => Ok(nix::unistd::syncfs(folder)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            nix::unistd::sync();
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, source: &str, options: &[&str]) -> Mount {
        Mount {
            r#type: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Mount::default()
        }
    }

    #[test]
    fn the_writable_side_of_a_snapshot_is_found() {
        let overlay = mount(
            "overlay",
            "overlay",
            &["index=off", "upperdir=/s/3/fs", "lowerdir=/s/2/fs"],
        );
        assert_eq!(written(&overlay), Some(PathBuf::from("/s/3/fs")));
        let bind = mount("bind", "/s/1/fs", &["rw", "rbind"]);
        assert_eq!(written(&bind), Some(PathBuf::from("/s/1/fs")));
        assert_eq!(written(&mount("ext4", "/dev/mapper/x", &[])), None);
    }

    #[tokio::test]
    async fn folders_here_and_elsewhere_can_be_synced() {
        let folder = tempfile::tempdir().unwrap();
        of(Some(folder.path().to_owned())).await.unwrap();
        of(Some(folder.path().join("gone"))).await.unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(of(Some(file.join("below"))).await.is_err());
    }
}
