//! The long poll, served: acknowledge, take in, answer at once or when there is something to say.
//!
//! The cursor is (incarnation, sequence). One that this or an earlier incarnation can have given filters; any other
//! gets every live assignment again. See [`longshore_protocol::poll`] for the node's side.

use std::time::Duration;

use longshore_protocol::node::InstanceId;
use longshore_protocol::poll::{
    Assignment, Cursor, MAX_ASSIGNMENTS, MAX_RESPONSE_BYTES, PROTOCOL_VERSION, PollRequest, PollResponse,
};
use longshore_protocol::status::InstanceStatus;

use super::inventory;
use super::peer::{Admission, Caller, Open};
use crate::app::ControlPlane;
use crate::error::{ApiError, Code};
use crate::store::instances::{self, Instance};
use crate::store::{Connection, StoreError, assignments, system, tasks};

/// The most characters of a version that are kept.
const MAX_VERSION: usize = 255;

/// Serves one poll of a node.
///
/// # Errors
/// `AccessDeniedException` for another node's instance; `InactiveInstanceException` when the instance was
/// deregistered or never was (register again); `StalePollException` for a poll that was overtaken by a later one;
/// `ClientException` for another protocol version; `ServerException`.
pub async fn serve(
    plane: &ControlPlane,
    node: &InstanceId,
    request: PollRequest,
) -> Result<PollResponse, ApiError> {
    if request.protocol_version != PROTOCOL_VERSION {
        return Err(ApiError::client(format!(
            "protocolVersion {} is not served; this control plane speaks {PROTOCOL_VERSION}.",
            request.protocol_version
        )));
    }
    let instance = own_instance(plane, node, &request).await?;
    let caller = Caller::from(&request);
    let deadline = tokio::time::Instant::now() + caller.wait;
    let Some(mut open) = admit(plane, &instance.id, &caller, deadline).await? else {
        return Ok(nothing(&request, instance.status));
    };
    open.note(request.status.clone());
    note_versions(plane, &instance, &request).await?;
    let seen = acknowledge(plane, &instance.id, &request.cursor).await?;
    let want_inventory = take_inventory(plane, &instance, &open, &request).await?;
    loop {
        open.listen();
        if !open.is_newest() {
            return Ok(nothing(&request, instance.status));
        }
        let instance = own_instance(plane, node, &request).await?;
        let mut response = look(plane, &instance, seen).await?;
        response.want_inventory = want_inventory;
        let news = !response.assignments.is_empty() || want_inventory || !open.was_told(response.instance);
        let over = plane.shutdown.is_cancelled() || tokio::time::Instant::now() >= deadline;
        if news || over {
            open.tell(response.instance);
            return Ok(response);
        }
        tokio::select! {
            () = open.rung() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = plane.shutdown.cancelled() => {}
        }
    }
}

/// The instance that is polled for, if it is this node's and registered.
async fn own_instance(
    plane: &ControlPlane,
    node: &InstanceId,
    request: &PollRequest,
) -> Result<Instance, ApiError> {
    let arn = &request.container_instance;
    let mut connection = plane.store.read().await?;
    let found = match arn.scope == plane.scope {
        true => instances::get(&mut connection, &arn.cluster, arn.id.as_str()).await?,
        false => None,
    };
    match found {
        Some(instance) if instance.node != *node => Err(ApiError::denied(format!(
            "The node {node} may poll only for its own container instance."
        ))),
        Some(instance) if instance.status != InstanceStatus::Inactive => Ok(instance),
        _ => Err(ApiError::new(
            Code::InactiveInstance,
            format!("The container instance {arn} is not registered. Register again."),
        )),
    }
}

