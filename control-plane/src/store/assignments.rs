//! What each node is to do: one row a task, the newest word only, until the node has reported the task's end.

use longshore_protocol::arn::TaskArn;
use longshore_protocol::node::InstanceId;
use longshore_protocol::poll::{Assignment, TaskSpec};
use longshore_protocol::status::DesiredStatus;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Connection, Result, from_json, signed, system, unsigned, word};

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The task.
    pub task: TaskArn,
    /// The sequence number by which the node first hears of it.
    pub first_seq: u64,
    /// The sequence number of the newest word.
    pub seq: u64,
    /// Grows with every change.
    pub generation: u64,
    /// Where the task is to go.
    pub desired: DesiredStatus,
    /// Without the stop sequence.
    pub force: bool,
}

fn read(row: &SqliteRow) -> Result<Row> {
    Ok(Row {
        task: word(row.try_get("task_arn")?)?,
        first_seq: unsigned(row.try_get("first_seq")?),
        seq: unsigned(row.try_get("seq")?),
        generation: unsigned(row.try_get("generation")?),
        desired: word(row.try_get("desired_status")?)?,
        force: row.try_get("force")?,
    })
}

/// Assigns a task that was just placed, by the sequence number that was taken with its resources.
///
/// # Errors
/// [`super::StoreError`].
pub async fn add(connection: &mut Connection, instance: &str, task: &TaskArn, seq: u64) -> Result<()> {
    sqlx::query(
        "INSERT INTO assignments (instance, task, task_arn, first_seq, seq, generation, desired_status, force, stop_known)
         VALUES (?1, ?2, ?3, ?4, ?4, 1, 'RUNNING', 0, 0)",
    )
    .bind(instance)
    .bind(task.id.as_str())
    .bind(task.to_string())
    .bind(signed(seq))
    .execute(connection)
    .await?;
    Ok(())
}

