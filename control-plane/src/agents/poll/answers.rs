//! What a poll is answered with.

use longshore_protocol::poll::{Cursor, MAX_ASSIGNMENTS, PollRequest, PollResponse};
use longshore_protocol::status::InstanceStatus;

use super::cursor::cloned_name;
use crate::agents::cut::cut;
use crate::agents::peer::Open;
use crate::app::ControlPlane;
use crate::error::ApiError;
use crate::store::{StoreError, assignments, system};

/// The answer that changes nothing.
pub(super) fn nothing(request: &PollRequest, status: InstanceStatus) -> PollResponse {
    PollResponse::nothing(request.cursor.clone(), status)
}

/// What there is for one of several machines that poll as one node: orders to stop what it holds itself.
pub(super) async fn look_cloned(
    plane: &ControlPlane,
    (id, instance): (&str, InstanceStatus),
    seen: u64,
    open: &Open,
) -> Result<PollResponse, ApiError> {
    let mut connection = plane.store.read().await?;
    let head = system::head(&mut connection, id).await?;
    let mut stops = assignments::stops_after(&mut connection, id, seen).await?;
    stops.retain(|stop| open.holds(stop.task_arn.id.as_str()));
    let complete = stops.len() <= MAX_ASSIGNMENTS;
    stops.truncate(MAX_ASSIGNMENTS);
    let last = stops.last().map_or(seen, |stop| stop.seq);
    let cursor = Cursor {
        incarnation: cloned_name(plane),
        cursor: if complete { last.max(head) } else { last },
    };
    Ok(PollResponse {
        assignments: stops,
        ..PollResponse::nothing(cursor, instance)
    })
}

/// What there is for a node that has seen everything up to `seen`.
pub(super) async fn look(
    plane: &ControlPlane,
    (id, instance): (&str, InstanceStatus),
    seen: u64,
) -> Result<PollResponse, ApiError> {
    let mut connection = plane.store.read().await?;
    // Before the rows: whatever is at or below it is committed, so the rows below will show it.
    let head = system::head(&mut connection, id).await?;
    let mut rows = assignments::after(&mut connection, id, seen, MAX_ASSIGNMENTS).await?;
    let complete = rows.len() < MAX_ASSIGNMENTS && !cut(&mut rows).map_err(StoreError::from)?;
    let last = rows.last().map_or(seen, |row| row.seq);
    let cursor = Cursor {
        incarnation: plane.incarnation.clone(),
        cursor: if complete { last.max(head) } else { last },
    };
    Ok(PollResponse {
        assignments: rows,
        ..PollResponse::nothing(cursor, instance)
    })
}
