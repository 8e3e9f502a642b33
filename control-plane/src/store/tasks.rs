//! Tasks.

use longshore_protocol::poll::TaskSpec;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Connection, Result, from_json, json};
use crate::tasks::Task;

/// A task that was just placed.
#[derive(Debug)]
pub struct NewTask<'a> {
    /// The task.
    pub task: &'a Task,
    /// What its node is told.
    pub spec: &'a TaskSpec,
    /// CPU units that it takes.
    pub reserved_cpu: i64,
    /// MiB that it takes.
    pub reserved_memory: i64,
}

/// Which tasks to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Of this cluster.
    pub cluster: &'a str,
    /// Meant to be so.
    pub desired: &'a str,
    /// On this instance.
    pub instance: Option<&'a str>,
    /// Of this family.
    pub family: Option<&'a str>,
    /// Started by them.
    pub started_by: Option<&'a str>,
}

fn read(row: &SqliteRow) -> Result<Task> {
    from_json(row.try_get("record")?)
}

/// Stores a new task.
///
/// # Errors
/// [`super::StoreError`].
pub async fn add(connection: &mut Connection, new: &NewTask<'_>) -> Result<()> {
    let task = new.task;
    sqlx::query(
        "INSERT INTO tasks (id, cluster, instance, family, started_by, desired_status, last_status, reserved_cpu,
             reserved_memory, record, spec)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(task.arn.id.as_str())
    .bind(&task.arn.cluster)
    .bind(task.instance.id.as_str())
    .bind(&task.definition.family)
    .bind(&task.started_by)
    .bind(task.desired.as_str())
    .bind(task.last.as_str())
    .bind(new.reserved_cpu)
    .bind(new.reserved_memory)
    .bind(json(task)?)
    .bind(json(new.spec)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// A task of a cluster.
///
/// # Errors
/// [`super::StoreError`].
pub async fn get(connection: &mut Connection, cluster: &str, id: &str) -> Result<Option<Task>> {
    let row = sqlx::query("SELECT record FROM tasks WHERE cluster = ? AND id = ?")
        .bind(cluster)
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Whether there is a task of this id, in whichever cluster.
///
/// # Errors
/// [`super::StoreError`].
pub async fn exists(connection: &mut Connection, id: &str) -> Result<bool> {
    let row = sqlx::query("SELECT 1 FROM tasks WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// The tasks of an instance that are not over.
///
/// # Errors
/// [`super::StoreError`].
pub async fn alive_on(connection: &mut Connection, instance: &str) -> Result<Vec<Task>> {
    let rows = sqlx::query("SELECT record FROM tasks WHERE instance = ? AND stopped_at IS NULL ORDER BY id")
        .bind(instance)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// Stores what became of a task.
///
/// # Errors
/// [`super::StoreError`].
pub async fn update(connection: &mut Connection, task: &Task) -> Result<()> {
    sqlx::query(
        "UPDATE tasks SET desired_status = ?, last_status = ?, stopped_at = ?, record = ? WHERE id = ?",
    )
    .bind(task.desired.as_str())
    .bind(task.last.as_str())
    .bind(task.times.stopped)
    .bind(json(task)?)
    .bind(task.arn.id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// The ids of the tasks after one that pass a filter.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(
    connection: &mut Connection,
    filter: &Filter<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<String>> {
    let rows = sqlx::query(
        "SELECT id FROM tasks
         WHERE cluster = ?1 AND desired_status = ?2 AND id > ?3 AND (?4 IS NULL OR instance = ?4)
           AND (?5 IS NULL OR family = ?5) AND (?6 IS NULL OR started_by = ?6)
         ORDER BY id LIMIT ?7",
    )
    .bind(filter.cluster)
    .bind(filter.desired)
    .bind(after)
    .bind(filter.instance)
    .bind(filter.family)
    .bind(filter.started_by)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Removes the records of up to `most` tasks that were over before a time (milliseconds since 1970); says how many.
/// Their tombstones stay.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune(connection: &mut Connection, before: i64, most: i64) -> Result<u64> {
    let done =
        sqlx::query("DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE stopped_at < ? LIMIT ?)")
            .bind(before)
            .bind(most)
            .execute(connection)
            .await?;
    Ok(done.rows_affected())
}
