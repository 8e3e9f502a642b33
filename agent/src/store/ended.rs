//! Tasks that have ended here and were forgotten, each with its last report.
//!
//! A control plane that comes back from a backup may order them again. An assignment of a task that is in here is never
//! run: it is answered with the report. The order itself needs no other row for that, so it costs no write.
//!
//! Limits: the last [`MOST`], each for [`AGE`]; a row is about 500 bytes a container. The older ones go as new ones
//! come, two at a time at most, so a wall clock that is wrong for a while forgets no more than a few.

use jiff::Timestamp;
use longshore_protocol::arn::TaskArn;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows;
use crate::model::Report;

/// How many are kept: a day's worth of one task every nine seconds.
pub(super) const MOST: i64 = 10_000;
/// How long, in milliseconds: 400 days, as the control plane keeps its own.
pub(super) const AGE: i64 = 400 * 24 * 3600 * 1000;

/// Keeps one, and lets older ones go; none that is ordered at the moment.
pub(super) fn put(connection: &Connection, report: &Report, at: Timestamp) -> rusqlite::Result<()> {
    let at = at.as_millisecond();
    connection
        .prepare("INSERT OR REPLACE INTO ended (task_arn, at, report) VALUES (?1, ?2, ?3)")?
        .execute(params![report.task.to_string(), at, rows::text(report)?])?;
    connection
        .prepare(
            "DELETE FROM ended
             WHERE number IN (
                 SELECT number FROM ended
                 WHERE NOT EXISTS (SELECT 1 FROM assignment WHERE assignment.task_arn = ended.task_arn)
                 ORDER BY number LIMIT 2
             )
             AND (number <= (SELECT max(number) FROM ended) - ?1 OR at < ?2)",
        )?
        .execute([MOST, at.saturating_sub(AGE)])
        .map(drop)
}

/// Forgets one.
pub(super) fn remove(connection: &Connection, task: &TaskArn) -> rusqlite::Result<()> {
    connection
        .prepare("DELETE FROM ended WHERE task_arn = ?1")?
        .execute([task.to_string()])
        .map(drop)
}

/// Those of these tasks that are in here.
pub(super) fn among<'a>(
    connection: &Connection,
    tasks: impl Iterator<Item = &'a TaskArn>,
) -> rusqlite::Result<Vec<Report>> {
    let mut found = Vec::new();
    for task in tasks {
        let report = connection
            .prepare("SELECT report FROM ended WHERE task_arn = ?1")?
            .query_row([task.to_string()], |row| Ok(last(task, row.get_ref(0)?)))
            .optional()?;
        found.extend(report);
    }
    Ok(found)
}

/// The last report of a task. One that can't be read tells as much as that the task has ended: it must not run again, and
/// keeps no other from being told.
pub(super) fn last(task: &TaskArn, stored: ValueRef<'_>) -> Report {
    let read = stored
        .as_str()
        .map_err(|error| error.to_string())
        .and_then(|json| serde_json::from_str::<Report>(json).map_err(|error| error.to_string()));
    match read {
        Ok(report) if report.task == *task => report,
        Ok(_) => unreadable(task, "it is that of another task"),
        Err(why) => unreadable(task, &why),
    }
}

fn unreadable(task: &TaskArn, why: &str) -> Report {
    tracing::error!(%task, why, "the last report of a task can't be read; it is told as stopped");
    Report::of_ended(task.clone())
}
