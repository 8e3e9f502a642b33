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
