//! Sessions: who may come in, how far they are, and how they ended. The rows are the audit's, too.

use longshore_protocol::arn::TaskArn;
use longshore_protocol::node::InstanceId;
use longshore_protocol::session::{SessionEnd, SessionKind};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Connection, Result, StoreError, from_json, json, word};

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Its name.
    pub id: String,
    /// In which task.
    pub task: TaskArn,
    /// In which of its containers, by name.
    pub container: String,
    /// The id of the container instance where that is.
    pub instance: String,
    /// The node that hosts it.
    pub node: InstanceId,
    /// What for.
    pub kind: SessionKind,
    /// The access key of whoever opened it.
    pub opened_by: String,
    /// When: milliseconds since 1970, as all times here.
    pub created_at: i64,
    /// When a client was first let in.
    pub client_at: Option<i64>,
    /// When the node's agent was first let in.
    pub agent_at: Option<i64>,
    /// Why it is to end, from the moment that this was decided here.
    pub closing: Option<String>,
    /// When it was over.
    pub ended_at: Option<i64>,
    /// What the node's agent said at the end.
    pub outcome: Option<SessionEnd>,
}

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its SHA-256, in hexadecimal.
    pub hash: String,
    /// When it is good no more: milliseconds since 1970.
    pub expires_at: i64,
}

fn read(row: &SqliteRow) -> Result<Session> {
    let task: &str = row.try_get("task_arn")?;
    let outcome: Option<&str> = row.try_get("outcome")?;
    Ok(Session {
        id: row.try_get("id")?,
        task: word(task)?,
        container: row.try_get("container")?,
        instance: row.try_get("instance")?,
        node: InstanceId::try_from(row.try_get::<String, _>("node")?)
            .map_err(|error| StoreError::Value(error.to_string()))?,
        kind: from_json(row.try_get("kind")?)?,
        opened_by: row.try_get("opened_by")?,
        created_at: row.try_get("created_at")?,
        client_at: row.try_get("client_at")?,
        agent_at: row.try_get("agent_at")?,
        closing: row.try_get("closing")?,
        ended_at: row.try_get("ended_at")?,
        outcome: outcome.map(from_json).transpose()?,
    })
}

/// Stores a new session, which one token opens.
///
/// # Errors
/// [`StoreError`].
pub async fn add(connection: &mut Connection, new: &Session, token: &Token) -> Result<()> {
    sqlx::query(
        "INSERT INTO sessions (id, task_arn, container, instance, node, kind, opened_by, created_at, token_hash,
             token_expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&new.id)
    .bind(new.task.to_string())
    .bind(&new.container)
    .bind(&new.instance)
    .bind(new.node.to_string())
    .bind(json(&new.kind)?)
    .bind(&new.opened_by)
    .bind(new.created_at)
    .bind(&token.hash)
    .bind(token.expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// A session.
///
/// # Errors
/// [`StoreError`].
pub async fn get(connection: &mut Connection, id: &str) -> Result<Option<Session>> {
    let row = sqlx::query("SELECT * FROM sessions WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The sessions that are not over, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn alive(connection: &mut Connection) -> Result<Vec<Session>> {
    let rows = sqlx::query("SELECT * FROM sessions WHERE ended_at IS NULL ORDER BY created_at, id")
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The token that opens a session; none where it was used, or the session is to end.
///
/// # Errors
/// [`StoreError`].
pub async fn token(connection: &mut Connection, id: &str) -> Result<Option<Token>> {
    let row = sqlx::query(
        "SELECT token_hash, token_expires_at FROM sessions
         WHERE id = ? AND token_hash IS NOT NULL AND closing IS NULL AND ended_at IS NULL",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    let read = |row: SqliteRow| {
        Ok(Token {
            hash: row.try_get(0)?,
            expires_at: row.try_get(1)?,
        })
    };
    row.map(read).transpose()
}

/// Gives a session that this access key has opened another token in the place of the one that it has. Says whether it is
/// alive: whoever is let in has the shell that is there, and the audit tells who that is by who opened it.
///
/// # Errors
/// [`StoreError`].
pub async fn set_token(
    connection: &mut Connection,
    id: &str,
    opened_by: &str,
    token: &Token,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE sessions SET token_hash = ?, token_expires_at = ?
         WHERE id = ? AND opened_by = ? AND closing IS NULL AND ended_at IS NULL",
    )
    .bind(&token.hash)
    .bind(token.expires_at)
    .bind(id)
    .bind(opened_by)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A client has come with the session's token, which opens nothing any more.
///
/// # Errors
/// [`StoreError`].
pub async fn client_came(connection: &mut Connection, id: &str, now: i64) -> Result<()> {
    sqlx::query("UPDATE sessions SET token_hash = NULL, client_at = coalesce(client_at, ?) WHERE id = ?")
        .bind(now)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// The node's agent has come.
///
/// # Errors
/// [`StoreError`].
pub async fn agent_came(connection: &mut Connection, id: &str, now: i64) -> Result<()> {
    sqlx::query("UPDATE sessions SET agent_at = coalesce(agent_at, ?) WHERE id = ?")
        .bind(now)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Decides that a session is to end: no client is let in any more. The first reason stays.
///
/// # Errors
/// [`StoreError`].
pub async fn close(connection: &mut Connection, id: &str, reason: &str) -> Result<()> {
    sqlx::query(
        "UPDATE sessions SET closing = coalesce(closing, ?), token_hash = NULL WHERE id = ? AND ended_at IS NULL",
    )
    .bind(reason)
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a session's end, which stays as it was first stored.
///
/// # Errors
/// [`StoreError`].
pub async fn end(
    connection: &mut Connection,
    id: &str,
    reason: Option<&str>,
    outcome: Option<&SessionEnd>,
    now: i64,
) -> Result<()> {
    sqlx::query(
        "UPDATE sessions SET ended_at = ?, closing = coalesce(closing, ?), outcome = ?, token_hash = NULL
         WHERE id = ? AND ended_at IS NULL",
    )
    .bind(now)
    .bind(reason)
    .bind(outcome.map(json).transpose()?)
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes up to `most` sessions that were over before a time (milliseconds since 1970), or that are not among the last
/// `kept` to end; says how many.
///
/// # Errors
/// [`StoreError`].
pub async fn prune(connection: &mut Connection, before: i64, kept: i64, most: i64) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM sessions WHERE id IN (
             SELECT id FROM sessions WHERE ended_at < max(?1, coalesce(
                 (SELECT ended_at FROM sessions WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1 OFFSET ?2 - 1), ?1))
             LIMIT ?3)",
    )
    .bind(before)
    .bind(kept)
    .bind(most)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
