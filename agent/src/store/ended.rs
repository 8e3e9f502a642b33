//! Tasks that have ended here and were forgotten, each with its last report.
//!
//! A control plane that comes back from a backup may order them again. An assignment of a task that is in here is never
//! run: it is answered with the report. The order itself needs no other row for that, so it costs no write.
//!
//! Limits: the last [`MOST`], each for [`AGE`]; a row is about 500 bytes a container. The older ones go as new ones
//! come, two at a time at most, so a wall clock that is wrong for a while forgets no more than a few.

use std::path::Path;

use jiff::Timestamp;
use longshore_protocol::arn::TaskArn;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{StoreError, rows};
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
pub(super) fn among(
    connection: &Connection,
    tasks: &[TaskArn],
    path: &Path,
) -> Result<Vec<Report>, StoreError> {
    let mut found = Vec::new();
    if tasks.is_empty() {
        return Ok(found);
    }
    let wrap = |error| rows::unreadable(error, path);
    let mut statement = connection
        .prepare("SELECT report FROM ended WHERE task_arn = ?1")
        .map_err(wrap)?;
    for task in tasks {
        let task = task.to_string();
        let report: Option<String> = statement
            .query_row([&task], |row| row.get(0))
            .optional()
            .map_err(wrap)?;
        let Some(report) = report else { continue };
        found.push(serde_json::from_str(&report).map_err(|error| rows::corrupt(path, &task, &error))?);
    }
    Ok(found)
}
