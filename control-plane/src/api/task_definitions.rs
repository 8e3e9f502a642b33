//! RegisterTaskDefinition, DescribeTaskDefinition, DeregisterTaskDefinition, ListTaskDefinitions,
//! ListTaskDefinitionFamilies.

use longshore_protocol::arn::TaskDefinitionArn;
use longshore_protocol::{Timestamp, ecs};

use super::page::Page;
use super::{Call, refs};
use crate::auth::Principal;
use crate::definition;
use crate::error::ApiError;
use crate::store::Connection;
use crate::store::definitions::{self, Definition};

fn arn(call: &Call, family: &str, revision: i32) -> TaskDefinitionArn {
    TaskDefinitionArn {
        scope: call.plane.scope.clone(),
        family: family.to_owned(),
        revision,
    }
}

fn caller_arn(call: &Call) -> String {
    let scope = &call.plane.scope;
    let name = match &call.principal {
        Principal::Node(id) | Principal::NodeKey(id) => id.as_str(),
        Principal::Operator | Principal::Anonymous => "operator",
    };
    format!("arn:{}:iam::{}:user/{name}", scope.partition, scope.account)
}

pub(super) async fn register(
    call: Call,
    request: ecs::RegisterTaskDefinitionRequest,
) -> Result<ecs::RegisterTaskDefinitionResponse, ApiError> {
    let definition::Definition {
        task_definition: mut body,
        tags,
    } = definition::register(&request)?;
    let family = body.family.clone().unwrap_or_default();
    let mut transaction = call.plane.store.write().await?;
    let revision = definitions::next_revision(&mut transaction, &family).await?;
    body.task_definition_arn = Some(arn(&call, &family, revision).to_string());
    body.revision = Some(revision);
    body.status = Some("ACTIVE".to_owned());
    body.registered_at = Some(Timestamp::from_millis(call.now()));
    body.registered_by = Some(caller_arn(&call));
    let stored = Definition { body, tags };
    definitions::put(&mut transaction, &stored).await?;
    transaction.commit().await?;
    Ok(ecs::RegisterTaskDefinitionResponse {
        task_definition: Some(stored.body),
        tags: Some(stored.tags),
    })
}

/// The definition that a reference names, if there is one.
pub(super) async fn find(
    connection: &mut Connection,
    call: &Call,
    reference: &str,
) -> Result<Option<Definition>, ApiError> {
    match refs::task_definition(&call.plane.scope, reference)? {
        Some(name) => Ok(definitions::get(connection, &name.family, name.revision).await?),
        None => Ok(None),
    }
}

pub(super) fn unknown() -> ApiError {
    ApiError::client("Unable to describe task definition.")
}

pub(super) async fn describe(
    call: Call,
    request: ecs::DescribeTaskDefinitionRequest,
) -> Result<ecs::DescribeTaskDefinitionResponse, ApiError> {
    let reference = request.task_definition.unwrap_or_default();
    let mut connection = call.plane.store.read().await?;
    let found = find(&mut connection, &call, &reference)
        .await?
        .ok_or_else(unknown)?;
    let tags = request.include.iter().flatten().any(|each| each == "TAGS");
    Ok(ecs::DescribeTaskDefinitionResponse {
        task_definition: Some(found.body),
        tags: tags.then_some(found.tags),
    })
}

pub(super) async fn deregister(
    call: Call,
    request: ecs::DeregisterTaskDefinitionRequest,
) -> Result<ecs::DeregisterTaskDefinitionResponse, ApiError> {
    let reference = request.task_definition.unwrap_or_default();
    let name = refs::task_definition(&call.plane.scope, &reference)?.ok_or_else(unknown)?;
    if name.revision.is_none() {
        return Err(ApiError::client("Revision is missing."));
    }
    let mut transaction = call.plane.store.write().await?;
    let found = definitions::get(&mut transaction, &name.family, name.revision).await?;
    let mut definition = found.ok_or_else(unknown)?;
    if definition.is_active() {
        definition.body.status = Some("INACTIVE".to_owned());
        definition.body.deregistered_at = Some(Timestamp::from_millis(call.now()));
        definitions::put(&mut transaction, &definition).await?;
        transaction.commit().await?;
    }
    Ok(ecs::DeregisterTaskDefinitionResponse {
        task_definition: Some(definition.body),
    })
}

pub(super) async fn list(
    call: Call,
    request: ecs::ListTaskDefinitionsRequest,
) -> Result<ecs::ListTaskDefinitionsResponse, ApiError> {
    let status = request.status.as_deref().unwrap_or("ACTIVE");
    let family = request.family_prefix.as_deref();
    let descending = request.sort.as_deref() == Some("DESC");
    let filters = [Some(status), family, request.sort.as_deref()];
    let token = request.next_token.as_deref();
    let page = Page::read(&call, "ListTaskDefinitions", &filters, token, request.max_results)?;
    let after = page
        .after
        .rsplit_once(':')
        .and_then(|(family, number)| Some((family, number.parse().ok()?)));
    let mut connection = call.plane.store.read().await?;
    let mut items =
        definitions::list(&mut connection, family, status, descending, after, page.fetch()).await?;
    let next_token = page.finish(&mut items, |(family, revision)| format!("{family}:{revision}"));
    let arns = items
        .iter()
        .map(|(family, revision)| arn(&call, family, *revision).to_string());
    Ok(ecs::ListTaskDefinitionsResponse {
        task_definition_arns: Some(arns.collect()),
        next_token,
    })
}

pub(super) async fn list_families(
    call: Call,
    request: ecs::ListTaskDefinitionFamiliesRequest,
) -> Result<ecs::ListTaskDefinitionFamiliesResponse, ApiError> {
    let active = match request.status.as_deref() {
        Some("ACTIVE") => Some(true),
        Some("INACTIVE") => Some(false),
        // ALL, by name or by default; the model's check let nothing else through.
        _ => None,
    };
    let prefix = request.family_prefix.as_deref().unwrap_or_default();
    let filters = [request.status.as_deref(), Some(prefix)];
    let token = request.next_token.as_deref();
    let page = Page::read(
        &call,
        "ListTaskDefinitionFamilies",
        &filters,
        token,
        request.max_results,
    )?;
    let mut connection = call.plane.store.read().await?;
    let mut families =
        definitions::families(&mut connection, prefix, active, &page.after, page.fetch()).await?;
    let next_token = page.finish(&mut families, String::clone);
    Ok(ecs::ListTaskDefinitionFamiliesResponse {
        families: Some(families),
        next_token,
    })
}
