//! One of the two streams of a log.

use longshore_protocol::json_file::{Encoder, Stream, is_plain};

use super::file::LogFile;
use super::lines::Lines;

/// When a batch is written though more of the same read is left: short lines become some 80 times as long.
const BATCH: usize = 128 * 1024;

/// Makes records of a stream's bytes.
#[derive(Debug)]
pub(crate) struct LogStream {
    stream: Stream,
    encoder: Encoder,
    lines: Lines,
}

impl LogStream {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            encoder: Encoder::default(),
            lines: Lines::default(),
        }
    }

    /// Writes the records that what was read at `time` completes. `batch` is empty before and after.
    pub(crate) fn write(&mut self, bytes: &[u8], time: &str, batch: &mut Vec<u8>, log: &mut LogFile) {
        self.encoder.set(self.stream, time);
        // A piece may begin with what was read before.
        let plain = is_plain(bytes) && is_plain(self.lines.partial());
        self.lines.feed(bytes, |piece| {
            if plain {
                self.encoder.encode_plain(piece, batch);
            } else {
                self.encoder.encode(piece, batch);
            }
            if batch.len() >= BATCH {
                log.write(batch, time);
                batch.clear();
            }
        });
        if !batch.is_empty() {
            log.write(batch, time);
            batch.clear();
        }
    }

    /// The stream has ended: writes what is left of it, and what is missing.
    pub(crate) fn finish(&mut self, time: &str, batch: &mut Vec<u8>, log: &mut LogFile) {
        self.encoder.set(self.stream, time);
        self.lines.finish(|piece| self.encoder.encode(piece, batch));
        if !batch.is_empty() {
            log.write(batch, time);
            batch.clear();
        }
        log.finish(time);
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::json_file::{MAX_CHUNK, Record, WriterOptions, parse};
    use proptest::prelude::*;

    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.123456789Z";

    /// U+FFFD for each byte that is no part of a character, as Docker has it.
    fn replaced(bytes: &[u8]) -> String {
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
        }
        text
    }

    proptest! {
        #[test]
        fn what_is_read_from_the_file_is_what_was_written(
            reads in prop::collection::vec(
                (
                    any::<bool>(),
                    prop_oneof![
                        "[ -~\n]{0,300}".prop_map(String::into_bytes),
                        "[a\"\\\\é€😀\t\n]{0,100}".prop_map(String::into_bytes),
                        prop::collection::vec(any::<u8>(), 0..100),
                        (0..MAX_CHUNK * 2).prop_map(|length| vec![b'x'; length]),
                    ],
                ),
                0..20,
            ),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let mut log = LogFile::open(WriterOptions { path: path.clone(), max_size: u64::MAX, max_file: 1 });
            let mut streams = [Stream::Stdout, Stream::Stderr].map(LogStream::new);
            let mut batch = Vec::new();
            for (stderr, read) in &reads {
                streams[usize::from(*stderr)].write(read, TIME, &mut batch, &mut log);
                prop_assert!(batch.is_empty());
            }
            for stream in &mut streams {
                stream.finish(TIME, &mut batch, &mut log);
            }
            let file = std::fs::read(path).unwrap();
            let lines = file.split_inclusive(|byte| *byte == b'\n');
            let records: Vec<Record> = lines.map(|line| parse(line).unwrap()).collect();
            for (stream, stderr) in [(Stream::Stdout, false), (Stream::Stderr, true)] {
                let written: Vec<u8> =
                    reads.iter().filter(|(of, _)| *of == stderr).flat_map(|(_, read)| read.clone()).collect();
                let read: String =
                    records.iter().filter(|record| record.stream == stream).map(|record| record.log.as_str()).collect();
                prop_assert!(read == replaced(&written), "{stream:?} differs");
            }
        }
    }
}
