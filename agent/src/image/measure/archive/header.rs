//! One header block.

use super::Fault;

/// Where the fields are (POSIX `ustar`, and GNU's own).
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const SUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..265;
const REAL_SIZE: std::ops::Range<usize> = 483..495;
/// GNU's magic and version.
const GNU: &[u8] = b"ustar  \0";

/// What an entry is, as far as it matters for what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// PAX records for the next file.
    Records,
    /// PAX records for all of them, which containerd passes over.
    GlobalRecords,
    /// GNU's name for the next file.
    LongName,
    /// GNU's target for the next link.
    LongLink,
    /// A link, a device, a folder or a pipe: its size says nothing.
    NoBytes,
    /// A file, or by its name a folder, of before POSIX.
    Old,
    /// GNU's old sparse file.
    Sparse,
    /// All others.
    Bytes,
}

/// A header whose sum is right.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) block: &'a [u8],
    pub(super) kind: Kind,
    size: i64,
}

impl<'a> Header<'a> {
    pub(super) fn read(block: &'a [u8]) -> Result<Self, Fault> {
        let said = octal(field(block, SUM)).ok_or(Fault::NoHeader)?;
        if !sums(block).contains(&said) {
            return Err(Fault::NoHeader);
        }
        let kind = match block.get(KIND) {
            Some(b'x') => Kind::Records,
            Some(b'g') => Kind::GlobalRecords,
            Some(b'L') => Kind::LongName,
            Some(b'K') => Kind::LongLink,
            Some(b'1'..=b'6') => Kind::NoBytes,
            Some(b'S') if field(block, MAGIC) == GNU => Kind::Sparse,
            Some(b'S') => return Err(Fault::Sparse),
            Some(0) => Kind::Old,
            Some(_) | None => Kind::Bytes,
        };
        let size = number(field(block, SIZE)).ok_or(Fault::Size)?;
        Ok(Self { block, kind, size })
    }

    /// How many bytes follow, if PAX records don't say otherwise.
    pub(super) fn stored(&self, by_records: Option<i64>) -> Result<u64, Fault> {
        match self.kind {
            Kind::NoBytes => Ok(0),
            Kind::Records
            | Kind::GlobalRecords
            | Kind::LongName
            | Kind::LongLink
            | Kind::Old
            | Kind::Sparse
            | Kind::Bytes => u64::try_from(by_records.unwrap_or(self.size)).map_err(|_| Fault::Size),
        }
    }

    /// How long an old sparse file is with its holes.
    pub(super) fn real_size(&self) -> Result<u64, Fault> {
        let size = number(field(self.block, REAL_SIZE)).ok_or(Fault::Size)?;
        u64::try_from(size).map_err(|_| Fault::Size)
    }

    /// Whether its own name is a folder's; one without a name may get a slash from its prefix.
    pub(super) fn named_as_folder(&self) -> bool {
        let name = text(field(self.block, NAME));
        name.is_empty() || name.ends_with(b"/")
    }
}

fn field(block: &[u8], range: std::ops::Range<usize>) -> &[u8] {
    block.get(range).unwrap_or_default()
}

/// Up to the first NUL.
pub(super) fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The sum of all bytes, those of the sum itself being spaces; old programs had them with signs.
fn sums(block: &[u8]) -> [i64; 2] {
    let bytes = || {
        let space = |(at, byte): (usize, &u8)| if SUM.contains(&at) { b' ' } else { *byte };
        block.iter().enumerate().map(space)
    };
    [
        bytes().map(i64::from).sum(),
        bytes().map(|byte| i64::from(byte.cast_signed())).sum(),
    ]
}

/// In octal, or in binary with the uppermost bit set.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    // Its second bit is the sign.
    let negative = first & 0x40 != 0;
    let mut value = if negative { -1_i128 } else { 0 };
    for (at, byte) in field.iter().enumerate() {
        let byte = match at {
            0 if negative => byte | 0x80,
            0 => byte & 0x7f,
            _ => *byte,
        };
        value = value.checked_mul(256)?.checked_add(i128::from(byte))?;
    }
    i64::try_from(value).ok()
}

/// Spaces and NULs around it count for nothing, and neither does what comes after a NUL.
fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| *byte == b' ' || *byte == 0;
    let begin = field.iter().position(|byte| !is_padding(byte));
    let end = field.iter().rposition(|byte| !is_padding(byte));
    let (Some(begin), Some(end)) = (begin, end) else {
        return Some(0);
    };
    let digits = text(field.get(begin..=end)?);
    digits.iter().try_fold(0_i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"00000000017\0"), Some(15));
        assert_eq!(number(b" 17 \0\0\0\0\0\0\0\0"), Some(15));
        assert_eq!(number(&[0; 12]), Some(0));
        assert_eq!(number(b"1\08\0\0\0\0\0\0\0\0\0"), Some(1));
        assert_eq!(number(b"18\0\0\0\0\0\0\0\0\0\0"), None);
        assert_eq!(
            number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1]),
            Some(0x0200_0001)
        );
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None, "2^64");
        assert_eq!(number(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]), None, "2^63");
    }
}