/// Assigns a task to the instance that it was found on, as far as its node has been ordered already.
///
/// # Errors
/// [`super::StoreError`].
pub async fn adopt(
    connection: &mut Connection,
    instance: &str,
    task: &TaskArn,
    seq: u64,
    (generation, desired): (u64, DesiredStatus),
) -> Result<()> {
    sqlx::query(
        "INSERT INTO assignments (instance, task, task_arn, first_seq, seq, generation, desired_status, force, stop_known)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, 0, 0)",
    )
    .bind(instance)
    .bind(task.id.as_str())
    .bind(task.to_string())
    .bind(signed(seq))
    .bind(signed(generation))
    .bind(desired.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// Orders a task to stop, at once if `force`. Where the order stands already, only `force` is news. A task that has no
/// row any more gets one again, of at least this generation. Says whether there was news.
///
/// # Errors
/// [`super::StoreError`].
pub async fn order_stop(
    connection: &mut Connection,
    instance: &str,
    task: &TaskArn,
    force: bool,
    generation: u64,
) -> Result<bool> {
    let known = sqlx::query("SELECT * FROM assignments WHERE instance = ? AND task = ?")
        .bind(instance)
        .bind(task.id.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(known) = known.as_ref().map(read).transpose()?
        && known.desired == DesiredStatus::Stopped
        && (known.force || !force)
    {
        return Ok(false);
    }
    let seq = system::next_seq(connection, instance).await?;
    sqlx::query(
        "INSERT INTO assignments (instance, task, task_arn, first_seq, seq, generation, desired_status, force, stop_known)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, 'STOPPED', ?6, 0)
         ON CONFLICT (instance, task) DO UPDATE SET seq = excluded.seq, generation = generation + 1,
             desired_status = excluded.desired_status, force = excluded.force, stop_known = 0",
    )
    .bind(instance)
    .bind(task.id.as_str())
    .bind(task.to_string())
    .bind(signed(seq))
    .bind(signed(generation))
    .bind(force)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Ends a task's assignment to a node, whichever of its container instances it was given to: the node has reported the
/// task's end. Says which of them had it.
///
/// # Errors
/// [`super::StoreError`].
pub async fn remove(connection: &mut Connection, node: &InstanceId, task: &str) -> Result<Vec<String>> {
    let rows = sqlx::query(
        "DELETE FROM assignments
         WHERE task = ? AND instance IN (SELECT id FROM container_instances WHERE managed_instance = ?)
         RETURNING instance",
    )
    .bind(task)
    .bind(node.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Ends all assignments of an instance.
///
/// # Errors
/// [`super::StoreError`].
pub async fn clear(connection: &mut Connection, instance: &str) -> Result<()> {
    sqlx::query("DELETE FROM assignments WHERE instance = ?")
        .bind(instance)
        .execute(connection)
        .await?;
    Ok(())
}

/// The assignments of an instance after a sequence number, in order; with the task where the node may not have it.
///
/// # Errors
/// [`super::StoreError`].
pub async fn after(
    connection: &mut Connection,
    instance: &str,
    seq: u64,
    limit: usize,
) -> Result<Vec<Assignment>> {
    let rows = sqlx::query(
        "SELECT assignments.*, tasks.spec FROM assignments LEFT JOIN tasks ON tasks.id = assignments.task
         WHERE assignments.instance = ? AND assignments.seq > ? ORDER BY assignments.seq LIMIT ?",
    )
    .bind(instance)
    .bind(signed(seq))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|sql| assignment(sql, seq)).collect()
}

/// The orders to stop of an instance after a sequence number, in order, without the tasks.
///
/// # Errors
/// [`super::StoreError`].
pub async fn stops_after(connection: &mut Connection, instance: &str, seq: u64) -> Result<Vec<Assignment>> {
    let rows = sqlx::query(
        "SELECT *, NULL AS spec FROM assignments
         WHERE instance = ? AND seq > ? AND desired_status = 'STOPPED' ORDER BY seq",
    )
    .bind(instance)
    .bind(signed(seq))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|sql| assignment(sql, seq)).collect()
}

fn assignment(sql: &SqliteRow, acknowledged: u64) -> Result<Assignment> {
    let row = read(sql)?;
    let spec: Option<&str> = sql.try_get("spec")?;
    let spec = spec.filter(|_| row.first_seq > acknowledged);
    Ok(Assignment {
        seq: row.seq,
        task_arn: row.task,
        generation: row.generation,
        desired_status: row.desired,
        force: row.force,
        task: spec.map(from_json::<TaskSpec>).transpose()?.map(Box::new),
    })
}

/// The tasks whose order to stop the node has acknowledged by this cursor, and that we didn't know of yet.
///
/// # Errors
/// [`super::StoreError`].
pub async fn newly_known_stops(
    connection: &mut Connection,
    instance: &str,
    cursor: u64,
) -> Result<Vec<TaskArn>> {
    let rows = sqlx::query(
        "SELECT task_arn FROM assignments
         WHERE instance = ? AND seq <= ? AND desired_status = 'STOPPED' AND NOT stop_known",
    )
    .bind(instance)
    .bind(signed(cursor))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| word(row.try_get(0)?)).collect()
}

/// Records that the node has the order to stop a task.
///
/// # Errors
/// [`super::StoreError`].
pub async fn stop_is_known(connection: &mut Connection, instance: &str, task: &str) -> Result<()> {
    sqlx::query("UPDATE assignments SET stop_known = 1 WHERE instance = ? AND task = ?")
        .bind(instance)
        .bind(task)
        .execute(connection)
        .await?;
    Ok(())
}

/// The tasks of an instance whose newest word has at most this sequence number.
///
/// # Errors
/// [`super::StoreError`].
pub async fn tasks_up_to(connection: &mut Connection, instance: &str, seq: u64) -> Result<Vec<TaskArn>> {
    let rows = sqlx::query("SELECT task_arn FROM assignments WHERE instance = ? AND seq <= ?")
        .bind(instance)
        .bind(signed(seq))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| word(row.try_get(0)?)).collect()
}

/// The tasks that an instance is assigned.
///
/// # Errors
/// [`super::StoreError`].
pub async fn tasks_of(connection: &mut Connection, instance: &str) -> Result<Vec<TaskArn>> {
    let rows = sqlx::query("SELECT task_arn FROM assignments WHERE instance = ?")
        .bind(instance)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| word(row.try_get(0)?)).collect()
}
