//! Activations, and the managed instances that they made.

use longshore_protocol::ecs::Tag;
use longshore_protocol::node::InstanceId;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Connection, Result, from_json, json};

/// A leave to register nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Its id: a dashed UUID.
    pub id: String,
    /// The hash of its code.
    pub code_hash: String,
    /// What the operator wrote.
    pub description: Option<String>,
    /// The name that its nodes get.
    pub default_instance_name: Option<String>,
    /// The role that its nodes are said to have.
    pub iam_role: String,
    /// How many nodes it is good for.
    pub registration_limit: i32,
    /// How many it made.
    pub registrations: i32,
    /// Milliseconds since 1970.
    pub expires_at: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Tags, which its nodes get too.
    pub tags: Vec<Tag>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `mi-…`.
    pub id: InstanceId,
    /// The activation that it came by.
    pub activation: String,
    /// Its name, where the activation had one.
    pub name: Option<String>,
    /// The activation's role.
    pub iam_role: String,
    /// Its RSA key: PKIX, DER.
    pub public_key: Vec<u8>,
    /// What told the machine from a copy when last seen.
    pub fingerprint: String,
    /// Milliseconds since 1970.
    pub registered_at: i64,
    /// Tags.
    pub tags: Vec<Tag>,
}

fn read_activation(row: &SqliteRow) -> Result<Activation> {
    Ok(Activation {
        id: row.try_get("id")?,
        code_hash: row.try_get("code_hash")?,
        description: row.try_get("description")?,
        default_instance_name: row.try_get("default_instance_name")?,
        iam_role: row.try_get("iam_role")?,
        registration_limit: row.try_get("registration_limit")?,
        registrations: row.try_get("registrations")?,
        expires_at: row.try_get("expires_at")?,
        created_at: row.try_get("created_at")?,
        tags: from_json(row.try_get("tags")?)?,
    })
}

fn read_node(row: &SqliteRow) -> Result<Node> {
    let id: String = row.try_get("id")?;
    Ok(Node {
        id: InstanceId::try_from(id).map_err(|error| super::StoreError::Value(error.to_string()))?,
        activation: row.try_get("activation")?,
        name: row.try_get("name")?,
        iam_role: row.try_get("iam_role")?,
        public_key: row.try_get("public_key")?,
        fingerprint: row.try_get("fingerprint")?,
        registered_at: row.try_get("registered_at")?,
        tags: from_json(row.try_get("tags")?)?,
    })
}

/// Stores a new activation.
///
/// # Errors
/// [`super::StoreError`].
pub async fn add_activation(connection: &mut Connection, new: &Activation) -> Result<()> {
    sqlx::query("INSERT INTO activations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(&new.id)
        .bind(&new.code_hash)
        .bind(&new.description)
        .bind(&new.default_instance_name)
        .bind(&new.iam_role)
        .bind(new.registration_limit)
        .bind(new.registrations)
        .bind(new.expires_at)
        .bind(new.created_at)
        .bind(json(&new.tags)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// An activation by its id.
///
/// # Errors
/// [`super::StoreError`].
pub async fn activation(connection: &mut Connection, id: &str) -> Result<Option<Activation>> {
    let row = sqlx::query("SELECT * FROM activations WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read_activation).transpose()
}

/// Counts one registration, unless the limit is reached or the time is over. Says whether it counted.
///
/// # Errors
/// [`super::StoreError`].
pub async fn use_activation(connection: &mut Connection, id: &str, now: i64) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE activations SET registrations = registrations + 1
         WHERE id = ? AND registrations < registration_limit AND expires_at > ?",
    )
    .bind(id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The activations after an id.
///
/// # Errors
/// [`super::StoreError`].
pub async fn activations(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<Activation>> {
    let rows = sqlx::query("SELECT * FROM activations WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_activation).collect()
}

/// Removes an activation; its nodes stay. Says whether there was one.
///
/// # Errors
/// [`super::StoreError`].
pub async fn remove_activation(connection: &mut Connection, id: &str) -> Result<bool> {
    let done = sqlx::query("DELETE FROM activations WHERE id = ?")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores a new node.
///
/// # Errors
/// [`super::StoreError`].
pub async fn add(connection: &mut Connection, new: &Node) -> Result<()> {
    sqlx::query(
        "INSERT INTO managed_instances (id, activation, name, iam_role, public_key, fingerprint, registered_at, tags)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.id.as_str())
    .bind(&new.activation)
    .bind(&new.name)
    .bind(&new.iam_role)
    .bind(&new.public_key)
    .bind(&new.fingerprint)
    .bind(new.registered_at)
    .bind(json(&new.tags)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// A node that is registered.
///
/// # Errors
/// [`super::StoreError`].
pub async fn get(connection: &mut Connection, id: &InstanceId) -> Result<Option<Node>> {
    let row = sqlx::query("SELECT * FROM managed_instances WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read_node).transpose()
}

/// The nodes after an id.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(connection: &mut Connection, after: &str, limit: i64) -> Result<Vec<Node>> {
    let rows = sqlx::query("SELECT * FROM managed_instances WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_node).collect()
}

/// Changes a node's key.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_public_key(connection: &mut Connection, id: &InstanceId, key: &[u8]) -> Result<()> {
    sqlx::query("UPDATE managed_instances SET public_key = ? WHERE id = ?")
        .bind(key)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Changes what tells a node's machine from a copy.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_fingerprint(connection: &mut Connection, id: &InstanceId, fingerprint: &str) -> Result<()> {
    sqlx::query("UPDATE managed_instances SET fingerprint = ? WHERE id = ?")
        .bind(fingerprint)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Changes a node's tags.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_tags(connection: &mut Connection, id: &InstanceId, tags: &[Tag]) -> Result<()> {
    sqlx::query("UPDATE managed_instances SET tags = ? WHERE id = ?")
        .bind(json(tags)?)
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes a node: nothing that it signs is taken any more. Says whether there was one.
///
/// # Errors
/// [`super::StoreError`].
pub async fn remove(connection: &mut Connection, id: &InstanceId) -> Result<bool> {
    let done = sqlx::query("DELETE FROM managed_instances WHERE id = ?")
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The cluster and id of the container instance that a node is.
///
/// # Errors
/// [`super::StoreError`].
pub async fn container_instance(
    connection: &mut Connection,
    id: &InstanceId,
) -> Result<Option<(String, String)>> {
    let row = sqlx::query(
        "SELECT cluster, id FROM container_instances WHERE managed_instance = ? AND status <> 'INACTIVE'",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

/// The node that registered by an activation with this key.
///
/// # Errors
/// [`super::StoreError`].
pub async fn by_key(
    connection: &mut Connection,
    activation: &str,
    public_key: &[u8],
) -> Result<Option<InstanceId>> {
    let row = sqlx::query("SELECT * FROM managed_instances WHERE activation = ? AND public_key = ?")
        .bind(activation)
        .bind(public_key)
        .fetch_optional(connection)
        .await?;
    Ok(row.as_ref().map(read_node).transpose()?.map(|node| node.id))
}
