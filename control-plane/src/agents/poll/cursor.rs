//! Cursors: which one is known, what it acknowledges, and from where on a node is to be told.

use longshore_protocol::poll::Cursor;

use crate::app::ControlPlane;
use crate::error::ApiError;
use crate::store::{Connection, StoreError, assignments, system, tasks};

/// The incarnation of the cursors that are given to clones. None of them is known once a node is one machine again, so
/// that it gets everything that was kept from it.
pub(super) fn cloned_name(plane: &ControlPlane) -> String {
    format!("cloned.{}", plane.incarnation)
}

/// Takes the cursor as what the node has, and says from where on it is to be told: 0 is the beginning.
pub(super) async fn acknowledge(
    plane: &ControlPlane,
    instance: &str,
    cursor: &Cursor,
) -> Result<u64, ApiError> {
    let mut connection = plane.store.read().await?;
    let Some(seen) = known_cursor(&mut connection, &plane.incarnation, instance, cursor).await? else {
        if *cursor != Cursor::default() {
            tracing::info!(
                instance,
                incarnation = cursor.incarnation,
                cursor = cursor.cursor,
                "a cursor that is not ours: every assignment is sent again"
            );
        }
        return Ok(0);
    };
    let stops = assignments::newly_known_stops(&mut connection, instance, seen).await?;
    drop(connection);
    if stops.is_empty() {
        return Ok(seen);
    }
    let mut transaction = plane.store.write().await?;
    for arn in &stops {
        assignments::stop_is_known(&mut transaction, instance, arn.id.as_str()).await?;
        if let Some(mut task) = tasks::get(&mut transaction, &arn.cluster, arn.id.as_str()).await?
            && task.stop_is_known()
        {
            tasks::update(&mut transaction, &task).await?;
        }
    }
    transaction.commit().await?;
    Ok(seen)
}

/// The cursor's sequence number, if this incarnation or an earlier one can have given it.
pub(super) async fn known_cursor(
    connection: &mut Connection,
    incarnation: &str,
    instance: &str,
    cursor: &Cursor,
) -> Result<Option<u64>, StoreError> {
    let end = if cursor.incarnation == incarnation {
        Some(system::head(connection, instance).await?)
    } else {
        system::end_of(connection, &cursor.incarnation, instance).await?
    };
    Ok(end.filter(|end| cursor.cursor <= *end).map(|_| cursor.cursor))
}
