//! How much a layer unpacks to, before containerd unpacks it: a few kilobytes can become terabytes.
//!
//! containerd unpacks by itself and has no bound, so each layer is unpacked here first, into nothing but a count. That
//! costs no disk, and is done while other layers still come. What is counted is what containerd would read: it tells
//! gzip and zstd by their first bytes, whatever the media type says, and goes on through every member and frame. To the
//! bytes of the archive come the holes of its sparse files ([`archive`]), which containerd fills.
//!
//! Invariants: each layer of an image is counted, whoever fetched or unpacked it and in which try, so that the limit is one
//! for the whole image; a layer that is counted has no download wait for it, and no other layer for longer than a part.
//!
//! Limits: zstd with a window of more than 128 MiB is refused, as by `zstd` itself. A file that is shorter than a block
//! of the disk counts as its bytes and its header.

mod archive;
mod meter;

use std::collections::HashMap;

use tokio::sync::Semaphore;

use super::PullError;
use super::content;
use super::digest::Digest;
use super::manifest::Descriptor;
use crate::blocking;
use crate::config::ImageLimits;
use crate::containerd::{CallError, Client};

use meter::{Meter, Window};

/// Layers that are being counted: each may have a window in memory.
const LAYERS: usize = 16;
/// Those of them that may have a wide window.
const WIDE: usize = 1;
/// What a layer was counted to have, in bytes: on its blob, since the same bytes always unpack to the same.
const SIZE_LABEL: &str = "longshore.unpacked-size";
/// To leave out fewer bytes of a layer than this costs more than to read them.
const WORTH_LEAVING_OUT: u64 = 8 << 20;

/// A limit that an image is beyond.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// One layer.
    #[error("it unpacks to more than {} MiB (LONGSHORE_LAYER_SIZE_LIMIT)", .0 >> 20)]
    Layer(u64),
    /// All layers together.
    #[error("with the layers before it, it unpacks to more than {} MiB (LONGSHORE_IMAGE_SIZE_LIMIT)", .0 >> 20)]
    Image(u64),
    /// One layer, in proportion to what was fetched.
    #[error("it unpacks to more than {0} times its size (LONGSHORE_LAYER_RATIO_LIMIT)")]
    Ratio(u64),
}

/// Bounds what the images of this node unpack to.
#[derive(Debug)]
pub struct Scales {
    limits: ImageLimits,
    layers: Semaphore,
    wide: Semaphore,
}

/// A count that was not finished.
enum Stopped {
    Failed(PullError),
    /// It can't be unpacked, with this window at least.
    Unpack(PullError),
}

impl From<CallError> for Stopped {
    fn from(error: CallError) -> Self {
        Self::Failed(error.into())
    }
}

impl Scales {
    /// With these limits.
    #[must_use]
    pub fn new(limits: ImageLimits) -> Self {
        Self {
            limits,
            layers: Semaphore::new(LAYERS),
            wide: Semaphore::new(WIDE),
        }
    }

    /// Refuses layers that are too big as they are, before any of them is fetched. A packed layer that is bigger than
    /// what it unpacks to is not by much.
    ///
    /// # Errors
    /// [`PullError::TooBig`].
    pub fn look(&self, layers: &[Descriptor]) -> Result<(), PullError> {
        let mut total = 0_u64;
        for layer in layers {
            total = total.saturating_add(layer.size);
            let excess = if meter::over(layer.size, self.limits.layer) {
                Excess::Layer(self.limits.layer)
            } else if meter::over(total, self.limits.image) {
                Excess::Image(self.limits.image)
            } else {
                continue;
            };
            return Err(too_big(&layer.digest, excess));
        }
        Ok(())
    }

    /// What a layer that is in the store unpacks to, in bytes; `before` is what the layers before it in its image do. It
    /// is counted once, and then known.
    ///
    /// # Errors
    /// [`PullError::TooBig`] where a limit is passed, [`PullError::Unpack`] if it can't be unpacked,
    /// [`PullError::Store`] if it can't be read.
    pub async fn measure(&self, client: &Client, layer: &Descriptor, before: u64) -> Result<u64, PullError> {
        let info = content::info(client, &layer.digest).await?;
        let known = info.and_then(|info| info.labels.get(SIZE_LABEL)?.parse().ok());
        if let Some(known) = known {
            return match meter::excess(&self.limits, layer.size, known, before) {
                None => Ok(known),
                Some(excess) => Err(too_big(&layer.digest, excess)),
            };
        }
        // They are never closed.
        let _layer = self.layers.acquire().await;
        let counted = match self.count(client, layer, before, Window::Usual).await {
            // It may be that it wants a wider one. That costs time and memory only where something is odd.
            Err(Stopped::Unpack(_)) => {
                let _wide = self.wide.acquire().await;
                self.count(client, layer, before, Window::Wide).await
            }
            other => other,
        };
        let counted = counted.map_err(|stopped| match stopped {
            Stopped::Failed(error) | Stopped::Unpack(error) => error,
        })?;
        let label = HashMap::from([(SIZE_LABEL.to_owned(), counted.to_string())]);
        content::label(client, &layer.digest, label).await?;
        Ok(counted)
    }

    async fn count(
        &self,
        client: &Client,
        layer: &Descriptor,
        before: u64,
        window: Window,
    ) -> Result<u64, Stopped> {
        let unpack = |why: String| {
            Stopped::Unpack(PullError::Unpack {
                layer: layer.digest.clone(),
                why,
            })
        };
        let mut meter = Meter::new(self.limits, before, window);
        let mut at = 0_u64;
        let mut parts = content::parts(client, &layer.digest, at).await?;
        loop {
            let part = parts.next().await?;
            let last = part.is_none();
            at = at.saturating_add(part.as_ref().map_or(0, |part| part.len() as u64));
            // For a part, so that a large layer holds up no other for longer than that; a part ends soon, since the limits
            // end it.
            let step = blocking::LAYERS.run(move || {
                let done = match part {
                    Some(part) => meter.add(&part),
                    None => meter.finish(),
                };
                (meter, done)
            });
            let done;
            (meter, done) = step.await.map_err(|error| unpack(error.to_string()))?;
            if let Err(error) = done {
                return Err(match meter.excess() {
                    Some(excess) => Stopped::Failed(too_big(&layer.digest, excess)),
                    None => unpack(error.to_string()),
                });
            }
            let left = layer.size.saturating_sub(at);
            let idle = meter.idle().min(left);
            if last {
                return Ok(meter.unpacked());
            }
            // What a plain layer's files have in them says nothing of their size.
            if idle >= WORTH_LEAVING_OUT {
                if let Some(excess) = meter.skip(idle) {
                    return Err(Stopped::Failed(too_big(&layer.digest, excess)));
                }
                at = at.saturating_add(idle);
                if at == layer.size {
                    return Ok(meter.unpacked());
                }
                parts = content::parts(client, &layer.digest, at).await?;
            }
        }
    }
}

fn too_big(layer: &Digest, excess: Excess) -> PullError {
    PullError::TooBig {
        layer: layer.clone(),
        excess,
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
