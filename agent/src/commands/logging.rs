//! Logs go to standard error, where the service manager takes them: one line an event, constant text and fields.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins logging what the filter lets through.
pub(super) fn begin(filter: &str) {
    // journald has its own times; a person at a terminal has none.
    let terminal = std::io::stderr().is_terminal();
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    // The settings have been checked by parsing the same text.
    let filter = EnvFilter::try_new(filter).unwrap_or_default();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // They would go to the same place, and a panic is no answer to a full disk.
        .log_internal_errors(false)
        .with_ansi(terminal);
    match journal && !terminal {
        true => builder.without_time().init(),
        false => builder.init(),
    }
}
