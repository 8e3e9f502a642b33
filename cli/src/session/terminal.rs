//! The terminal that we run in, as a window to another one: every key goes through, nothing is echoed or changed here.
//!
//! Invariants: it is as it was before, once the value is dropped or the program panics; the signals that end a program
//! are caught by whoever holds the value.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use longshore_protocol::data_channel::payload::Size;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::SessionError;

/// How the terminal was; there is one standard input. A panic must find it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Where a terminal doesn't say its size, or there is none.
pub const USUAL: Size = Size { cols: 80, rows: 24 };

/// Whether there is one, for both directions.
#[must_use]
pub fn is_there() -> bool {
    rustix::termios::isatty(io::stdin()) && rustix::termios::isatty(io::stdout())
}

/// Its size.
#[must_use]
pub fn size() -> Size {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
            cols: u32::from(size.ws_col),
            rows: u32::from(size.ws_row),
        },
        _ => USUAL,
    }
}

/// The terminal, in raw mode until it is dropped.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Sets it so.
    ///
    /// # Errors
    /// [`SessionError::Local`].
    pub fn enter() -> Result<Self, SessionError> {
        // A release build aborts at a panic, and drops nothing.
        HOOK.call_once(|| {
            let others = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                others(panic);
            }));
        });
        let before = tcgetattr(io::stdin()).map_err(local)?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let raw = Self(());
        raw.again()?;
        Ok(raw)
    }

    /// Sets it so again, after a shell has set it otherwise while the program was stopped.
    ///
    /// # Errors
    /// [`SessionError::Local`].
    pub fn again(&self) -> Result<(), SessionError> {
        let mut raw = tcgetattr(io::stdin()).map_err(local)?;
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(local)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

fn local(error: rustix::io::Errno) -> SessionError {
    SessionError::Local {
        what: "the terminal",
        source: error.into(),
    }
}
