//! What this machine has, and what it is registered with.
//!
//! [`read`] looks once, at start; GPUs are looked for again when the CDI folders change ([`watch_gpus`]).

mod attributes;
mod cdi;
mod facts;
mod fingerprint;
mod registration;
mod watch;

use std::path::PathBuf;

pub use cdi::{Gpus, InjectError};
pub use facts::read;
pub use registration::{Registration, registration};
pub use watch::watch_gpus;

/// A machine that can't be a node as it is. Trying again does not help before somebody has done something.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file of the kernel's can't be read.
    #[error("cannot read {path}: {source}; are /proc and /sys mounted?")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The kernel's words.
        source: std::io::Error,
    },
    /// A file of the kernel's does not say what it should.
    #[error("{path} does not say {what}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A system call failed.
    #[error("cannot learn {what}: {source}")]
    System {
        /// What was asked.
        what: &'static str,
        /// The kernel's words.
        source: std::io::Error,
    },
    /// Nothing tells this machine from others.
    #[error(
        "this machine has no machine-id, no product uuid and no network card: write /etc/machine-id \
         (systemd-machine-id-setup) and start again"
    )]
    NoIdentity,
    /// More memory is reserved than there is.
    #[error(
        "reserved memory is higher than available memory on the host: ECS_RESERVED_MEMORY is {reserved} MiB of \
         {total} MiB; set it lower"
    )]
    ReservedMemory {
        /// `ECS_RESERVED_MEMORY`, in MiB.
        reserved: u64,
        /// What the machine has, in MiB.
        total: u64,
    },
}
