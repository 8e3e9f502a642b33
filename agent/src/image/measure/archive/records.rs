//! PAX records: `LENGTH KEY=VALUE\n`, one after the other.

use super::Fault;

/// What they say of how long a file is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// How many of its bytes are in the archive.
    pub(super) size: Option<i64>,
    /// How long it is with its holes; 0 where nothing says that it has any.
    pub(super) real_size: u64,
    /// Its name ends like a folder's.
    pub(super) named_as_folder: bool,
}

impl Records {
    pub(super) fn read(mut bytes: &[u8]) -> Result<Self, Fault> {
        let mut records = Self::default();
        let (mut size, mut apparent) = (None, None);
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or(Fault::Records)?;
            bytes = rest;
            // The last one of a key counts, and one without a value as none.
            let number = || match value.is_empty() {
                true => Ok(None),
                false => number(value).map(Some),
            };
            match key {
                b"size" => records.size = number()?,
                b"GNU.sparse.size" => size = number()?,
                b"GNU.sparse.realsize" => apparent = number()?,
                b"path" => records.named_as_folder = value.ends_with(b"/"),
                _ => {}
            }
        }
        // Which of them counts is a matter of the version; whichever it is, no more than the larger one is unpacked.
        let larger = size.max(apparent).unwrap_or(0);
        records.real_size = u64::try_from(larger).map_err(|_| Fault::Size)?;
        Ok(records)
    }
}

fn number(text: &[u8]) -> Result<i64, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::Size)?;
    text.parse().map_err(|_| Fault::Size)
}

/// The first record's key and value, and what comes after it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let (length, _) = bytes.split_at_checked(space)?;
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let (newline, record) = record.get(space + 1..)?.split_last()?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    let value = value.get(1..)?;
    let is_whole = *newline == b'\n' && !key.is_empty() && !key.contains(&0);
    is_whole.then_some((key, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_of_a_key_counts() {
        let read = Records::read(b"10 size=7\n10 size=9\n9 path=/\n").unwrap();
        let expected = Records {
            size: Some(9),
            real_size: 0,
            named_as_folder: true,
        };
        assert_eq!(read, expected);
        assert_eq!(Records::read(b"10 size=7\n8 size=\n").unwrap().size, None);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for broken in [
            "x",
            "10 size=7",
            "11 size=7\n",
            "8 size=7\n",
            "0 a=b\n",
            "6 a-b\n",
            "5 =b\n",
        ] {
            assert_eq!(
                Records::read(broken.as_bytes()),
                Err(Fault::Records),
                "{broken:?}"
            );
        }
        assert_eq!(Records::read(b"10 size=x\n"), Err(Fault::Size));
        assert_eq!(Records::read(b"22 GNU.sparse.size=-5\n"), Err(Fault::Size));
    }
}
