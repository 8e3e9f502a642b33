//! What a process has written, on its way to whoever wants it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

use crate::clock;
use crate::io::ProcessIo;

/// How often it is looked whether a client has read what is there.
const LOOK: Duration = Duration::from_millis(1);

/// Waits until a process that has ended has its output where it belongs, and clients have read it; not longer than
/// `within`. Clients stop reading when they learn of the exit: containerd's own lose what is in their FIFOs then.
pub(super) fn settle(io: Option<Arc<ProcessIo>>, paths: [&str; 2], within: Duration) {
    let until = clock::monotonic() + within;
    if io.is_some_and(|io| !io.drained(within)) {
        return;
    }
    for path in paths.into_iter().filter(|path| path.starts_with('/')) {
        while is_unread(Path::new(path)) && clock::monotonic() < until {
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether there is something in a FIFO that a client which has it open has not read.
fn is_unread(path: &Path) -> bool {
    // Without a reader it can't be opened so.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fifo) = open(path, flags, Mode::empty()) else {
        return false;
    };
    let is_fifo = fstat(&fifo).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    let mut fds = [PollFd::new(&fifo, PollFlags::empty())];
    let now = clock::timespec(Duration::ZERO);
    let is_read = poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().contains(PollFlags::ERR);
    is_fifo && is_read && rustix::io::ioctl_fionread(&fifo).is_ok_and(|bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mknodat};
    use std::io::{Read as _, Write as _};

    #[test]
    fn what_a_client_has_not_read_is_waited_for_and_what_nobody_reads_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(!is_unread(&path), "nobody has it open");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let mut client = std::fs::File::from(open(&path, flags, Mode::empty()).unwrap());
        assert!(!is_unread(&path), "nothing is in it");
        let mut shim = std::fs::File::options().write(true).open(&path).unwrap();
        shim.write_all(b"four").unwrap();
        drop(shim);
        assert!(is_unread(&path));
        let text = path.to_str().unwrap().to_owned();
        let settling = std::thread::spawn(move || settle(None, [&text, ""], Duration::from_secs(60)));
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes).unwrap();
        settling.join().unwrap();
        assert!(!is_unread(&path));
        let file = dir.path().join("file");
        std::fs::write(&file, "text").unwrap();
        assert!(!is_unread(&file), "it is no FIFO");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "text");
    }
}
