//! What is being done right now: a spinner on a terminal, a line for each change elsewhere.

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::out;

/// How fast the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// A display on standard error; it vanishes when dropped.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    said: RefCell<String>,
}

impl Progress {
    /// Begins.
    #[must_use]
    pub fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::default_spinner());
            bar.enable_steady_tick(TICK);
            bar
        });
        Self {
            bar,
            said: RefCell::new(String::new()),
        }
    }

    /// Says what is being done. The same words again change nothing.
    pub fn say(&self, text: impl Into<String>) {
        let text = text.into();
        if *self.said.borrow() == text {
            return;
        }
        match &self.bar {
            Some(bar) => bar.set_message(text.clone()),
            None => out::note(&text),
        }
        *self.said.borrow_mut() = text;
    }

    /// Says what is done: the line stays.
    pub fn done(&self, text: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| out::note(&text)),
            None => out::note(&text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
