//! How much a layer unpacks to, before containerd unpacks it: a few kilobytes can become terabytes.
//!
//! containerd unpacks by itself and has no bound, so each layer is unpacked here first, into nothing but a count. That
//! costs no disk, and is done while other layers still come. What is counted is what containerd would read: it tells
//! gzip and zstd by their first bytes, whatever the media type says, and goes on through every member and frame. To the
//! bytes of the archive come the holes of its sparse files ([`archive`]), which containerd fills.
//!
//! Limits: zstd with a window of more than 128 MiB is refused, as by `zstd` itself. Layers that other clients of
//! containerd have unpacked are not counted.

mod archive;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::write::MultiGzDecoder;
use tokio::sync::Semaphore;

use archive::Archive;

use super::PullError;
use super::content;
use super::digest::Digest;
use super::manifest::Descriptor;
use crate::config::ImageLimits;
use crate::containerd::Client;

/// Layers that are measured at the same time: each takes a core, and with zstd as much memory as its window.
const AT_ONCE: usize = 2;
/// The binary logarithm of the largest window.
const WINDOW_LOG: u32 = 27;
/// How many bytes tell how a layer is packed.
const MAGIC: usize = 4;

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
    turns: Semaphore,
}

/// What has been measured of one image.
#[derive(Clone, Debug, Default)]
pub struct Total(Arc<AtomicU64>);

impl Scales {
    /// With these limits.
    #[must_use]
    pub fn new(limits: ImageLimits) -> Self {
        Self {
            limits,
            turns: Semaphore::new(AT_ONCE),
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
            let excess = if over(layer.size, self.limits.layer) {
                Excess::Layer(self.limits.layer)
            } else if over(total, self.limits.image) {
                Excess::Image(self.limits.image)
            } else {
                continue;
            };
            return Err(too_big(&layer.digest, excess));
        }
        Ok(())
    }

    /// Counts what a layer that is in the store unpacks to.
    ///
    /// # Errors
    /// [`PullError::TooBig`] where a limit is passed, [`PullError::Unpack`] if it can't be unpacked,
    /// [`PullError::Store`] if it can't be read.
    pub async fn measure(&self, client: &Client, layer: &Digest, total: &Total) -> Result<(), PullError> {
        let _turn = self.turns.acquire().await;
        let mut parts = content::parts(client, layer).await?;
        let mut meter = Meter::new(self.limits, total.clone());
        loop {
            let part = parts.next().await?;
            let last = part.is_none();
            // Not on the threads that serve other tasks; a part ends soon, since the limits end it.
            let step = tokio::task::spawn_blocking(move || {
                let done = match part {
                    Some(part) => meter.add(&part),
                    None => meter.finish(),
                };
                (meter, done)
            });
            let done;
            (meter, done) = step.await.map_err(|error| PullError::Unpack {
                layer: layer.clone(),
                why: error.to_string(),
            })?;
            if let Err(error) = done {
                return Err(match meter.excess() {
                    Some(excess) => too_big(layer, excess),
                    None => PullError::Unpack {
                        layer: layer.clone(),
                        why: error.to_string(),
                    },
                });
            }
            if last {
                return Ok(());
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

/// Whether a limit, of which 0 is none, is passed.
fn over(bytes: u64, limit: u64) -> bool {
    limit > 0 && bytes > limit
}

/// Counts what one layer unpacks to.
struct Meter {
    head: Vec<u8>,
    packing: Option<Packing>,
    count: Option<Count>,
}

enum Packing {
    Plain(Count),
    Gzip(Box<MultiGzDecoder<Count>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Count>>),
}

impl Meter {
    fn new(limits: ImageLimits, total: Total) -> Self {
        Self {
            head: Vec::new(),
            packing: None,
            count: Some(Count {
                limits,
                total,
                archive: Archive::new(),
                packed: 0,
                unpacked: 0,
                excess: None,
            }),
        }
    }

    fn add(&mut self, part: &[u8]) -> std::io::Result<()> {
        if let Some(packing) = &mut self.packing {
            return packing.add(part);
        }
        self.head.extend_from_slice(part);
        match self.head.len() < MAGIC {
            true => Ok(()),
            false => self.begin(),
        }
    }

    fn begin(&mut self) -> std::io::Result<()> {
        let Some(count) = self.count.take() else {
            return Ok(());
        };
        let head = std::mem::take(&mut self.head);
        let packing = self.packing.insert(Packing::of(&head, count)?);
        packing.add(&head)
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.begin()?;
        match &mut self.packing {
            Some(Packing::Gzip(decoder)) => decoder.try_finish(),
            Some(Packing::Zstd(decoder)) => decoder.flush(),
            Some(Packing::Plain(_)) | None => Ok(()),
        }
    }

    fn excess(&mut self) -> Option<Excess> {
        self.packing
            .as_mut()
            .and_then(|packing| packing.count().excess.take())
    }
}

impl Packing {
    fn of(head: &[u8], count: Count) -> std::io::Result<Self> {
        Ok(match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip(Box::new(MultiGzDecoder::new(count))),
            // A frame, or one that is to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let mut decoder = zstd::stream::write::Decoder::new(count)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Self::Zstd(Box::new(decoder))
            }
            _ => Self::Plain(count),
        })
    }

    fn count(&mut self) -> &mut Count {
        match self {
            Self::Plain(count) => count,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    fn add(&mut self, part: &[u8]) -> std::io::Result<()> {
        let count = self.count();
        count.packed = count.packed.saturating_add(part.len() as u64);
        match self {
            Self::Plain(count) => count.write_all(part),
            Self::Gzip(decoder) => decoder.write_all(part),
            Self::Zstd(decoder) => decoder.write_all(part),
        }
    }
}

/// Where unpacked bytes go: nowhere.
struct Count {
    limits: ImageLimits,
    total: Total,
    archive: Archive,
    packed: u64,
    unpacked: u64,
    excess: Option<Excess>,
}

impl Count {
    fn check(&self, total: u64) -> Option<Excess> {
        let limits = &self.limits;
        let proportion = self.packed.saturating_mul(limits.ratio).max(limits.ratio_from);
        if over(self.unpacked, limits.layer) {
            Some(Excess::Layer(limits.layer))
        } else if over(total, limits.image) {
            Some(Excess::Image(limits.image))
        } else if limits.ratio > 0 && self.unpacked > proportion {
            Some(Excess::Ratio(limits.ratio))
        } else {
            None
        }
    }
}

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let holes = self.archive.read(bytes).map_err(std::io::Error::other)?;
        let length = holes.saturating_add(bytes.len() as u64);
        self.unpacked = self.unpacked.saturating_add(length);
        let before = self.total.0.fetch_add(length, Ordering::Relaxed);
        self.excess = self.check(before.saturating_add(length));
        match self.excess {
            None => Ok(bytes.len()),
            Some(_) => Err(std::io::Error::other("it is too big")),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
