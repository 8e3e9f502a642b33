//! StopTask, DescribeTasks, ListTasks.

use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs;
use longshore_protocol::status::{StopCode, TaskStatus};

use super::page::Page;
use super::{Call, refs};
use crate::error::ApiError;
use crate::store::{assignments, tasks};
use crate::tasks::view::{self, Surroundings};
use crate::tasks::{Stop, Task, cut_reason};

/// The API's shape of a task, as things stand.
pub(super) fn show(call: &Call, task: &Task, tags: bool) -> ecs::Task {
    let (instance, id) = (task.instance.id.as_str(), task.arn.id.as_str());
    let hub = &call.plane.hub;
    let around = Surroundings {
        link: hub.link(instance),
        progress: hub.progress(instance, id),
        tags,
    };
    view::show(task, &around)
}

pub(super) fn not_found() -> ApiError {
    ApiError::invalid("The referenced task was not found.")
}

pub(super) async fn stop(
    call: Call,
    request: ecs::StopTaskRequest,
) -> Result<ecs::StopTaskResponse, ApiError> {
    let force = request.force == Some(true);
    let reason = request.reason.filter(|reason| !reason.is_empty());
    let stop = Stop {
        code: StopCode::UserInitiated,
        reason: reason.map_or_else(|| "Task stopped by user".to_owned(), |reason| cut_reason(&reason)),
    };
    let mut transaction = call.plane.store.write().await?;
    let cluster = refs::cluster(&mut transaction, &call.plane.scope, request.cluster.as_deref()).await?;
    let id = refs::task(
        &call.plane.scope,
        &cluster.name,
        request.task.as_deref().unwrap_or_default(),
    )?;
    let found = tasks::get(&mut transaction, &cluster.name, id.as_str()).await?;
    let mut task = found.ok_or_else(not_found)?;
    if task.last < TaskStatus::Stopped {
        let decided = task.order_stop(stop, call.now());
        let instance = task.instance.id.as_str();
        // Force may come on top of an order that the node has already.
        let ordered = assignments::order_stop(&mut transaction, instance, &task.arn, force, 1).await?;
        if decided {
            tasks::update(&mut transaction, &task).await?;
        }
        if decided || ordered {
            transaction.commit().await?;
            call.plane.hub.wake(instance);
        }
    }
    Ok(ecs::StopTaskResponse {
        task: Some(show(&call, &task, false)),
    })
}

pub(super) async fn describe(
    call: Call,
    request: ecs::DescribeTasksRequest,
) -> Result<ecs::DescribeTasksResponse, ApiError> {
    let wanted = request.tasks.unwrap_or_default();
    if wanted.is_empty() {
        return Err(ApiError::invalid("Tasks cannot be empty."));
    }
    if wanted.len() > 100 {
        return Err(ApiError::invalid("tasks must have at most 100 elements."));
    }
    let tags = request.include.iter().flatten().any(|each| each == "TAGS");
    let mut connection = call.plane.store.read().await?;
    let cluster = refs::cluster(&mut connection, &call.plane.scope, request.cluster.as_deref()).await?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for reference in &wanted {
        let id = refs::task(&call.plane.scope, &cluster.name, reference)?;
        if let Some(task) = tasks::get(&mut connection, &cluster.name, id.as_str()).await? {
            found.push(show(&call, &task, tags));
        } else {
            let arn = TaskArn {
                scope: call.plane.scope.clone(),
                cluster: cluster.name.clone(),
                id,
            };
            failures.push(ecs::Failure {
                arn: Some(arn.to_string()),
                reason: Some("MISSING".to_owned()),
                detail: None,
            });
        }
    }
    Ok(ecs::DescribeTasksResponse {
        tasks: Some(found),
        failures: Some(failures),
    })
}

fn refuse_services(request: &ecs::ListTasksRequest) -> Result<(), ApiError> {
    for (name, given) in [
        ("serviceName", &request.service_name),
        ("daemonName", &request.daemon_name),
    ] {
        if given.is_some() {
            return Err(ApiError::invalid(format!(
                "{name} is not supported by this control plane."
            )));
        }
    }
    Ok(())
}

pub(super) async fn list(
    call: Call,
    request: ecs::ListTasksRequest,
) -> Result<ecs::ListTasksResponse, ApiError> {
    refuse_services(&request)?;
    let mut connection = call.plane.store.read().await?;
    let cluster = refs::cluster(&mut connection, &call.plane.scope, request.cluster.as_deref()).await?;
    let instance = match request.container_instance.as_deref() {
        Some(reference) => Some(refs::container_instance(
            &call.plane.scope,
            &cluster.name,
            reference,
        )?),
        None => None,
    };
    let filter = tasks::Filter {
        cluster: &cluster.name,
        desired: request.desired_status.as_deref().unwrap_or("RUNNING"),
        instance: instance.as_ref().map(longshore_protocol::arn::ResourceId::as_str),
        family: request.family.as_deref(),
        started_by: request.started_by.as_deref(),
    };
    let launch_type = request.launch_type.as_deref();
    let filters = [
        Some(filter.cluster),
        Some(filter.desired),
        filter.instance,
        filter.family,
        filter.started_by,
        launch_type,
    ];
    let token = request.next_token.as_deref();
    let page = Page::read(&call, "ListTasks", &filters, token, request.max_results)?;
    // Every task here is EXTERNAL.
    let mut ids = match launch_type {
        None | Some("EXTERNAL") => tasks::list(&mut connection, &filter, &page.after, page.fetch()).await?,
        Some(_) => Vec::new(),
    };
    let next_token = page.finish(&mut ids, String::clone);
    let prefix = format!(
        "arn:{}:ecs:{}:{}:task/{}",
        call.plane.scope.partition, call.plane.scope.region, call.plane.scope.account, cluster.name
    );
    Ok(ecs::ListTasksResponse {
        task_arns: Some(ids.iter().map(|id| format!("{prefix}/{id}")).collect()),
        next_token,
    })
}
