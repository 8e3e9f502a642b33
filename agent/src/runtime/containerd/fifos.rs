//! The FIFOs of sessions' processes: `FOLDER/SESSION/{stdin,stdout,stderr}`, beside a file that says in which container.
//!
//! On a disk that hangs a session waits for them, and nothing else does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::net::unix::pipe;

use crate::blocking;
use crate::files::{absent_is_none, make_private_dir, write_for_this_boot};
use crate::runtime::RuntimeError;
use crate::runtime::exec::{ExecId, ExecStreams, Output};

pub(super) const STDIN: &str = "stdin";
pub(super) const STDOUT: &str = "stdout";
pub(super) const STDERR: &str = "stderr";
/// The file with the container's id.
const CONTAINER: &str = "container";

/// Those of one session.
#[derive(Clone)]
pub(super) struct Fifos {
    folder: PathBuf,
}

impl Fifos {
    pub(super) fn new(all: &Path, session: &str) -> Self {
        Self {
            folder: all.join(session),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes and opens them. Before the process has begun nothing must be read from its output: nobody has that open yet,
    /// which looks like its end.
    pub(super) async fn make(&self, container: &str, terminal: bool) -> Result<ExecStreams, RuntimeError> {
        let (fifos, container) = (self.clone(), container.to_owned());
        let made = blocking::DISK
            .run(move || fifos.make_now(&container, terminal))
            .await;
        made.map_err(RuntimeError::file("make", &self.folder))?
    }

    fn make_now(&self, container: &str, terminal: bool) -> Result<ExecStreams, RuntimeError> {
        make_private_dir(&self.folder).map_err(RuntimeError::file("make", &self.folder))?;
        let file = self.path(CONTAINER);
        write_for_this_boot(&file, container.as_bytes(), 0o600)
            .map_err(RuntimeError::file("write", &file))?;
        let output = |name| -> Result<Output, RuntimeError> {
            let path = self.fifo(name)?;
            let opened = pipe::OpenOptions::new().open_receiver(&path);
            Ok(Box::new(opened.map_err(RuntimeError::file("open", &path))?))
        };
        let path = self.fifo(STDIN)?;
        // For reading too: the shim, which reads, comes later.
        let stdin = pipe::OpenOptions::new().read_write(true).open_sender(&path);
        Ok(ExecStreams {
            stdin: Box::new(stdin.map_err(RuntimeError::file("open", &path))?),
            stdout: output(STDOUT)?,
            stderr: (!terminal).then(|| output(STDERR)).transpose()?,
        })
    }

    fn fifo(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        let path = self.path(name);
        match mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) => Ok(path),
            Err(errno) => Err(RuntimeError::file("make", &path)(errno.into())),
        }
    }

    /// Whether they were made, or half of them. Only then may there have been a process.
    pub(super) async fn are_there(&self) -> Result<bool, RuntimeError> {
        let folder = self.folder.clone();
        let there = blocking::DISK.io(move || folder.try_exists()).await;
        there.map_err(RuntimeError::file("look for", &self.folder))
    }

    /// Removes them, and what says that there was a session. There may be none.
    pub(super) async fn remove(&self) -> Result<(), RuntimeError> {
        let folder = self.folder.clone();
        let remove = move || absent_is_none(fs::remove_dir_all(folder));
        let removed = blocking::DISK.io(remove).await;
        removed
            .map(drop)
            .map_err(RuntimeError::file("remove", &self.folder))
    }
}

/// The sessions that have a folder. One that was only half made, before there was a process, is removed.
pub(super) async fn all(folder: &Path) -> Result<Vec<ExecId>, RuntimeError> {
    let all = folder.to_owned();
    let listed = blocking::DISK.run(move || list(&all)).await;
    listed.map_err(RuntimeError::file("list", folder))?
}

fn list(folder: &Path) -> Result<Vec<ExecId>, RuntimeError> {
    let entries = absent_is_none(fs::read_dir(folder)).map_err(RuntimeError::file("list", folder))?;
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(RuntimeError::file("list", folder))?;
        match of(&entry) {
            Ok(id) => found.push(id),
            Err(error) => {
                tracing::debug!(%error, "a session's folder says nothing of a container, and is removed");
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(RuntimeError::file("remove", &path))?;
            }
        }
    }
    Ok(found)
}

fn of(entry: &fs::DirEntry) -> io::Result<ExecId> {
    let other = |why| io::Error::other(why);
    let container = fs::read_to_string(entry.path().join(CONTAINER))?;
    let session = entry.file_name().into_string();
    Ok(ExecId {
        container: container.parse().map_err(|_| other("it is no container's id"))?,
        session: session.map_err(|_| other("its name is no session's"))?,
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef-0";

    #[tokio::test]
    async fn what_a_process_writes_and_reads_goes_through_and_its_end_shows() {
        let folder = tempfile::tempdir().unwrap();
        let fifos = Fifos::new(folder.path(), "s");
        let mut streams = fifos.make(ID, false).await.unwrap();
        streams.stdin.write_all(b"in").await.unwrap();
        let mut shim = fs::File::open(fifos.path(STDIN)).unwrap();
        let mut got = [0; 2];
        io::Read::read_exact(&mut shim, &mut got).unwrap();
        assert_eq!(&got, b"in");
        for (name, stream) in [
            (STDOUT, &mut streams.stdout),
            (STDERR, streams.stderr.as_mut().unwrap()),
        ] {
            let mut shim = fs::OpenOptions::new().write(true).open(fifos.path(name)).unwrap();
            io::Write::write_all(&mut shim, name.as_bytes()).unwrap();
            drop(shim);
            let mut got = String::new();
            stream.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, name);
        }
    }

    #[tokio::test]
    async fn what_is_left_is_found_and_what_was_half_made_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(all(&folder.path().join("none")).await.unwrap(), []);
        let fifos = Fifos::new(folder.path(), "s");
        let streams = fifos.make(ID, true).await.unwrap();
        assert!(streams.stderr.is_none());
        fs::create_dir(folder.path().join("half")).unwrap();
        let found = all(folder.path()).await.unwrap();
        let expected = ExecId {
            container: ID.parse().unwrap(),
            session: "s".to_owned(),
        };
        assert_eq!(found, [expected]);
        for _ in 0..2 {
            fifos.remove().await.unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// A file that is a FIFO which nobody reads is one on a disk that does not answer.
    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_its_session_alone() {
        let folder = tempfile::tempdir().unwrap();
        let fifos = Fifos::new(folder.path(), "s");
        fs::create_dir(&fifos.folder).unwrap();
        let hanging = fifos.path("container.new");
        mkfifo(&hanging, Mode::S_IRWXU).unwrap();
        let others = async { fs::File::options().read(true).write(true).open(&hanging) };
        let (streams, disk) = tokio::join!(fifos.make(ID, false), others);
        assert!(streams.unwrap().stderr.is_some() && disk.is_ok());
        fifos.remove().await.unwrap();
    }
}
