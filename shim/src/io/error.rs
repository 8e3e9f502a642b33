//! What can go wrong when a process is given its stdin, stdout and stderr.

use std::path::PathBuf;
use std::time::Duration;

use crate::log::OptionsError;

/// A process's I/O that could not be set up. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// A target is of no known form. Trying again does not help.
    #[error(
        "can't write output to {uri:?}: it must be the path of a FIFO, file:///PATH, binary:///PROGRAM?NAME=VALUE \
         or longshore-log:///OPTIONS-FILE"
    )]
    Uri {
        /// As the request has it.
        uri: String,
    },
    /// A FIFO or a file can't be opened.
    #[error("can't open {path} for {stream}: see that whoever sent the request has made it")]
    Open {
        /// `stdin`, `stdout` or `stderr`.
        stream: &'static str,
        /// The FIFO or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The options of the log can't be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A `binary://` logger can't be started.
    #[error("can't start the logger {program}: see that it exists and may be run")]
    Logger {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A `binary://` logger did not say that it is ready.
    #[error(
        "the logger {program} was not ready within {} s: it must close file descriptor 5, or write to it",
        within.as_secs()
    )]
    LoggerNotReady {
        /// The program, which has been killed.
        program: PathBuf,
        /// How long it had.
        within: Duration,
    },
    /// The kernel refused something that should always work: too many open files, no memory.
    #[error("can't set up the I/O of a process: {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A console came for a process that has none, or came twice.
    #[error("a console came for a process that waits for none")]
    Console,
}

impl IoError {
    pub(super) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    /// Whether the request is at fault, as against this machine.
    #[must_use]
    pub fn is_invalid_argument(&self) -> bool {
        matches!(self, Self::Uri { .. } | Self::Options(_))
    }
}
