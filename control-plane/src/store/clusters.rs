//! Clusters.

use longshore_protocol::ecs;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Connection, Result, from_json, json};

/// A cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Whether it is in use; an inactive one can be created again.
    pub active: bool,
    /// Its settings.
    pub settings: Vec<ecs::ClusterSetting>,
    /// Its configuration, where one was given.
    pub configuration: Option<ecs::ClusterConfiguration>,
    /// Its tags.
    pub tags: Vec<ecs::Tag>,
}

/// What a cluster holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Container instances that are ACTIVE or DRAINING.
    pub instances: i32,
    /// Tasks that run.
    pub running: i32,
    /// Tasks that are to run and don't yet.
    pub pending: i32,
    /// Tasks that are not over.
    pub alive: i32,
}

fn read(row: &SqliteRow) -> Result<Cluster> {
    let configuration: Option<&str> = row.try_get("configuration")?;
    Ok(Cluster {
        name: row.try_get("name")?,
        active: row.try_get::<&str, _>("status")? == "ACTIVE",
        settings: from_json(row.try_get("settings")?)?,
        configuration: configuration.map(from_json).transpose()?,
        tags: from_json(row.try_get("tags")?)?,
    })
}

/// A cluster by name.
///
/// # Errors
/// [`super::StoreError`].
pub async fn get(connection: &mut Connection, name: &str) -> Result<Option<Cluster>> {
    let row = sqlx::query("SELECT * FROM clusters WHERE name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Makes a cluster, or brings an inactive one of that name back, with these members.
///
/// # Errors
/// [`super::StoreError`].
pub async fn put(connection: &mut Connection, cluster: &Cluster, now: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO clusters (name, status, settings, configuration, tags, created_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET status = excluded.status, settings = excluded.settings,
             configuration = excluded.configuration, tags = excluded.tags",
    )
    .bind(&cluster.name)
    .bind(if cluster.active { "ACTIVE" } else { "INACTIVE" })
    .bind(json(&cluster.settings)?)
    .bind(cluster.configuration.as_ref().map(json).transpose()?)
    .bind(json(&cluster.tags)?)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes the cluster `default` if nobody ever did.
///
/// # Errors
/// [`super::StoreError`].
pub async fn ensure_default(connection: &mut Connection, now: i64) -> Result<()> {
    if get(connection, "default").await?.is_some() {
        return Ok(());
    }
    let cluster = Cluster {
        name: "default".to_owned(),
        active: true,
        settings: Vec::new(),
        configuration: None,
        tags: Vec::new(),
    };
    put(connection, &cluster, now).await
}

/// The names of active clusters after a name, in order.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<String>> {
    let rows =
        sqlx::query("SELECT name FROM clusters WHERE status = 'ACTIVE' AND name > ? ORDER BY name LIMIT ?")
            .bind(after)
            .bind(limit)
            .fetch_all(connection)
            .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// What a cluster holds.
///
/// # Errors
/// [`super::StoreError`].
pub async fn counts(connection: &mut Connection, name: &str) -> Result<Counts> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM container_instances WHERE cluster = ?1 AND status <> 'INACTIVE'),
                coalesce(sum(desired_status = 'RUNNING' AND last_status = 'RUNNING'), 0),
                coalesce(sum(desired_status = 'RUNNING' AND last_status <> 'RUNNING'), 0),
                count(*)
         FROM tasks WHERE cluster = ?1 AND stopped_at IS NULL",
    )
    .bind(name)
    .fetch_one(connection)
    .await?;
    Ok(Counts {
        instances: row.try_get(0)?,
        running: row.try_get(1)?,
        pending: row.try_get(2)?,
        alive: row.try_get(3)?,
    })
}
