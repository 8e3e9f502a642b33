//! SubmitTaskStateChange, SubmitContainerStateChange: what nodes say of their tasks.
//!
//! Late and repeated reports are taken; none moves anything back. A node may speak of its own tasks only. With STOPPED
//! the task's resources are free, its assignment ends, and a tombstone says for good that it is over.

use longshore_protocol::ecs;
use longshore_protocol::node::InstanceId;
use longshore_protocol::status::ReportedStatus;

use super::{Call, refs, tasks as task_api};
use crate::auth::{self, Principal};
use crate::error::{ApiError, Code};
use crate::store::{Connection, assignments, instances, nodes, system, tasks};
use crate::tasks::report::{ContainerReport, Effect, Report};
use crate::tasks::settle::settle;

const ACKNOWLEDGED: &str = "ACK";

/// The words of a node. Its earlier steps are all PENDING here.
fn status(word: &str) -> Result<ReportedStatus, ApiError> {
    match word {
        "RUNNING" => Ok(ReportedStatus::Running),
        "STOPPED" => Ok(ReportedStatus::Stopped),
        "NONE" | "PENDING" | "MANIFEST_PULLED" | "PULLED" | "CREATED" | "RESOURCES_PROVISIONED" => {
            Ok(ReportedStatus::Pending)
        }
        other => Err(ApiError::invalid(format!(
            "status should be one of [PENDING,RUNNING,STOPPED], but is {other:?}."
        ))),
    }
}

fn container(change: ecs::ContainerStateChange) -> Result<ContainerReport, ApiError> {
    Ok(ContainerReport {
        name: change.container_name.unwrap_or_default(),
        status: change.status.as_deref().map(status).transpose()?,
        runtime_id: change.runtime_id,
        image_digest: change.image_digest,
        exit_code: change.exit_code,
        reason: change.reason,
        network_bindings: change.network_bindings,
    })
}

/// What the wire's form of a report says.
pub(crate) fn read(request: ecs::SubmitTaskStateChangeRequest) -> Result<Report, ApiError> {
    if request.attachments.is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::invalid(
            "attachments are not supported by this control plane.",
        ));
    }
    if request.managed_agents.is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::invalid(
            "managedAgents are not supported by this control plane.",
        ));
    }
    let millis =
        |time: Option<longshore_protocol::Timestamp>| time.map(longshore_protocol::Timestamp::as_millis);
    Ok(Report {
        status: request.status.as_deref().map(status).transpose()?,
        reason: request.reason,
        containers: request
            .containers
            .into_iter()
            .flatten()
            .map(container)
            .collect::<Result<_, _>>()?,
        pull_started: millis(request.pull_started_at),
        pull_stopped: millis(request.pull_stopped_at),
        execution_stopped: millis(request.execution_stopped_at),
    })
}

pub(super) async fn submit_task(
    call: Call,
    request: ecs::SubmitTaskStateChangeRequest,
) -> Result<ecs::SubmitTaskStateChangeResponse, ApiError> {
    let (cluster, task) = (request.cluster.clone(), request.task.clone());
    let report = read(request)?;
    take(&call, cluster.as_deref(), task.as_deref(), &report).await?;
    Ok(ecs::SubmitTaskStateChangeResponse {
        acknowledgment: Some(ACKNOWLEDGED.to_owned()),
    })
}

pub(super) async fn submit_container(
    call: Call,
    request: ecs::SubmitContainerStateChangeRequest,
) -> Result<ecs::SubmitContainerStateChangeResponse, ApiError> {
    let change = ecs::ContainerStateChange {
        container_name: request.container_name,
        image_digest: None,
        runtime_id: request.runtime_id,
        exit_code: request.exit_code,
        network_bindings: request.network_bindings,
        reason: request.reason,
        status: request.status,
    };
    let report = Report {
        containers: vec![container(change)?],
        ..Report::default()
    };
    take(
        &call,
        request.cluster.as_deref(),
        request.task.as_deref(),
        &report,
    )
    .await?;
    Ok(ecs::SubmitContainerStateChangeResponse {
        acknowledgment: Some(ACKNOWLEDGED.to_owned()),
    })
}

