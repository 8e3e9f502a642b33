//! Network namespaces that outlive their maker: kept by a bind mount of the kernel's file.
//!
//! A thread of its own makes each one, since `unshare` moves the thread that calls it, and a thread of the runtime's
//! pool must never be elsewhere.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{FsType, statfs};

use super::NetworkError;
use super::files::{failed, make_folder};
use crate::files::{absent_is_none, unmount};

/// The file of a thread's own network namespace.
const OWN: &str = "/proc/thread-self/ns/net";
/// What `statfs` says of a namespace's file (`NSFS_MAGIC` of linux/magic.h).
const NSFS: FsType = FsType(0x6e73_6673);
/// What Docker sets in a container's namespace, and images count on: any user may bind port 80, and may ping.
const SYSCTLS: [(&str, &str); 2] = [
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
];

/// Makes a namespace and mounts it at `path`, which must be free.
pub(super) fn create(path: &Path) -> Result<(), NetworkError> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(path)
        .map_err(failed("cannot make the namespace's file", path))?;
    let enter_and_keep = || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        for (sysctl, value) in SYSCTLS {
            // Older kernels lack them, and have nothing to allow.
            absent_is_none(fs::write(sysctl, value))?;
        }
        mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(())
    };
    std::thread::scope(|scope| {
        scope
            .spawn(enter_and_keep)
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that makes it panicked")))
    })
    .map_err(failed("cannot make the network namespace", path))
}

/// Whether a namespace is mounted at `path`; after a reboot only its plain file is left.
pub(super) fn is_mounted(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == NSFS)
}

/// Lets the namespace at `path` go, if there is one: it ends with its last process and mount.
pub(super) fn remove(path: &Path) -> Result<(), NetworkError> {
    unmount(path).map_err(failed("cannot unmount the network namespace", path))?;
    absent_is_none(fs::remove_file(path))
        .map(|_| ())
        .map_err(failed("cannot remove the namespace's file", path))
}
