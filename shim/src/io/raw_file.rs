//! A `file://` target: output as it is, appended by both streams.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// A file that output is appended to. What can't be written is dropped, counted, and said in the file later.
#[derive(Debug)]
pub(super) struct RawFile {
    file: File,
    gap: Option<Gap>,
}

#[derive(Debug)]
struct Gap {
    bytes: u64,
    since: String,
    cause: io::Error,
}

impl RawFile {
    /// Opens a file that must exist.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { file, gap: None })
    }

    /// Opens a file, made if need be with its folders.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self { file, gap: None })
    }

    /// Appends what was read at `time`; answers how many bytes were dropped.
    pub(super) fn write(&mut self, bytes: &[u8], time: &str) -> usize {
        let mut rest = bytes;
        match self
            .end_gap(time)
            .and_then(|()| append(&mut self.file, &mut rest))
        {
            Ok(()) => 0,
            Err(cause) => {
                let gap = self.gap.get_or_insert_with(|| Gap {
                    bytes: 0,
                    since: time.to_owned(),
                    cause,
                });
                gap.bytes += rest.len() as u64;
                rest.len()
            }
        }
    }

    /// Says what is missing, if something is and it can be said now.
    pub(super) fn finish(&mut self, time: &str) {
        // If it can't be said now, nothing is left to be said it in.
        let _ = self.end_gap(time);
    }

    fn end_gap(&mut self, time: &str) -> io::Result<()> {
        let Some(gap) = &self.gap else { return Ok(()) };
        let note = format!(
            "\nlongshore: {} bytes of output are missing here, dropped from {} to {time}: {}\n",
            gap.bytes, gap.since, gap.cause
        );
        let before = self.file.metadata()?.len();
        let mut rest = note.as_bytes();
        if let Err(error) = append(&mut self.file, &mut rest) {
            // Half a note would be repeated with each try.
            self.file.set_len(before)?;
            return Err(error);
        }
        self.gap = None;
        Ok(())
    }
}

/// Writes; `rest` is what is left, also after an error.
fn append(file: &mut File, rest: &mut &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.123456789Z";

    #[test]
    fn what_a_full_disk_drops_is_counted_and_said_once_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        // Its disk is always full.
        let mut file = RawFile::open(Path::new("/dev/full")).unwrap();
        assert_eq!(file.write(b"lost", TIME), 4);
        assert_eq!(file.write(b"lost too", "later"), 8);
        file.file = RawFile::create(&path).unwrap().file;
        assert_eq!(file.write(b"kept\n", "at last"), 0);
        assert_eq!(file.write(b"more\n", "at last"), 0);
        file.finish("at last");
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            format!(
                "\nlongshore: 12 bytes of output are missing here, dropped from {TIME} to at last: No space left on \
                 device (os error 28)\nkept\nmore\n"
            )
        );
    }
}
