//! DescribeContainerInstances, ListContainerInstances, DeregisterContainerInstance, UpdateContainerInstancesState,
//! DiscoverPollEndpoint.

use std::collections::BTreeSet;

use longshore_protocol::status::{InstanceStatus, StopCode};
use longshore_protocol::{Timestamp, ecs};

use super::page::Page;
use super::register_instance::arn;
use super::{Call, refs};
use crate::error::ApiError;
use crate::store::instances::{self, Instance};
use crate::store::{Connection, assignments, reservations, system, tasks};
use crate::tasks::Stop;

/// A resource that is a set of words.
pub(super) fn string_set(name: &str, values: Vec<String>) -> ecs::Resource {
    ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        string_set_value: Some(values),
        ..ecs::Resource::default()
    }
}

/// The ports that a machine keeps for itself, by its registration.
pub(super) fn ports(resources: &[ecs::Resource], name: &str) -> Result<BTreeSet<u16>, ApiError> {
    let found = resources
        .iter()
        .find(|resource| resource.name.as_deref() == Some(name));
    let values = found
        .and_then(|resource| resource.string_set_value.as_deref())
        .unwrap_or_default();
    values
        .iter()
        .map(|value| {
            value
                .parse()
                .map_err(|_| ApiError::invalid(format!("{name} has {value:?}, which is no port.")))
        })
        .collect()
}

/// The ids of a machine's GPUs, by its registration.
pub(super) fn gpus(resources: &[ecs::Resource]) -> BTreeSet<String> {
    let found = resources
        .iter()
        .find(|resource| resource.name.as_deref() == Some("GPU"));
    found
        .and_then(|resource| resource.string_set_value.clone())
        .unwrap_or_default()
        .into_iter()
        .collect()
}

/// With all value members, as the service shows resources.
fn filled(resource: &ecs::Resource) -> ecs::Resource {
    let mut shown = resource.clone();
    shown.integer_value.get_or_insert(0);
    shown.long_value.get_or_insert(0);
    shown.double_value.get_or_insert(0.0);
    shown
}

/// What is left: of ports, the ones that are **taken** (the machine's own and the tasks'); of GPUs the free ones.
fn remaining(instance: &Instance, taken: &reservations::Taken) -> Result<Vec<ecs::Resource>, ApiError> {
    let registered = &instance.registration.resources;
    let used = |name: &str, by_tasks: &[u16]| -> Result<Vec<String>, ApiError> {
        let mut all = ports(registered, name)?;
        all.extend(by_tasks);
        Ok(all.iter().map(u16::to_string).collect())
    };
    let left = |value: i64| Some(i32::try_from(value).unwrap_or(i32::MAX));
    let mut shown = Vec::with_capacity(registered.len());
    for resource in registered {
        let mut resource = filled(resource);
        match resource.name.as_deref() {
            Some("CPU") => resource.integer_value = left(instance.free_cpu),
            Some("MEMORY") => resource.integer_value = left(instance.free_memory),
            Some("PORTS") => resource.string_set_value = Some(used("PORTS", &taken.tcp)?),
            Some("PORTS_UDP") => resource.string_set_value = Some(used("PORTS_UDP", &taken.udp)?),
            Some("GPU") => {
                let mut free = gpus(registered);
                free.retain(|id| !taken.gpus.contains(id));
                resource.string_set_value = Some(free.into_iter().collect());
            }
            _ => {}
        }
        shown.push(resource);
    }
    Ok(shown)
}

/// Why nothing, or not everything, is placed on an instance although it is there.
fn obstacle(instance: &Instance, taken: &reservations::Taken, link: crate::agents::Link) -> Option<String> {
    if instance.status == InstanceStatus::Inactive {
        return None;
    }
    if link.cloned {
        let text = "CLONED: two machines poll with the identity of this instance. It gets no new tasks. Shut one of them \
                    down, and register it as a machine of its own.";
        return Some(text.to_owned());
    }
    let twice = |mut list: Vec<String>| {
        list.sort();
        list.windows(2).any(|pair| pair[0] == pair[1])
    };
    let ports = |list: &[u16]| list.iter().map(u16::to_string).collect();
    let shared = twice(ports(&taken.tcp)) || twice(ports(&taken.udp)) || twice(taken.gpus.clone());
    (instance.free_cpu < 0 || instance.free_memory < 0 || shared).then(|| {
        "OVERCOMMITTED: its tasks have more than the instance, or share a port or GPU: it came back smaller, or tasks \
         were taken in from it. Nothing more is placed on what is short."
            .to_owned()
    })
}

