//! What goes between a session and whoever has its process and its socket.

use std::time::Duration;

use super::Size;

/// By both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since any fixed moment, by a clock that never steps.
    pub since: Duration,
    /// The wall clock's, for what clients are shown.
    pub wall: jiff::Timestamp,
}

/// What the client wants of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Run it, in a terminal of this size, or of the one that is usual.
    Start(Option<Size>),
    /// To its terminal, or standard input.
    Input(Vec<u8>),
    /// There is no more input.
    EndOfInput,
    /// Its terminal has another size.
    Resize(Size),
    /// End it, as a terminal that is hung up.
    HangUp,
}

/// Which of its streams the process has written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The terminal, or standard output.
    Stdout,
    /// Standard error, where it is a stream of its own.
    Stderr,
}
