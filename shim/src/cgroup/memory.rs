//! What a cgroup knows of memory: limits, peaks, and who was killed for want of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use longshore_protocol::exit_record::Memory;

use super::{Cgroup, number, read, value};

/// Version 1 says this or more where there is no limit: the largest number of whole pages.
const NO_LIMIT: u64 = i64::MAX as u64 / 65536 * 65536;

impl Cgroup {
    /// What is known of its memory; none where it has no memory controller.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        if let Some(folder) = self.unified() {
            let events = read(&folder.join("memory.events"))?;
            return Some(Memory {
                oom_kills: value(&events, "oom_kill").unwrap_or_default(),
                own_limit_ooms: value(&events, "oom"),
                limit: number(&folder.join("memory.max")),
                peak: number(&folder.join("memory.peak")),
            });
        }
        let folder = self.controller("memory")?;
        // Version 1 counts a kill in the victim's own cgroup only.
        let mut oom_kills = 0;
        super::each_below(folder, &mut |folder| {
            let control = read(&folder.join("memory.oom_control")).unwrap_or_default();
            oom_kills += value(&control, "oom_kill").unwrap_or_default();
        });
        Some(Memory {
            oom_kills,
            own_limit_ooms: None,
            limit: number(&folder.join("memory.limit_in_bytes")).filter(|limit| *limit < NO_LIMIT),
            peak: number(&folder.join("memory.max_usage_in_bytes")),
        })
    }

    /// A descriptor that can be read whenever the kernel has been short of memory in it.
    ///
    /// # Errors
    /// As the system has it; there may be no memory controller.
    pub fn watch_oom(&self) -> std::io::Result<OomWatch> {
        if let Some(folder) = self.unified() {
            return OomWatch::by_inotify(&folder.join("memory.events"));
        }
        let folder = self.controller("memory").ok_or(std::io::ErrorKind::NotFound)?;
        OomWatch::by_eventfd(folder)
    }
}

/// Tells that memory was short.
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    /// The file that it is about: when that has gone, so has the cgroup.
    file: PathBuf,
}

impl OomWatch {
    pub(crate) fn by_inotify(file: &Path) -> std::io::Result<Self> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let fd = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        add_watch(&fd, file, WatchFlags::MODIFY)?;
        Ok(Self {
            fd,
            file: file.to_owned(),
        })
    }

    fn by_eventfd(folder: &Path) -> std::io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        use std::os::fd::AsRawFd as _;
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let path = folder.join("memory.oom_control");
        let control = std::fs::File::open(&path)?;
        let line = format!("{} {}", fd.as_raw_fd(), control.as_raw_fd());
        std::fs::write(folder.join("cgroup.event_control"), line)?;
        Ok(Self { fd, file: path })
    }

    /// Takes what was told; false if the cgroup has gone and nothing more will come.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut buffer = [0; 512];
        while rustix::io::read(&self.fd, &mut buffer).is_ok_and(|count| count > 0) {}
        self.file.exists()
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
