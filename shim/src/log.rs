//! Writes a container's output to size-rotated files in Docker's json-file format.
//!
//! Bytes go one way: pipe → [`mod@lines`] (whole lines, or pieces of long ones) → [`longshore_protocol::json_file::encode`]
//! → [`mod@file`] (rotation, a full disk). [`pump()`] is the loop that moves them.
//!
//! Invariants:
//! - The pipes are read until both have ended, whatever becomes of the file: a full disk costs log lines, never the
//!   container's time or life.
//! - What was dropped is said in the file itself, on `stderr`: where a gap begins, as far as a few bytes are left for
//!   that, and once writing works again how many records are missing.
//! - Memory is bounded: one read buffer, at most one unfinished piece a stream, one batch of records.
//!
//! Limits: output without a newline is written when the line ends, when [`MAX_CHUNK`] bytes of it are there, or when
//! its stream ends. A disk that is slow, but not full, slows down the container. Nothing is synced: after a power cut
//! the newest lines may be missing, and a torn one is cut off at the next start.
//!
//! [`MAX_CHUNK`]: longshore_protocol::json_file::MAX_CHUNK

mod file;
mod lines;
pub(crate) mod options;
mod pump;
mod stream;

pub use file::LogFile;
pub use options::{OptionsError, check, read};
pub use pump::pump;
pub(crate) use stream::LogStream;
