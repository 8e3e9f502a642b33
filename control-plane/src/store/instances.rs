//! Container instances: what they registered, and what is left of it. What tasks have of them is in `reservations`.

use std::collections::BTreeSet;

use longshore_protocol::ecs;
use longshore_protocol::node::InstanceId;
use longshore_protocol::status::InstanceStatus;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Connection, Result, StoreError, from_json, json, word};

/// What a node says of itself when it registers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// Everything that it has, GPUs included.
    pub resources: Vec<ecs::Resource>,
    /// Its attributes, as given.
    pub attributes: Vec<ecs::Attribute>,
    /// Versions of agent and runtime.
    pub version_info: ecs::VersionInfo,
    /// CPU units.
    pub cpu: i64,
    /// MiB.
    pub memory: i64,
}

/// A container instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The last part of its ARN.
    pub id: String,
    /// Its cluster's name.
    pub cluster: String,
    /// The node that it is.
    pub node: InstanceId,
    /// Whether it takes tasks.
    pub status: InstanceStatus,
    /// Grows by one with every change that can be seen.
    pub version: i64,
    /// What it registered.
    pub registration: Registration,
    /// Tags.
    pub tags: Vec<ecs::Tag>,
    /// Milliseconds since 1970.
    pub registered_at: i64,
    /// CPU units that no task has.
    pub free_cpu: i64,
    /// MiB that no task has.
    pub free_memory: i64,
}

/// Whose an instance is, and whether it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The node that it is.
    pub node: InstanceId,
    /// Whether that is still registered.
    pub has_node: bool,
    /// Whether it takes tasks.
    pub status: InstanceStatus,
}

/// How many tasks an instance has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks that run.
    pub running: i32,
    /// Tasks that are to run and don't yet.
    pub pending: i32,
    /// Tasks that are not over.
    pub alive: i32,
}

fn read(row: &SqliteRow) -> Result<Instance> {
    let node: String = row.try_get("managed_instance")?;
    Ok(Instance {
        id: row.try_get("id")?,
        cluster: row.try_get("cluster")?,
        node: InstanceId::try_from(node).map_err(|error| StoreError::Value(error.to_string()))?,
        status: word(row.try_get("status")?)?,
        version: row.try_get("version")?,
        registration: Registration {
            resources: from_json(row.try_get("resources")?)?,
            attributes: from_json(row.try_get("attributes")?)?,
            version_info: from_json(row.try_get("version_info")?)?,
            cpu: row.try_get("total_cpu")?,
            memory: row.try_get("total_memory")?,
        },
        tags: from_json(row.try_get("tags")?)?,
        registered_at: row.try_get("registered_at")?,
        free_cpu: row.try_get("free_cpu")?,
        free_memory: row.try_get("free_memory")?,
    })
}

/// Stores a new instance.
///
/// # Errors
/// [`StoreError`].
pub async fn add(connection: &mut Connection, new: &Instance) -> Result<()> {
    let registration = &new.registration;
    sqlx::query(
        "INSERT INTO container_instances (id, cluster, managed_instance, status, version, resources, attributes,
             version_info, tags, registered_at, total_cpu, total_memory, free_cpu, free_memory, next_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?11, ?12, 1)",
    )
    .bind(&new.id)
    .bind(&new.cluster)
    .bind(new.node.as_str())
    .bind(new.status.as_str())
    .bind(new.version)
    .bind(json(&registration.resources)?)
    .bind(json(&registration.attributes)?)
    .bind(json(&registration.version_info)?)
    .bind(json(&new.tags)?)
    .bind(new.registered_at)
    .bind(registration.cpu)
    .bind(registration.memory)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes what a node says when it registers again; what its tasks have stays theirs.
///
/// # Errors
/// [`StoreError`].
pub async fn register_again(connection: &mut Connection, id: &str, new: &Registration) -> Result<()> {
    sqlx::query(
        "UPDATE container_instances SET resources = ?2, attributes = ?3, version_info = ?4, version = version + 1,
             free_cpu = free_cpu + ?5 - total_cpu, total_cpu = ?5,
             free_memory = free_memory + ?6 - total_memory, total_memory = ?6
         WHERE id = ?1",
    )
    .bind(id)
    .bind(json(&new.resources)?)
    .bind(json(&new.attributes)?)
    .bind(json(&new.version_info)?)
    .bind(new.cpu)
    .bind(new.memory)
    .execute(connection)
    .await?;
    Ok(())
}

