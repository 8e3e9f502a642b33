//! containerd's image records: which digest a name stands for here.

use std::collections::HashMap;

use prost_types::FieldMask;

use super::walk::Target;
use crate::containerd::services::v1::{CreateImageRequest, GetImageRequest, Image, UpdateImageRequest};
use crate::containerd::types::Descriptor;
use crate::containerd::{CallError, Class, Client, Optional, QUICK, call};

/// Says which agent pulled an image.
pub const INSTANCE_LABEL: &str = "longshore.instance";

/// An image as containerd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the name stands for.
    pub target: Target,
    /// Which agent pulled it, if one did.
    pub instance: Option<String>,
}

/// The record of a name.
pub async fn get(client: &Client, name: &str) -> Result<Option<Record>, CallError> {
    let request = GetImageRequest {
        name: name.to_owned(),
    };
    let response = call("GetImage", name, QUICK, client.images().get(request)).await;
    let Some(image) = response.optional()?.and_then(|response| response.image) else {
        return Ok(None);
    };
    let Some(target) = image.target else {
        return Ok(None);
    };
    // A digest of another kind was not pulled by this agent, and can't be used.
    Ok(target.digest.parse().ok().map(|digest| Record {
        target: Target {
            media_type: target.media_type,
            digest,
            size: u64::try_from(target.size).unwrap_or(0),
        },
        instance: image.labels.get(INSTANCE_LABEL).cloned(),
    }))
}

/// Makes a name stand for `target`; other people's labels stay.
pub async fn put(client: &Client, name: &str, target: &Target, instance: &str) -> Result<(), CallError> {
    let image = Image {
        name: name.to_owned(),
        labels: HashMap::from([(INSTANCE_LABEL.to_owned(), instance.to_owned())]),
        target: Some(Descriptor {
            media_type: target.media_type.clone(),
            digest: target.digest.to_string(),
            size: i64::try_from(target.size).unwrap_or(i64::MAX),
            ..Descriptor::default()
        }),
        ..Image::default()
    };
    let request = CreateImageRequest {
        image: Some(image.clone()),
        ..CreateImageRequest::default()
    };
    match call("CreateImage", name, QUICK, client.images().create(request)).await {
        Ok(_) => return Ok(()),
        Err(error) if error.class == Class::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let request = UpdateImageRequest {
        image: Some(image),
        update_mask: Some(FieldMask {
            paths: vec!["target".to_owned(), format!("labels.{INSTANCE_LABEL}")],
        }),
        ..UpdateImageRequest::default()
    };
    call("UpdateImage", name, QUICK, client.images().update(request))
        .await
        .map(drop)
}
