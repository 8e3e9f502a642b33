//! From a process to the folders of its cgroup.

use std::path::{Path, PathBuf};

use super::{Cgroup, Place};

/// A cgroup that can't be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// A file of `/proc` can't be read: the process has gone.
    #[error("can't read {path}: the process has ended")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is in no cgroup of its own.
    #[error("process {0} is in no cgroup below one that is mounted: give the container a cgroupsPath")]
    None(i32),
}

/// Where hierarchies are mounted.
#[derive(Debug, Clone, Default)]
pub struct Mounts(Vec<Mount>);

#[derive(Debug, Clone)]
struct Mount {
    /// Controllers of version 1; empty for version 2.
    options: Vec<String>,
    unified: bool,
    /// Which cgroup the mount point shows.
    root: String,
    point: PathBuf,
}

impl Mounts {
    /// Reads them from the text of a `mountinfo` file.
    #[must_use]
    pub fn parse(mountinfo: &str) -> Self {
        Self(mountinfo.lines().filter_map(Mount::parse).collect())
    }

    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::parse(&super::read(Path::new("/proc/self/mountinfo")).unwrap_or_default())
    }

    /// The folders of the cgroups in the text of a process's `cgroup` file. `ours` is the text of this process: a
    /// hierarchy in which both are at one place is none that the runtime has used.
    #[must_use]
    pub fn places(&self, text: &str, ours: &str) -> Vec<Place> {
        let (text, ours) = (memberships(text), memberships(ours));
        let used = text
            .iter()
            .filter(|line| line.path != "/" && !ours.contains(line));
        used.filter_map(|line| self.place(line)).collect()
    }

    fn place(&self, line: &Membership<'_>) -> Option<Place> {
        let mounts = self.0.iter().filter(|mount| {
            if line.controllers.is_empty() {
                mount.unified
            } else {
                let mounted = |name: &&str| mount.options.iter().any(|option| option == name);
                !mount.unified && line.controllers.iter().all(mounted)
            }
        });
        // A hierarchy may be mounted more than once, and not all of it everywhere.
        let shown = |mount: &Mount| {
            let below = Path::new(line.path).strip_prefix(&mount.root).ok()?;
            Some(mount.point.join(below))
        };
        let mut folders = mounts.filter_map(shown);
        Some(Place {
            controllers: line.controllers.iter().map(|&name| name.to_owned()).collect(),
            folder: folders.next()?,
        })
    }
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        let kind = system.next()?;
        let options = system.nth(1)?;
        (kind == "cgroup" || kind == "cgroup2").then(|| Self {
            options: options.split(',').map(str::to_owned).collect(),
            unified: kind == "cgroup2",
            root: root.to_owned(),
            point: point.into(),
        })
    }
}

/// A line of `/proc/PID/cgroup`.
#[derive(PartialEq)]
struct Membership<'a> {
    controllers: Vec<&'a str>,
    path: &'a str,
}

fn memberships(text: &str) -> Vec<Membership<'_>> {
    text.lines().filter_map(Membership::parse).collect()
}

impl<'a> Membership<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        Some(Self {
            controllers: controllers.split(',').filter(|name| !name.is_empty()).collect(),
            path,
        })
    }
}

impl Cgroup {
    /// The cgroup of a process that has just been made and is alone in it.
    ///
    /// # Errors
    /// [`FindError`].
    pub fn of(pid: i32, mounts: &Mounts) -> Result<Self, FindError> {
        let text =
            |path: PathBuf| std::fs::read_to_string(&path).map_err(|source| FindError::Read { path, source });
        let theirs = text(format!("/proc/{pid}/cgroup").into())?;
        let ours = text("/proc/self/cgroup".into())?;
        let places = mounts.places(&theirs, &ours);
        if places.is_empty() {
            return Err(FindError::None(pid));
        }
        let mut cgroup = Self { places, own: false };
        cgroup.own = cgroup.processes().iter().all(|other| *other == pid);
        Ok(cgroup)
    }
}
