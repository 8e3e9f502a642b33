//! Reads a file of a container that does not run, from the folders that its root is stacked of, without mounting it.
//!
//! Follows overlayfs: upper folders hide lower ones, a 0:0 device is a whiteout, an opaque folder hides those below it.
//! Symlinks are followed within the root. Nothing outside of the folders is opened whatever an image contains.

use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use crate::containerd::types::Mount;

/// As many as the kernel follows.
const MAX_SYMLINKS: u32 = 40;

/// The folders that a snapshot's mounts stack, the upper ones first; `None` for a snapshotter whose files can't be read
/// like this (block devices).
pub(super) fn folders(mounts: &[Mount]) -> Option<Vec<PathBuf>> {
    let [mount] = mounts else {
        return None;
    };
    match mount.r#type.as_str() {
        "bind" => Some(vec![PathBuf::from(&mount.source)]),
        "overlay" => {
            let option = |name: &str| mount.options.iter().find_map(|option| option.strip_prefix(name));
            let upper = option("upperdir=").into_iter();
            let lower = option("lowerdir=").unwrap_or_default().split(':');
            Some(
                upper
                    .chain(lower)
                    .filter(|path| !path.is_empty())
                    .map(PathBuf::from)
                    .collect(),
            )
        }
        _ => None,
    }
}

/// Reads a regular file, at most `limit` bytes of it; `None` where there is none.
///
/// # Errors
/// The file is there and can't be read, or is no text.
pub(super) fn read(folders: &[PathBuf], path: &str, limit: u64) -> std::io::Result<Option<String>> {
    let Some(file) = resolve(folders, Path::new(path)) else {
        return Ok(None);
    };
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
        .open(file)?;
    let mut text = String::new();
    file.take(limit).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Where a regular file really is.
fn resolve(folders: &[PathBuf], path: &Path) -> Option<PathBuf> {
    let mut links = 0;
    let mut parts = names(path);
    // The folders that make up the place reached so far, and for each name on the way those of its parent.
    let mut place = folders.to_vec();
    let mut parents: Vec<Vec<PathBuf>> = Vec::new();
    while let Some(name) = parts.pop() {
        if name == ".." {
            place = parents.pop().unwrap_or_else(|| folders.to_vec());
            continue;
        }
        let (first, metadata) = top(&place, &name)?;
        let kind = metadata.file_type();
        if kind.is_symlink() {
            links += 1;
            if links > MAX_SYMLINKS {
                return None;
            }
            let target = fs::read_link(place[first].join(&name)).ok()?;
            if target.is_absolute() {
                place = folders.to_vec();
                parents.clear();
            }
            parts.extend(names(&target));
        } else if kind.is_dir() {
            let below = merged(&place[first..], &name);
            parents.push(std::mem::replace(&mut place, below));
        } else {
            let found = place[first].join(&name);
            return (kind.is_file() && parts.is_empty()).then_some(found);
        }
    }
    None
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<String> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::ParentDir => Some("..".to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// The uppermost folder that has a name, and what it is there; `None` where it is nowhere or removed.
fn top(place: &[PathBuf], name: &str) -> Option<(usize, Metadata)> {
    let find =
        |(index, folder): (usize, &PathBuf)| Some((index, fs::symlink_metadata(folder.join(name)).ok()?));
    let (index, metadata) = place.iter().enumerate().find_map(find)?;
    let whiteout = metadata.file_type().is_char_device() && metadata.rdev() == 0;
    (!whiteout).then_some((index, metadata))
}

/// The folders of one name that show through each other, from the first of `place` on.
fn merged(place: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for folder in place {
        let folder = folder.join(name);
        match fs::symlink_metadata(&folder) {
            Err(_) => continue,
            Ok(metadata) if !metadata.is_dir() => break,
            Ok(_) => {}
        }
        let mut value = [0_u8; 2];
        let opaque = rustix::fs::lgetxattr(&folder, "trusted.overlay.opaque", &mut value);
        folders.push(folder);
        if opaque == Ok(1) && value[0] == b'y' {
            break;
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// An upper and a lower folder.
    fn stack() -> (tempfile::TempDir, Vec<PathBuf>) {
        let root = tempfile::tempdir().unwrap();
        let folders = vec![root.path().join("upper"), root.path().join("lower")];
        for folder in &folders {
            fs::create_dir_all(folder.join("etc")).unwrap();
        }
        (root, folders)
    }

    fn read_all(folders: &[PathBuf], path: &str) -> Option<String> {
        read(folders, path, 1 << 20).unwrap()
    }

    #[test]
    fn the_upper_file_is_read_and_the_lower_shows_where_there_is_none() {
        let (_root, folders) = stack();
        fs::write(folders[1].join("etc/passwd"), "lower").unwrap();
        assert_eq!(read_all(&folders, "/etc/passwd").as_deref(), Some("lower"));
        fs::write(folders[0].join("etc/passwd"), "upper").unwrap();
        assert_eq!(read_all(&folders, "/etc/passwd").as_deref(), Some("upper"));
        assert_eq!(read_all(&folders, "/etc/group"), None);
        assert_eq!(read(&folders, "/etc/passwd", 2).unwrap().as_deref(), Some("up"));
    }

    #[test]
    fn symlinks_stay_within_the_root() {
        let (root, folders) = stack();
        fs::write(root.path().join("secret"), "host").unwrap();
        fs::create_dir_all(folders[1].join("usr/etc")).unwrap();
        fs::write(folders[1].join("usr/etc/group"), "image").unwrap();
        symlink("/usr/etc/group", folders[0].join("etc/group")).unwrap();
        assert_eq!(read_all(&folders, "/etc/group").as_deref(), Some("image"));
        symlink("../usr/etc", folders[0].join("etc/up")).unwrap();
        assert_eq!(read_all(&folders, "/etc/up/group").as_deref(), Some("image"));
        symlink("../../../../../secret", folders[0].join("etc/passwd")).unwrap();
        assert_eq!(read_all(&folders, "/etc/passwd"), None);
        symlink("loop", folders[0].join("etc/loop")).unwrap();
        assert_eq!(read_all(&folders, "/etc/loop"), None);
    }

    #[test]
    fn a_pipe_or_a_folder_is_no_file() {
        let (_root, folders) = stack();
        nix::unistd::mkfifo(&folders[0].join("etc/passwd"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read_all(&folders, "/etc/passwd"), None);
        assert_eq!(read_all(&folders, "/etc"), None);
        fs::write(folders[1].join("etc/x"), "").unwrap();
        assert_eq!(read_all(&folders, "/etc/x/passwd"), None);
    }

    #[test]
    fn mounts_are_read_as_snapshotters_give_them() {
        let mount = |kind: &str, options: &[&str]| Mount {
            r#type: kind.to_owned(),
            source: "/source".to_owned(),
            target: String::new(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        let overlay = mount(
            "overlay",
            &["index=off", "workdir=/w", "upperdir=/u", "lowerdir=/a:/b"],
        );
        let expected: Vec<PathBuf> = ["/u", "/a", "/b"].map(PathBuf::from).into();
        assert_eq!(folders(&[overlay]), Some(expected));
        assert_eq!(
            folders(&[mount("bind", &["rbind"])]),
            Some(vec!["/source".into()])
        );
        assert_eq!(folders(&[mount("ext4", &[])]), None);
        assert_eq!(folders(&[]), None);
    }
}
