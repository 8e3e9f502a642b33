//! Why `longshore up` can't start, go on, or end cleanly: one clear line each, with what to do.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::admin::AdminError;
use crate::api::ApiError;
use crate::settings::SettingsError;
use crate::tls::TlsError;

/// What went wrong. Nothing of it is tried again by `up` itself.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Containers need root.
    #[error("`longshore up` starts containers and needs root: sudo longshore up")]
    NotRoot,
    /// Another `up` has the folder.
    #[error("{} is already in use by another `longshore up`{}: stop it, or choose another --data-dir", folder.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The other's process id, if it can be read.
        pid: Option<u32>,
    },
    /// A file or folder of ours.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of ours that something else wrote.
    #[error("{} can't be read: {why}. Remove it, or the whole data folder, to start afresh", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The path of a socket would be longer than the system takes.
    #[error("{} is too long for a socket: choose a shorter --data-dir", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The address can't be listened at.
    #[error("{address}: {source}. Choose another address with --listen (port 0: any free one)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Plain HTTP would leave the machine.
    #[error(
        "{address} is not loopback: give --tls-self-signed too, so that keys don't cross the network in plain text"
    )]
    Plaintext {
        /// The address.
        address: SocketAddr,
    },
    /// Programs of the distribution are missing.
    #[error("missing: {}. On Debian or Ubuntu: apt-get install {}", programs.join(", "), packages.join(" "))]
    Missing {
        /// Which.
        programs: Vec<&'static str>,
        /// The packages that have them.
        packages: Vec<&'static str>,
    },
    /// One of our own programs isn't beside this one.
    #[error("{} is missing: it is built together with this program (cargo build --release) and lies beside it", path.display())]
    Sibling {
        /// Where it should be.
        path: PathBuf,
    },
    /// The containerd that was named does not answer.
    #[error("no containerd answers at {}: {why}", socket.display())]
    Containerd {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        why: String,
    },
    /// A program could not be started.
    #[error("{name} could not be started: {source}")]
    Spawn {
        /// Which.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A program ended when it should not have.
    #[error("{name} ended ({status}){}. More in {}", colon(last_words.as_deref()), log.display())]
    Ended {
        /// Which.
        name: &'static str,
        /// How.
        status: String,
        /// Its log.
        log: PathBuf,
        /// What it said last, if it said anything.
        last_words: Option<String>,
    },
    /// A program that an earlier `up` started is gone.
    #[error("{name} (process {pid}) ended")]
    Died {
        /// Which.
        name: &'static str,
        /// Its process id.
        pid: u32,
    },
    /// Something did not come about in time.
    #[error("{what} did not come about within {seconds} s; see {}", log.display())]
    NotInTime {
        /// What.
        what: &'static str,
        /// How long it was waited.
        seconds: u64,
        /// Where more is said.
        log: PathBuf,
    },
    /// A call.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Our own env file.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The agent's admin socket.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The local registry.
    #[error("the local registry: {why}")]
    Registry {
        /// Why.
        why: String,
    },
    /// The sample did not do what it should.
    #[error("the sample: {why}")]
    Sample {
        /// What.
        why: String,
    },
    /// A signal came before everything ran.
    #[error("stopped before everything ran")]
    Interrupted,
    /// Something is left that could not be removed.
    #[error("not everything could be removed: {}", what.join("; "))]
    Leftovers {
        /// What, and why.
        what: Vec<String>,
    },
}

/// A colon and the words, if there are any; the sentence ends behind them.
fn colon(words: Option<&str>) -> String {
    words
        .map(|words| format!(": {}", words.trim_end_matches('.')))
        .unwrap_or_default()
}

impl UpError {
    /// Whether everything ran, and only the sample failed.
    #[must_use]
    pub fn is_about_the_sample(&self) -> bool {
        matches!(self, Self::Sample { .. })
    }

    /// For `map_err` of file operations.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
