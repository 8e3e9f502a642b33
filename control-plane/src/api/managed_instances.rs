//! SSM: how a machine becomes a node, gets credentials, changes its key and goes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_protocol::node::{
    InstanceId, KEY_TYPE_RSA, RegisterManagedInstanceRequest, RegisterManagedInstanceResponse,
    RequestManagedInstanceRoleTokenRequest, RequestManagedInstanceRoleTokenResponse,
    UpdateManagedInstancePublicKeyRequest, UpdateManagedInstancePublicKeyResponse,
};
use longshore_protocol::{Timestamp, sigv4, ssm};

use super::page::Page;
use super::{Call, activations};
use crate::auth::{self, Principal};
use crate::definition::MAX_TAGS;
use crate::error::{ApiError, Code};
use crate::store::nodes::{self, Node};
use crate::store::{Connection, instances};

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::Validation, message)
}

/// A public key as the wire has it, checked.
fn public_key(key_type: Option<&str>, base64: Option<&str>) -> Result<Vec<u8>, ApiError> {
    if key_type != Some(KEY_TYPE_RSA) {
        return Err(validation(format!(
            "The public key's type must be {KEY_TYPE_RSA}."
        )));
    }
    let der = STANDARD.decode(base64.unwrap_or_default());
    let der = der.map_err(|_| validation("The public key must be base64."))?;
    if !auth::is_node_key(&der) {
        return Err(validation(
            "The public key must be a PKIX RSA key of 2048 to 8192 bits.",
        ));
    }
    Ok(der)
}

/// The activation that id and code stand for. A wrong code and one that is over look alike.
async fn activation(
    connection: &mut Connection,
    request: &RegisterManagedInstanceRequest,
) -> Result<nodes::Activation, ApiError> {
    let id = request.activation_id.as_deref().unwrap_or_default();
    let found = nodes::activation(connection, id).await?;
    let found = found.ok_or_else(|| {
        ApiError::new(
            Code::InvalidActivationId,
            format!("There is no activation {id:?}; it may have been deleted."),
        )
    })?;
    let hash = auth::hash_code(request.activation_code.as_deref().unwrap_or_default());
    if sigv4::signatures_match(&found.code_hash, &hash) {
        Ok(found)
    } else {
        Err(invalid_activation())
    }
}

fn invalid_activation() -> ApiError {
    ApiError::new(
        Code::InvalidActivation,
        "The activation is not valid: its code is wrong, it has expired, or its registration limit is reached.",
    )
}

pub(super) async fn register(
    call: Call,
    request: RegisterManagedInstanceRequest,
) -> Result<RegisterManagedInstanceResponse, ApiError> {
    let public_key = public_key(request.public_key_type.as_deref(), request.public_key.as_deref())?;
    let now = call.now();
    // Anybody may call this: who has no activation is not to take the write lock.
    activation(&mut *call.plane.store.read().await?, &request).await?;
    let mut transaction = call.plane.store.write().await?;
    let activation = activation(&mut transaction, &request).await?;
    // The same key again is the same machine, whose answer got lost.
    let known = nodes::by_key(&mut transaction, &activation.id, &public_key).await?;
    let id = match known {
        Some(id) => id,
        None => {
            if !nodes::use_activation(&mut transaction, &activation.id, now).await? {
                return Err(invalid_activation());
            }
            let node = Node {
                id: InstanceId::from_random(call.plane.chance.uuid()),
                activation: activation.id,
                name: activation.default_instance_name,
                iam_role: activation.iam_role,
                public_key,
                fingerprint: request.fingerprint.unwrap_or_default(),
                registered_at: now,
                tags: activation.tags,
            };
            nodes::add(&mut transaction, &node).await?;
            node.id
        }
    };
    transaction.commit().await?;
    tracing::info!(node = %id, "a node registered");
    Ok(RegisterManagedInstanceResponse {
        instance_id: Some(id.into()),
        region: Some(call.plane.scope.region.clone()),
    })
}

async fn caller(connection: &mut Connection, call: &Call) -> Result<Node, ApiError> {
    match &call.principal {
        Principal::NodeKey(id) => {
            let node = nodes::get(connection, id).await?;
            node.ok_or_else(|| ApiError::denied(format!("The node {id} is no longer registered.")))
        }
        Principal::Operator | Principal::Node(_) | Principal::Anonymous => Err(ApiError::denied(
            "Only a node may call this, signed with its own key.",
        )),
    }
}