/// The API's shape of an instance.
pub(super) async fn show(
    connection: &mut Connection,
    call: &Call,
    instance: &Instance,
    tags: bool,
) -> Result<ecs::ContainerInstance, ApiError> {
    let taken = reservations::taken(connection, &instance.id).await?;
    let counts = instances::counts(connection, &instance.id).await?;
    let registration = &instance.registration;
    let link = call.plane.hub.link(&instance.id);
    Ok(ecs::ContainerInstance {
        container_instance_arn: Some(arn(call, &instance.cluster, &instance.id)?.to_string()),
        ec2_instance_id: Some(instance.node.to_string()),
        version: Some(instance.version),
        version_info: Some(registration.version_info.clone()),
        registered_resources: Some(registration.resources.iter().map(filled).collect()),
        remaining_resources: Some(remaining(instance, &taken)?),
        status: Some(instance.status.to_string()),
        status_reason: obstacle(instance, &taken, link),
        agent_connected: Some(instance.status != InstanceStatus::Inactive && link.connected),
        running_tasks_count: Some(counts.running),
        pending_tasks_count: Some(counts.pending),
        attributes: Some(registration.attributes.clone()),
        registered_at: Some(Timestamp::from_millis(instance.registered_at)),
        attachments: Some(vec![]),
        tags: Some(if tags { instance.tags.clone() } else { vec![] }),
        ..ecs::ContainerInstance::default()
    })
}

/// What a node says of itself while it is connected. The API has no detail for a disk; the words are in `statusReason`.
fn health(connected: bool, trouble: Option<&str>) -> ecs::ContainerInstanceHealthStatus {
    let overall = match (connected, trouble) {
        (false, _) => "INSUFFICIENT_DATA",
        (true, Some(_)) => "IMPAIRED",
        (true, None) => "OK",
    };
    ecs::ContainerInstanceHealthStatus {
        overall_status: Some(overall.to_owned()),
        details: Some(vec![]),
    }
}

fn missing(call: &Call, cluster: &str, id: &str) -> Result<ecs::Failure, ApiError> {
    Ok(ecs::Failure {
        arn: Some(arn(call, cluster, id)?.to_string()),
        reason: Some("MISSING".to_owned()),
        detail: None,
    })
}

pub(super) async fn describe(
    call: Call,
    request: ecs::DescribeContainerInstancesRequest,
) -> Result<ecs::DescribeContainerInstancesResponse, ApiError> {
    let wanted = request.container_instances.unwrap_or_default();
    if wanted.is_empty() {
        return Err(ApiError::client("Container Instances cannot be empty."));
    }
    if wanted.len() > 100 {
        return Err(ApiError::invalid(
            "containerInstances must have at most 100 elements.",
        ));
    }
    let asked = |field: &str| request.include.iter().flatten().any(|each| each == field);
    let (tags, with_health) = (asked("TAGS"), asked("CONTAINER_INSTANCE_HEALTH"));
    let mut connection = call.plane.store.read().await?;
    let cluster = refs::cluster(&mut connection, &call.plane.scope, request.cluster.as_deref()).await?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for reference in &wanted {
        let id = refs::container_instance(&call.plane.scope, &cluster.name, reference)?;
        match instances::get(&mut connection, &cluster.name, id.as_str()).await? {
            Some(instance) => {
                let mut shown = show(&mut connection, &call, &instance, tags).await?;
                let connected = shown.agent_connected == Some(true);
                let trouble = call.plane.hub.trouble(&instance.id).filter(|_| connected);
                let health = || health(connected, trouble.as_deref());
                shown.health_status = with_health.then(health);
                shown.status_reason = shown.status_reason.or(trouble);
                found.push(shown);
            }
            None => failures.push(missing(&call, &cluster.name, id.as_str())?),
        }
    }
    Ok(ecs::DescribeContainerInstancesResponse {
        container_instances: Some(found),
        failures: Some(failures),
    })
}

pub(super) async fn list(
    call: Call,
    request: ecs::ListContainerInstancesRequest,
) -> Result<ecs::ListContainerInstancesResponse, ApiError> {
    if request.filter.as_deref().is_some_and(|filter| !filter.is_empty()) {
        return Err(ApiError::invalid(
            "filter is not supported by this control plane.",
        ));
    }
    let mut connection = call.plane.store.read().await?;
    let cluster = refs::cluster(&mut connection, &call.plane.scope, request.cluster.as_deref()).await?;
    let status = request.status.as_deref();
    let filters = [Some(cluster.name.as_str()), status];
    let token = request.next_token.as_deref();
    let page = Page::read(
        &call,
        "ListContainerInstances",
        &filters,
        token,
        request.max_results,
    )?;
    let mut ids = instances::list(&mut connection, &cluster.name, status, &page.after, page.fetch()).await?;
    let next_token = page.finish(&mut ids, String::clone);
    let arns = ids
        .iter()
        .map(|id| Ok(arn(&call, &cluster.name, id)?.to_string()));
    Ok(ecs::ListContainerInstancesResponse {
        container_instance_arns: Some(arns.collect::<Result<_, ApiError>>()?),
        next_token,
    })
}

