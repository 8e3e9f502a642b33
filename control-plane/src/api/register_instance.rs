//! RegisterContainerInstance: a node joins a cluster, or says anew what it has.
//!
//! A node is one container instance at a time, so a call again, with the ARN, with the same client token, or with
//! neither, gives the same instance: an agent that lost its state comes back to its tasks. What another machine than the
//! known one says that it has changes nothing until it is to take that one's place, by its polls; then it is told to register
//! again, and both become known at once: the machine, and what it has.

use std::collections::BTreeSet;

use longshore_protocol::arn::{ContainerInstanceArn, ResourceId};
use longshore_protocol::ecs;
use longshore_protocol::node::InstanceId;
use longshore_protocol::status::InstanceStatus;

use super::{Call, container_instances, refs};
use crate::auth::{self, Principal};
use crate::definition::check_tags;
use crate::error::{ApiError, Code};
use crate::store::instances::{self, Instance, Registration};
use crate::store::{Connection, nodes};

/// The most bytes of what a node says of itself, as JSON: hundreds of attributes and ten thousand reserved ports fit.
const MAX_REGISTRATION: usize = 256 * 1024;

pub(super) async fn register(
    call: Call,
    request: ecs::RegisterContainerInstanceRequest,
) -> Result<ecs::RegisterContainerInstanceResponse, ApiError> {
    let Principal::Node(node) = call.principal.clone() else {
        return Err(ApiError::client(
            "Only a node can register as a container instance: register it with SSM first.",
        ));
    };
    let mut registration = registration(&request)?;
    let mut is_known = false;
    let mut transaction = call.plane.store.write().await?;
    let cluster =
        refs::active_cluster(&mut transaction, &call.plane.scope, request.cluster.as_deref()).await?;
    let id = match known(&mut transaction, &call, &node, &cluster.name, &request).await? {
        Some(id) => {
            if let Some(before) = instances::get(&mut transaction, &cluster.name, &id).await? {
                keep(&mut registration, before, &request);
            }
            is_known = again(&mut transaction, &call, &id, &registration).await?;
            id
        }
        None => {
            add(
                &mut transaction,
                &call,
                node,
                &cluster.name,
                registration,
                &request,
            )
            .await?
        }
    };
    let instance = instances::get(&mut transaction, &cluster.name, &id)
        .await?
        .ok_or_else(ApiError::server)?;
    let shown = container_instances::show(&mut transaction, &call, &instance, true).await?;
    transaction.commit().await?;
    if is_known {
        call.plane.hub.stay(&id);
    }
    Ok(ecs::RegisterContainerInstanceResponse {
        container_instance: Some(shown),
    })
}

/// Takes what a node says anew that it has, if its machine is the known one or becomes that now; says whether it is.
async fn again(
    connection: &mut Connection,
    call: &Call,
    instance: &str,
    registration: &Registration,
) -> Result<bool, ApiError> {
    let is_known = becomes_known(connection, call, instance).await?;
    if is_known {
        instances::register_again(connection, instance, registration).await?;
    } else {
        tracing::warn!(
            instance,
            "another machine registers as the node of an instance than the known one; what it has is not taken unless it takes that one's place"
        );
    }
    Ok(is_known)
}

/// The instance that this node is already.
async fn known(
    connection: &mut Connection,
    call: &Call,
    node: &InstanceId,
    cluster: &str,
    request: &ecs::RegisterContainerInstanceRequest,
) -> Result<Option<String>, ApiError> {
    let held = nodes::container_instance(connection, node).await?;
    if let Some((other, _)) = held.as_ref().filter(|(name, _)| name != cluster) {
        return Err(ApiError::client(format!(
            "The node {node} is registered in the cluster {other}; deregister it there first."
        )));
    }
    let held = held.map(|(_, id)| id);
    if let Some(reference) = arn_of(request) {
        let id = refs::container_instance(&call.plane.scope, cluster, reference)?;
        if held.as_deref() != Some(id.as_str()) {
            // Told apart for the agent: its instance was deregistered, or that one was never its own.
            let code = if held.is_none() {
                Code::InactiveInstance
            } else {
                Code::Client
            };
            return Err(ApiError::new(
                code,
                format!(
                    "The container instance {reference} is not registered as the node {node}. Register without an ARN."
                ),
            ));
        }
    }
    Ok(held)
}

/// The container instance that a node says to be.
fn arn_of(request: &ecs::RegisterContainerInstanceRequest) -> Option<&str> {
    request
        .container_instance_arn
        .as_deref()
        .filter(|arn| !arn.is_empty())
}

/// Keeps what a node doesn't say again: versions, which its polls say once, and the attributes that its operator has set,
/// which it says only as long as it has no ARN. Nothing is kept where all of it would be too much: nobody could take it away
/// again, and what the node says would be refused for ever.
fn keep(registration: &mut Registration, before: Instance, request: &ecs::RegisterContainerInstanceRequest) {
    let (id, before) = (before.id, before.registration);
    let (attributes, versions) = (registration.attributes.len(), registration.version_info.clone());
    if request.version_info.is_none() {
        registration.version_info = before.version_info;
    }
    if arn_of(request).is_some() {
        keep_attributes(registration, before.attributes);
    }
    if let Err(error) = check_size(registration) {
        let dropped = registration.attributes.len() - attributes;
        registration.attributes.truncate(attributes);
        registration.version_info = versions;
        tracing::warn!(
            instance = id,
            dropped,
            reason = error.message,
            "what a node says that it has leaves no room for what was kept: its operator's attributes are dropped"
        );
    }
}

