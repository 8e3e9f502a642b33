//! Images: from a reference in a task definition to a snapshot to begin from.
//!
//! Invariants: digests are verified while streaming; an image is said to be here only after its content and snapshots
//! are synced to disk; one pull per image however many ask; a holder's image is not collected while it lives.

mod content;
mod desk;
mod digest;
mod errand;
mod failure;
mod holds;
mod manifest;
mod measure;
mod platform;
mod progress;
mod pull;
mod record;
mod reference;
mod registry;
mod room;
mod service;
mod sync;
mod unpack;
mod walk;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::{ContainerId, PulledImage};

use failure::PullError;
use platform::Machine;

pub use reference::{InvalidReference, Reference};
pub use registry::Reach;
pub use service::{ContainerdImages, Node};

/// An image that could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImageError {
    /// The reference can't be read.
    #[error("invalid image reference {reference:?}: {why}")]
    Reference {
        /// As written.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// The registry said no, or containerd could not keep it (a full disk); asking again won't help.
    #[error("{reference}: {why}")]
    Refused {
        /// As written.
        reference: String,
        /// Their own words, and what they mean.
        why: String,
    },
    /// The registry or the way to it failed, or containerd was away; all tries are used up.
    #[error("{reference}: {why}")]
    Unavailable {
        /// As written.
        reference: String,
        /// The last failure.
        why: String,
    },
    /// There is no image for this machine.
    #[error("{reference} is for {offered}, this machine is {host}")]
    Platform {
        /// As written.
        reference: String,
        /// What there is.
        offered: String,
        /// What this is.
        host: String,
    },
    /// The caller gave up.
    #[error("the pull of {0} was cancelled")]
    Cancelled(String),
}

/// How far a pull is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// What is being done, such as `pulling` or `waiting 2 s after: connection refused`.
    pub doing: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all; 0 while unknown.
    pub total: u64,
}

/// Gets images.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// Makes an image be here, as `ECS_IMAGE_PULL_BEHAVIOR` says, and holds it for `holder`. `progress` is told how
    /// far it is; `cancel` ends the wait (and the pull, when nobody else waits for it).
    async fn ensure(
        &self,
        reference: &str,
        holder: &ContainerId,
        progress: watch::Sender<PullProgress>,
        cancel: CancellationToken,
    ) -> Result<PulledImage, ImageError>;

    /// Lets go of what `holder` held.
    async fn release(&self, holder: &ContainerId);
}
