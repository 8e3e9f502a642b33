//! What tasks have of container instances, and the sequence numbers that are taken with it.
//!
//! Invariant: what is taken is what live tasks were given; each change is in the transaction of the task's.

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Connection, Result, StoreError, unsigned, word};

/// What tasks have of an instance beside CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// TCP ports.
    pub tcp: Vec<u16>,
    /// UDP ports.
    pub udp: Vec<u16>,
    /// Ids of GPUs.
    pub gpus: Vec<String>,
}

/// What tasks have of an instance beside CPU and memory.
///
/// # Errors
/// [`StoreError`].
pub async fn taken(connection: &mut Connection, id: &str) -> Result<Taken> {
    let rows = sqlx::query(
        "SELECT instance, protocol, CAST(port AS TEXT) FROM taken_ports WHERE instance = ?1
         UNION ALL SELECT instance, 'gpu', gpu FROM taken_gpus WHERE instance = ?1",
    )
    .bind(id)
    .fetch_all(connection)
    .await?;
    Ok(by_instance(&rows)?.remove(id).unwrap_or_default())
}

/// What tasks have of a cluster's instances beside CPU and memory, by the instances' ids.
///
/// # Errors
/// [`StoreError`].
pub async fn taken_in_cluster(connection: &mut Connection, cluster: &str) -> Result<HashMap<String, Taken>> {
    let rows = sqlx::query(
        "SELECT instance, protocol, CAST(port AS TEXT) FROM taken_ports
         JOIN container_instances ON id = instance WHERE cluster = ?1
         UNION ALL SELECT instance, 'gpu', gpu FROM taken_gpus
         JOIN container_instances ON id = instance WHERE cluster = ?1",
    )
    .bind(cluster)
    .fetch_all(connection)
    .await?;
    by_instance(&rows)
}

/// Rows of (instance, kind, what).
fn by_instance(rows: &[SqliteRow]) -> Result<HashMap<String, Taken>> {
    let mut all: HashMap<String, Taken> = HashMap::new();
    for row in rows {
        let taken = all.entry(row.try_get(0)?).or_default();
        let what: String = row.try_get(2)?;
        match row.try_get(1)? {
            "tcp" => taken.tcp.push(word(&what)?),
            "udp" => taken.udp.push(word(&what)?),
            "gpu" => taken.gpus.push(what),
            other => return Err(StoreError::Value(format!("{other:?} is no kind of resource"))),
        }
    }
    Ok(all)
}

/// Takes CPU and memory of an instance if it has them and takes tasks, and with them the next sequence number.
///
/// # Errors
/// [`StoreError`].
pub async fn reserve(connection: &mut Connection, id: &str, cpu: i64, memory: i64) -> Result<Option<u64>> {
    let row = sqlx::query(
        "UPDATE container_instances
         SET free_cpu = free_cpu - ?2, free_memory = free_memory - ?3, next_seq = next_seq + 1, version = version + 1
         WHERE id = ?1 AND status = 'ACTIVE' AND free_cpu >= ?2 AND free_memory >= ?3 RETURNING next_seq - 1",
    )
    .bind(id)
    .bind(cpu)
    .bind(memory)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.map(unsigned))
}

/// Takes CPU and memory of an instance whether it has them or not, for a task that it runs, and with them the next
/// sequence number.
///
/// # Errors
/// [`StoreError`].
pub async fn charge(connection: &mut Connection, id: &str, cpu: i64, memory: i64) -> Result<u64> {
    let row = sqlx::query(
        "UPDATE container_instances
         SET free_cpu = free_cpu - ?2, free_memory = free_memory - ?3, next_seq = next_seq + 1, version = version + 1
         WHERE id = ?1 RETURNING next_seq - 1",
    )
    .bind(id)
    .bind(cpu)
    .bind(memory)
    .fetch_one(connection)
    .await?;
    Ok(unsigned(row.try_get(0)?))
}

/// Takes ports and GPUs of an instance for a task; none of them may be taken.
///
/// # Errors
/// [`StoreError`] if one is taken.
pub async fn take(connection: &mut Connection, id: &str, task: &str, new: &Taken) -> Result<()> {
    let before = taken(connection, id).await?;
    if let Some(what) = shared(&before, new) {
        return Err(StoreError::Value(format!("{what} is taken already")));
    }
    take_anyway(connection, id, task, new).await
}

/// The first thing that both have.
#[must_use]
pub fn shared(one: &Taken, other: &Taken) -> Option<String> {
    let port = |ours: &[u16], theirs: &[u16], protocol: &str| {
        let port = ours.iter().find(|port| theirs.contains(port))?;
        Some(format!("port {port}/{protocol}"))
    };
    let gpu = || {
        let gpu = one.gpus.iter().find(|gpu| other.gpus.contains(gpu))?;
        Some(format!("GPU {gpu}"))
    };
    port(&one.tcp, &other.tcp, "tcp")
        .or_else(|| port(&one.udp, &other.udp, "udp"))
        .or_else(gpu)
}

/// Takes ports and GPUs of an instance for a task that has them, whoever else does.
///
/// # Errors
/// [`StoreError`].
pub async fn take_anyway(connection: &mut Connection, id: &str, task: &str, new: &Taken) -> Result<()> {
    for (protocol, ports) in [("tcp", &new.tcp), ("udp", &new.udp)] {
        for port in ports {
            sqlx::query("INSERT INTO taken_ports (instance, protocol, port, task) VALUES (?, ?, ?, ?)")
                .bind(id)
                .bind(protocol)
                .bind(port)
                .bind(task)
                .execute(&mut *connection)
                .await?;
        }
    }
    for gpu in &new.gpus {
        sqlx::query("INSERT INTO taken_gpus (instance, gpu, task) VALUES (?, ?, ?)")
            .bind(id)
            .bind(gpu)
            .bind(task)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Gives back all that a task has of its instance. To be called once, when the task becomes STOPPED.
///
/// # Errors
/// [`StoreError`].
pub async fn release(connection: &mut Connection, task: &str) -> Result<()> {
    sqlx::query(
        "UPDATE container_instances SET free_cpu = free_cpu + tasks.reserved_cpu,
             free_memory = free_memory + tasks.reserved_memory, version = version + 1
         FROM tasks WHERE tasks.id = ? AND container_instances.id = tasks.instance",
    )
    .bind(task)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM taken_ports WHERE task = ?")
        .bind(task)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM taken_gpus WHERE task = ?")
        .bind(task)
        .execute(connection)
        .await?;
    Ok(())
}