/// Takes a report in one transaction.
async fn take(
    call: &Call,
    cluster: Option<&str>,
    task: Option<&str>,
    report: &Report,
) -> Result<(), ApiError> {
    let scope = &call.plane.scope;
    let cluster = refs::cluster_name(scope, cluster)?;
    let id = refs::task(scope, &cluster, task.unwrap_or_default())?;
    let id = id.as_str();
    let stopped = report.status == Some(ReportedStatus::Stopped);
    let mut transaction = call.plane.store.write().await?;
    check_machine(&mut transaction, call).await?;
    // An order that this node was given ends with the node's word, whether or not the task is its own: a task that is
    // over is ordered to stop wherever it is found.
    let mut ended = Vec::new();
    if let (Principal::Node(node), true) = (&call.principal, stopped) {
        ended = assignments::remove(&mut transaction, node, id).await?;
    }
    let found = tasks::get(&mut transaction, &cluster, id).await?;
    let instance = match &found {
        Some(task) => Some(task.instance.id.to_string()),
        // Its record may be gone while its node still reports.
        None => system::tombstone(&mut transaction, id).await?,
    };
    let Some(instance) = instance else {
        return Err(unknown(&mut transaction, call, &cluster, id).await?);
    };
    let own = match owner(&mut transaction, &cluster, &instance).await? {
        Some(owner) => call.require_own(&owner).map(|()| owner),
        None => Err(task_api::not_found()),
    };
    match (own, found) {
        (Err(denied), _) if ended.is_empty() => return Err(denied),
        (Err(_), _) | (Ok(_), None) => transaction.commit().await?,
        (Ok(owner), Some(task)) => {
            let effect = settle(&mut transaction, task, report, call.now()).await?;
            if stopped {
                // Also where an operator reports for the node.
                ended.extend(assignments::remove(&mut transaction, &owner, id).await?);
            }
            transaction.commit().await?;
            follow(call, &instance, id, effect).await;
        }
    }
    for instance in &ended {
        call.plane.hub.assignment_is_over(instance);
    }
    Ok(())
}

/// What has to follow a report that is committed.
async fn follow(call: &Call, instance: &str, task: &str, effect: Effect) {
    match effect {
        Effect::Stops => call.plane.hub.wake(instance),
        Effect::Ended => {
            call.plane.sessions.task_over(task).await;
            if call.principal == Principal::Operator {
                // Its node has not said so: it may run it.
                call.plane.hub.buried();
                call.plane.hub.wake(instance);
            }
        }
        Effect::Nothing | Effect::Changed => {}
    }
}

/// A copy of a node's disk holds the node's tasks too, and knows nothing of what became of them: only the machine that
/// the node is known to be may say so. Another is asked to say it again: it may be that one soon.
async fn check_machine(connection: &mut Connection, call: &Call) -> Result<(), ApiError> {
    let (Principal::Node(node), Some(machine)) = (&call.principal, &call.machine) else {
        return Ok(());
    };
    let Some((_, instance)) = nodes::container_instance(connection, node).await? else {
        return Ok(());
    };
    let known = instances::fingerprint(connection, &instance).await?;
    if known.is_empty() || auth::machine(&known) == *machine {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Server,
        format!(
            "The node {node} is known to be another machine: is this a copy of its disk? Its reports are taken once the \
             other machine has been silent for a minute."
        ),
    ))
}

/// What the reporter of a task that isn't known is told: to report again, if the task will come in by the node's
/// inventory. So nothing is lost that a node says before the control plane has learned of the task again.
async fn unknown(
    connection: &mut Connection,
    call: &Call,
    cluster: &str,
    task: &str,
) -> Result<ApiError, ApiError> {
    let Principal::Node(node) = &call.principal else {
        return Ok(task_api::not_found());
    };
    let own = nodes::container_instance(connection, node).await?;
    // One that is not registered at the moment registers again; then its tasks come in.
    let comes = own.is_none_or(|(own, id)| own == cluster && !call.plane.hub.is_given_up(&id, task));
    if !comes || tasks::exists(connection, task).await? {
        return Ok(task_api::not_found());
    }
    Ok(ApiError::new(
        Code::Server,
        "The task is not known here. It is taken in from the node's next inventory: report it again.",
    ))
}

/// The node that an instance is, or was; long after its end that isn't known any more.
async fn owner(
    connection: &mut Connection,
    cluster: &str,
    instance: &str,
) -> Result<Option<InstanceId>, ApiError> {
    let found = instances::get(connection, cluster, instance).await?;
    Ok(found.map(|found| found.node))
}
