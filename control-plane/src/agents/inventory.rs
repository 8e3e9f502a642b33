//! What a node holds, against what is known here.
//!
//! Absence is never an order: a task that is not known here goes on running. Only one that is over for good, by its
//! tombstone, is ordered to stop again.
//!
//! Limit: a task that is neither known nor buried is left running and named in the log; it is not imported yet.

use longshore_protocol::poll::InventoryTask;
use longshore_protocol::status::ReportedStatus;

use crate::app::ControlPlane;
use crate::error::ApiError;
use crate::store::instances::Instance;
use crate::store::{assignments, system, tasks};

/// Compares a node's list with the books, and orders to stop what is over.
pub(super) async fn compare(
    plane: &ControlPlane,
    instance: &Instance,
    list: &[InventoryTask],
) -> Result<(), ApiError> {
    let mut connection = plane.store.read().await?;
    let assigned = assignments::tasks_of(&mut connection, &instance.id).await?;
    let mut buried = Vec::new();
    for held in list {
        let id = held.task_arn.id.as_str();
        if held.status == ReportedStatus::Stopped || assigned.contains(&held.task_arn) {
            continue;
        }
        if system::tombstone(&mut connection, id).await?.is_some() {
            buried.push(held);
            continue;
        }
        let known = tasks::get(&mut connection, &held.task_arn.cluster, id).await?;
        tracing::warn!(
            instance = instance.id,
            task = %held.task_arn,
            elsewhere = known.is_some(),
            "a node holds a task that it was not given; it goes on running"
        );
    }
    drop(connection);
    if buried.is_empty() {
        return Ok(());
    }
    let mut transaction = plane.store.write().await?;
    for held in buried {
        tracing::warn!(instance = instance.id, task = %held.task_arn, "a node runs a task that is over; it is to stop");
        let generation = held.generation.saturating_add(1);
        assignments::order_stop(&mut transaction, &instance.id, &held.task_arn, false, generation).await?;
    }
    Ok(transaction.commit().await?)
}
