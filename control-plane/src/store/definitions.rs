//! Task definitions: families and their revisions.

use longshore_protocol::ecs;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Connection, Result, from_json, json};

/// A revision and its tags.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// As the API shows it.
    pub body: ecs::TaskDefinition,
    /// Its tags.
    pub tags: Vec<ecs::Tag>,
}

impl Definition {
    /// Whether tasks can be started from it by family name.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.body.status.as_deref() == Some("ACTIVE")
    }
}

fn read(row: &SqliteRow) -> Result<Definition> {
    Ok(Definition {
        body: from_json(row.try_get("body")?)?,
        tags: from_json(row.try_get("tags")?)?,
    })
}

/// Takes the family's next revision number: 1 at first, none twice.
///
/// # Errors
/// [`super::StoreError`].
pub async fn next_revision(connection: &mut Connection, family: &str) -> Result<i32> {
    let row = sqlx::query(
        "INSERT INTO families (family, last_revision) VALUES (?, 1)
         ON CONFLICT (family) DO UPDATE SET last_revision = last_revision + 1 RETURNING last_revision",
    )
    .bind(family)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

/// Stores a revision, new or changed.
///
/// # Errors
/// [`super::StoreError`].
pub async fn put(connection: &mut Connection, definition: &Definition) -> Result<()> {
    let body = &definition.body;
    sqlx::query(
        "INSERT INTO task_definitions (family, revision, status, body, tags) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (family, revision) DO UPDATE SET status = excluded.status, body = excluded.body, tags = excluded.tags",
    )
    .bind(&body.family)
    .bind(body.revision)
    .bind(&body.status)
    .bind(json(body)?)
    .bind(json(&definition.tags)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// One revision; without a number the newest that is ACTIVE.
///
/// # Errors
/// [`super::StoreError`].
pub async fn get(
    connection: &mut Connection,
    family: &str,
    revision: Option<i32>,
) -> Result<Option<Definition>> {
    let row = sqlx::query(
        "SELECT body, tags FROM task_definitions
         WHERE family = ?1 AND ((?2 IS NULL AND status = 'ACTIVE') OR revision = ?2) ORDER BY revision DESC LIMIT 1",
    )
    .bind(family)
    .bind(revision)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

/// The revisions after one (`None`: from the start), by family and number, or the other way round.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(
    connection: &mut Connection,
    family: Option<&str>,
    status: &str,
    descending: bool,
    after: Option<(&str, i32)>,
    limit: i64,
) -> Result<Vec<(String, i32)>> {
    const UP: &str = "SELECT family, revision FROM task_definitions
        WHERE status = ?1 AND (?2 IS NULL OR family = ?2) AND (?3 IS NULL OR (family, revision) > (?3, ?4))
        ORDER BY family, revision LIMIT ?5";
    const DOWN: &str = "SELECT family, revision FROM task_definitions
        WHERE status = ?1 AND (?2 IS NULL OR family = ?2) AND (?3 IS NULL OR (family, revision) < (?3, ?4))
        ORDER BY family DESC, revision DESC LIMIT ?5";
    let rows = sqlx::query(if descending { DOWN } else { UP })
        .bind(status)
        .bind(family)
        .bind(after.map(|(family, _)| family))
        .bind(after.map(|(_, revision)| revision))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// The families after one whose names begin so. `active`: only those with (or without) an ACTIVE revision.
///
/// # Errors
/// [`super::StoreError`].
pub async fn families(
    connection: &mut Connection,
    prefix: &str,
    active: Option<bool>,
    after: &str,
    limit: i64,
) -> Result<Vec<String>> {
    let rows = sqlx::query(
        "SELECT family FROM task_definitions WHERE family > ?1 AND substr(family, 1, length(?2)) = ?2
         GROUP BY family HAVING ?3 IS NULL OR max(status = 'ACTIVE') = ?3 ORDER BY family LIMIT ?4",
    )
    .bind(after)
    .bind(prefix)
    .bind(active)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
