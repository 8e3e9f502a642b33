//! The signals that matter in a session: those that end it, and those of its terminal.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::SessionError;

/// What one asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The terminal has another size.
    Resize,
    /// The program was stopped, and goes on.
    Continue,
    /// The end, by this signal.
    End(i32),
}

/// Listens from the moment it is made: none of these ends the program by itself any more.
#[derive(Debug)]
pub struct Signals {
    resize: Signal,
    go_on: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins.
    ///
    /// # Errors
    /// [`SessionError::Local`].
    pub fn listen() -> Result<Self, SessionError> {
        let on = |kind| {
            signal(kind).map_err(|source: io::Error| SessionError::Local {
                what: "signal handling",
                source,
            })
        };
        Ok(Self {
            resize: on(SignalKind::window_change())?,
            go_on: on(SignalKind::from_raw(nix::libc::SIGCONT))?,
            interrupt: on(SignalKind::interrupt())?,
            quit: on(SignalKind::quit())?,
            terminate: on(SignalKind::terminate())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    /// Waits for one. It may be dropped at any time.
    pub async fn next(&mut self) -> Asked {
        let end = |kind: SignalKind| Asked::End(kind.as_raw_value());
        tokio::select! {
            _ = self.resize.recv() => Asked::Resize,
            _ = self.go_on.recv() => Asked::Continue,
            _ = self.interrupt.recv() => end(SignalKind::interrupt()),
            _ = self.quit.recv() => end(SignalKind::quit()),
            _ = self.terminate.recv() => end(SignalKind::terminate()),
            _ = self.hang_up.recv() => end(SignalKind::hangup()),
        }
    }

    /// Waits for one that asks for the end.
    pub async fn end(&mut self) -> i32 {
        loop {
            if let Asked::End(signal) = self.next().await {
                return signal;
            }
        }
    }
}
