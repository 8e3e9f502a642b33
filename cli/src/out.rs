//! Standard output: where results go. What is only for people goes to standard error.

use std::io::{self, Write};

/// Writes a line.
///
/// # Errors
/// What the system says; a closed pipe among it, which ends the program as it ends others.
pub fn line(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes JSON for scripts: one value, indented.
///
/// # Errors
/// As [`line()`].
pub fn json<T: serde::Serialize>(value: &T) -> io::Result<()> {
    line(serde_json::to_string_pretty(value).map_err(io::Error::other)?)
}

/// Writes a line for people. What can't be said isn't worth failing for.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
