//! A container's cgroup: finding it, emptying it, what it knows of memory, its metrics. Version 1, 2 and both at once.
//!
//! Invariants:
//! - What is asked of a cgroup goes for the cgroups inside it too.
//! - Processes are killed only in a cgroup that was the container's alone when it was made: one that it shares with
//!   others ([`Cgroup::is_own`]) is never emptied.
//!
//! Limits: a process that its cgroup has let go of (which only someone with rights over cgroups can bring about) is not
//! found.

mod find;
mod kill;
mod memory;
mod stats_v1;
mod stats_v2;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use find::{FindError, Mounts};
pub use kill::Emptied;
pub use memory::OomWatch;

/// Where a container is in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Controllers of version 1; empty for version 2.
    pub controllers: Vec<String>,
    /// The cgroup's folder.
    pub folder: PathBuf,
}

/// A container's cgroup in all hierarchies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    places: Vec<Place>,
    own: bool,
}

impl Cgroup {
    /// Whether nobody else was in it when the container was made.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Its folder on version 2, if controllers are there: not where version 2 is only mounted beside version 1.
    fn unified(&self) -> Option<&Path> {
        match self.places.as_slice() {
            [only] if only.controllers.is_empty() => Some(&only.folder),
            _ => None,
        }
    }

    /// Its folder for a controller of version 1.
    fn controller(&self, name: &str) -> Option<&Path> {
        let has = |place: &&Place| place.controllers.iter().any(|controller| controller == name);
        self.places.iter().find(has).map(|place| place.folder.as_path())
    }

    /// Every process in it.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for place in &self.places {
            each_below(&place.folder, &mut |folder| found.extend(processes_of(folder)));
        }
        found
    }

    /// Sends a signal to every process in it; false if there was none.
    pub fn signal(&self, signal: rustix::process::Signal) -> bool {
        let mut any = false;
        for pid in self.processes() {
            any |= kill::signal(pid, signal);
        }
        any
    }
}

/// The processes of one folder; none of a folder that is not there.
fn processes_of(folder: &Path) -> Vec<i32> {
    let text = read(&folder.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process of another pid namespace, which has no number here.
    text.lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 0)
        .collect()
}

/// Calls for a folder and those below it, which are cgroups too. A container may nest them as deep as it likes, so this
/// takes neither stack nor descriptors for that.
fn each_below(folder: &Path, each: &mut impl FnMut(&Path)) {
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        each(&folder);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        left.extend(folders.map(|entry| entry.path()));
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// A file that is one number; `max`, and what version 1 has for it, is none.
fn number(path: &Path) -> Option<u64> {
    read(path)?.trim().parse().ok()
}

/// The value of a line `KEY VALUE`.
fn value(text: &str, key: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
