//! What a session shows: a process, or a log.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use longshore_protocol::Timestamp;
use longshore_protocol::data_channel::host::Output as Stream;
use longshore_protocol::data_channel::payload::Size;

use super::Records;
use super::process::Process;
use crate::clock::Clock;
use crate::runtime::exec::{ExecRequest, Execs, TerminalSize};

/// The most bytes of one piece of a log.
const PIECE: usize = 16 * 1024;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// With which code, if there was a process.
    pub code: Option<u32>,
    /// Why, if not by itself.
    pub reason: Option<String>,
}

/// What happens to it.
pub enum ProgramEvent {
    /// It wrote.
    Output(Stream, Vec<u8>),
    /// It has ended, and wrote nothing that was not read.
    Ended(Ended),
    /// After that: nothing is left of it.
    Gone,
}

/// What a session shows.
pub enum Program {
    /// Nothing yet.
    None,
    /// A process.
    Process(Box<Process>),
    /// A log.
    Log(Log),
    /// A process or log that has ended.
    Over(Option<Box<Process>>),
}

impl Program {
    pub fn process(execs: Arc<dyn Execs>, clock: Arc<dyn Clock>, request: ExecRequest) -> Self {
        Self::Process(Box::new(Process::start(execs, clock, request)))
    }

    pub fn log(records: Records, since: Option<Timestamp>) -> Self {
        Self::Log(Log {
            records: Some(records),
            since,
            pieces: VecDeque::new(),
        })
    }

    /// Whether input can be taken.
    pub fn has_room(&self) -> bool {
        match self {
            Self::Process(process) => process.has_room(),
            Self::None | Self::Log(_) | Self::Over(_) => true,
        }
    }

    pub fn input(&mut self, bytes: Vec<u8>) {
        if let Self::Process(process) = self {
            process.input(bytes);
        }
    }

    pub fn end_of_input(&mut self) {
        if let Self::Process(process) = self {
            process.end_of_input();
        }
    }

    pub fn resize(&mut self, size: Size) {
        if let Self::Process(process) = self {
            process.resize(terminal_size(size));
        }
    }

    pub fn hang_up(&mut self) {
        match self {
            Self::Process(process) => process.hang_up(),
            Self::Log(log) => {
                log.records = None;
                log.pieces.clear();
            }
            Self::None | Self::Over(_) => {}
        }
    }

    /// Whether it was started and has not ended.
    pub fn runs(&self) -> bool {
        matches!(self, Self::Process(_) | Self::Log(_))
    }

    /// Whether nothing is left of it, or never was.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::None | Self::Over(None) => true,
            Self::Over(Some(process)) => process.is_gone(),
            Self::Process(_) | Self::Log(_) => false,
        }
    }

    /// Goes on until nothing is left of it, and shows nothing. It was hung up. May be dropped at any time.
    pub async fn gone(&mut self) {
        while !self.is_gone() {
            self.next(true).await;
        }
    }

    /// Goes on until something happens; output is only read if it can be taken. May be dropped at any time.
    pub async fn next(&mut self, takes_output: bool) -> ProgramEvent {
        let event = match self {
            Self::None | Self::Over(None) => std::future::pending().await,
            Self::Log(log) => log.next(takes_output).await,
            Self::Process(process) => process.next(takes_output).await,
            Self::Over(Some(process)) => {
                process.gone().await;
                *self = Self::Over(None);
                return ProgramEvent::Gone;
            }
        };
        if matches!(event, ProgramEvent::Ended(_)) {
            *self = match std::mem::replace(self, Self::None) {
                Self::Process(process) => Self::Over(Some(process)),
                Self::None | Self::Log(_) | Self::Over(_) => Self::Over(None),
            };
        }
        event
    }
}

/// The kernel's terminals have no more than that; a window of nothing is one that nobody can see.
pub fn terminal_size(size: Size) -> TerminalSize {
    let within = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    TerminalSize {
        columns: within(size.cols),
        rows: within(size.rows),
    }
}

/// A log, as JSON lines.
pub struct Log {
    records: Option<Records>,
    since: Option<Timestamp>,
    pieces: VecDeque<Vec<u8>>,
}

impl Log {
    async fn next(&mut self, takes_output: bool) -> ProgramEvent {
        if !takes_output && self.records.is_some() {
            std::future::pending::<()>().await;
        }
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return ProgramEvent::Output(Stream::Stdout, piece);
            }
            let next = match &mut self.records {
                Some(records) => records.next().await,
                None => None,
            };
            let Some(record) = next else {
                return ProgramEvent::Ended(Ended {
                    code: None,
                    reason: None,
                });
            };
            let written = record.time.parse::<jiff::Timestamp>().ok();
            let earlier =
                |since: Timestamp| written.is_some_and(|at| at.as_millisecond() < since.as_millis());
            if self.since.is_some_and(earlier) {
                continue;
            }
            // Texts: nothing in them can fail to be JSON.
            let mut line = serde_json::to_vec(&record).unwrap_or_default();
            line.push(b'\n');
            self.pieces.extend(line.chunks(PIECE).map(<[u8]>::to_vec));
        }
    }
}
