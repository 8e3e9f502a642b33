//! What concerns the whole control plane: its secret key, its incarnations, how its clock has stepped.

use longshore_protocol::arn::Scope;
use sqlx::Row as _;

use super::{Connection, Result, StoreError, unsigned};
use crate::clock::Earlier;

/// How many incarnations are remembered. A cursor of an older one gets every live assignment again, which is only work.
const KEPT_INCARNATIONS: i64 = 100;

/// The key that node credentials and page tokens are made from; `fresh` becomes it at the first start.
///
/// # Errors
/// [`StoreError`].
pub async fn token_key(connection: &mut Connection, fresh: &[u8]) -> Result<Vec<u8>> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ('token_key', ?) ON CONFLICT DO NOTHING")
        .bind(fresh)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("SELECT value FROM settings WHERE name = 'token_key'")
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}

/// The region and account that all names in here are of: those of the first start.
///
/// # Errors
/// [`StoreError`].
pub async fn scope(connection: &mut Connection, fresh: &Scope) -> Result<Scope> {
    for (name, value) in [("region", &fresh.region), ("account", &fresh.account)] {
        sqlx::query("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(value.as_bytes())
            .execute(&mut *connection)
            .await?;
    }
    let (region, account) = (
        text(connection, "region").await?,
        text(connection, "account").await?,
    );
    Ok(Scope::new(&region, &account))
}

async fn text(connection: &mut Connection, name: &str) -> Result<String> {
    let row = sqlx::query("SELECT value FROM settings WHERE name = ?")
        .bind(name)
        .fetch_one(connection)
        .await?;
    let bytes: Vec<u8> = row.try_get(0)?;
    String::from_utf8(bytes).map_err(|_| StoreError::Value(format!("the setting {name} is no text")))
}

/// What was known of the wall clock when [`keep_readings`] stored it.
///
/// # Errors
/// [`StoreError`].
pub async fn readings(connection: &mut Connection) -> Result<Vec<Earlier>> {
    let row = sqlx::query("SELECT value FROM settings WHERE name = 'clock'")
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = row {
        let stored: Vec<u8> = row.try_get(0)?;
        return Ok(serde_json::from_slice(&stored)?);
    }
    // A database that kept only this.
    let start = last_start(connection).await?;
    Ok(start.map(|shows| Earlier { shows, ago: 0 }).into_iter().collect())
}

/// Stores what is known of the wall clock: JSON, the readings with the oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn keep_readings(connection: &mut Connection, readings: &[Earlier]) -> Result<()> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ('clock', ?) ON CONFLICT DO UPDATE SET value = excluded.value")
        .bind(serde_json::to_vec(readings)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// When the newest incarnation began, in milliseconds since 1970.
async fn last_start(connection: &mut Connection) -> Result<Option<i64>> {
    let row = sqlx::query("SELECT started_at FROM incarnations ORDER BY number DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Ends the incarnation before, recording where every instance's sequence stands, and begins this one.
///
/// # Errors
/// [`StoreError`].
pub async fn begin_incarnation(connection: &mut Connection, id: &str, now: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO incarnation_ends (incarnation, instance, last_seq)
         SELECT last.id, instances.id, instances.next_seq - 1
         FROM (SELECT id FROM incarnations ORDER BY number DESC LIMIT 1) AS last, container_instances AS instances
         WHERE instances.status <> 'INACTIVE'",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query("INSERT INTO incarnations (id, started_at) VALUES (?, ?)")
        .bind(id)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM incarnations WHERE number <= (SELECT max(number) FROM incarnations) - ?")
        .bind(KEPT_INCARNATIONS)
        .execute(connection)
        .await?;
    Ok(())
}

/// Where an incarnation that is over ended for an instance; `None` if it is not known, or is not over.
///
/// # Errors
/// [`StoreError`].
pub async fn end_of(connection: &mut Connection, incarnation: &str, instance: &str) -> Result<Option<u64>> {
    let row = sqlx::query("SELECT last_seq FROM incarnation_ends WHERE incarnation = ? AND instance = ?")
        .bind(incarnation)
        .bind(instance)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(unsigned))
}

/// Forgets what is too old to matter: tombstones from before `burial`, client tokens from before `token` (milliseconds
/// since 1970).
///
/// # Errors
/// [`StoreError`].
pub async fn forget(connection: &mut Connection, burial: i64, token: i64) -> Result<()> {
    sqlx::query("DELETE FROM tombstones WHERE buried_at < ?")
        .bind(burial)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM client_tokens WHERE created_at < ?")
        .bind(token)
        .execute(connection)
        .await?;
    Ok(())
}

/// Records that a task is over for good.
///
/// # Errors
/// [`StoreError`].
pub async fn bury(connection: &mut Connection, task: &str, instance: &str, now: i64) -> Result<()> {
    sqlx::query("INSERT INTO tombstones (task, instance, buried_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(task)
        .bind(instance)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// The instance that a task which is over for good was on.
///
/// # Errors
/// [`StoreError`].
pub async fn tombstone(connection: &mut Connection, task: &str) -> Result<Option<String>> {
    let row = sqlx::query("SELECT instance FROM tombstones WHERE task = ?")
        .bind(task)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Takes the next sequence number of an instance.
///
/// # Errors
/// [`StoreError`].
pub async fn next_seq(connection: &mut Connection, instance: &str) -> Result<u64> {
    let row = sqlx::query(
        "UPDATE container_instances SET next_seq = next_seq + 1 WHERE id = ? RETURNING next_seq - 1",
    )
    .bind(instance)
    .fetch_one(connection)
    .await?;
    Ok(unsigned(row.try_get(0)?))
}

/// The sequence number that was given last to an instance's assignments: 0 before the first.
///
/// # Errors
/// [`StoreError`].
pub async fn head(connection: &mut Connection, instance: &str) -> Result<u64> {
    let row = sqlx::query("SELECT next_seq - 1 FROM container_instances WHERE id = ?")
        .bind(instance)
        .fetch_optional(connection)
        .await?;
    let head: i64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    Ok(unsigned(head))
}