pub(super) async fn role_token(
    call: Call,
    request: RequestManagedInstanceRoleTokenRequest,
) -> Result<RequestManagedInstanceRoleTokenResponse, ApiError> {
    let mut connection = call.plane.store.read().await?;
    let node = caller(&mut connection, &call).await?;
    drop(connection);
    let fingerprint = request.fingerprint.unwrap_or_default();
    if node.fingerprint != fingerprint {
        // A network card may have been replaced; a copy of the machine shows itself at the poll.
        tracing::warn!(node = %node.id, "the node's fingerprint changed");
        let mut transaction = call.plane.store.write().await?;
        nodes::set_fingerprint(&mut transaction, &node.id, &fingerprint).await?;
        transaction.commit().await?;
    }
    let life = i64::try_from(auth::LIFETIME.as_millis()).unwrap_or(0);
    let expires_at = call.now() + life;
    let issued = call
        .plane
        .auth
        .tokens
        .issue(&node.id, &auth::machine(&fingerprint), expires_at)
        .map_err(|error| {
            tracing::error!(%error, "no credentials for a node");
            ApiError::server()
        })?;
    Ok(RequestManagedInstanceRoleTokenResponse {
        access_key_id: Some(issued.access_key_id),
        secret_access_key: Some(issued.secret),
        session_token: Some(issued.token),
        token_expiration_date: Some(Timestamp::from_millis(expires_at)),
        update_key_pair: Some(false),
    })
}

pub(super) async fn update_key(
    call: Call,
    request: UpdateManagedInstancePublicKeyRequest,
) -> Result<UpdateManagedInstancePublicKeyResponse, ApiError> {
    let new = public_key(
        request.new_public_key_type.as_deref(),
        request.new_public_key.as_deref(),
    )?;
    let mut transaction = call.plane.store.write().await?;
    let node = caller(&mut transaction, &call).await?;
    nodes::set_public_key(&mut transaction, &node.id, &new).await?;
    transaction.commit().await?;
    tracing::info!(node = %node.id, "the node changed its key");
    Ok(UpdateManagedInstancePublicKeyResponse {})
}

fn instance_id(text: Option<String>) -> Result<InstanceId, ApiError> {
    InstanceId::try_from(text.unwrap_or_default())
        .map_err(|error| ApiError::new(Code::InvalidInstanceId, error.to_string()))
}

fn unknown_instance(id: &InstanceId) -> ApiError {
    ApiError::new(
        Code::InvalidInstanceId,
        format!("There is no managed instance {id}."),
    )
}

pub(super) async fn deregister(
    call: Call,
    request: ssm::DeregisterManagedInstanceRequest,
) -> Result<ssm::DeregisterManagedInstanceResult, ApiError> {
    let id = instance_id(request.instance_id)?;
    call.require_own(&id)?;
    let mut transaction = call.plane.store.write().await?;
    if !nodes::remove(&mut transaction, &id).await? {
        return Err(unknown_instance(&id));
    }
    let place = nodes::container_instance(&mut transaction, &id).await?;
    transaction.commit().await?;
    tracing::info!(node = %id, "a node was deregistered");
    if let Some((_, instance)) = place {
        // What it has signed before is good no more: it is shown out where it waits.
        call.plane.hub.forget(&instance);
        call.plane.sessions.node_over(&instance).await;
    }
    Ok(ssm::DeregisterManagedInstanceResult {})
}

/// A node as SSM shows it: `Online` while its agent polls.
async fn show(
    connection: &mut Connection,
    call: &Call,
    node: &Node,
) -> Result<ssm::InstanceInformation, ApiError> {
    let place = nodes::container_instance(connection, &node.id).await?;
    let link = place
        .as_ref()
        .map(|(_, id)| call.plane.hub.link(id))
        .unwrap_or_default();
    let instance = match &place {
        Some((cluster, id)) => instances::get(connection, cluster, id).await?,
        None => None,
    };
    let last = if link.connected {
        Some(call.now())
    } else {
        link.since
    };
    Ok(ssm::InstanceInformation {
        instance_id: Some(node.id.to_string()),
        ping_status: Some(
            if link.connected {
                "Online"
            } else {
                "ConnectionLost"
            }
            .to_owned(),
        ),
        last_ping_date_time: last.map(Timestamp::from_millis),
        agent_version: instance.and_then(|instance| instance.registration.version_info.agent_version),
        platform_type: Some("Linux".to_owned()),
        activation_id: Some(node.activation.clone()),
        iam_role: Some(node.iam_role.clone()),
        registration_date: Some(Timestamp::from_millis(node.registered_at)),
        resource_type: Some("ManagedInstance".to_owned()),
        name: node.name.clone(),
        ..ssm::InstanceInformation::default()
    })
}

