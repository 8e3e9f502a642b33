//! Where shims listen, and who may listen there: one shim for each group of containers.
//!
//! Invariant: whether a shim is there is decided under one lock, which `start` commands and shims that end both take. So
//! two `start` commands of one group end up with one shim, and none is handed the address of one that is about to go.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use crate::api::task::{Empty, StateRequest};
use crate::clock;
use crate::service::{EXPECT, OWN_SERVICE};
use crate::ttrpc::Code;
use crate::ttrpc::client::{CallError, Client};

/// The folder of all shims' sockets, containerd's own choice.
pub const FOLDER: &str = "/run/containerd/s";
/// How long the lock is waited for, where nothing else is to be done: it is held for as long as a shim takes to answer.
pub const LOCK: Duration = Duration::from_secs(15);
/// How long a shim may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A socket that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A file can't be used.
    #[error("can't use {path} for a shim's socket")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Someone holds the lock.
    #[error("{0} is locked by another shim that starts or ends: see what it hangs on")]
    Locked(PathBuf),
    /// A shim is there and does not answer.
    #[error("the shim at {path} does not answer: end it if it hangs")]
    Silent {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: CallError,
    },
}

/// The socket of a group's shim.
#[must_use]
pub fn path(folder: &Path, containerd: &str, namespace: &str, group: &str) -> PathBuf {
    // No part has a line break, so that no two groups share one name.
    let name = format!("{containerd}\n{namespace}\n{group}");
    folder.join(format!(
        "longshore-{}",
        Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple()
    ))
}

/// An address as containerd has it.
#[must_use]
pub fn address(path: &Path) -> String {
    format!("unix://{}", path.display())
}

/// The right to decide; released when dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

/// Waits for the right to decide, about all sockets in a folder, for [`LOCK`] or less.
///
/// # Errors
/// [`SocketError`].
pub fn lock(folder: &Path, within: Duration) -> Result<Lock, SocketError> {
    let file = |source| SocketError::File {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(file)?;
    let open = File::open(folder).map_err(file)?;
    let until = clock::monotonic() + within;
    while flock(&open, FlockOperation::NonBlockingLockExclusive).is_err() {
        if clock::monotonic() >= until {
            return Err(SocketError::Locked(folder.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(Lock(open))
}

/// What there is at a socket.
#[derive(Debug)]
pub enum Found {
    /// A shim, which knows now that the container will come.
    Shim,
    /// Nobody; here is a listener, for whoever becomes the shim.
    Free(UnixListener),
}

/// Finds the shim that shall have a container, or makes the socket of a new one. Call it under the [`lock`].
///
/// # Errors
/// [`SocketError`].
pub fn find(path: &Path, container: &str) -> Result<Found, SocketError> {
    if announce(path, container)? {
        return Ok(Found::Shim);
    }
    let file = |source| SocketError::File {
        path: path.to_owned(),
        source,
    };
    // What is left of a shim that was killed.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(file)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(file)?;
    Ok(Found::Free(listener))
}

/// Tells a shim that a container will come; false if nobody listens. Without the [`lock`] it may be about to go all the same.
///
/// # Errors
/// [`SocketError::Silent`].
pub fn announce(path: &Path, container: &str) -> Result<bool, SocketError> {
    let silent = |source| SocketError::Silent {
        path: path.to_owned(),
        source,
    };
    let mut client = match Client::connect(path, ANSWER) {
        Ok(client) => client,
        Err(error) if is_nobody(&error) => return Ok(false),
        Err(error) => return Err(silent(CallError::Broken(error))),
    };
    let request = StateRequest {
        id: container.to_owned(),
        exec_id: String::new(),
    };
    match client.call::<Empty>(OWN_SERVICE, EXPECT, &request) {
        // One that knows nothing of announcements is as good: it is only less sure to stay.
        Ok(_) => Ok(true),
        Err(error) if error.is(Code::Unimplemented) => Ok(true),
        // It went while we spoke to it: killed, for one that ends does so under the lock.
        Err(CallError::Broken(source)) if source.kind() != ErrorKind::WouldBlock => Ok(false),
        Err(source) => Err(silent(source)),
    }
}

/// Whether a connection failed since nobody listens. All else says nothing of that: a shim that lost its socket to
/// another one could not be found again.
fn is_nobody(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// Removes a socket that nobody listens at. Call it under the [`lock`].
pub fn remove_if_dead(path: &Path) {
    if Client::connect(path, ANSWER).is_err_and(|error| is_nobody(&error)) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_shims_socket_is_taken_over_and_a_silent_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), "/run/containerd.sock", "ns", "g");
        let _lock = lock(dir.path(), LOCK).unwrap();
        assert!(matches!(
            lock(dir.path(), Duration::ZERO),
            Err(SocketError::Locked(_))
        ));
        let Found::Free(listener) = find(&path, "c").unwrap() else {
            panic!("nobody is there")
        };
        drop(listener);
        let Found::Free(listener) = find(&path, "c").unwrap() else {
            panic!("it is dead")
        };
        let silent = std::thread::spawn(move || listener.accept().map(|_| listener));
        // It hangs up without an answer: as good as dead.
        assert!(matches!(find(&path, "c").unwrap(), Found::Free(_)));
        silent.join().unwrap().unwrap();
    }

    #[test]
    fn a_shim_that_takes_no_more_connections_keeps_its_socket_and_holds_up_nobody() {
        use rustix::net::{
            AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
        };
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), "/run/containerd.sock", "ns", "g");
        let address = SocketAddrUnix::new(&path).unwrap();
        let socket = || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
        };
        let stuck = socket();
        bind(&stuck, &address).unwrap();
        listen(&stuck, 0).unwrap();
        let waiting: Vec<_> = std::iter::repeat_with(socket)
            .take_while(|socket| connect(socket, &address).is_ok())
            .collect();
        assert!(!waiting.is_empty());
        assert!(matches!(find(&path, "c"), Err(SocketError::Silent { .. })));
        assert!(path.exists());
        drop(stuck);
        remove_if_dead(&path);
        assert!(!path.exists());
    }

    #[test]
    fn groups_have_their_own_sockets_and_paths_are_short() {
        let folder = Path::new(FOLDER);
        let one = path(folder, "/run/containerd.sock", "a", "b");
        assert_eq!(one, path(folder, "/run/containerd.sock", "a", "b"));
        for (namespace, group) in [("a", "c"), ("ab", ""), ("b", "b")] {
            assert_ne!(one, path(folder, "/run/containerd.sock", namespace, group));
        }
        assert!(one.as_os_str().len() < 100);
    }
}
