//! Docker's json-file log format: one JSON object a line, `{"log":…,"stream":…,"time":…}`.
//!
//! What the log writer makes and the agent reads. A line of output that is longer than [`MAX_CHUNK`] stands in several
//! records, of which only the last ends with `\n`; bytes that are not UTF-8 are replaced as Docker does it. A record is
//! one line of the file, so a torn last line is told by its missing newline.

use serde::{Deserialize, Serialize};

/// The most bytes of output in one record.
pub const MAX_CHUNK: usize = 16 * 1024;

/// Where output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
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
    /// The file; older ones are called `PATH.1`, `PATH.2` and so on.
    pub path: std::path::PathBuf,
    /// When a file is full, in bytes.
    pub max_size: u64,
    /// How many files there are at most, the newest included; at least 1.
    pub max_file: u32,
}

/// `max-size` where nobody chose: 10 MiB.
pub const DEFAULT_MAX_SIZE: u64 = 10 * 1024 * 1024;
/// `max-file` where nobody chose.
pub const DEFAULT_MAX_FILE: u32 = 3;
