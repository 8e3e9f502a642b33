//! Mounting what makes up a container's root file system, and unmounting it.

use std::ffi::CString;
use std::path::{Component, Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use crate::api::task::Mount;

/// A mount's options must fit into a page of the kernel's; with some room for what the kernel adds.
const MAX_OPTIONS: usize = 4000;

/// A mount that failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The mount can't be made.
    #[error("can't mount {source_path:?} of type {kind:?} on {target}")]
    Mount {
        /// What.
        source_path: String,
        /// The file system.
        kind: String,
        /// Where.
        target: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It can't be undone.
    #[error("can't unmount {target}")]
    Unmount {
        /// Where.
        target: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Mounts everything on a folder, in order. If one fails, nothing stays mounted.
///
/// # Errors
/// [`MountError::Mount`].
pub fn mount(mounts: &[Mount], rootfs: &Path) -> Result<(), MountError> {
    for each in mounts {
        // A target that leads out of the root file system would be one's own.
        let below = Path::new(&each.target).components();
        let below: PathBuf = below
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        let target = rootfs.join(below);
        if let Err(source) = std::fs::create_dir_all(&target).and_then(|()| mount_one(each, &target)) {
            let _ = unmount(rootfs);
            return Err(MountError::Mount {
                source_path: each.source.clone(),
                kind: each.r#type.clone(),
                target,
                source,
            });
        }
    }
    Ok(())
}

/// Unmounts whatever is on a folder; nothing, or no folder, is well.
///
/// # Errors
/// [`MountError::Unmount`].
pub fn unmount(rootfs: &Path) -> Result<(), MountError> {
    loop {
        let busy = match rustix::mount::unmount(rootfs, UnmountFlags::NOFOLLOW) {
            Ok(()) => continue,
            Err(error) => error,
        };
        match busy {
            rustix::io::Errno::INVAL | rustix::io::Errno::NOENT => return Ok(()),
            // Someone looks into it: it goes when they leave.
            rustix::io::Errno::BUSY
                if rustix::mount::unmount(rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() => {}
            error => {
                return Err(MountError::Unmount {
                    target: rootfs.to_owned(),
                    source: error.into(),
                });
            }
        }
    }
}

fn mount_one(mount: &Mount, target: &Path) -> std::io::Result<()> {
    let mut plan = Plan::new(&mount.options);
    let kind = mount.r#type.as_str();
    let data_length = plan.data.join(",").len();
    if kind == "overlay" && data_length > MAX_OPTIONS {
        let base = plan.shorten();
        let (source, kind, target) = (mount.source.clone(), kind.to_owned(), target.to_owned());
        // The working directory is the thread's own from here on, and the thread ends.
        let mounting = std::thread::Builder::new().spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
            std::env::set_current_dir(base)?;
            plan.mount(&source, &kind, &target)
        })?;
        return mounting
            .join()
            .unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()));
    }
    plan.mount(&mount.source, kind, target)
}

/// Options as the system call takes them.
struct Plan {
    flags: MountFlags,
    recursive: bool,
    bind: bool,
    data: Vec<String>,
}

impl Plan {
    fn new(options: &[String]) -> Self {
        let mut plan = Self {
            flags: MountFlags::empty(),
            recursive: false,
            bind: false,
            data: Vec::new(),
        };
        for option in options {
            match option.as_str() {
                "bind" => plan.bind = true,
                "rbind" => (plan.bind, plan.recursive) = (true, true),
                "defaults" | "loop" => {}
                other => match flag(other) {
                    Some((flag, true)) => plan.flags |= flag,
                    Some((flag, false)) => plan.flags -= flag,
                    None => plan.data.push(other.to_owned()),
                },
            }
        }
        plan
    }

