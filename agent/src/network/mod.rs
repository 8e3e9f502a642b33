//! The network of a container: `bridge` (CNI), `host` or `none`.
//!
//! Invariants: attaching twice is attaching once; detaching what isn't attached is nothing. A host port that was chosen
//! is held by a bound socket as long as the container has it.

mod chain;
mod cni;
mod files;
mod forward;
#[cfg(test)]
mod fuzz;
mod holder;
mod leases;
mod lock;
mod masquerade;
mod namespace;
mod plugin;
mod ports;
mod record;
mod resolv;
mod routes;

use std::path::PathBuf;

use async_trait::async_trait;
use longshore_protocol::status::NetworkMode;

use crate::model::{ContainerId, PortMapping};

pub use crate::model::{Attachment, PortBinding};
pub use cni::CniNetwork;

/// A network that could not be given or taken.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A host port is taken by somebody else, or none of the range is free.
    #[error("host port {port} ({protocol}) is unavailable: {why}")]
    Port {
        /// The port; 0 is any of the range.
        port: u16,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// Who has it, or what the kernel said.
        why: String,
    },
    /// The bridge's network would take addresses away from the machine.
    #[error(
        "{subnet} can't be the network of bridge {bridge}: this machine has {route} on {device}; set \
         LONGSHORE_BRIDGE_SUBNET to a network that nobody here uses"
    )]
    Subnet {
        /// The bridge.
        bridge: String,
        /// What it was to have, `ADDRESS/PREFIX`.
        subnet: String,
        /// The route that is within it.
        route: String,
        /// Where that leads to.
        device: String,
    },
    /// A CNI plugin refused.
    #[error("CNI {command} of {container} by plugin {plugin} failed: {why}")]
    Plugin {
        /// ADD, DEL or CHECK.
        command: &'static str,
        /// Of which container.
        container: ContainerId,
        /// Which plugin.
        plugin: String,
        /// Its own words.
        why: String,
    },
    /// Every address is taken, some of them by what an earlier boot of the machine left, which is being given back: trying
    /// again helps.
    #[error("{0}; those of before the machine was restarted are being given back")]
    NoAddressYet(Box<NetworkError>),
    /// A file or namespace could not be made or removed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's words.
        source: std::io::Error,
    },
}

impl NetworkError {
    /// Whether every address of the bridge's network is somebody's. The plugins have no code for that, only the words.
    fn is_out_of_addresses(&self) -> bool {
        match self {
            Self::Plugin { why, .. } => why.contains("no IP addresses available"),
            Self::Port { .. } | Self::Subnet { .. } | Self::NoAddressYet(_) | Self::Io { .. } => false,
        }
    }
}

/// What a container is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Which container.
    pub container: ContainerId,
    /// The task's mode.
    pub mode: NetworkMode,
    /// Ports to map; only `bridge` maps, `host` has them as they are.
    pub ports: Vec<PortMapping>,
    /// The name to be known by inside, for the hosts file.
    pub hostname: String,
}

/// Gives containers their network.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Of a container that was attached by an agent before this one, at once: its ports are nobody else's until it is
    /// attached, or detached, here.
    fn expect(&self, container: &ContainerId, attachment: &Attachment);

    /// Attaches a container that does not run. One that is attached is detached first.
    async fn attach(&self, request: &Attach) -> Result<Attachment, NetworkError>;

    /// After a restart of the agent: holds again the ports of a container that runs.
    async fn adopt(&self, container: &ContainerId, attachment: &Attachment) -> Result<(), NetworkError>;

    /// Takes everything back: addresses, rules, namespace, files, ports.
    async fn detach(&self, container: &ContainerId) -> Result<(), NetworkError>;

    /// The containers that something is left of.
    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError>;
}
