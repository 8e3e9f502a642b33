//! Follows the headers of a tar archive as it comes, for what its files are once they are unpacked.
//!
//! The bytes of an archive are not all that it unpacks to: GNU's sparse files leave out their holes, in the headers of
//! PAX records (`GNU.sparse.*`) or of type `S`, and containerd writes the holes as zeros. A kilobyte can be a terabyte.
//! Such files are not refused, since `tar -S` and `docker import` make some that are honest: their holes are counted.
//!
//! Invariants: what containerd's reader (Go's `archive/tar`) takes for a header is taken for one here, so that no header
//! hides in what looks like a file's bytes; where the two could differ, or that reader would stop, the archive is
//! refused. What is kept of one is a block, and records of [`RECORDS`] bytes at most.
//!
//! Limits: a file that is no longer than a block or has no bytes counts as its header, though a disk may give it more.

mod header;
mod records;

use std::cmp::min;

use header::{Header, Kind};
use records::Records;

/// The unit of an archive.
const BLOCK: usize = 512;
/// The most that records or a long name may have: Go's reader takes no more.
const RECORDS: u64 = 1 << 20;
/// Where an old sparse header says whether its map goes on in the next block, and where that block does.
const GOES_ON: (usize, usize) = (482, 504);

/// An archive that containerd's reader would not follow, or in another way than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// No header where one is to be.
    #[error("it is no tar archive, or a damaged one")]
    NoHeader,
    /// A number that is none, is negative or too large.
    #[error("a header of its archive has a size that can't be read")]
    Size,
    /// Records that are none.
    #[error("a header of its archive has PAX records that can't be read")]
    Records,
    /// Too many of them.
    #[error("a header of its archive has records of more than 1 MiB")]
    TooManyRecords,
    /// By its name it is a folder, by its size a file.
    #[error("its archive has an old entry that may be a file and a folder")]
    Ambiguous,
    /// `S` without GNU's mark.
    #[error("its archive has a sparse file of a kind that is not known")]
    Sparse,
}

/// What comes next.
#[derive(Debug)]
enum Place {
    Header,
    /// One block of zeros has come; another one ends it.
    Ending,
    /// The map of an old sparse file goes on. Then come so many bytes.
    Map(u64),
    /// Records or a long name, so many bytes of them, and bytes to the end of the block.
    Records(Kind, u64, u64),
    /// Bytes that say nothing.
    Bytes(u64),
    /// Whatever it is, nobody unpacks it.
    End,
}

/// An archive of which a part has come.
#[derive(Debug)]
pub(super) struct Archive {
    place: Place,
    kept: Vec<u8>,
    /// For the next file.
    records: Records,
    /// A long name for the next file ends like a folder's.
    named_as_folder: bool,
}