    /// Names lower layers from the folder that holds them all; that folder.
    fn shorten(&mut self) -> PathBuf {
        let Some(lower) = self
            .data
            .iter_mut()
            .find(|option| option.starts_with("lowerdir="))
        else {
            return "/".into();
        };
        let layers: Vec<_> = lower
            .trim_start_matches("lowerdir=")
            .split(':')
            .map(Path::new)
            .collect();
        let mut base = layers
            .first()
            .and_then(|layer| layer.parent())
            .unwrap_or(Path::new("/"));
        while !layers.iter().all(|layer| layer.starts_with(base)) {
            base = base.parent().unwrap_or(Path::new("/"));
        }
        let base = base.to_owned();
        let short = layers
            .iter()
            .map(|layer| layer.strip_prefix(&base).unwrap_or(layer).to_string_lossy());
        *lower = format!("lowerdir={}", short.collect::<Vec<_>>().join(":"));
        base
    }

    fn mount(&self, source: &str, kind: &str, target: &Path) -> std::io::Result<()> {
        let data = CString::new(self.data.join(","))?;
        if !self.bind {
            return Ok(rustix::mount::mount(
                source,
                target,
                kind,
                self.flags,
                data.as_c_str(),
            )?);
        }
        if self.recursive {
            rustix::mount::mount_bind_recursive(source, target)?;
        } else {
            rustix::mount::mount_bind(source, target)?;
        }
        if !self.flags.is_empty() {
            // A bind mount takes its flags in a second step only.
            rustix::mount::mount_remount(target, MountFlags::BIND | self.flags, c"")?;
        }
        Ok(())
    }
}

/// The flag of an option, and whether it sets or clears it.
fn flag(option: &str) -> Option<(MountFlags, bool)> {
    Some(match option {
        "ro" => (MountFlags::RDONLY, true),
        "rw" => (MountFlags::RDONLY, false),
        "nosuid" => (MountFlags::NOSUID, true),
        "suid" => (MountFlags::NOSUID, false),
        "nodev" => (MountFlags::NODEV, true),
        "dev" => (MountFlags::NODEV, false),
        "noexec" => (MountFlags::NOEXEC, true),
        "exec" => (MountFlags::NOEXEC, false),
        "sync" => (MountFlags::SYNCHRONOUS, true),
        "async" => (MountFlags::SYNCHRONOUS, false),
        "dirsync" => (MountFlags::DIRSYNC, true),
        "noatime" => (MountFlags::NOATIME, true),
        "atime" => (MountFlags::NOATIME, false),
        "nodiratime" => (MountFlags::NODIRATIME, true),
        "diratime" => (MountFlags::NODIRATIME, false),
        "relatime" => (MountFlags::RELATIME, true),
        "norelatime" => (MountFlags::RELATIME, false),
        "strictatime" => (MountFlags::STRICTATIME, true),
        "nostrictatime" => (MountFlags::STRICTATIME, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(options: &[&str]) -> Plan {
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        Plan::new(&options)
    }

    #[test]
    fn options_become_flags_and_data() {
        let one = plan(&["rbind", "ro", "nosuid", "suid", "defaults"]);
        assert!(one.bind && one.recursive && one.data.is_empty());
        assert_eq!(one.flags, MountFlags::RDONLY);
        let other = plan(&["index=off", "workdir=/w", "rw"]);
        assert!(!other.bind && other.flags.is_empty());
        assert_eq!(other.data, ["index=off", "workdir=/w"]);
    }

    #[test]
    fn many_layers_are_named_from_where_they_all_are() {
        let mut many = plan(&[
            "workdir=/w",
            "lowerdir=/s/10/fs:/s/9/fs:/s/other/8/fs",
            "upperdir=/s/11/fs",
        ]);
        assert_eq!(many.shorten(), Path::new("/s"));
        assert_eq!(many.data[1], "lowerdir=10/fs:9/fs:other/8/fs");
        assert_eq!(many.data[2], "upperdir=/s/11/fs");
        let mut one = plan(&["lowerdir=/s/1/fs"]);
        assert_eq!(
            (one.shorten(), one.data.as_slice()),
            ("/s/1".into(), ["lowerdir=fs".to_owned()].as_slice())
        );
    }
}
