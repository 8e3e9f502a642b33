//! `delete`: what containerd calls when a shim has died. Kills what is left of a container and takes everything away.

use std::path::Path;
use std::time::Duration;

use crate::api::task::{DeleteResponse, Options};
use crate::api::timestamp;
use crate::bundle::{Config, Notes, read_address};
use crate::command::Arguments;
use crate::logger::chain;
use crate::reaper::Reaper;
use crate::runtime::{On, Runtime};
use crate::start::{StartError, bundle};
use crate::{clock, records, rootfs, sockets};

/// How long processes may take to die.
const DEATH: Duration = Duration::from_secs(10);
/// What is said where nobody saw the exit: that SIGKILL ended it.
const KILLED: u32 = 137;

/// What is left after a clean-up.
#[derive(Debug)]
pub struct Deleted {
    /// What containerd is told.
    pub response: DeleteResponse,
    /// What could not be done; all else was.
    pub faults: Vec<String>,
}

/// Cleans up after a container. What fails is noted, and the rest is done all the same.
///
/// # Errors
/// [`StartError`] if not even the bundle is known.
pub fn delete(arguments: &Arguments) -> Result<Deleted, StartError> {
    let bundle = bundle(arguments)?;
    let mut faults = Vec::new();
    let notes = Notes::read(&bundle).unwrap_or_else(|| from_config(arguments, &bundle));
    if let Some(cgroup) = &notes.cgroup
        && let crate::cgroup::Emptied::Undead(pids) = cgroup.empty(DEATH)
    {
        faults.push(format!("processes {pids:?} do not die of SIGKILL"));
    }
    let on = On {
        bundle: &bundle,
        id: &arguments.id,
    };
    if let Err(error) = notes.runtime.delete(&Reaper::default(), on, true) {
        faults.push(chain(&error));
    }
    if let Err(error) = rootfs::unmount(&bundle.join("rootfs")) {
        faults.push(chain(&error));
    }
    remove_socket(&bundle);
    // The shim may have seen the exit before it died.
    let record = notes
        .exits
        .as_deref()
        .and_then(|folder| records::read(folder, &arguments.id));
    let (status, at) = match record.filter(|record| record.undead.is_empty()) {
        Some(record) => (record.status, record.exited_at.wall),
        None => (KILLED, clock::wall()),
    };
    Ok(Deleted {
        response: DeleteResponse {
            pid: notes.pid,
            exit_status: status,
            exited_at: Some(timestamp(at)),
        },
        faults,
    })
}

/// What would have been noted, of a shim that died before it could.
fn from_config(arguments: &Arguments, bundle: &Path) -> Notes {
    let config = Config::read(bundle).unwrap_or_default();
    Notes {
        runtime: Runtime::new(&arguments.namespace, &config, &Options::default()),
        exits: config.exits().map(Path::to_owned),
        pid: 0,
        cgroup: None,
    }
}

fn remove_socket(bundle: &Path) {
    let address = read_address(bundle).unwrap_or_default();
    if let Some(path) = address.trim().strip_prefix("unix://")
        && let Ok(_lock) = sockets::lock(Path::new(sockets::FOLDER), sockets::LOCK)
    {
        sockets::remove_if_dead(Path::new(path));
    }
}