/// Force takes the instance's tasks off the books; they are buried, so that a node that comes back stops them. Says whether
/// there were any.
async fn abandon_tasks(connection: &mut Connection, instance: &Instance, now: i64) -> Result<bool, ApiError> {
    let mut buried = false;
    for mut task in tasks::alive_on(connection, &instance.id).await? {
        let stop = Stop {
            code: StopCode::TerminationNotice,
            reason: "Container instance deregistration forced by user".to_owned(),
        };
        if task.abandon(stop, now) {
            tasks::update(connection, &task).await?;
            reservations::release(connection, task.arn.id.as_str()).await?;
            system::bury(connection, task.arn.id.as_str(), &instance.id, now).await?;
            buried = true;
        }
    }
    Ok(buried)
}

pub(super) async fn deregister(
    call: Call,
    request: ecs::DeregisterContainerInstanceRequest,
) -> Result<ecs::DeregisterContainerInstanceResponse, ApiError> {
    let mut transaction = call.plane.store.write().await?;
    let cluster = refs::cluster(&mut transaction, &call.plane.scope, request.cluster.as_deref()).await?;
    let reference = request.container_instance.as_deref().unwrap_or_default();
    let id = refs::container_instance(&call.plane.scope, &cluster.name, reference)?;
    let found = instances::get(&mut transaction, &cluster.name, id.as_str()).await?;
    let instance =
        found.ok_or_else(|| ApiError::client("The referenced container instance was not found."))?;
    call.require_own(&instance.node)?;
    let mut buried = false;
    if instance.status != InstanceStatus::Inactive {
        let counts = instances::counts(&mut transaction, &instance.id).await?;
        if counts.alive > 0 && request.force != Some(true) {
            return Err(ApiError::invalid("Found running tasks on the instance."));
        }
        buried = abandon_tasks(&mut transaction, &instance, call.now()).await?;
        assignments::clear(&mut transaction, &instance.id).await?;
        instances::deregister(&mut transaction, &instance.id, call.now()).await?;
    }
    let now = instances::get(&mut transaction, &cluster.name, id.as_str())
        .await?
        .ok_or_else(ApiError::server)?;
    let shown = show(&mut transaction, &call, &now, true).await?;
    transaction.commit().await?;
    call.plane.hub.forget(&instance.id);
    if buried {
        call.plane.hub.buried();
    }
    call.plane.sessions.instance_over(&instance.id).await;
    Ok(ecs::DeregisterContainerInstanceResponse {
        container_instance: Some(shown),
    })
}

pub(super) async fn update_state(
    call: Call,
    request: ecs::UpdateContainerInstancesStateRequest,
) -> Result<ecs::UpdateContainerInstancesStateResponse, ApiError> {
    let status = match request.status.as_deref() {
        Some("ACTIVE") => InstanceStatus::Active,
        Some("DRAINING") => InstanceStatus::Draining,
        _ => {
            return Err(ApiError::invalid(
                "Container instance status should be one of [ACTIVE,DRAINING]",
            ));
        }
    };
    let wanted = request.container_instances.unwrap_or_default();
    if wanted.is_empty() {
        return Err(ApiError::client("Container instances cannot be empty."));
    }
    if wanted.len() > 10 {
        return Err(ApiError::invalid(
            "containerInstances must have at most 10 elements.",
        ));
    }
    let mut transaction = call.plane.store.write().await?;
    let cluster = refs::cluster(&mut transaction, &call.plane.scope, request.cluster.as_deref()).await?;
    let (mut changed, mut failures) = (Vec::new(), Vec::new());
    for reference in &wanted {
        let id = refs::container_instance(&call.plane.scope, &cluster.name, reference)?;
        let found = instances::get(&mut transaction, &cluster.name, id.as_str()).await?;
        let Some(instance) = found.filter(|found| found.status != InstanceStatus::Inactive) else {
            failures.push(missing(&call, &cluster.name, id.as_str())?);
            continue;
        };
        call.require_own(&instance.node)?;
        instances::set_status(&mut transaction, &instance.id, status).await?;
        let now = Instance { status, ..instance };
        changed.push((now.id.clone(), show(&mut transaction, &call, &now, false).await?));
    }
    transaction.commit().await?;
    for (id, _) in &changed {
        call.plane.hub.wake(id);
    }
    Ok(ecs::UpdateContainerInstancesStateResponse {
        container_instances: Some(changed.into_iter().map(|(_, shown)| shown).collect()),
        failures: Some(failures),
    })
}

pub(super) async fn discover_poll_endpoint(
    call: Call,
    _request: ecs::DiscoverPollEndpointRequest,
) -> Result<ecs::DiscoverPollEndpointResponse, ApiError> {
    Ok(ecs::DiscoverPollEndpointResponse {
        endpoint: Some(call.base_url.clone()),
        telemetry_endpoint: Some(call.base_url),
        ..ecs::DiscoverPollEndpointResponse::default()
    })
}
