//! Rows, and what they mean.

use std::path::Path;
use std::sync::Arc;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::status::ReportedStatus;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::model::{Assignment, Body, TaskRecord};

use super::{Contents, StoreError, StoredTask, Write, ended, schema};

/// The key of the cursor among the values; other parts' keys begin with their own name and a dot.
const CURSOR: &str = "store.cursor";
/// The key of the boot among the values.
const BOOT: &str = "store.boot";

/// What the key of an order to tell an end again begins with; then comes the task's ARN.
const TELL_AGAIN: &str = "store.tell-again.";

/// Reads everything that the engine begins with.
pub(super) fn load(connection: &Connection, path: &Path) -> Result<Contents, StoreError> {
    let wrap = |error| unreadable(error, path);
    let cursor = value(connection, CURSOR, path)?.unwrap_or_default();
    let boot = value(connection, BOOT, path)?;
    let mut statement = connection
        .prepare(
            "SELECT task_arn, generation, desired, force, task, reason, record, report,
                 EXISTS (SELECT 1 FROM value WHERE key = ?1 || task_arn)
             FROM assignment LEFT JOIN record USING (task_arn) LEFT JOIN ended USING (task_arn) ORDER BY task_arn",
        )
        .map_err(wrap)?;
    let mut rows = statement.query([TELL_AGAIN]).map_err(wrap)?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next().map_err(wrap)? {
        tasks.push(task(row, path)?);
    }
    Ok(Contents { cursor, boot, tasks })
}

fn value<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    key: &str,
    path: &Path,
) -> Result<Option<T>, StoreError> {
    let bytes = get(connection, key).map_err(|error| unreadable(error, path))?;
    let parse = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|error| corrupt(path, key, &error));
    bytes.map(parse).transpose()
}

fn task(row: &Row<'_>, path: &Path) -> Result<StoredTask, StoreError> {
    let wrap = |error| unreadable(error, path);
    let arn: String = row.get(0).map_err(wrap)?;
    let damaged = |error: &dyn std::fmt::Display| corrupt(path, &arn, error);
    let desired: String = row.get(2).map_err(wrap)?;
    let body = match (
        row.get::<_, Option<String>>(4).map_err(wrap)?,
        row.get::<_, Option<String>>(5).map_err(wrap)?,
    ) {
        (Some(task), None) => Body::Task(Arc::new(
            serde_json::from_str(&task).map_err(|error| damaged(&error))?,
        )),
        (None, Some(reason)) => Body::Nothing { reason },
        (Some(_), Some(_)) | (None, None) => return Err(damaged(&"a task or a reason is to be there")),
    };
    let mut record: Option<TaskRecord> = match row.get::<_, Option<String>>(6).map_err(wrap)? {
        None => None,
        Some(json) => Some(serde_json::from_str(&json).map_err(|error| damaged(&error))?),
    };
    if let (Some(record), true) = (&mut record, row.get(8).map_err(wrap)?) {
        record.acknowledged.task = record.acknowledged.task.min(ReportedStatus::Running);
    }
    let task: TaskArn = arn.parse().map_err(|error| damaged(&error))?;
    let body = match row.get_ref(7).map_err(wrap)? {
        ValueRef::Null => body,
        // Whatever an order makes of it, it has ended.
        last => Body::Ended(Box::new(ended::last(&task, last))),
    };
    let count = body.task().map_or(0, |task| task.containers.len());
    let fits = |record: &TaskRecord| {
        record.containers.len() == count && record.acknowledged.containers.len() == count
    };
    if !record.as_ref().is_none_or(fits) {
        return Err(damaged(
            &"the number of containers differs between assignment and record",
        ));
    }
    let assignment = Assignment {
        arn: task,
        generation: row.get::<_, i64>(1).map_err(wrap)?.cast_unsigned(),
        desired: desired.parse().map_err(|error| damaged(&error))?,
        force: row.get(3).map_err(wrap)?,
        body,
    };
    Ok(StoredTask { assignment, record })
}

/// What can't be read although the disk works is damage, whatever SQLite calls it.
pub(super) fn unreadable(error: rusqlite::Error, path: &Path) -> StoreError {
    match schema::is_transient(&error) {
        true => schema::classify(error, "reading", path),
        false => StoreError::Corrupt {
            path: path.to_owned(),
            why: error.to_string(),
        },
    }
}

pub(super) fn corrupt(path: &Path, what: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        path: path.to_owned(),
        why: format!("{what}: {error}"),
    }
}

/// A value by its key.
pub(super) fn get(connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare("SELECT value FROM value WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Makes one change, inside a transaction.
pub(super) fn write(connection: &Connection, write: &Write) -> rusqlite::Result<()> {
    match write {
        Write::Cursor(cursor) => put(connection, CURSOR, &json(cursor)?),
        Write::Boot(boot) => put(connection, BOOT, &json(boot)?),
        // An upsert, not a replace: a replace would take the record along.
        Write::Assignment(assignment) => put_assignment(
            connection,
            assignment,
            "DO UPDATE SET generation = excluded.generation, desired = excluded.desired, force = excluded.force",
        ),
        Write::Adopted(assignment) => {
            // What is there has not ended.
            ended::remove(connection, &assignment.arn)?;
            put_assignment(connection, assignment, "DO NOTHING")
        }
        Write::Record(arn, record) => connection
            .prepare("INSERT OR REPLACE INTO record (task_arn, record) VALUES (?1, ?2)")?
            .execute(params![arn.to_string(), text(record)?])
            .map(drop),
        Write::TellAgain(arn) => put(connection, &format!("{TELL_AGAIN}{arn}"), &[]),
        Write::KnowsOfOrders(arn) => remove(connection, &format!("{TELL_AGAIN}{arn}")),
        Write::Forget(arn) => {
            remove(connection, &format!("{TELL_AGAIN}{arn}"))?;
            connection
                .prepare("DELETE FROM assignment WHERE task_arn = ?1")?
                .execute([arn.to_string()])
                .map(drop)
        }
        Write::Ended(report, at) => ended::put(connection, report, *at),
        Write::Value(key, Some(value)) => put(connection, key, value),
        Write::Value(key, None) => remove(connection, key),
    }
}

fn put_assignment(connection: &Connection, assignment: &Assignment, if_known: &str) -> rusqlite::Result<()> {
    let (task, reason) = match &assignment.body {
        Body::Task(task) => (Some(text(task.as_ref())?), None),
        Body::Nothing { reason } => (None, Some(reason.as_str())),
        // It is told apart by its report, which is there.
        Body::Ended(_) => (None, Some("ended")),
    };
    let sql = format!(
        "INSERT INTO assignment (task_arn, generation, desired, force, task, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (task_arn) {if_known}"
    );
    let Assignment {
        arn,
        generation,
        desired,
        force,
        ..
    } = assignment;
    connection
        .prepare(&sql)?
        .execute(params![
            arn.to_string(),
            generation.cast_signed(),
            desired.as_str(),
            force,
            task,
            reason
        ])
        .map(drop)
}

fn put(connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare("INSERT OR REPLACE INTO value (key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])
        .map(drop)
}

fn remove(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare("DELETE FROM value WHERE key = ?1")?
        .execute([key])
        .map(drop)
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub(super) fn text(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
