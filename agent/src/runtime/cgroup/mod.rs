//! Control groups: where they are on this machine, and what a task's is given.
//!
//! A task's cgroup is `PARENT/TASK` in every hierarchy, its containers' are below it and made by the OCI runtime
//! (cgroupfs driver). On cgroup v1 each controller has a hierarchy; a hybrid machine has an empty v2 one beside them, in
//! which the runtime makes groups too, so it is cleaned like the others.
//!
//! Invariants: nothing outside of `PARENT` is touched but the list of enabled controllers above it (v2); on v2 no process
//! is ever put into `PARENT` or a task's own group, as inner nodes must have none.

mod nest;
mod tree;

use std::io;
use std::path::{Path, PathBuf};

use crate::model::CgroupVersion;

pub use nest::Mark;
#[cfg(test)]
pub use tests::unified;
pub use tree::Evidence;

/// Microseconds over which the quota of a task is counted: the kernel's default.
const CPU_PERIOD: u64 = 100_000;
/// Microseconds; the kernel takes no less.
const LEAST_QUOTA: u64 = 1_000;
/// The most shares that the kernel takes.
const MOST_SHARES: u64 = 262_144;

/// Those of v1 that limits or proofs are made with; a mount's options name others and more beside them.
const V1_CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "freezer"];

/// A control group that could not be made, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The kernel has no such controller, or has it switched off.
    #[error(
        "this machine's kernel has no cgroup controller {controller}, which {what} needs; if /proc/cgroups shows it \
         disabled, boot with cgroup_enable={controller}"
    )]
    Controller {
        /// Its name.
        controller: &'static str,
        /// What can't be had without it.
        what: &'static str,
    },
    /// No cgroup file system is mounted.
    #[error("no cgroup file system is mounted; mount cgroup2 on /sys/fs/cgroup")]
    NotMounted,
    /// The folder of all tasks would be a machine's own group.
    #[error("LONGSHORE_CGROUP_PARENT {0:?} must be an absolute path below /, such as /longshore")]
    Parent(String),
    /// The kernel refused.
    #[error("cgroup: {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's words.
        source: io::Error,
    },
}

impl CgroupError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// What a task as a whole may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLimits {
    /// CPU units, 1024 a core: a hard quota.
    pub cpu: Option<u64>,
    /// CPU shares relative to other tasks, where there is no quota.
    pub shares: u64,
    /// Bytes: a hard limit.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// One tree of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    version: CgroupVersion,
    /// On v1; on v2 they are listed in files.
    controllers: Vec<String>,
}

/// The control groups of this machine that are below one parent.
#[derive(Clone, Debug)]
pub struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    version: CgroupVersion,
    parent: String,
}

impl Cgroups {
    /// Finds the hierarchies that this process sees. Makes nothing.
    ///
    /// # Errors
    /// [`CgroupError::NotMounted`], [`CgroupError::Parent`], or the mount table can't be read.
    pub fn detect(parent: &str) -> Result<Self, CgroupError> {
        let path = Path::new("/proc/self/mountinfo");
        let table = std::fs::read_to_string(path).map_err(CgroupError::io("read", path))?;
        Self::from_mountinfo(&table, parent)
    }

    /// From a mount table as `/proc/self/mountinfo` has it.
    fn from_mountinfo(table: &str, parent: &str) -> Result<Self, CgroupError> {
        let clean = parent
            .split('/')
            .skip(1)
            .all(|part| !matches!(part, "" | "." | ".."));
        if !parent.starts_with('/') || !clean {
            return Err(CgroupError::Parent(parent.to_owned()));
        }
        let mut seen = Vec::new();
        let mut hierarchies = Vec::new();
        for (device, hierarchy) in table.lines().filter_map(hierarchy) {
            // One hierarchy can be mounted twice; runtimes take the first.
            if !seen.contains(&device) {
                seen.push(device);
                hierarchies.push(hierarchy);
            }
        }
        // A v1 hierarchy with a name alone (systemd's) manages nothing.
        let manages = |hierarchy: &Hierarchy| {
            hierarchy
                .controllers
                .iter()
                .any(|name| V1_CONTROLLERS.contains(&&**name))
        };
        let version = match hierarchies.iter().any(manages) {
            true => CgroupVersion::V1,
            false => CgroupVersion::V2,
        };
        if hierarchies.is_empty() {
            return Err(CgroupError::NotMounted);
        }
        Ok(Self {
            hierarchies,
            version,
            parent: parent.to_owned(),
        })
    }

    /// Which interface manages processes.
    #[must_use]
    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    /// The group above all tasks.
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// Makes the group of a task, or sets the limits of the one that is there.
    ///
    /// # Errors
    /// [`CgroupError::Controller`] where a limit can't be kept, or what the kernel says.
    pub fn create_task(&self, task: &str, limits: &TaskLimits) -> Result<(), CgroupError> {
        let path = format!("{}/{task}", self.parent);
        match self.version {
            CgroupVersion::V1 => self.create_v1(&path, limits),
            CgroupVersion::V2 => self.create_v2(&path, limits),
        }
    }

