//! What a test's thread logs.

use std::io::Write;
use std::sync::{Arc, Mutex};

/// A log that can be read.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What this thread logs, as long as the guard is there: tests run on one thread each.
    pub(crate) fn of_this_test() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// All of it.
    pub(crate) fn all(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The one line that has this text.
    pub(crate) fn line(&self, text: &str) -> String {
        let all = self.all();
        let mut lines = all.lines().filter(|line| line.contains(text));
        let line = lines.next().unwrap_or_else(|| panic!("{text}: {all}")).to_owned();
        assert_eq!(lines.next(), None);
        line
    }
}
