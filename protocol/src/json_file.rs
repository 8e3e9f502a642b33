//! Docker's json-file log format: one JSON object a line, `{"log":…,"stream":…,"time":…}`.
//!
//! What the log writer makes and the agent reads. A line of output that is longer than [`MAX_CHUNK`] stands in several
//! records, of which only the last ends with `\n`. Bytes that are not UTF-8 are replaced as Docker does it: U+FFFD for
//! each of them. A record is one line of the file, so a torn last line is told by its missing newline.
//!
//! [`Encoder`] makes records, [`parse`] reads one, [`Decoder`] cuts a file that is read piece by piece into records.

use serde::{Deserialize, Serialize};

/// The most bytes of output in one record.
pub const MAX_CHUNK: usize = 16 * 1024;
/// The most bytes of one encoded record: every byte of output may take six (`\u0001`), the rest is names and a time.
pub const MAX_ENCODED: usize = MAX_CHUNK * 6 + 128;

/// Where output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// The stream as a record has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// A line with its `\n`, or a part of one without.
    pub log: String,
    /// Where it came from.
    pub stream: Stream,
    /// When it was read, RFC 3339 with nanoseconds, UTC.
    pub time: String,
}

/// How a container's output is written: what the agent tells the log writer, as a file of mode 0600.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriterOptions {
    /// The file, absolute; older ones are called `PATH.1`, `PATH.2` and so on.
    pub path: std::path::PathBuf,
    /// When a file is full, in bytes; at least 1. A file is longer only if its one record is.
    pub max_size: u64,
    /// How many files there are at most, the newest included; at least 1.
    pub max_file: u32,
}

/// `max-size` where nobody chose: 10 MiB.
pub const DEFAULT_MAX_SIZE: u64 = 10 * 1024 * 1024;
/// `max-file` where nobody chose.
pub const DEFAULT_MAX_FILE: u32 = 3;

/// A line of a log file that is no record. Trying again does not help; the lines around it are good.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRecord {
    /// It is not JSON of a record's form.
    #[error("a line of the log file is no json-file record: skip it")]
    Syntax(#[source] serde_json::Error),
    /// It is longer than any record.
    #[error(
        "a line of the log file is longer than {MAX_ENCODED} bytes, so it is no json-file record: skip it"
    )]
    TooLong,
}

/// Whether a byte must be escaped inside a JSON string.
const fn is_escaped(byte: u8) -> bool {
    // Without branches, so that a whole block is looked at in a few instructions.
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// What all records of one stream share that were read at one time.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    /// A record from the end of its output on.
    tail: Vec<u8>,
}

impl Encoder {
    /// `time` is RFC 3339, so nothing in it needs an escape.
    #[must_use]
    pub fn new(stream: Stream, time: &str) -> Self {
        let mut encoder = Self::default();
        encoder.set(stream, time);
        encoder
    }

    /// Makes it another stream's, or another time's.
    pub fn set(&mut self, stream: Stream, time: &str) {
        self.tail.clear();
        self.tail.extend_from_slice(b"\",\"stream\":\"");
        self.tail.extend_from_slice(stream.as_str().as_bytes());
        self.tail.extend_from_slice(b"\",\"time\":\"");
        self.tail.extend_from_slice(time.as_bytes());
        self.tail.extend_from_slice(b"\"}\n");
    }

    /// Appends a piece of output to `out` as one record: one line with its newline.
    ///
    /// `output` is what the program wrote, whatever its bytes, with the `\n` that ends it if it ends a line; the caller
    /// keeps to [`MAX_CHUNK`].
    // Inlined into the crate of whoever writes logs, which is built for speed.
    #[inline]
    pub fn encode(&self, output: &[u8], out: &mut Vec<u8>) {
        let (line, newline) = newline_apart(output);
        out.reserve(HEAD.len() + output.len() + 1 + self.tail.len());
        out.extend_from_slice(HEAD);
        // The check of the whole is several times faster than going by chunks, and nearly all output passes it.
        if let Ok(text) = std::str::from_utf8(line) {
            escape(text, out);
        } else {
            for chunk in line.utf8_chunks() {
                escape(chunk.valid(), out);
                for _ in chunk.invalid() {
                    out.extend_from_slice(b"\\ufffd");
                }
            }
        }
        out.extend_from_slice(newline);
        out.extend_from_slice(&self.tail);
    }

