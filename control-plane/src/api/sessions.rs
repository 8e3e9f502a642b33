//! ExecuteCommand, StartLogsSession, and the two calls of SSM that a session's client makes later.

use longshore_protocol::session::{
    MAX_COMMAND_BYTES, SessionKind, StartLogsSessionRequest, StartLogsSessionResponse, path,
};
use longshore_protocol::status::{ReportedStatus, TaskStatus};
use longshore_protocol::{ecs, ssm};

use super::{Call, clusters, exec_logging, refs, tasks as task_api};
use crate::error::{ApiError, Code};
use crate::sessions;
use crate::store::sessions::{self as stored, Session};
use crate::store::{Connection, instances, tasks};
use crate::tasks::{Container, Task};

/// What is told to a client whose session ends by TerminateSession.
const TERMINATED: &str = "The session was terminated.";

/// The task and the container that a request names; the container may be left out where there is only one.
async fn place(
    connection: &mut Connection,
    call: &Call,
    cluster: &str,
    task: Option<&str>,
    container: Option<&str>,
) -> Result<(Task, Container), ApiError> {
    let id = refs::task(&call.plane.scope, cluster, task.unwrap_or_default())?;
    let found = tasks::get(connection, cluster, id.as_str()).await?;
    let task = found.ok_or_else(task_api::not_found)?;
    let names = || {
        let names = task.containers.iter().map(|each| each.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let chosen = match container.filter(|name| !name.is_empty()) {
        None if task.containers.len() > 1 => {
            return Err(ApiError::invalid(format!(
                "container must be given, since the task has several: {}.",
                names()
            )));
        }
        None => task.containers.first(),
        Some(name) => task.containers.iter().find(|each| each.name == name),
    };
    let chosen = chosen.cloned().ok_or_else(|| {
        ApiError::invalid(format!(
            "The task has no container {:?}; it has {}.",
            container.unwrap_or_default(),
            names()
        ))
    })?;
    Ok((task, chosen))
}

/// Opens a session in a container; what the client dials, and with which token.
async fn open(
    call: &Call,
    task: &Task,
    container: &Container,
    kind: SessionKind,
) -> Result<ecs::Session, ApiError> {
    let plane = &call.plane;
    let instance = task.instance.id.as_str();
    let link = plane.hub.link(instance);
    if !link.connected || link.cloned {
        let why = if link.cloned {
            "two machines poll with its identity: shut one of them down"
        } else {
            "it is taken up as soon as its link is back: try again"
        };
        return Err(ApiError::new(
            Code::TargetNotConnected,
            format!("The agent of the task's container instance {instance} is not connected; {why}."),
        ));
    }
    plane.sessions.require_room()?;
    let (text, token) = sessions::new_token(plane)?;
    let mut transaction = plane.store.write().await?;
    let found = instances::get(&mut transaction, &task.instance.cluster, instance).await?;
    let Some(host) = found else {
        return Err(task_api::not_found());
    };
    let digits = plane.chance.uuid().simple().to_string();
    let session = Session {
        id: format!("ecs-execute-command-{}", &digits[..17]),
        task: task.arn.clone(),
        container: container.name.clone(),
        instance: instance.to_owned(),
        node: host.node,
        kind,
        opened_by: call.key_id.clone(),
        created_at: call.now(),
        client_at: None,
        agent_at: None,
        closing: None,
        ended_at: None,
        outcome: None,
    };
    stored::add(&mut transaction, &session, &token).await?;
    transaction.commit().await?;
    let id = session.id.clone();
    sessions::begin(plane, session);
    Ok(ecs::Session {
        stream_url: Some(stream_url(call, &id)),
        session_id: Some(id),
        token_value: Some(text),
    })
}

/// Where a session's client dials.
fn stream_url(call: &Call, id: &str) -> String {
    // `http` becomes `ws`, and `https` `wss`.
    let base = call.base_url.strip_prefix("http").unwrap_or(&call.base_url);
    format!("ws{base}{}?role=publish_subscribe", path(id))
}

fn check_command(request: &ecs::ExecuteCommandRequest) -> Result<String, ApiError> {
    if request.interactive != Some(true) {
        return Err(ApiError::invalid(
            "Interactive is the only mode supported currently.",
        ));
    }
    let command = request.command.clone().unwrap_or_default();
    if command.len() > MAX_COMMAND_BYTES {
        return Err(ApiError::invalid(format!(
            "command must have at most {MAX_COMMAND_BYTES} bytes, but has {}.",
            command.len()
        )));
    }
    if command.contains('\0') {
        return Err(ApiError::invalid(
            "command must not have a NUL character: no program can be given one.",
        ));
    }
    Ok(command)
}

pub(super) async fn execute_command(
    call: Call,
    request: ecs::ExecuteCommandRequest,
) -> Result<ecs::ExecuteCommandResponse, ApiError> {
    let command = check_command(&request)?;
    let mut connection = call.plane.store.read().await?;
    let cluster = refs::cluster(&mut connection, &call.plane.scope, request.cluster.as_deref()).await?;
    let (named, container) = (request.task.as_deref(), request.container.as_deref());
    let (task, container) = place(&mut connection, &call, &cluster.name, named, container).await?;
    drop(connection);
    if task.last != TaskStatus::Running {
        return Err(ApiError::invalid(format!(
            "The execute command failed because the task is not running: it is {}.",
            task.last
        )));
    }
    if !task.enable_execute_command {
        return Err(ApiError::invalid(
            "The execute command failed because execute command was not enabled when the task was run or the execute \
             command agent isn\u{2019}t running. Wait and try again or run a new task with execute command enabled and \
             try again.",
        ));
    }
    if container.status != ReportedStatus::Running {
        return Err(ApiError::invalid(format!(
            "The execute command failed because the container {} is not running: it is {}.",
            container.name, container.status
        )));
    }
    let transcript = exec_logging::transcript(cluster.configuration.as_ref());
    let kind = SessionKind::Exec { command, transcript };
    let session = open(&call, &task, &container, kind).await?;
    Ok(ecs::ExecuteCommandResponse {
        cluster_arn: Some(clusters::arn(&call, &cluster.name)),
        task_arn: Some(task.arn.to_string()),
        container_arn: Some(container.arn.to_string()),
        container_name: Some(container.name),
        interactive: Some(true),
        session: Some(session),
    })
}

pub(super) async fn start_logs(
    call: Call,
    request: StartLogsSessionRequest,
) -> Result<StartLogsSessionResponse, ApiError> {
    let mut connection = call.plane.store.read().await?;
    let cluster = refs::cluster(&mut connection, &call.plane.scope, request.cluster.as_deref()).await?;
    let (named, container) = (request.task.as_deref(), request.container.as_deref());
    let (task, container) = place(&mut connection, &call, &cluster.name, named, container).await?;
    drop(connection);
    let kind = SessionKind::Logs {
        follow: request.follow == Some(true),
        since: request.since,
    };
    let session = open(&call, &task, &container, kind).await?;
    Ok(StartLogsSessionResponse {
        cluster_arn: Some(clusters::arn(&call, &cluster.name)),
        task_arn: Some(task.arn.to_string()),
        container_arn: Some(container.arn.to_string()),
        container_name: Some(container.name),
        session: Some(session),
    })
}

/// A session that is over, that never was, or that somebody else has opened, gets no token: that is how its client learns
/// of it.
pub(super) async fn resume(
    call: Call,
    request: ssm::ResumeSessionRequest,
) -> Result<ssm::ResumeSessionResponse, ApiError> {
    let id = request.session_id.unwrap_or_default();
    let (text, token) = sessions::new_token(&call.plane)?;
    let mut transaction = call.plane.store.write().await?;
    let alive = stored::set_token(&mut transaction, &id, &call.key_id, &token).await?;
    transaction.commit().await?;
    Ok(ssm::ResumeSessionResponse {
        token_value: alive.then_some(text),
        stream_url: alive.then(|| stream_url(&call, &id)),
        session_id: Some(id),
    })
}

pub(super) async fn terminate(
    call: Call,
    request: ssm::TerminateSessionRequest,
) -> Result<ssm::TerminateSessionResponse, ApiError> {
    let id = request.session_id.unwrap_or_default();
    let mut transaction = call.plane.store.write().await?;
    if stored::get(&mut transaction, &id).await?.is_none() {
        return Err(ApiError::new(
            Code::DoesNotExist,
            format!("There is no session {id:?}."),
        ));
    }
    stored::close(&mut transaction, &id, TERMINATED).await?;
    transaction.commit().await?;
    call.plane.sessions.close(&id, TERMINATED).await;
    Ok(ssm::TerminateSessionResponse { session_id: Some(id) })
}
