//! Reading a log, also while it is written and rotated.
//!
//! Records come in the order in which they were written, each once: a file that was rotated is read to its end before
//! the next. A last line without its newline is waited for, and left out if it never gets one. Nothing runs on its
//! own: the stream reads when it is asked, a block at a time, so what it holds is bounded by a block's records. While a disk
//! hangs, readers wait, and hold no more threads than [`blocking::LOGS`] lets in.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use longshore_protocol::json_file::{Decoder, InvalidRecord, Record};
use tokio_util::sync::CancellationToken;

use super::position::{Next, Position};
use crate::blocking;
use crate::clock::Clock;

const BLOCK: usize = 64 * 1024;
/// Between two looks at the end of a log that is followed, and from the container's end to the last look.
const PAUSE: Duration = Duration::from_millis(200);

/// What to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Only so many of the last records that are there now; `None` is all that is kept.
    pub tail: Option<usize>,
    /// Whether to wait for more until the container has ended.
    pub follow: bool,
}

/// Something that is not a record. Only [`LogError::Io`] ends the stream.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A line is damaged; the records after it follow.
    #[error("{path}: {source}")]
    Invalid {
        /// The log.
        path: PathBuf,
        /// What it is not.
        source: InvalidRecord,
    },
    /// The log was rotated away faster than it was read; what is left follows.
    #[error("{path}: records may be missing here: they were rotated away before they were read")]
    Gap {
        /// The log.
        path: PathBuf,
    },
    /// The log can't be read: try again later.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The log.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Reads the log at `path` ([`super::Logs::file`]). With [`ReadOptions::follow`], `ended` tells that its container has
/// ended; the stream then gives what is left and ends.
pub fn read(
    path: PathBuf,
    options: ReadOptions,
    ended: CancellationToken,
    clock: Arc<dyn Clock>,
) -> impl Stream<Item = Result<Record, LogError>> + Send {
    let reader = Reader {
        path,
        options,
        position: None,
        decoder: Decoder::default(),
        rotated: None,
        ready: VecDeque::new(),
    };
    let follower = Follower {
        reader: Some(reader),
        follow: options.follow,
        ended,
        clock,
        last_look: false,
    };
    let items = futures_util::stream::unfold(follower, |mut follower| async {
        follower.next().await.map(|item| (item, follower))
    });
    items.fuse()
}

/// Asks a [`Reader`] off the runtime's threads, and waits when it has nothing.
struct Follower {
    /// `None` while a thread has it, and after the end.
    reader: Option<Reader>,
    follow: bool,
    ended: CancellationToken,
    clock: Arc<dyn Clock>,
    /// Whether the container had ended before the look that is next: what that one does not find never comes.
    last_look: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Record, LogError>> {
        loop {
            let mut reader = self.reader.take()?;
            if let Some(item) = reader.ready.pop_front() {
                self.reader = (!matches!(item, Err(LogError::Io { .. }))).then_some(reader);
                return Some(item);
            }
            let path = reader.path.clone();
            let look = move || {
                let found = reader.advance()?;
                Ok((reader, found))
            };
            let (reader, found) = match blocking::LOGS.io(look).await {
                Ok(found) => found,
                Err(source) => return Some(Err(LogError::Io { path, source })),
            };
            self.reader = Some(reader);
            if found == Found::End {
                if !self.follow || self.last_look {
                    return None;
                }
                tokio::select! {
                    () = self.ended.cancelled() => {
                        // The writer may be a moment behind the container.
                        self.clock.sleep(PAUSE).await;
                        self.last_look = true;
                    }
                    () = self.clock.sleep(PAUSE) => {}
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// There may be more at once.
    Something,
    /// This is the end as it is now.
    End,
}

/// Reads without waiting.
struct Reader {
    path: PathBuf,
    options: ReadOptions,
    /// `None` until there is a file.
    position: Option<Position>,
    decoder: Decoder,
    /// What follows this file, once it is known to be full; it is then read to its end once more.
    rotated: Option<Next>,
    ready: VecDeque<Result<Record, LogError>>,
}

impl Reader {
    fn advance(&mut self) -> io::Result<Found> {
        let position = match &mut self.position {
            Some(position) => position,
            none => {
                let first = match self.options.tail {
                    Some(records) => Position::tail(&self.path, records)?,
                    None => Position::first(&self.path)?,
                };
                // What a log that appears later has is all new.
                self.options.tail = None;
                match first {
                    Some(first) => none.insert(first),
                    None => return Ok(Found::End),
                }
            }
        };
        let begin = position.offset;
        let mut buffer = vec![0; BLOCK];
        let read = position.read(&mut buffer)?;
        let (path, ready) = (&self.path, &mut self.ready);
        self.decoder.feed(&buffer[..read], |record| {
            ready.push_back(record.map_err(|source| LogError::Invalid {
                path: path.clone(),
                source,
            }));
        });
        if read < BLOCK {
            // An unfinished line at the end is read again from its beginning: its writer may take it back meanwhile.
            position.offset = position.offset.saturating_sub(self.decoder.pending() as u64);
            self.decoder.reset();
        }
        if position.offset > begin {
            return Ok(Found::Something);
        }
        match self.rotated.take() {
            Some(Next::File(next)) => *position = next,
            Some(Next::Gap(next)) => {
                *position = next;
                self.ready.push_back(Err(LogError::Gap {
                    path: self.path.clone(),
                }));
            }
            Some(Next::Nothing) | None => match position.next(&self.path)? {
                Next::Nothing => return Ok(Found::End),
                next @ (Next::File(_) | Next::Gap(_)) => self.rotated = Some(next),
            },
        }
        Ok(Found::Something)
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
