//! The loop that moves a container's output from its pipes into the log file.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

use longshore_protocol::json_file::Stream;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::file::LogFile;
use super::stream::LogStream;

/// As much as a pipe holds, unless somebody made it larger.
const READ: usize = 64 * 1024;

/// A pipe that has not ended.
struct Source {
    stream: LogStream,
    pipe: OwnedFd,
}

/// Writes both pipes to the log until both have ended, and does not return before.
///
/// `now` is asked after each read, for the time of the records that it completes. A pipe that can't be read counts as
/// ended.
pub fn pump(log: &mut LogFile, stdout: OwnedFd, stderr: OwnedFd, mut now: impl FnMut() -> jiff::Timestamp) {
    let source = |stream, pipe| Source {
        stream: LogStream::new(stream),
        pipe,
    };
    let mut sources = vec![source(Stream::Stdout, stdout), source(Stream::Stderr, stderr)];
    let mut buffer = vec![0; READ];
    let mut batch = Vec::new();
    let mut time = String::new();
    while !sources.is_empty() {
        let mut ready = readable(&sources).into_iter();
        sources.retain_mut(|source| {
            if !ready.next().unwrap_or(false) {
                return true;
            }
            let read = nix::unistd::read(&source.pipe, &mut buffer);
            time.clear();
            // Writing to a String can't fail.
            let _ = write!(time, "{:.9}", now());
            match read {
                Ok(count) if count > 0 => {
                    source.stream.write(&buffer[..count], &time, &mut batch, log);
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Ok(_) | Err(_) => {
                    source.stream.finish(&time, &mut batch, log);
                    return false;
                }
            }
            true
        });
    }
}

/// Waits until a pipe can be read or has ended; which, in their order.
fn readable(sources: &[Source]) -> Vec<bool> {
    let mut fds: Vec<_> = sources
        .iter()
        .map(|source| PollFd::new(source.pipe.as_fd(), PollFlags::POLLIN))
        .collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => fds.iter().map(|fd| fd.any().unwrap_or(true)).collect(),
        Err(Errno::EINTR) => vec![false; sources.len()],
        // No memory in the kernel, at worst: a read that blocks is better than a loop that burns.
        Err(_) => vec![true; sources.len()],
    }
}