/// Waits for the poll's turn; `None` if it doesn't come in time.
async fn admit(
    plane: &ControlPlane,
    instance: &str,
    caller: &Caller,
    deadline: tokio::time::Instant,
) -> Result<Option<Open>, ApiError> {
    let peer = plane.hub.peer(instance);
    loop {
        match peer.admit(caller, &plane.clock) {
            Admission::Served(open) => return Ok(Some(open)),
            Admission::Stale => {
                return Err(ApiError::new(
                    Code::StalePoll,
                    "A later poll of this agent was seen already.",
                ));
            }
            Admission::Rival(left) => {
                tracing::warn!(instance, run = %caller.run, "two agents poll as one node; the second waits");
                let turn = tokio::time::Instant::now() + left.max(Duration::from_millis(100));
                tokio::select! {
                    () = tokio::time::sleep_until(turn.min(deadline)) => {}
                    () = plane.shutdown.cancelled() => return Ok(None),
                }
                if turn > deadline {
                    return Ok(None);
                }
            }
        }
    }
}

/// The answer that changes nothing.
fn nothing(request: &PollRequest, status: InstanceStatus) -> PollResponse {
    PollResponse {
        cursor: request.cursor.clone(),
        assignments: Vec::new(),
        want_inventory: false,
        instance: status,
    }
}

async fn note_versions(
    plane: &ControlPlane,
    instance: &Instance,
    request: &PollRequest,
) -> Result<(), ApiError> {
    let mut info = instance.registration.version_info.clone();
    let cut = |version: &str| Some(version.chars().take(MAX_VERSION).collect());
    info.agent_version = cut(&request.agent_version);
    if !request.runtime_version.is_empty() {
        info.docker_version = cut(&request.runtime_version);
    }
    if info == instance.registration.version_info {
        return Ok(());
    }
    let mut transaction = plane.store.write().await?;
    instances::set_version_info(&mut transaction, &instance.id, &info).await?;
    Ok(transaction.commit().await?)
}

/// Takes the cursor as what the node has, and says from where on it is to be told: 0 is the beginning.
async fn acknowledge(plane: &ControlPlane, instance: &str, cursor: &Cursor) -> Result<u64, ApiError> {
    let mut connection = plane.store.read().await?;
    let Some(seen) = known(&mut connection, &plane.incarnation, instance, cursor).await? else {
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
async fn known(
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

/// Takes in the node's list where it came along; says whether it has to be asked for.
async fn take_inventory(
    plane: &ControlPlane,
    instance: &Instance,
    open: &Open,
    request: &PollRequest,
) -> Result<bool, ApiError> {
    if let Some(list) = &request.inventory.tasks {
        inventory::compare(plane, instance, list).await?;
        open.took_inventory(request.inventory.hash.clone());
        return Ok(false);
    }
    Ok(!open.has_inventory(&request.inventory.hash))
}

/// What there is for a node that has seen everything up to `seen`.
async fn look(plane: &ControlPlane, instance: &Instance, seen: u64) -> Result<PollResponse, ApiError> {
    let mut connection = plane.store.read().await?;
    // Before the rows: whatever is at or below it is committed, so the rows below will show it.
    let head = system::head(&mut connection, &instance.id).await?;
    let mut rows = assignments::after(&mut connection, &instance.id, seen, MAX_ASSIGNMENTS).await?;
    let complete = rows.len() < MAX_ASSIGNMENTS && !cut(&mut rows)?;
    let last = rows.last().map_or(seen, |row| row.seq);
    Ok(PollResponse {
        cursor: Cursor {
            incarnation: plane.incarnation.clone(),
            cursor: if complete { last.max(head) } else { last },
        },
        assignments: rows,
        want_inventory: false,
        instance: instance.status,
    })
}

/// Cuts a list to what fits into one response, the first always; says whether something was cut.
fn cut(rows: &mut Vec<Assignment>) -> Result<bool, ApiError> {
    // Room for the other members.
    let mut left = MAX_RESPONSE_BYTES - 4096;
    for (index, row) in rows.iter().enumerate() {
        let size = serde_json::to_vec(row).map_err(StoreError::from)?.len() + 1;
        if size > left && index > 0 {
            rows.truncate(index);
            return Ok(true);
        }
        left = left.saturating_sub(size);
    }
    Ok(false)
}
