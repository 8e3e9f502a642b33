//! The network that a container has.

use std::net::IpAddr;
use std::path::PathBuf;

use longshore_protocol::status::NetworkMode;
use serde::{Deserialize, Serialize};

use super::PortMapping;

/// What a container has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// How.
    pub mode: NetworkMode,
    /// The namespace to join; `None`: the host's for `host`, a new empty one by the runtime for `none`.
    pub namespace: Option<PathBuf>,
    /// Its addresses on the bridge.
    pub addresses: Vec<IpAddr>,
    /// The ports as they are now, each host port chosen.
    pub bindings: Vec<PortBinding>,
    /// Files of the host to bind over `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname`.
    pub files: Vec<(PathBuf, PathBuf)>,
}

/// A port that is reached through the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// The mapping, its host port chosen.
    pub mapping: PortMapping,
    /// The address outside.
    pub bind_ip: IpAddr,
}
