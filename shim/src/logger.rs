//! The shim's own log: lines into the FIFO that containerd reads, which copies them into its log.
//!
//! Invariant: logging never waits and never fails. Lines that the FIFO has no room for, since containerd is away, are
//! dropped and counted.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, open};

use crate::clock;

/// The name of the FIFO in a bundle.
const NAME: &str = "log";

/// Where lines go.
#[derive(Debug)]
pub struct Logger {
    fifo: Mutex<Option<(PathBuf, OwnedFd)>>,
    dropped: AtomicU64,
    debug: bool,
}

impl Logger {
    /// A logger that has nowhere to write to yet.
    #[must_use]
    pub fn new(debug: bool) -> Self {
        Self {
            fifo: Mutex::new(None),
            dropped: AtomicU64::new(0),
            debug,
        }
    }

    /// Writes to a bundle's FIFO from now on, unless there is one already.
    pub fn attach(&self, bundle: &Path) {
        let mut fifo = self.fifo.lock().unwrap_or_else(PoisonError::into_inner);
        if fifo.is_some() {
            return;
        }
        // For reading too: so it opens without a reader, and one that goes is no SIGPIPE.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        if let Ok(fd) = open(bundle.join(NAME), flags, Mode::empty()) {
            *fifo = Some((bundle.to_owned(), fd));
        }
    }

    /// Lets go of a bundle's FIFO; true if it was in use, and another must be attached.
    pub fn detach(&self, bundle: &Path) -> bool {
        let mut fifo = self.fifo.lock().unwrap_or_else(PoisonError::into_inner);
        let used = fifo.as_ref().is_none_or(|(path, _)| path == bundle);
        if used {
            *fifo = None;
        }
        used
    }

    /// What helps to find faults, if containerd was started with `--log-level debug`.
    pub fn debug(&self, text: &str) {
        if self.debug {
            self.write("debug", text);
        }
    }

    /// What happened.
    pub fn info(&self, text: &str) {
        self.write("info", text);
    }

    /// What should not have happened.
    pub fn warn(&self, text: &str) {
        self.write("warning", text);
    }

    /// An error with everything that led to it.
    pub fn error(&self, what: &str, error: &dyn std::error::Error) {
        self.write("error", &format!("{what}: {}", chain(error)));
    }

    fn write(&self, level: &str, text: &str) {
        let fifo = self.fifo.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, fd)) = fifo.as_ref() else {
            return;
        };
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let mut line = format!("time=\"{:.9}\" level={level} msg={text:?}", clock::wall());
        if dropped > 0 {
            // Writing to a String can't fail.
            let _ = write!(line, " dropped={dropped}");
        }
        line.push('\n');
        if rustix::io::write(fd, line.as_bytes()).is_err() {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }
}

/// An error and what caused it, as one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_full_fifo_holds_nobody_up_and_the_gap_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let logger = Logger::new(false);
        logger.info("nowhere");
        logger.attach(dir.path());
        for _ in 0..2000 {
            logger.warn("the \"same\" line");
        }
        logger.debug("not asked for");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let mut reader = std::fs::File::from(open(&path, flags, Mode::empty()).unwrap());
        let mut text = String::new();
        assert!(reader.read_to_string(&mut text).is_err(), "it would block");
        logger.info("after");
        assert!(reader.read_to_string(&mut text).is_err(), "it would block");
        let lines: Vec<_> = text.lines().collect();
        let last = lines.last().unwrap();
        assert!(
            lines[0].contains(r#"level=warning msg="the \"same\" line""#),
            "{}",
            lines[0]
        );
        assert!(last.contains("msg=\"after\" dropped="), "{last}");
        assert!(!text.contains("nowhere") && !text.contains("not asked for"));
    }
}
