//! The signals that end `up`: Ctrl-C, SIGTERM, and the end of its terminal.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::UpError;

/// Listens from the moment it is made.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on the signals don't kill the process.
    ///
    /// # Errors
    /// [`UpError::Spawn`], if the system has no room for a handler.
    pub fn listen() -> Result<Self, UpError> {
        let on = |kind| {
            signal(kind).map_err(|source| UpError::Spawn {
                name: "signal handling",
                source,
            })
        };
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    /// Waits for one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
