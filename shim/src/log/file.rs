//! The log file: rotated by size, whole after any write that fails.
//!
//! A file ends between two records, always: what a failed write left of one is cut off at once, or by whoever opens the
//! file next. Rotation renames `PATH` to `PATH.1`, that to `PATH.2`, up to `max_file` files; a reader that holds `PATH`
//! open reads it to its end and then opens the new one. Between the two renames `PATH` is away for a moment.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use longshore_protocol::json_file::{Stream, WriterOptions, encode};

/// A container's log, ready to take records.
#[derive(Debug)]
pub struct LogFile {
    options: WriterOptions,
    /// `None` while it can't be opened.
    open: Option<Open>,
    /// What has been dropped since writing stopped to work.
    gap: Option<Gap>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Where the next record goes: the end of the last whole one.
    end: u64,
}

/// Records that could not be written.
#[derive(Debug)]
struct Gap {
    records: usize,
    since: String,
    cause: io::Error,
}

impl LogFile {
    /// Opens the log, going on where it ended; a torn last line is cut off. If it can't be opened now, records are
    /// dropped and counted until it can.
    #[must_use]
    pub fn open(options: WriterOptions) -> Self {
        let open = open_file(&options).ok();
        Self {
            options,
            open,
            gap: None,
        }
    }

    /// Writes a batch of encoded records. `time` is now, as records have it.
    ///
    /// What can't be written is dropped and counted. The next batch tries anew, and begins by saying what is missing.
    pub fn write(&mut self, batch: &[u8], time: &str) {
        let mut rest = batch;
        if let Err(cause) = self.end_gap(time).and_then(|()| self.append(&mut rest, time)) {
            self.drop_records(rest, time, cause);
        }
    }

    /// Says what is missing, if something is and it can be said now. For the end of the streams.
    pub fn finish(&mut self, time: &str) {
        if let Err(cause) = self.end_gap(time) {
            self.drop_records(&[], time, cause);
        }
    }

    /// How many records have been dropped since writing stopped to work; 0 while it works.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.gap.as_ref().map_or(0, |gap| gap.records)
    }

    fn end_gap(&mut self, time: &str) -> io::Result<()> {
        let Some(gap) = &self.gap else { return Ok(()) };
        let Gap {
            records,
            since,
            cause,
        } = gap;
        let note = note(
            &format!("{records} records of output are missing here, dropped since {since}: {cause}"),
            time,
        );
        self.append(&mut note.as_slice(), time)?;
        self.gap = None;
        Ok(())
    }

    fn drop_records(&mut self, records: &[u8], time: &str, cause: io::Error) {
        let count = memchr::memchr_iter(b'\n', records).count();
        match &mut self.gap {
            Some(gap) => gap.records += count,
            None => {
                self.gap = Some(Gap {
                    records: count,
                    since: time.to_owned(),
                    cause,
                });
            }
        }
    }

    /// Writes records, over as many files as they need. `rest` is what is left to write, also after an error.
    fn append(&mut self, rest: &mut &[u8], time: &str) -> io::Result<()> {
        while !rest.is_empty() {
            let open = match &mut self.open {
                Some(open) => open,
                none => none.insert(open_file(&self.options)?),
            };
            let fits = fitting(
                rest,
                self.options.max_size.saturating_sub(open.end),
                open.end == 0,
            );
            if fits == 0 {
                self.open = None;
                rotate(&self.options)?;
                continue;
            }
            let (written, error) = open.write(&rest[..fits]);
            let Some(error) = error else {
                *rest = &rest[written..];
                continue;
            };
            let begin = match self.gap {
                None => note(&format!("output is dropped from here on: {error}"), time),
                Some(_) => Vec::new(),
            };
            match open.cut(&rest[..written], &begin) {
                Ok(kept) => *rest = &rest[kept..],
                // Opening it again cuts off the torn record.
                Err(_) => self.open = None,
            }
            return Err(error);
        }
        Ok(())
    }
}

impl Open {
    /// Writes records at the end, as far as that goes: how many bytes, and what stopped it. `end` moves only if all
    /// of them are there.
    fn write(&mut self, records: &[u8]) -> (usize, Option<io::Error>) {
        let mut written = 0;
        while written < records.len() {
            match self.file.write_at(&records[written..], self.end + written as u64) {
                Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Some(error)),
            }
        }
        self.end += written as u64;
        (written, None)
    }

    /// Mends the file after `written` went in and more could not: keeps whole records, and puts `note` over the end of
    /// what is there. That needs no new block, so it works on the fullest disk; it is left out if there is no room.
    /// Answers how many bytes of `written` are kept.
    fn cut(&mut self, written: &[u8], note: &[u8]) -> io::Result<usize> {
        let (kept, note) = match written.len().checked_sub(note.len()) {
            Some(room) => (whole(&written[..room]), note),
            None => (whole(written), [].as_slice()),
        };
        let end = self.end + kept as u64;
        self.file.write_all_at(note, end)?;
        self.end = end + note.len() as u64;
        self.file.set_len(self.end)?;
        Ok(kept)
    }
}

/// How many bytes there are up to the end of the last whole record.
fn whole(records: &[u8]) -> usize {
    memchr::memrchr(b'\n', records).map_or(0, |at| at + 1)
}

/// How many bytes of whole records fit into `room`; in an empty file the first one always does.
fn fitting(records: &[u8], room: u64, empty: bool) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if records.len() <= room {
        return records.len();
    }
    match whole(&records[..room]) {
        0 if empty => memchr::memchr(b'\n', records).map_or(records.len(), |at| at + 1),
        fits => fits,
    }
}

/// A record of the writer's own.
fn note(text: &str, time: &str) -> Vec<u8> {
    let mut record = Vec::new();
    encode(
        format!("longshore-log: {text}\n").as_bytes(),
        Stream::Stderr,
        time,
        &mut record,
    );
    record
}

/// Opens `PATH`, made if need be, and cuts off a torn last line.
fn open_file(options: &WriterOptions) -> io::Result<Open> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&options.path)?;
    let length = file.metadata()?.len();
    let end = end_of_last_line(&file, length)?;
    if end < length {
        file.set_len(end)?;
    }
    Ok(Open { file, end })
}

/// The offset behind the last newline, 0 if there is none.
fn end_of_last_line(file: &File, length: u64) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let mut block = [0; BLOCK as usize];
    let mut end = length;
    while end > 0 {
        let start = (end - 1) / BLOCK * BLOCK;
        let size = usize::try_from(end - start).unwrap_or(block.len());
        file.read_exact_at(&mut block[..size], start)?;
        let whole = whole(&block[..size]);
        if whole > 0 {
            return Ok(start + whole as u64);
        }
        end = start;
    }
    Ok(0)
}

/// Makes room for a new `PATH`. Can be called again after it failed halfway: files move up only as far as the first
/// gap, so that no try pushes out one more.
fn rotate(options: &WriterOptions) -> io::Result<()> {
    let old = |n: u32| {
        let mut name = options.path.clone().into_os_string();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    };
    let last = options.max_file - 1;
    if last == 0 {
        return ignore_absent(std::fs::remove_file(&options.path));
    }
    let mut free = 1;
    while free < last && old(free).try_exists()? {
        free += 1;
    }
    if free == last {
        // Gone before another one takes its name: ext4 would send that one to the disk there and then.
        ignore_absent(std::fs::remove_file(old(last)))?;
    }
    for n in (1..free).rev() {
        std::fs::rename(old(n), old(n + 1))?;
    }
    ignore_absent(std::fs::rename(&options.path, old(1)))
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