    fn create_v1(&self, path: &str, limits: &TaskLimits) -> Result<(), CgroupError> {
        if let Some(group) = self.controller("memory") {
            let parent = join(&group.mount, &self.parent);
            make(&parent)?;
            // Before Linux 5.11 a limit counted only a group's own processes unless this was set before the group had
            // children. Newer kernels have it always on, and refuse or lack the file.
            let _: Result<(), io::Error> = std::fs::write(parent.join("memory.use_hierarchy"), "1");
            make(&join(&group.mount, path))?;
        }
        if let Some(bytes) = limits.memory {
            let folder = self.required("memory", "a memory limit of a task", path)?;
            write(&folder.join("memory.limit_in_bytes"), bytes)?;
        }
        if let Some(units) = limits.cpu {
            let folder = self.required("cpu", "a cpu limit of a task", path)?;
            write(&folder.join("cpu.cfs_period_us"), CPU_PERIOD)?;
            write(&folder.join("cpu.cfs_quota_us"), quota(units))?;
        } else if let Some(group) = self.controller("cpu") {
            let folder = join(&group.mount, path);
            make(&folder)?;
            write(&folder.join("cpu.shares"), limits.shares.clamp(2, MOST_SHARES))?;
        }
        if let Some(pids) = limits.pids {
            let folder = self.required("pids", "ECS_TASK_PIDS_LIMIT", path)?;
            write(&folder.join("pids.max"), pids)?;
        }
        Ok(())
    }

    fn create_v2(&self, path: &str, limits: &TaskLimits) -> Result<(), CgroupError> {
        let Some(root) = self
            .hierarchies
            .iter()
            .find(|one| one.version == CgroupVersion::V2)
        else {
            return Err(CgroupError::NotMounted);
        };
        let mut folder = root.mount.clone();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            enable_controllers(&folder);
            folder.push(part);
            make(&folder)?;
        }
        // The containers' groups get theirs from here.
        enable_controllers(&folder);
        if let Some(bytes) = limits.memory {
            write_v2(&folder, "memory", "a memory limit of a task", "memory.max", bytes)?;
        }
        if let Some(units) = limits.cpu {
            let quota = format!("{} {CPU_PERIOD}", quota(units));
            write_v2(&folder, "cpu", "a cpu limit of a task", "cpu.max", quota)?;
        } else if folder.join("cpu.weight").exists() {
            write(&folder.join("cpu.weight"), weight(limits.shares))?;
        }
        if let Some(pids) = limits.pids {
            write_v2(&folder, "pids", "ECS_TASK_PIDS_LIMIT", "pids.max", pids)?;
        }
        Ok(())
    }

    /// The v1 hierarchy of a controller.
    fn controller(&self, name: &str) -> Option<&Hierarchy> {
        let has = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|one| one == name);
        self.hierarchies.iter().find(has)
    }

    /// The folder of a v1 group, made, under a controller that must be there.
    fn required(
        &self,
        controller: &'static str,
        what: &'static str,
        path: &str,
    ) -> Result<PathBuf, CgroupError> {
        let missing = CgroupError::Controller { controller, what };
        let folder = join(&self.controller(controller).ok_or(missing)?.mount, path);
        make(&folder)?;
        Ok(folder)
    }
}

/// A line of the mount table: the device that tells hierarchies apart, and the hierarchy.
fn hierarchy(line: &str) -> Option<(&str, Hierarchy)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ');
    let (device, mount) = (before.nth(2)?, before.nth(1)?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let version = match kind {
        "cgroup" => CgroupVersion::V1,
        "cgroup2" => CgroupVersion::V2,
        _ => return None,
    };
    let controllers = match version {
        CgroupVersion::V1 => options.split(',').map(str::to_owned).collect(),
        CgroupVersion::V2 => Vec::new(),
    };
    let mount = PathBuf::from(mount.replace("\\040", " "));
    Some((
        device,
        Hierarchy {
            mount,
            version,
            controllers,
        },
    ))
}

/// Turns on below `folder` what can be turned on. What is needed and missing shows when its file is written.
fn enable_controllers(folder: &Path) {
    let available = std::fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        // One by one: a single refusal (cpu beside real-time processes, say) must not cost the others.
        let enabled = std::fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
        if let Err(error) = enabled {
            tracing::debug!(controller, folder = %folder.display(), %error, "controller not enabled");
        }
    }
}

/// Units as microseconds of a period.
fn quota(units: u64) -> u64 {
    (units.saturating_mul(CPU_PERIOD) / 1024).max(LEAST_QUOTA)
}

/// Shares (2 to 262144) on v2's scale (1 to 10000), as runtimes translate them.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, MOST_SHARES) - 2) * 9_999 / (MOST_SHARES - 2)
}

fn join(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

fn make(folder: &Path) -> Result<(), CgroupError> {
    std::fs::create_dir_all(folder).map_err(CgroupError::io("make", folder))
}

fn write(file: &Path, value: impl std::fmt::Display) -> Result<(), CgroupError> {
    std::fs::write(file, value.to_string()).map_err(CgroupError::io("write", file))
}

fn write_v2(
    folder: &Path,
    controller: &'static str,
    what: &'static str,
    file: &str,
    value: impl std::fmt::Display,
) -> Result<(), CgroupError> {
    let file = folder.join(file);
    if !file.exists() {
        return Err(CgroupError::Controller { controller, what });
    }
    write(&file, value)
}

#[cfg(test)]
mod tests;
