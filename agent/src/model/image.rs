//! An image that is on this machine.

use serde::{Deserialize, Serialize};

/// An image that is unpacked here and kept while its holder lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    /// The reference as the task has it.
    pub reference: String,
    /// The name under which containerd knows it.
    pub name: String,
    /// The digest that the reference named in its registry (of the index, where there is one): `sha256:…`.
    pub digest: String,
    /// The snapshot to begin from: the chain id of its layers.
    pub chain_id: String,
    /// What it says of how to run it.
    pub config: ImageConfig,
    /// Set where the registry could not be asked and the image that was here is used: the registry's own words.
    pub fallback: Option<String>,
}

/// The part of an image's configuration that says how to run it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `USER[:GROUP]`; empty is root.
    pub user: String,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// ENTRYPOINT.
    pub entrypoint: Vec<String>,
    /// CMD.
    pub cmd: Vec<String>,
    /// WORKDIR; empty is `/`.
    pub working_dir: String,
    /// STOPSIGNAL, such as `SIGQUIT` or `3`.
    pub stop_signal: Option<String>,
    /// Paths that want to be volumes.
    pub volumes: Vec<String>,
}