fn keep_attributes(registration: &mut Registration, before: Vec<ecs::Attribute>) {
    let said = registration
        .attributes
        .iter()
        .map(|each| each.name.clone())
        .collect::<BTreeSet<_>>();
    let kept = before
        .into_iter()
        .filter(|each| is_operator_s(each) && !said.contains(&each.name));
    registration.attributes.extend(kept);
}

/// Whether an attribute is neither the machine's nor its agent's.
fn is_operator_s(attribute: &ecs::Attribute) -> bool {
    let name = attribute.name.as_deref().unwrap_or_default();
    !["ecs.", "com.amazonaws.ecs."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Whether the machine that calls is the one that the node is known to be, or becomes that now. Any other may be a copy of
/// its disk: it is answered all the same, so that it polls and is seen.
async fn becomes_known(connection: &mut Connection, call: &Call, instance: &str) -> Result<bool, ApiError> {
    let known = instances::fingerprint(connection, instance).await?;
    let machine = call.machine.as_deref();
    if let Some(successor) = call.plane.hub.successor(instance, machine) {
        instances::set_fingerprint(connection, instance, &successor).await?;
        return Ok(true);
    }
    Ok(known.is_empty() || machine.is_none_or(|machine| auth::machine(&known) == machine))
}

async fn add(
    connection: &mut Connection,
    call: &Call,
    node: InstanceId,
    cluster: &str,
    registration: Registration,
    request: &ecs::RegisterContainerInstanceRequest,
) -> Result<String, ApiError> {
    let tags = request.tags.clone().unwrap_or_default();
    check_tags(&tags)?;
    let new = Instance {
        id: ResourceId::from_random(call.plane.chance.uuid()).to_string(),
        cluster: cluster.to_owned(),
        node,
        status: InstanceStatus::Active,
        version: 1,
        free_cpu: registration.cpu,
        free_memory: registration.memory,
        registration,
        tags,
        registered_at: call.now(),
    };
    instances::add(connection, &new).await?;
    tracing::info!(node = %new.node, instance = new.id, cluster, "a container instance registered");
    Ok(new.id)
}

/// What the node has: as given, with its GPUs as one more resource.
fn registration(request: &ecs::RegisterContainerInstanceRequest) -> Result<Registration, ApiError> {
    let mut resources = request.total_resources.clone().unwrap_or_default();
    let mut gpus = Vec::new();
    for device in request.platform_devices.iter().flatten() {
        let id = device.id.clone().unwrap_or_default();
        if id.is_empty() || gpus.contains(&id) {
            return Err(ApiError::invalid(format!(
                "The platform device id {id:?} is empty or given twice."
            )));
        }
        gpus.push(id);
    }
    if !gpus.is_empty() {
        resources.retain(|resource| resource.name.as_deref() != Some("GPU"));
        resources.push(container_instances::string_set("GPU", gpus));
    }
    for ports in ["PORTS", "PORTS_UDP"] {
        container_instances::ports(&resources, ports)?;
    }
    let registration = Registration {
        cpu: integer(&resources, "CPU")?,
        memory: integer(&resources, "MEMORY")?,
        resources,
        attributes: request.attributes.clone().unwrap_or_default(),
        version_info: request.version_info.clone().unwrap_or_default(),
    };
    check_size(&registration)?;
    Ok(registration)
}

/// All of it is read, for every instance, with every RunTask.
fn check_size(registration: &Registration) -> Result<(), ApiError> {
    let size = super::write(&registration.resources)?.len()
        + super::write(&registration.attributes)?.len()
        + super::write(&registration.version_info)?.len();
    if size <= MAX_REGISTRATION {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Resources, attributes and versions together can have at most {MAX_REGISTRATION} bytes as JSON, but have {size}."
    )))
}

fn integer(resources: &[ecs::Resource], name: &str) -> Result<i64, ApiError> {
    let found = resources
        .iter()
        .find(|resource| resource.name.as_deref() == Some(name));
    let value = found
        .and_then(|resource| resource.integer_value)
        .filter(|value| *value >= 0);
    value.map(i64::from).ok_or_else(|| {
        ApiError::invalid(format!(
            "totalResources must have {name} with an integerValue of 0 or more."
        ))
    })
}

pub(super) fn arn(call: &Call, cluster: &str, id: &str) -> Result<ContainerInstanceArn, ApiError> {
    Ok(ContainerInstanceArn {
        scope: call.plane.scope.clone(),
        cluster: cluster.to_owned(),
        id: id.parse().map_err(|error| {
            tracing::error!(%error, "a stored container instance has no valid id");
            ApiError::server()
        })?,
    })
}
