//! host-local's leases: in the folder of a bridge's network a file an address, with the container's id as its first
//! line, beside a lock and a cursor.
//!
//! The plugin writes and removes them; here they are read, and mended where it was killed in the middle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::NetworkError;
use super::files::{failed, names};
use crate::config::NetworkConfig;
use crate::files::absent_is_none;
use crate::model::ContainerId;

/// What host-local locks while it looks for an address and writes the lease.
const LOCK: &str = "lock";

/// The containers of this agent that host-local has addresses for.
pub(super) fn held(network: &NetworkConfig) -> Result<BTreeMap<ContainerId, Vec<IpAddr>>, NetworkError> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for (address, path) in files(network)? {
        let holder = absent_is_none(holder(&path)).map_err(failed("cannot read", &path))?;
        // Others' containers are named otherwise.
        if let Some(Ok(container)) = holder.map(|holder| holder.parse()) {
            found.entry(container).or_default().push(address);
        }
    }
    Ok(found)
}

/// Removes leases that name nobody: host-local was killed between making and writing them, so no DEL would ever give
/// them back. While it works on others they stay until the next time.
pub(super) fn remove_nameless(network: &NetworkConfig) -> Result<(), NetworkError> {
    let lock = dir(network).join(LOCK);
    let Some(lock) = absent_is_none(File::open(&lock)).map_err(failed("cannot open", &lock))? else {
        return Ok(());
    };
    if lock.try_lock().is_err() {
        return Ok(());
    }
    for (_, path) in files(network)? {
        let holder = absent_is_none(holder(&path)).map_err(failed("cannot read", &path))?;
        if holder.is_some_and(|holder| holder.is_empty()) {
            absent_is_none(std::fs::remove_file(&path)).map_err(failed("cannot remove", &path))?;
        }
    }
    Ok(())
}

fn dir(network: &NetworkConfig) -> PathBuf {
    network.ipam_dir.join(&network.bridge)
}

fn files(network: &NetworkConfig) -> Result<Vec<(IpAddr, PathBuf)>, NetworkError> {
    let dir = dir(network);
    let files = names(&dir)?.into_iter();
    Ok(files
        .filter_map(|name| Some((name.parse().ok()?, dir.join(name))))
        .collect())
}

fn holder(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
