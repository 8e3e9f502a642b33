//! RunTask's idempotency: which tasks a client token stands for.

use sqlx::Row as _;

use super::{Connection, Result, from_json, json};

/// What a token was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The hash of the request.
    pub request_hash: String,
    /// What it started.
    pub task_arns: Vec<String>,
}

/// What a token was used for in a cluster at or after `since` (milliseconds since 1970).
///
/// # Errors
/// [`super::StoreError`].
pub async fn get(connection: &mut Connection, cluster: &str, token: &str, since: i64) -> Result<Option<Use>> {
    let row = sqlx::query(
        "SELECT request_hash, task_arns FROM client_tokens WHERE cluster = ? AND token = ? AND created_at >= ?",
    )
    .bind(cluster)
    .bind(token)
    .bind(since)
    .fetch_optional(connection)
    .await?;
    let read = |row: sqlx::sqlite::SqliteRow| {
        Ok(Use {
            request_hash: row.try_get(0)?,
            task_arns: from_json(row.try_get(1)?)?,
        })
    };
    row.map(read).transpose()
}

/// Binds a token, whatever it meant before.
///
/// # Errors
/// [`super::StoreError`].
pub async fn put(connection: &mut Connection, cluster: &str, token: &str, new: &Use, now: i64) -> Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO client_tokens (cluster, token, request_hash, task_arns, created_at)
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(cluster)
    .bind(token)
    .bind(&new.request_hash)
    .bind(json(&new.task_arns)?)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
