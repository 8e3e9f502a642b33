//! SSM: CreateActivation, DescribeActivations, DeleteActivation.
//!
//! The code is shown once, when it is made; what is stored is its hash.

use longshore_protocol::{Timestamp, ecs, ssm};

use super::Call;
use super::page::Page;
use crate::auth;
use crate::definition::check_tags;
use crate::error::{ApiError, Code};
use crate::store::nodes::{self, Activation};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// How far ahead an activation may end.
const LONGEST: i64 = 30 * DAY;

pub(super) fn from_ssm(tags: Option<Vec<ssm::Tag>>) -> Result<Vec<ecs::Tag>, ApiError> {
    let tags: Vec<_> = tags
        .unwrap_or_default()
        .into_iter()
        .map(|tag| ecs::Tag {
            key: tag.key,
            value: tag.value,
        })
        .collect();
    check_tags(&tags).map_err(|refusal| ApiError::new(Code::Validation, refusal.message))?;
    Ok(tags)
}

fn to_ssm(tags: &[ecs::Tag]) -> Vec<ssm::Tag> {
    tags.iter()
        .map(|tag| ssm::Tag {
            key: tag.key.clone(),
            value: tag.value.clone(),
        })
        .collect()
}

pub(super) async fn create(
    call: Call,
    request: ssm::CreateActivationRequest,
) -> Result<ssm::CreateActivationResult, ApiError> {
    let now = call.now();
    let expires_at = request.expiration_date.map_or(now + DAY, Timestamp::as_millis);
    if expires_at <= now || expires_at > now + LONGEST {
        return Err(ApiError::new(
            Code::Validation,
            "ExpirationDate must lie in the future, at most 30 days ahead.",
        ));
    }
    if request.registration_metadata.is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::new(
            Code::Validation,
            "RegistrationMetadata is not supported by this control plane.",
        ));
    }
    // 200 random bits.
    let code = auth::random_text(40)?;
    let activation = Activation {
        id: call.plane.chance.uuid().to_string(),
        code_hash: auth::hash_code(&code),
        description: request.description,
        default_instance_name: request.default_instance_name,
        iam_role: request.iam_role.unwrap_or_default(),
        registration_limit: request.registration_limit.unwrap_or(1),
        registrations: 0,
        expires_at,
        created_at: now,
        tags: from_ssm(request.tags)?,
    };
    let mut transaction = call.plane.store.write().await?;
    nodes::add_activation(&mut transaction, &activation).await?;
    transaction.commit().await?;
    Ok(ssm::CreateActivationResult {
        activation_id: Some(activation.id),
        activation_code: Some(code),
    })
}

fn show(activation: &Activation, now: i64) -> ssm::Activation {
    ssm::Activation {
        activation_id: Some(activation.id.clone()),
        description: activation.description.clone(),
        default_instance_name: activation.default_instance_name.clone(),
        iam_role: Some(activation.iam_role.clone()),
        registration_limit: Some(activation.registration_limit),
        registrations_count: Some(activation.registrations),
        expiration_date: Some(Timestamp::from_millis(activation.expires_at)),
        expired: Some(activation.expires_at <= now),
        created_date: Some(Timestamp::from_millis(activation.created_at)),
        tags: Some(to_ssm(&activation.tags)),
    }
}

fn passes(activation: &Activation, filter: &ssm::DescribeActivationsFilter) -> Result<bool, ApiError> {
    let value = match filter.filter_key.as_deref() {
        Some("ActivationIds") => Some(activation.id.as_str()),
        Some("DefaultInstanceName") => activation.default_instance_name.as_deref(),
        Some("IamRole") => Some(activation.iam_role.as_str()),
        other => {
            return Err(ApiError::new(
                Code::InvalidFilter,
                format!("{:?} is no filter of activations.", other.unwrap_or_default()),
            ));
        }
    };
    let values = filter.filter_values.as_deref().unwrap_or_default();
    Ok(value.is_some_and(|value| values.iter().any(|wanted| wanted == value)))
}

pub(super) async fn describe(
    call: Call,
    request: ssm::DescribeActivationsRequest,
) -> Result<ssm::DescribeActivationsResult, ApiError> {
    let filters = request.filters.unwrap_or_default();
    let words = super::hash_of(&filters)?;
    let token = request.next_token.as_deref();
    let page = Page::read_ssm(&call, "DescribeActivations", &words, token, request.max_results)?;
    let mut connection = call.plane.store.read().await?;
    let mut list = Vec::new();
    // Activations are few; a filter looks at all of them.
    for activation in nodes::activations(&mut connection, &page.after, i64::MAX).await? {
        let mut wanted = true;
        for filter in &filters {
            wanted &= passes(&activation, filter)?;
        }
        if wanted {
            list.push(activation);
        }
    }
    let next_token = page.finish(&mut list, |activation| activation.id.clone());
    Ok(ssm::DescribeActivationsResult {
        activation_list: Some(list.iter().map(|each| show(each, call.now())).collect()),
        next_token,
    })
}

pub(super) async fn delete(
    call: Call,
    request: ssm::DeleteActivationRequest,
) -> Result<ssm::DeleteActivationResult, ApiError> {
    let id = request.activation_id.unwrap_or_default();
    let mut transaction = call.plane.store.write().await?;
    if !nodes::remove_activation(&mut transaction, &id).await? {
        return Err(ApiError::new(
            Code::InvalidActivationId,
            format!("There is no activation {id:?}."),
        ));
    }
    transaction.commit().await?;
    Ok(ssm::DeleteActivationResult {})
}
