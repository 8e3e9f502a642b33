//! What is in a group and everything below it: processes, evidence, and their end.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::{CgroupError, Cgroups, join};
use crate::model::CgroupVersion;

/// What a group tells of the life of its processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How many of its processes the kernel has killed for memory, against whichever limit; `None` where nothing tells
    /// (the group has gone, or Linux is older than 4.13).
    pub memory_kills: Option<u64>,
    /// The most memory it had, in bytes.
    pub peak_memory: Option<u64>,
}

impl Cgroups {
    /// The processes in `path` (below the parent, such as `TASK/CONTAINER`) and below it, in any hierarchy.
    ///
    /// # Errors
    /// A list that is there can't be read.
    pub fn pids(&self, path: &str) -> Result<BTreeSet<i32>, CgroupError> {
        let mut pids = BTreeSet::new();
        for root in self.roots(path) {
            for folder in below(&root)? {
                let file = folder.join("cgroup.procs");
                let list = match fs::read_to_string(&file) {
                    // Of a threaded group (cgroup v2) there is no such list; its processes are in that of the group
                    // above, which is the container's at the latest.
                    Err(error) if folder != root && error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => {
                        continue;
                    }
                    list => present(list, "read", &file)?,
                };
                let Some(list) = list else {
                    continue;
                };
                // A 0 is a process of another PID namespace: not ours to see, and never to signal.
                pids.extend(
                    list.lines()
                        .filter_map(|line| line.parse::<i32>().ok())
                        .filter(|pid| *pid > 0),
                );
            }
        }
        Ok(pids)
    }

    /// Sends SIGKILL to everything in `path` and below it, and says who was there.
    ///
    /// # Errors
    /// As [`Cgroups::pids`]. That a process has gone meanwhile is none.
    pub fn kill(&self, path: &str) -> Result<BTreeSet<i32>, CgroupError> {
        if self.version == CgroupVersion::V2 {
            for root in self.roots(path) {
                // Linux 5.14: the kernel does it, and no fork escapes. Older ones lack the file.
                if fs::write(root.join("cgroup.kill"), "1").is_ok() {
                    return self.pids(path);
                }
            }
        }
        let pids = self.pids(path)?;
        let group = format!("{}/{path}", self.parent);
        for pid in &pids {
            signal_member(*pid, group.trim_end_matches('/'), Signal::KILL);
        }
        if self.version == CgroupVersion::V1 {
            // There a frozen process does not even die of SIGKILL.
            self.thaw(path)?;
        }
        Ok(pids)
    }

    /// Lets `path` and what is below it go on, if it is frozen: by `ctr task pause`, or by a runc that was killed while
    /// it signalled all processes (v1).
    ///
    /// # Errors
    /// What the kernel says, but for a group that has gone.
    pub fn thaw(&self, path: &str) -> Result<(), CgroupError> {
        let (name, thawed) = match self.version {
            CgroupVersion::V1 => ("freezer.state", "THAWED"),
            CgroupVersion::V2 => ("cgroup.freeze", "0"),
        };
        for root in self.roots(path) {
            for folder in below(&root)? {
                let file = folder.join(name);
                // Only one hierarchy has it.
                let state = present(fs::read_to_string(&file), "read", &file)?;
                if state.is_some_and(|state| state.trim() != thawed) {
                    present(fs::write(&file, thawed), "write", &file)?;
                    tracing::info!(group = %folder.display(), "was frozen, and goes on to get a signal");
                }
            }
        }
        Ok(())
    }

