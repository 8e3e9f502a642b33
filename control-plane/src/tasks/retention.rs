//! How long what is over is remembered.
//!
//! Records of stopped tasks and deregistered instances are kept for a day (ECS promises an hour); tombstones for more than a
//! year, since a node may come back from a shelf with a task that is long over. Who opened sessions is known for 90 days. A
//! wall clock that steps shortens none of this, also over a restart: see [`crate::clock::WatchedClock`].
//!
//! It may take longer by that. Where the clock begins in 1970 at every start, until the machine has heard of the time, each
//! of these ages has to go by in one run: tombstones, a hundred bytes for each task that ended, go after 400 days of one.

use std::time::Duration;

use crate::app::ControlPlane;
use crate::store::{StoreError, instances, sessions, system, tasks};

/// How long a stopped task or a deregistered instance can be described.
pub const RECORDS: Duration = Duration::from_secs(24 * 3600);
/// How long it is known who opened a session, and how it ended.
pub const SESSIONS: Duration = Duration::from_secs(90 * 24 * 3600);
/// Of how many sessions at most: a gigabyte, if each had the longest command.
const MAX_SESSIONS: i64 = 100_000;
/// How long it is known that a task is over.
pub const TOMBSTONES: Duration = Duration::from_secs(400 * 24 * 3600);
/// How long a client token is remembered.
pub const CLIENT_TOKENS: Duration = Duration::from_secs(24 * 3600);
/// How many records are removed under one write lock: some ten milliseconds of it. After a long time out of use there
/// may be a day's worth.
const AT_ONCE: i64 = 200;
/// How often the janitor looks.
const INTERVAL: Duration = Duration::from_secs(300);

/// Removes what is too old; says how many task records went.
///
/// # Errors
/// [`StoreError`]; the next round tries again.
pub async fn sweep(plane: &ControlPlane) -> Result<u64, StoreError> {
    plane.watched.refresh();
    let before = |age: Duration| plane.watched.before(age);
    let mut transaction = plane.store.write().await?;
    system::forget(&mut transaction, before(TOMBSTONES), before(CLIENT_TOKENS)).await?;
    transaction.commit().await?;
    let mut removed = 0;
    while !plane.shutdown.is_cancelled() {
        let mut transaction = plane.store.write().await?;
        let some = tasks::prune(&mut transaction, before(RECORDS), AT_ONCE).await?;
        transaction.commit().await?;
        removed += some;
        if some == 0 {
            break;
        }
    }
    let mut transaction = plane.store.write().await?;
    instances::prune(&mut transaction, before(RECORDS)).await?;
    sessions::prune(&mut transaction, before(SESSIONS), MAX_SESSIONS, AT_ONCE).await?;
    transaction.commit().await?;
    Ok(removed)
}

/// Sweeps now and then, until the control plane ends.
pub async fn run(plane: &ControlPlane) {
    loop {
        match sweep(plane).await {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "removed records of stopped tasks"),
            Err(error) => tracing::error!(%error, "can't remove old records; trying again later"),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = plane.shutdown.cancelled() => return,
        }
    }
}