/// Key and values of every filter, of either form.
fn filters(request: &ssm::DescribeInstanceInformationRequest) -> Vec<(String, Vec<String>)> {
    let old = request.instance_information_filter_list.iter().flatten();
    let old = old.map(|each| (each.key.clone(), each.value_set.clone()));
    let new = request
        .filters
        .iter()
        .flatten()
        .map(|each| (each.key.clone(), each.values.clone()));
    old.chain(new)
        .map(|(key, values)| (key.unwrap_or_default(), values.unwrap_or_default()))
        .collect()
}

fn passes(shown: &ssm::InstanceInformation, key: &str, values: &[String]) -> Result<bool, ApiError> {
    let value = match key {
        "InstanceIds" => &shown.instance_id,
        "AgentVersion" => &shown.agent_version,
        "PingStatus" => &shown.ping_status,
        "PlatformTypes" => &shown.platform_type,
        "ActivationIds" => &shown.activation_id,
        "IamRole" => &shown.iam_role,
        "ResourceType" => &shown.resource_type,
        _ => {
            let message = format!("{key:?} is no filter that this control plane has.");
            return Err(ApiError::new(Code::InvalidFilterKey, message));
        }
    };
    Ok(value.as_ref().is_some_and(|value| values.contains(value)))
}

pub(super) async fn describe(
    call: Call,
    request: ssm::DescribeInstanceInformationRequest,
) -> Result<ssm::DescribeInstanceInformationResult, ApiError> {
    let filters = filters(&request);
    let words = super::hash_of(&filters)?;
    let token = request.next_token.as_deref();
    let page = Page::read_ssm(
        &call,
        "DescribeInstanceInformation",
        &words,
        token,
        request.max_results,
    )?;
    let mut connection = call.plane.store.read().await?;
    let mut list = Vec::new();
    for node in nodes::list(&mut connection, &page.after, i64::MAX).await? {
        let shown = show(&mut connection, &call, &node).await?;
        let mut wanted = true;
        for (key, values) in &filters {
            wanted &= passes(&shown, key, values)?;
        }
        if wanted {
            list.push(shown);
        }
    }
    let next_token = page.finish(&mut list, |shown| shown.instance_id.clone().unwrap_or_default());
    Ok(ssm::DescribeInstanceInformationResult {
        instance_information_list: Some(list),
        next_token,
    })
}

pub(super) async fn add_tags(
    call: Call,
    request: ssm::AddTagsToResourceRequest,
) -> Result<ssm::AddTagsToResourceResult, ApiError> {
    if request.resource_type.as_deref() != Some("ManagedInstance") {
        return Err(validation(
            "Only resources of the type ManagedInstance can be tagged here.",
        ));
    }
    let id = instance_id(request.resource_id)
        .map_err(|error| ApiError::new(Code::InvalidResourceId, error.message))?;
    let new = activations::from_ssm(request.tags)?;
    let mut transaction = call.plane.store.write().await?;
    let mut node = nodes::get(&mut transaction, &id)
        .await?
        .ok_or_else(|| ApiError::new(Code::InvalidResourceId, unknown_instance(&id).message))?;
    node.tags
        .retain(|tag| !new.iter().any(|each| each.key == tag.key));
    node.tags.extend(new);
    if node.tags.len() > MAX_TAGS {
        return Err(ApiError::new(
            Code::TooManyTags,
            format!("A resource can have at most {MAX_TAGS} tags."),
        ));
    }
    nodes::set_tags(&mut transaction, &node.id, &node.tags).await?;
    transaction.commit().await?;
    Ok(ssm::AddTagsToResourceResult {})
}