    /// Reads what a group tells, before it is removed.
    #[must_use]
    pub fn evidence(&self, path: &str) -> Evidence {
        let root = match self.version {
            CgroupVersion::V1 => self.controller("memory"),
            CgroupVersion::V2 => self
                .hierarchies
                .iter()
                .find(|one| one.version == CgroupVersion::V2),
        };
        let Some(root) = root else {
            return Evidence::default();
        };
        let group = join(&root.mount, &format!("{}/{path}", self.parent));
        let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
        match self.version {
            // v1 counts where the victim was, so the groups below count too.
            CgroupVersion::V1 => Evidence {
                memory_kills: below(&group)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|folder| field(&folder.join("memory.oom_control"), "oom_kill"))
                    .reduce(|one, other| one + other),
                peak_memory: number("memory.max_usage_in_bytes"),
            },
            CgroupVersion::V2 => Evidence {
                memory_kills: field(&group.join("memory.events"), "oom_kill"),
                peak_memory: number("memory.peak"),
            },
        }
    }

    /// Removes `path` and what is below it from all hierarchies.
    ///
    /// # Errors
    /// A process is left in one of them (`EBUSY`), or what else the kernel says.
    pub fn remove(&self, path: &str) -> Result<(), CgroupError> {
        for root in self.roots(path) {
            for folder in below(&root)?.iter().rev() {
                present(fs::remove_dir(folder), "remove", folder)?;
            }
        }
        Ok(())
    }

    /// Removes the parent itself, with everything below it: for an agent that leaves the machine.
    ///
    /// # Errors
    /// As [`Cgroups::remove`].
    pub fn remove_parent(&self) -> Result<(), CgroupError> {
        self.remove("")
    }

    pub(super) fn roots(&self, path: &str) -> impl Iterator<Item = PathBuf> {
        let path = format!("{}/{path}", self.parent);
        self.hierarchies
            .iter()
            .map(move |one| join(&one.mount, path.trim_end_matches('/')))
    }
}

/// A folder and all below it, parents first; none if it isn't there.
pub(super) fn below(root: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let mut folders = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let Some(entries) = present(fs::read_dir(&folder), "list", &folder)? else {
            continue;
        };
        let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        open.extend(entries.flatten().filter(is_folder).map(|entry| entry.path()));
        folders.push(folder);
    }
    Ok(folders)
}

/// `None` where the group has gone, before or meanwhile (then its files answer ENODEV).
pub(super) fn present<T>(
    result: io::Result<T>,
    what: &'static str,
    path: &Path,
) -> Result<Option<T>, CgroupError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(None),
        Err(error) => Err(CgroupError::io(what, path)(error)),
    }
}

/// The number after `name` in a file of `name number` lines.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let number = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(number)
}

/// Signals a process if it is in the group still: its number may have gone to a stranger since the list was read, and a
/// pidfd holds on to the one that was checked. Linux before 5.3 has none; there the gap is a few microseconds.
pub(super) fn signal_member(pid: i32, group: &str, signal: Signal) {
    let Some(target) = Pid::from_raw(pid) else {
        return;
    };
    let process = pidfd_open(target, PidfdFlags::empty());
    if !is_member(pid, group) {
        return;
    }
    let killed = match process {
        Ok(process) => pidfd_send_signal(&process, signal),
        Err(Errno::NOSYS) => kill_process(target, signal),
        // It has gone.
        Err(_) => return,
    };
    tracing::debug!(
        pid,
        group,
        ?signal,
        ?killed,
        "signalled what was left in a cgroup"
    );
}

fn is_member(pid: i32, group: &str) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    groups.lines().any(|line| {
        let path = line.splitn(3, ':').nth(2).unwrap_or_default();
        // Where the hierarchy's root is a group itself, as in a container, its path comes first.
        path.split_once(group)
            .is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory.events");
        fs::write(&file, "oom_kill_disable 7\noom 1\noom_kill 2\n").unwrap();
        assert_eq!(field(&file, "oom_kill"), Some(2));
        assert_eq!(field(&file, "max"), None);
        assert_eq!(field(&folder.path().join("none"), "oom"), None);
    }

    #[test]
    fn folders_are_listed_parents_first_and_absence_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a");
        assert!(below(&root).unwrap().is_empty());
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(
            below(&root).unwrap(),
            [root.clone(), root.join("b"), root.join("b/c")]
        );
    }

    #[test]
    fn a_process_that_is_in_no_such_group_is_left_alone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        signal_member(
            i32::try_from(child.id()).unwrap(),
            "/longshore/none",
            Signal::KILL,
        );
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
