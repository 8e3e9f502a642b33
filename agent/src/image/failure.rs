//! Why an image could not be had, and whether to try again.

use std::time::Duration;

use super::digest::Digest;
use super::manifest::ManifestError;
use super::measure::Excess;
use super::registry::RegistryError;
use super::sync::SyncError;
use super::{ImageError, Reference};
use crate::containerd::CallError;

/// A step of a pull that failed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry, or the way to it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The same, while it was asked for one part of the image.
    #[error("{part}: {error}")]
    Part {
        /// Such as `layer sha256:…`.
        part: String,
        /// What went wrong.
        #[source]
        error: RegistryError,
    },
    /// containerd.
    #[error(transparent)]
    Store(#[from] CallError),
    /// The disk.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A document that can't be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An index that names an index that names an index …
    #[error("its index leads to no manifest")]
    Endless,
    /// The registry sent something else than the digest says, or less, or more.
    #[error("{part} came damaged from the registry: {why}")]
    Damaged {
        /// Such as `layer sha256:…`.
        part: String,
        /// How it is known.
        why: String,
    },
    /// A layer does not unpack to what the configuration says.
    #[error("layer {layer} unpacks to {found}, not to {expected} as the image says; push the image again")]
    Layer {
        /// The layer.
        layer: Digest,
        /// By the configuration.
        expected: Digest,
        /// By containerd.
        found: String,
    },
    /// A layer, or the image, is bigger than this machine takes.
    #[error("layer {layer} is not unpacked: {excess}")]
    TooBig {
        /// The layer.
        layer: Digest,
        /// Which limit it is beyond.
        excess: Excess,
    },
    /// A layer is packed in a way that can't be undone.
    #[error("layer {layer} can't be unpacked: {why}; push the image again")]
    Unpack {
        /// The layer.
        layer: Digest,
        /// What is wrong with it.
        why: String,
    },
    /// A configuration that is bigger than any is.
    #[error("config {config} is said to have {size} bytes, and more than {limit} are not taken")]
    Configuration {
        /// The configuration.
        config: Digest,
        /// As the manifest has it.
        size: u64,
        /// The most that is read.
        limit: usize,
    },
    /// There is no image for this machine.
    #[error("it is for {offered}, this machine is {host}")]
    Platform {
        /// What there is.
        offered: String,
        /// What this is.
        host: String,
    },
    /// It took too long.
    #[error("the pull did not end within {} s (ECS_IMAGE_PULL_TIMEOUT)", .0.as_secs())]
    Timeout(Duration),
}

impl PullError {
    /// Whether another try may succeed. A damaged blob may come whole from another mirror or cache.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Registry(error) | Self::Part { error, .. } => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Damaged { .. } => true,
            Self::Sync(_)
            | Self::Manifest(_)
            | Self::Endless
            | Self::Layer { .. }
            | Self::TooBig { .. }
            | Self::Unpack { .. }
            | Self::Configuration { .. }
            | Self::Platform { .. }
            | Self::Timeout(_) => false,
        }
    }

    /// How long the registry wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Registry(error) | Self::Part { error, .. } => error.retry_after(),
            Self::Store(_)
            | Self::Sync(_)
            | Self::Manifest(_)
            | Self::Endless
            | Self::Damaged { .. }
            | Self::Layer { .. }
            | Self::TooBig { .. }
            | Self::Unpack { .. }
            | Self::Configuration { .. }
            | Self::Platform { .. }
            | Self::Timeout(_) => None,
        }
    }
}

/// A pull that failed, as everyone who waits for it hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Asking again won't help.
    Refused(String),
    /// All tries are used up.
    Unavailable(String),
    /// There is no image for this machine.
    Platform {
        /// What there is.
        offered: String,
        /// What this is.
        host: String,
    },
    /// Nobody waits any more.
    Cancelled,
}

impl Failure {
    /// For the one who wrote `reference`.
    #[must_use]
    pub fn of(self, reference: &str) -> ImageError {
        let reference = reference.to_owned();
        match self {
            Self::Refused(why) => ImageError::Refused { reference, why },
            Self::Unavailable(why) => ImageError::Unavailable { reference, why },
            Self::Platform { offered, host } => ImageError::Platform {
                reference,
                offered,
                host,
            },
            Self::Cancelled => ImageError::Cancelled(reference),
        }
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        let why = error.to_string();
        match error {
            PullError::Platform { offered, host } => Self::Platform { offered, host },
            PullError::Registry(error) | PullError::Part { error, .. } if error.is_transient() => {
                Self::Unavailable(why)
            }
            // What containerd has tried and could not, such as writing to a full disk, is not to be gone on with.
            PullError::Store(error) if !error.is_transient() => Self::Refused(why),
            PullError::Registry(_)
            | PullError::Part { .. }
            | PullError::Manifest(_)
            | PullError::Endless
            | PullError::Layer { .. }
            | PullError::TooBig { .. }
            | PullError::Unpack { .. }
            | PullError::Configuration { .. } => Self::Refused(why),
            PullError::Store(_) | PullError::Sync(_) | PullError::Damaged { .. } | PullError::Timeout(_) => {
                Self::Unavailable(why)
            }
        }
    }
}

/// Reads a reference as a task definition has it.
pub fn reference(text: &str) -> Result<Reference, ImageError> {
    text.parse().map_err(
        |error: super::reference::InvalidReference| ImageError::Reference {
            reference: text.chars().take(300).collect(),
            why: error.to_string(),
        },
    )
}
