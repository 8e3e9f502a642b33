//! Unpacks what comes into nothing but a count.

use std::io::Write;

use flate2::write::MultiGzDecoder;

use super::Excess;
use super::archive::Archive;
use crate::config::ImageLimits;

/// How many bytes tell how a layer is packed.
const MAGIC: usize = 4;

/// How much memory zstd may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// 8 MiB: what every program must be able to read (RFC 8878), and levels up to 19 want.
    Usual,
    /// 128 MiB.
    Wide,
}

impl Window {
    /// Its binary logarithm.
    fn log(self) -> u32 {
        match self {
            Self::Usual => 23,
            Self::Wide => 27,
        }
    }
}

/// Whether a limit, of which 0 is none, is passed.
pub(super) fn over(bytes: u64, limit: u64) -> bool {
    limit > 0 && bytes > limit
}

/// The limit that a layer passes, which unpacks to so many bytes, with those of the layers before it.
pub(super) fn excess(limits: &ImageLimits, packed: u64, unpacked: u64, before: u64) -> Option<Excess> {
    let proportion = packed.saturating_mul(limits.ratio).max(limits.ratio_from);
    if over(unpacked, limits.layer) {
        Some(Excess::Layer(limits.layer))
    } else if over(before.saturating_add(unpacked), limits.image) {
        Some(Excess::Image(limits.image))
    } else if limits.ratio > 0 && unpacked > proportion {
        Some(Excess::Ratio(limits.ratio))
    } else {
        None
    }
}

/// Counts what one layer unpacks to.
pub(super) struct Meter {
    window: Window,
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
    /// With what the layers before it unpack to.
    pub(super) fn new(limits: ImageLimits, before: u64, window: Window) -> Self {
        Self {
            window,
            head: Vec::new(),
            packing: None,
            count: Some(Count {
                limits,
                before,
                archive: Archive::new(),
                packed: 0,
                unpacked: 0,
                excess: None,
            }),
        }
    }

    pub(super) fn add(&mut self, part: &[u8]) -> std::io::Result<()> {
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
        let packing = self.packing.insert(Packing::of(&head, count, self.window)?);
        packing.add(&head)
    }

    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        self.begin()?;
        match &mut self.packing {
            Some(Packing::Gzip(decoder)) => decoder.try_finish(),
            Some(Packing::Zstd(decoder)) => decoder.flush(),
            Some(Packing::Plain(_)) | None => Ok(()),
        }
    }

    /// How much it has unpacked to, with the holes of what is announced.
    pub(super) fn unpacked(&mut self) -> u64 {
        let unpacked = self.packing.as_mut().map(|packing| packing.count().unpacked);
        unpacked.unwrap_or_default()
    }

    /// How many of the next bytes say nothing: only where nothing is packed.
    pub(super) fn idle(&self) -> u64 {
        match &self.packing {
            Some(Packing::Plain(count)) => count.archive.idle(),
            Some(Packing::Gzip(_) | Packing::Zstd(_)) | None => 0,
        }
    }

    /// Counts that many of them without seeing them.
    pub(super) fn skip(&mut self, bytes: u64) -> Option<Excess> {
        match &mut self.packing {
            Some(Packing::Plain(count)) => {
                count.archive.skip(bytes);
                count.packed = count.packed.saturating_add(bytes);
                count.add(bytes)
            }
            Some(Packing::Gzip(_) | Packing::Zstd(_)) | None => None,
        }
    }

    /// The limit that was passed, once.
    pub(super) fn excess(&mut self) -> Option<Excess> {
        self.packing
            .as_mut()
            .and_then(|packing| packing.count().excess.take())
    }
}

impl Packing {
    fn of(head: &[u8], count: Count, window: Window) -> std::io::Result<Self> {
        Ok(match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip(Box::new(MultiGzDecoder::new(count))),
            // A frame, or one that is to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let mut decoder = zstd::stream::write::Decoder::new(count)?;
                decoder.window_log_max(window.log())?;
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
    before: u64,
    archive: Archive,
    packed: u64,
    unpacked: u64,
    excess: Option<Excess>,
}

impl Count {
    fn add(&mut self, bytes: u64) -> Option<Excess> {
        self.unpacked = self.unpacked.saturating_add(bytes);
        self.excess = excess(&self.limits, self.packed, self.unpacked, self.before);
        self.excess.clone()
    }
}

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let holes = self.archive.read(bytes).map_err(std::io::Error::other)?;
        let length = holes.saturating_add(bytes.len() as u64);
        match self.add(length) {
            None => Ok(bytes.len()),
            Some(_) => Err(std::io::Error::other("it is too big")),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
