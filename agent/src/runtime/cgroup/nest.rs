//! Groups inside a container's: what a session's processes are told apart and ended by.
//!
//! On v2 such a group has no controllers, so the container's own group stays a leaf of those, and may hold processes
//! beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::tree::{below, present, signal_member};
use super::{CgroupError, Cgroups, make};

/// What a v1 group of CPUs must be told before it takes processes: the same as the one above it.
const CPUSETS: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

impl Cgroups {
    /// Makes the group `name` inside `path`, in every hierarchy in which that is.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn nest(&self, path: &str, name: &str) -> Result<(), CgroupError> {
        for root in self.roots(path).filter(|root| root.is_dir()) {
            let folder = root.join(name);
            make(&folder)?;
            for file in CPUSETS {
                let above = fs::read_to_string(root.join(file)).unwrap_or_default();
                if !above.trim().is_empty() {
                    present(fs::write(folder.join(file), above.trim()), "write", &folder)?;
                }
            }
        }
        Ok(())
    }

    /// Moves a process into the group `name` inside `path`, wherever that is. One that has ended needs none.
    ///
    /// # Errors
    /// It is in none of them now, though it is there.
    pub fn enter(&self, path: &str, name: &str, pid: u32) -> Result<(), CgroupError> {
        let (mut entered, mut refused) = (false, None);
        for root in self.roots(path) {
            let file = root.join(name).join("cgroup.procs");
            match fs::write(&file, pid.to_string()) {
                Ok(()) => entered = true,
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => refused = Some(CgroupError::io("write", &file)(source)),
            }
        }
        match refused {
            Some(error) if !entered => Err(error),
            Some(error) => {
                tracing::debug!(%error, "a process is not in all of its groups");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Sends a signal to everything in `path/name` and below it, and to what is in `path` and has `mark` in its
    /// environment; says who that was.
    ///
    /// # Errors
    /// As [`Cgroups::pids`].
    pub fn signal(
        &self,
        path: &str,
        name: &str,
        mark: &str,
        signal: Signal,
    ) -> Result<BTreeSet<i32>, CgroupError> {
        let mut pids = self.pids(&format!("{path}/{name}"))?;
        let all = self.pids(path)?;
        pids.extend(all.into_iter().filter(|pid| is_marked(*pid, mark)));
        let group = format!("{}/{path}", self.parent);
        for pid in &pids {
            signal_member(*pid, &group, signal);
        }
        Ok(pids)
    }

    /// The names of the groups right inside `path` that begin with `prefix`.
    ///
    /// # Errors
    /// A folder can't be listed.
    pub fn nested(&self, path: &str, prefix: &str) -> Result<BTreeSet<String>, CgroupError> {
        let mut names = BTreeSet::new();
        for root in self.roots(path) {
            let folders = below(&root)?;
            let inside = folders.iter().filter(|folder| folder.parent() == Some(&root));
            let name = |folder: &Path| Some(folder.file_name()?.to_str()?.to_owned());
            names.extend(
                inside
                    .filter_map(|folder| name(folder))
                    .filter(|name| name.starts_with(prefix)),
            );
        }
        Ok(names)
    }
}

/// Whether a process was started with this line in its environment. One that has set its own is not told by it.
fn is_marked(pid: i32, mark: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|line| line == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_what_it_was_started_with() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("MARK", "1")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Until then it has this process's environment.
        let began = || {
            fs::read(format!("/proc/{pid}/cmdline"))
                .unwrap()
                .starts_with(b"sleep")
        };
        while !began() {
            std::thread::yield_now();
        }
        assert!(is_marked(pid, "MARK=1"));
        assert!(!is_marked(pid, "MARK="));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_marked(pid, "MARK=1"));
    }
}
