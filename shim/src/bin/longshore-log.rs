//! `longshore-log`: writes a container's output to json-file logs. containerd's runc v2 shim starts it by the log URI
//! `binary:///path/of/longshore-log?options=/path/of/options.json`.
//!
//! It is given stdout of the container as file descriptor 3, stderr as 4, and 5 to close when it is ready. It ends when
//! both pipes have ended, and by nothing else: signals that would end it are held back for good, since its death would
//! be the container's SIGPIPE.
//!
//! Exit code 0 when the pipes have ended, 1 if it could not begin.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use longshore_shim::log::{LogFile, OptionsError, pump, read};
use nix::sys::signal::{SigSet, Signal};

const STDOUT: i32 = 3;
const STDERR: i32 = 4;
const READY: i32 = 5;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("usage: longshore-log options PATH, with a container's pipes as file descriptors 3 and 4")]
    Usage,
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error("can't hold back signals")]
    Signals(#[source] nix::Error),
    #[error("can't take over file descriptor {fd}: start longshore-log by containerd, with the pipe as {fd}")]
    Pipe {
        fd: i32,
        #[source]
        source: std::io::Error,
    },
}

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let mut text = format!("longshore-log: {failure}");
            let mut source = std::error::Error::source(&failure);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut words: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let path = match (words.next(), words.next(), words.next()) {
        (Some(word), Some(path), None) if word == "options" => PathBuf::from(path),
        _ => return Err(Failure::Usage),
    };
    let options = read(&path)?;
    // SIGXFSZ too: a file size limit is a full disk, and comes back from the write as an error.
    let signals = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGXFSZ,
    ];
    signals
        .into_iter()
        .collect::<SigSet>()
        .thread_block()
        .map_err(Failure::Signals)?;
    let (stdout, stderr) = (take(STDOUT)?, take(STDERR)?);
    let mut log = LogFile::open(options);
    // Nobody may have given it, which is as good as closed.
    let _ = nix::unistd::close(READY);
    pump(&mut log, stdout, stderr, jiff::Timestamp::now);
    Ok(())
}

/// Takes over a pipe that was left open for us, through a descriptor of our own.
fn take(fd: i32) -> Result<OwnedFd, Failure> {
    let pipe = |source| Failure::Pipe { fd, source };
    let file = std::fs::File::open(format!("/proc/self/fd/{fd}")).map_err(pipe)?;
    nix::unistd::close(fd).map_err(|error| pipe(error.into()))?;
    Ok(file.into())
}
