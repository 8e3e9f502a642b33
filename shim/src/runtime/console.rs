//! The socket on which the runtime hands over the master of a console that it has made.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A console that did not come.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The socket can't be made or read.
    #[error("can't take the console over by {path}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The runtime ended well, but sent none.
    #[error("the OCI runtime sent no console to {0}: see that config.json asks for a terminal")]
    None(PathBuf),
}

/// The socket.
#[derive(Debug)]
pub struct Console {
    listener: UnixListener,
    path: PathBuf,
}

static CONSOLES: AtomicU64 = AtomicU64::new(0);

impl Console {
    /// Makes one in a folder whose path is short: a socket's path has 107 bytes at most, fewer than many a bundle's.
    ///
    /// # Errors
    /// [`ConsoleError::Socket`].
    pub fn listen(folder: &Path) -> Result<Self, ConsoleError> {
        let number = CONSOLES.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("pty-{}-{number}", std::process::id()));
        let listener = std::fs::create_dir_all(folder)
            .and_then(|()| UnixListener::bind(&path))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        match listener {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(ConsoleError::Socket { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the master over, after the runtime has ended: what it sent waits in the socket.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub fn receive(&self) -> Result<OwnedFd, ConsoleError> {
        let socket = |source| ConsoleError::Socket {
            path: self.path.clone(),
            source,
        };
        let (stream, _) = self.listener.accept().map_err(socket)?;
        let mut name = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut rights, flags)
            .map_err(|error| socket(error.into()))?;
        let sent = rights.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        sent.ok_or_else(|| ConsoleError::None(self.path.clone()))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
