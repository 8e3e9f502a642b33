//! A place in a log that is being rotated: which file, by its inode, and where in it.
//!
//! Files are renamed while they are listed, so a listing counts only when a second one agrees.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::files::absent_is_none;

/// How often a listing is tried again. A rotation takes microseconds, and the next one a whole file.
const TRIES: usize = 50;
const BLOCK: usize = 64 * 1024;

/// The files of a log, newest first: number (0 is `PATH`, 1 is `PATH.1`) and inode.
type Files = Vec<(u32, u64)>;

/// An open file of a log, and how far it has been read.
#[derive(Debug)]
pub(super) struct Position {
    file: File,
    inode: u64,
    /// Where the next byte to read is.
    pub(super) offset: u64,
}

/// What comes after a file.
#[derive(Debug)]
pub(super) enum Next {
    /// It is the newest.
    Nothing,
    /// The file that was begun when it was full.
    File(Position),
    /// It was removed as the oldest, and others with it for all one can tell; this is the oldest that is left.
    Gap(Position),
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The number of a file of this log, by its name.
fn number(name: &OsStr, log: &OsStr) -> Option<u32> {
    if name == log {
        return Some(0);
    }
    let rest = name.to_str()?.strip_prefix(log.to_str()?)?.strip_prefix('.')?;
    let number: u32 = rest.parse().ok().filter(|number| *number > 0)?;
    (rest == number.to_string()).then_some(number)
}

fn list_once(path: &Path) -> io::Result<Files> {
    let (Some(folder), Some(log)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let Some(entries) = absent_is_none(fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(number) = number(&entry.file_name(), log)
            && let Some(found) = absent_is_none(fs::metadata(entry.path()))?
        {
            files.push((number, found.ino()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The files as they were at one moment.
fn list(path: &Path) -> io::Result<Files> {
    let mut before = list_once(path)?;
    for _ in 0..TRIES {
        let after = list_once(path)?;
        if after == before {
            return Ok(after);
        }
        before = after;
    }
    Err(io::Error::other(
        "the log is rotated faster than it can be listed",
    ))
}

fn open(path: &Path, (number, inode): (u32, u64)) -> io::Result<Option<Position>> {
    let Some(file) = absent_is_none(File::open(numbered(path, number)))? else {
        return Ok(None);
    };
    // Another file may have this name by now.
    let same = file.metadata()?.ino() == inode;
    Ok(same.then_some(Position {
        file,
        inode,
        offset: 0,
    }))
}

/// Lists and opens until both fit together.
fn settled<T>(path: &Path, mut work: impl FnMut(&Files) -> io::Result<Option<T>>) -> io::Result<T> {
    for _ in 0..TRIES {
        if let Some(done) = work(&list(path)?)? {
            return Ok(done);
        }
    }
    Err(io::Error::other(
        "the log is rotated faster than it can be opened",
    ))
}

impl Position {
    /// The beginning of the oldest file; `None` if there is no log.
    pub(super) fn first(path: &Path) -> io::Result<Option<Self>> {
        settled(path, |files| match files.last() {
            None => Ok(Some(None)),
            Some(oldest) => Ok(open(path, *oldest)?.map(Some)),
        })
    }

    /// Where the last `records` whole records begin; `None` if there is no log.
    pub(super) fn tail(path: &Path, records: usize) -> io::Result<Option<Self>> {
        settled(path, |files| {
            let mut missing = records;
            let mut begin = None;
            for file in files {
                let Some(mut position) = open(path, *file)? else {
                    return Ok(None);
                };
                let (offset, found) = position.last_records(missing)?;
                position.offset = offset;
                begin = Some(position);
                missing -= found;
                if missing == 0 {
                    break;
                }
            }
            Ok(Some(begin))
        })
    }

    /// What comes after this file.
    pub(super) fn next(&self, path: &Path) -> io::Result<Next> {
        settled(path, |files| {
            let here = files.iter().position(|(_, inode)| *inode == self.inode);
            let (next, gap) = match here {
                Some(0) => return Ok(Some(Next::Nothing)),
                Some(here) => (files[here - 1], false),
                None => match files.last() {
                    // Between the removal of the old file and the making of the new one.
                    None => return Ok(Some(Next::Nothing)),
                    Some(oldest) => (*oldest, true),
                },
            };
            let wrap = if gap { Next::Gap } else { Next::File };
            Ok(open(path, next)?.map(wrap))
        })
    }

    /// Reads on; 0 is the end as it is now. If the file has become shorter, since its writer took back what it could
    /// not write whole, reading goes on at the new end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        if read == 0 {
            self.offset = self.offset.min(self.file.metadata()?.len());
        }
        self.offset += read as u64;
        Ok(read)
    }

    /// Where the last `wanted` whole records of this file begin, and how many there are, at most `wanted`.
    fn last_records(&self, wanted: usize) -> io::Result<(u64, usize)> {
        let mut buffer = vec![0; BLOCK];
        let mut end = self.file.metadata()?.len();
        let mut newlines = 0;
        while end > 0 {
            let size = BLOCK.min(usize::try_from(end).unwrap_or(BLOCK));
            let start = end - size as u64;
            self.file.read_exact_at(&mut buffer[..size], start)?;
            for at in (0..size).rev().filter(|at| buffer[*at] == b'\n') {
                // The newline before the record that is wanted most.
                if newlines == wanted {
                    return Ok((start + at as u64 + 1, wanted));
                }
                newlines += 1;
            }
            end = start;
        }
        Ok((0, newlines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_this_log_are_its_files() {
        let log = OsStr::new("web.log");
        let of = |name: &str| number(OsStr::new(name), log);
        assert_eq!(
            (of("web.log"), of("web.log.1"), of("web.log.12")),
            (Some(0), Some(1), Some(12))
        );
        for other in [
            "web.log.",
            "web.log.01",
            "web.log.0",
            "web.log.x",
            "web.log.+1",
            "web",
            "web2.log.1",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_tail_reaches_over_files_and_leaves_a_torn_line_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.log");
        assert!(Position::tail(&path, 1).unwrap().is_none());
        fs::write(dir.path().join("web.log.1"), "a\nbb\n").unwrap();
        fs::write(&path, "ccc\ntorn").unwrap();
        let start = |records| {
            let position = Position::tail(&path, records).unwrap().unwrap();
            (position.file.metadata().unwrap().len(), position.offset)
        };
        // Told apart by their length: the newer has 8 bytes, the older 5.
        assert_eq!(start(0), (8, 4));
        assert_eq!(start(1), (8, 0));
        assert_eq!(start(2), (5, 2));
        assert_eq!(start(3), (5, 0));
        assert_eq!(start(9), (5, 0));
    }
}