    /// [`Encoder::encode`] for a piece of what [`is_plain`].
    #[inline]
    pub fn encode_plain(&self, output: &[u8], out: &mut Vec<u8>) {
        let (line, newline) = newline_apart(output);
        out.reserve(HEAD.len() + output.len() + 1 + self.tail.len());
        out.extend_from_slice(HEAD);
        out.extend_from_slice(line);
        out.extend_from_slice(newline);
        out.extend_from_slice(&self.tail);
    }
}

/// How a record begins.
const HEAD: &[u8] = b"{\"log\":\"";

/// A line without its newline, and the newline as a JSON string has it.
#[inline]
fn newline_apart(output: &[u8]) -> (&[u8], &'static [u8]) {
    match output.strip_suffix(b"\n") {
        Some(line) => (line, b"\\n"),
        None => (output, b""),
    }
}

/// Appends a piece of output as one record: [`Encoder`], for a single one.
pub fn encode(output: &[u8], stream: Stream, time: &str, out: &mut Vec<u8>) {
    Encoder::new(stream, time).encode(output, out);
}

/// Appends a text as the inside of a JSON string: runs of plain bytes are copied whole.
#[inline]
fn escape(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    loop {
        let plain = plain(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(byte) = rest.get(plain) else { return };
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            byte => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        rest = &rest[plain + 1..];
    }
}

/// How many bytes come before the first that must be escaped.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    let mut plain = 0;
    for block in bytes.as_chunks::<32>().0 {
        // No early end within a block, so that it takes but a few instructions.
        if block.iter().fold(false, |found, byte| found | is_escaped(*byte)) {
            break;
        }
        plain += block.len();
    }
    let (words, rest) = bytes[plain..].as_chunks::<8>();
    for word in words {
        let found = escaped_in(u64::from_le_bytes(*word));
        if found != 0 {
            return plain + found.trailing_zeros() as usize / 8;
        }
        plain += word.len();
    }
    plain
        + rest
            .iter()
            .position(|byte| is_escaped(*byte))
            .unwrap_or(rest.len())
}

/// The lowest bit that is set is the highest of the first byte that must be escaped.
#[inline]
const fn escaped_in(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    // A byte that is less than what is taken from it borrows from those behind it, which doesn't matter: it is the first.
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (control | quote | backslash) & !word & (ONES * 0x80)
}

/// Whether output is ASCII of which nothing but its newlines must be escaped, as most is: then [`Encoder::encode_plain`]
/// does for each line of it.
#[inline]
#[must_use]
pub fn is_plain(output: &[u8]) -> bool {
    let bad = |byte: u8| (is_escaped(byte) & (byte != b'\n')) | !byte.is_ascii();
    let (blocks, rest) = output.as_chunks::<64>();
    let clean = |block: &[u8; 64]| !block.iter().fold(false, |found, byte| found | bad(*byte));
    blocks.iter().all(clean) && !rest.iter().any(|byte| bad(*byte))
}

/// Reads one line of a log file, with or without its newline.
///
/// # Errors
/// [`InvalidRecord`] if the line is none of a record's form: torn, or not made by a log writer.
pub fn parse(line: &[u8]) -> Result<Record, InvalidRecord> {
    serde_json::from_slice(line).map_err(InvalidRecord::Syntax)
}

/// Cuts a log file that is read piece by piece into records. Holds at most [`MAX_ENCODED`] bytes.
///
/// It knows nothing of files: whoever follows one over its rotation calls [`Decoder::reset`] where a new file begins.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Vec<u8>,
    /// Within a line that is too long to be a record, up to its newline.
    skipping: bool,
}

impl Decoder {
    /// Takes the next bytes of the file and hands on each record that they complete, in the file's order.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Result<Record, InvalidRecord>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ended = piece.ends_with(b"\n");
            if self.skipping {
                self.skipping = !ended;
            } else if self.partial.len() + piece.len() > MAX_ENCODED {
                each(Err(InvalidRecord::TooLong));
                self.partial.clear();
                self.skipping = !ended;
            } else if !ended {
                self.partial.extend_from_slice(piece);
            } else if self.partial.is_empty() {
                each(parse(piece));
            } else {
                self.partial.extend_from_slice(piece);
                each(parse(&self.partial));
                self.partial.clear();
            }
        }
    }

    /// How many bytes of an unfinished line are held: the offset to go on from later is so much before the last byte
    /// that was fed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.partial.len()
    }

    /// Forgets an unfinished line.
    pub fn reset(&mut self) {
        self.partial.clear();
        self.skipping = false;
    }
}

#[cfg(test)]
mod tests;
