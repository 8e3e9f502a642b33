//! Who opened a session, what for, and how it ended: an event each in the log, beside the stored row.

use longshore_protocol::session::{SessionEnd, SessionKind};

use crate::store::sessions::Session;

/// A word for the kind, and the command where there is one.
fn purpose(kind: &SessionKind) -> (&'static str, &str) {
    match kind {
        SessionKind::Exec { command, .. } => ("exec", command),
        SessionKind::Logs { .. } => ("logs", ""),
    }
}

/// A session was opened, and is stored.
pub(super) fn begun(session: &Session) {
    let (kind, command) = purpose(&session.kind);
    tracing::info!(
        session = session.id,
        kind,
        principal = "operator",
        access_key = session.opened_by,
        task = %session.task,
        container = session.container,
        node = %session.node,
        command = ?command,
        "a session was opened"
    );
}

/// A session is over, and that is stored.
pub(super) fn over(session: &Session, reason: Option<&str>, outcome: Option<&SessionEnd>, now: i64) {
    let (kind, command) = purpose(&session.kind);
    let said = outcome.and_then(|end| end.reason.as_deref());
    tracing::info!(
        session = session.id,
        kind,
        principal = "operator",
        access_key = session.opened_by,
        task = %session.task,
        container = session.container,
        node = %session.node,
        command = ?command,
        milliseconds = now - session.created_at,
        exit_code = outcome.and_then(|end| end.exit_code),
        bytes_in = outcome.map(|end| end.bytes_in),
        bytes_out = outcome.map(|end| end.bytes_out),
        reason = ?reason.or(said).unwrap_or_default(),
        "a session is over"
    );
}
