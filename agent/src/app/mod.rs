//! Puts the agent together: the only place that builds adapters, and the only one that knows the order.
//!
//! **Start:** locks → store → identity → containerd (waiting for it as long as it takes) → what runs there is adopted →
//! admin socket, service manager told → registration with the control plane, for ever → poll. A link that is down never
//! holds up anything before it.
//!
//! **End:** SIGTERM stops the poll, gives the outbox up to five seconds, and leaves every container running.

mod answers;
mod assemble;
mod build;
mod locks;
mod notify;
mod programs;
mod registration;
mod run;
mod sessions;

use std::path::PathBuf;
use std::sync::Arc;

use crate::admin::ServerError;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::containerd::CallError;
use crate::host::{self, HostError};
use crate::http::{CertificateClock, Client, HttpError, Trust, client_config};
use crate::link::{Identity, IdentityError, IdentityFiles, Link, LinkParts};
use crate::runtime::cgroup::CgroupError;
use crate::store::StoreError;
use crate::supervise::Ended;

pub use locks::DataDirLock;
pub use run::run;

/// This agent's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An agent that could not begin, or a part of it that ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Another agent is there.
    #[error("another agent has {what}; stop it first")]
    Busy {
        /// What it has.
        what: String,
    },
    /// A file or folder.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Who this machine is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The settings name another cluster than the one that was joined.
    #[error(
        "ECS_CLUSTER is {configured}, but this machine was registered into {registered}; change the setting, or run \
         `longshore-agent deregister` and register it into {configured}"
    )]
    Cluster {
        /// What the settings say.
        configured: String,
        /// What registration said.
        registered: String,
    },
    /// TLS, before anything is called.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// This machine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Not the powers that it takes.
    #[error("the agent makes containers, networks and mounts: run it as root")]
    NotRoot,
    /// What is remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address or namespace of containerd can't be used.
    #[error("containerd: {0}")]
    Containerd(#[from] CallError),
    /// Control groups.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The admin socket.
    #[error(transparent)]
    Admin(#[from] ServerError),
    /// There is no program to write logs with.
    #[error(
        "neither Longshore's shim nor the log writer {0}, which other shims need, is there; install containerd-shim-longshore-v1 \
         beside this program, or longshore-log, or set LONGSHORE_LOG_WRITER"
    )]
    LogWriter(PathBuf),
    /// A part of the agent ended that should not have.
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl AppError {
    /// Whether only an operator can mend it.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        match self {
            Self::Identity(error) => match error {
                IdentityError::NotRegistered(_) | IdentityError::Broken { .. } => true,
                IdentityError::Io { .. } | IdentityError::Key(_) => false,
            },
            Self::Cluster { .. } => true,
            Self::Store(error) => match error {
                StoreError::Newer { .. } | StoreError::Foreign { .. } | StoreError::TooMany { .. } => true,
                StoreError::InUse { .. }
                | StoreError::Corrupt { .. }
                | StoreError::Older { .. }
                | StoreError::Replaced { .. }
                | StoreError::Failed { .. } => false,
            },
            Self::Busy { .. }
            | Self::Io { .. }
            | Self::Http(_)
            | Self::Host(_)
            | Self::NotRoot
            | Self::Containerd(_)
            | Self::Cgroup(_)
            | Self::Admin(_)
            | Self::LogWriter(_)
            | Self::Ended(_) => false,
        }
    }
}

/// The link of this node, for the agent and for commands that make one call.
///
/// # Errors
/// [`AppError::Identity`] where the key can't be read; [`AppError::Http`] where the stored certificates can't.
pub fn link(config: &Config, identity: Identity, trust: &Trust) -> Result<Link, AppError> {
    let certificates = Arc::new(CertificateClock::new(Arc::new(SystemClock)));
    link_by(config, identity, trust, certificates)
}

/// A link that judges certificates by this clock, and tells it what the control plane's answers say.
fn link_by(
    config: &Config,
    identity: Identity,
    trust: &Trust,
    certificates: Arc<CertificateClock>,
) -> Result<Link, AppError> {
    let fingerprint = host::read(config)?.fingerprint;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = Client::watchful(client_config(trust, Arc::clone(&certificates))?, &config.proxy);
    let endpoint = config
        .endpoint
        .clone()
        .unwrap_or_else(|| identity.endpoint.clone());
    Ok(Link::new(LinkParts {
        http,
        certificates,
        clock,
        files: IdentityFiles::new(&config.data_dir),
        identity,
        endpoint,
        fingerprint,
    })?)
}

/// Whether an address leads to this machine.
#[must_use]
pub fn is_loopback(endpoint: &str) -> bool {
    let host = url::Url::parse(endpoint)
        .ok()
        .and_then(|url| url.host().map(|host| host.to_owned()));
    match host {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