impl Archive {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Header,
            kept: Vec::new(),
            records: Records::default(),
            named_as_folder: false,
        }
    }

    /// How many of the next bytes say nothing, whatever they are.
    pub(super) fn idle(&self) -> u64 {
        match self.place {
            Place::Bytes(left) => left,
            Place::End => u64::MAX,
            Place::Header | Place::Ending | Place::Map(_) | Place::Records(..) => 0,
        }
    }

    /// Goes on without that many bytes, of those that say nothing.
    pub(super) fn skip(&mut self, bytes: u64) {
        if let Place::Bytes(left) = &mut self.place {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.place = Place::Header;
            }
        }
    }

    /// Takes the next bytes; how many bytes of holes they announce.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<u64, Fault> {
        let mut holes = 0_u64;
        while !bytes.is_empty() {
            let idle = self.idle();
            if idle > 0 {
                let length = length(idle, bytes.len());
                bytes = bytes.get(length..).unwrap_or_default();
                self.skip(length as u64);
                continue;
            }
            let wanted = match self.place {
                Place::Records(_, left, _) => left,
                Place::Header | Place::Ending | Place::Map(_) | Place::Bytes(_) | Place::End => BLOCK as u64,
            };
            let missing = wanted.saturating_sub(self.kept.len() as u64);
            let (now, later) = bytes.split_at(length(missing, bytes.len()));
            self.kept.extend_from_slice(now);
            bytes = later;
            if self.kept.len() as u64 == wanted {
                let kept = std::mem::take(&mut self.kept);
                holes = holes.saturating_add(self.whole(&kept)?);
            }
        }
        Ok(holes)
    }

    /// All of what was waited for is there; the holes that it announces.
    fn whole(&mut self, kept: &[u8]) -> Result<u64, Fault> {
        let mut holes = 0;
        let place = std::mem::replace(&mut self.place, Place::End);
        self.place = match place {
            Place::Header if is_zero(kept) => Place::Ending,
            Place::Header => {
                let next;
                (next, holes) = self.header(&Header::read(kept)?)?;
                next
            }
            Place::Ending if is_zero(kept) => Place::End,
            Place::Ending => return Err(Fault::NoHeader),
            Place::Map(bytes) => match goes_on(kept, GOES_ON.1) {
                true => Place::Map(bytes),
                false => after(bytes),
            },
            Place::Records(kind, _, padding) => {
                self.note(kind, kept)?;
                after(padding)
            }
            Place::Bytes(_) | Place::End => place,
        };
        Ok(holes)
    }

    fn header(&mut self, header: &Header<'_>) -> Result<(Place, u64), Fault> {
        if matches!(header.kind, Kind::Records | Kind::LongName | Kind::LongLink) {
            if header.kind == Kind::Records {
                // The last ones count, and those before them for nothing.
                self.records = Records::default();
            }
            return Ok((Self::special(header.kind, header.stored(None)?)?, 0));
        }
        let records = std::mem::take(&mut self.records);
        let named_as_folder = std::mem::take(&mut self.named_as_folder);
        if header.kind == Kind::GlobalRecords {
            // What came before it is for no file any more, as with Go's reader.
            return Ok((Self::special(header.kind, header.stored(None)?)?, 0));
        }
        let stored = header.stored(records.size)?;
        let is_folder = named_as_folder || records.named_as_folder || header.named_as_folder();
        if header.kind == Kind::Old && stored > 0 && is_folder {
            return Err(Fault::Ambiguous);
        }
        let in_blocks = stored.checked_next_multiple_of(BLOCK as u64).ok_or(Fault::Size)?;
        let (place, real) = match header.kind {
            Kind::Sparse => {
                let goes_on = goes_on(header.block, GOES_ON.0);
                let place = if goes_on {
                    Place::Map(in_blocks)
                } else {
                    after(in_blocks)
                };
                (place, header.real_size()?)
            }
            Kind::Records
            | Kind::GlobalRecords
            | Kind::LongName
            | Kind::LongLink
            | Kind::NoBytes
            | Kind::Old
            | Kind::Bytes => (after(in_blocks), records.real_size),
        };
        Ok((place, real.max(records.real_size).saturating_sub(stored)))
    }

    fn special(kind: Kind, length: u64) -> Result<Place, Fault> {
        if length > RECORDS {
            return Err(Fault::TooManyRecords);
        }
        let padding = length.next_multiple_of(BLOCK as u64) - length;
        Ok(match length {
            0 => Place::Header,
            _ => Place::Records(kind, length, padding),
        })
    }

    fn note(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Fault> {
        match kind {
            Kind::Records => self.records = Records::read(bytes)?,
            Kind::LongName => self.named_as_folder |= header::text(bytes).ends_with(b"/"),
            // Nobody goes by what they say; but where they can't be read, nobody reads on.
            Kind::GlobalRecords => {
                Records::read(bytes)?;
            }
            Kind::LongLink | Kind::NoBytes | Kind::Old | Kind::Sparse | Kind::Bytes => {}
        }
        Ok(())
    }
}

fn after(bytes: u64) -> Place {
    match bytes {
        0 => Place::Header,
        _ => Place::Bytes(bytes),
    }
}

fn goes_on(block: &[u8], at: usize) -> bool {
    block.get(at).is_some_and(|byte| *byte > 0)
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// The smaller of the two.
fn length(wanted: u64, there: usize) -> usize {
    usize::try_from(wanted).map_or(there, |wanted| min(wanted, there))
}