/// An instance of a cluster, INACTIVE ones included.
///
/// # Errors
/// [`StoreError`].
pub async fn get(connection: &mut Connection, cluster: &str, id: &str) -> Result<Option<Instance>> {
    let row = sqlx::query("SELECT * FROM container_instances WHERE cluster = ? AND id = ?")
        .bind(cluster)
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// What an instance of a cluster is by now: what a poll that waits has to look at again.
///
/// # Errors
/// [`StoreError`].
pub async fn standing(connection: &mut Connection, cluster: &str, id: &str) -> Result<Option<Standing>> {
    let row = sqlx::query(
        "SELECT managed_instance, status,
                EXISTS (SELECT 1 FROM managed_instances WHERE managed_instances.id = managed_instance) AS has_node
         FROM container_instances WHERE cluster = ? AND id = ?",
    )
    .bind(cluster)
    .bind(id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let node: String = row.try_get("managed_instance")?;
    Ok(Some(Standing {
        node: InstanceId::try_from(node).map_err(|error| StoreError::Value(error.to_string()))?,
        has_node: row.try_get("has_node")?,
        status: word(row.try_get("status")?)?,
    }))
}

/// The ids of a cluster's instances whose nodes were deregistered with SSM: they can't call any more.
///
/// # Errors
/// [`StoreError`].
pub async fn without_node(connection: &mut Connection, cluster: &str) -> Result<BTreeSet<String>> {
    let rows = sqlx::query(
        "SELECT id FROM container_instances WHERE cluster = ? AND status <> 'INACTIVE'
           AND NOT EXISTS (SELECT 1 FROM managed_instances WHERE managed_instances.id = managed_instance)",
    )
    .bind(cluster)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The instances of a cluster that are ACTIVE or DRAINING.
///
/// # Errors
/// [`StoreError`].
pub async fn in_cluster(connection: &mut Connection, cluster: &str) -> Result<Vec<Instance>> {
    let rows = sqlx::query(
        "SELECT * FROM container_instances WHERE cluster = ? AND status <> 'INACTIVE' ORDER BY id",
    )
    .bind(cluster)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// The ids of a cluster's instances after one, all but the INACTIVE ones or those of one status.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    connection: &mut Connection,
    cluster: &str,
    status: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<String>> {
    let rows = sqlx::query(
        "SELECT id FROM container_instances
         WHERE cluster = ?1 AND status <> 'INACTIVE' AND (?2 IS NULL OR status = ?2) AND id > ?3 ORDER BY id LIMIT ?4",
    )
    .bind(cluster)
    .bind(status)
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Changes an instance's status. Says whether it was another one.
///
/// # Errors
/// [`StoreError`].
pub async fn set_status(connection: &mut Connection, id: &str, status: InstanceStatus) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE container_instances SET status = ?2, version = version + 1 WHERE id = ?1 AND status <> ?2",
    )
    .bind(id)
    .bind(status.as_str())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes an instance INACTIVE for good.
///
/// # Errors
/// [`StoreError`].
pub async fn deregister(connection: &mut Connection, id: &str, now: i64) -> Result<()> {
    sqlx::query(
        "UPDATE container_instances SET status = 'INACTIVE', deregistered_at = ?2, version = version + 1 WHERE id = ?1",
    )
    .bind(id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes instances that were deregistered before a time (milliseconds since 1970), once their tasks are removed too.
///
/// # Errors
/// [`StoreError`].
pub async fn prune(connection: &mut Connection, before: i64) -> Result<()> {
    sqlx::query(
        "DELETE FROM container_instances WHERE deregistered_at < ?
           AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.instance = container_instances.id)
           AND NOT EXISTS (SELECT 1 FROM assignments WHERE assignments.instance = container_instances.id)",
    )
    .bind(before)
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes an instance's versions of agent and runtime.
///
/// # Errors
/// [`StoreError`].
pub async fn set_version_info(connection: &mut Connection, id: &str, info: &ecs::VersionInfo) -> Result<()> {
    sqlx::query("UPDATE container_instances SET version_info = ?, version = version + 1 WHERE id = ?")
        .bind(json(info)?)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Changes an instance's tags.
///
/// # Errors
/// [`StoreError`].
pub async fn set_tags(connection: &mut Connection, id: &str, tags: &[ecs::Tag]) -> Result<()> {
    sqlx::query("UPDATE container_instances SET tags = ?, version = version + 1 WHERE id = ?")
        .bind(json(tags)?)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// How many tasks an instance has.
///
/// # Errors
/// [`StoreError`].
pub async fn counts(connection: &mut Connection, id: &str) -> Result<Counts> {
    let row = sqlx::query(
        "SELECT coalesce(sum(desired_status = 'RUNNING' AND last_status = 'RUNNING'), 0),
                coalesce(sum(desired_status = 'RUNNING' AND last_status <> 'RUNNING'), 0),
                count(*)
         FROM tasks WHERE instance = ? AND stopped_at IS NULL",
    )
    .bind(id)
    .fetch_one(connection)
    .await?;
    Ok(Counts {
        running: row.try_get(0)?,
        pending: row.try_get(1)?,
        alive: row.try_get(2)?,
    })
}

/// The machine that an instance is known to be: empty until its agent has polled.
///
/// # Errors
/// [`StoreError`].
pub async fn fingerprint(connection: &mut Connection, id: &str) -> Result<String> {
    let row = sqlx::query("SELECT fingerprint FROM container_instances WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// Records which machine an instance is.
///
/// # Errors
/// [`StoreError`].
pub async fn set_fingerprint(connection: &mut Connection, id: &str, fingerprint: &str) -> Result<()> {
    sqlx::query("UPDATE container_instances SET fingerprint = ? WHERE id = ?")
        .bind(fingerprint)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}
