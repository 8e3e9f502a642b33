//! `GET /v1/data-channel/{id}`: where the two sides of a session come in.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Request;
use http::request::Parts;
use longshore_protocol::node::InstanceId;

use super::respond;
use crate::app::ControlPlane;
use crate::auth::{Access, Principal, SignedRequest};
use crate::error::ApiError;
use crate::sessions::door;

/// Which side comes.
enum Role {
    Client,
    Agent,
}

fn role(parts: &Parts) -> Result<Role, ApiError> {
    let mut pairs = parts.uri.query().unwrap_or_default().split('&');
    match pairs.find_map(|pair| pair.strip_prefix("role=")) {
        Some("publish_subscribe") => Ok(Role::Client),
        Some("agent") => Ok(Role::Agent),
        _ => Err(ApiError::client(
            "A data channel's role is publish_subscribe or agent.",
        )),
    }
}

pub(super) async fn open(
    State(plane): State<Arc<ControlPlane>>,
    Path(id): Path<String>,
    mut request: Request<Body>,
) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let Some(accepted) = door::accept(&parts.headers) else {
        let text = "A data channel is a websocket of version 13: ask for an upgrade to one.";
        return respond(&plane, Err(ApiError::client(text)));
    };
    match role(&parts) {
        Ok(Role::Client) => door::client(&plane, id, &parts, upgrade),
        Ok(Role::Agent) => match agent(&plane, &id, &parts).await {
            Ok(()) => door::agent(&plane, id, &parts, upgrade),
            Err(refused) => return respond(&plane, Err(refused)),
        },
        Err(refused) => return respond(&plane, Err(refused)),
    }
    accepted
}

/// That it is the agent of the session's node.
async fn agent(plane: &ControlPlane, id: &str, parts: &Parts) -> Result<(), ApiError> {
    let signed = SignedRequest { parts, body: &[] };
    let auth = &plane.auth;
    match auth
        .authenticate(&plane.store, &signed, "ecs", Access::Node)
        .await?
    {
        Principal::Node(node) => own(plane, &node, &signed, id).await,
        _ => Err(ApiError::denied(
            "Only a node may take an agent's side of a session.",
        )),
    }
}

async fn own(
    plane: &ControlPlane,
    node: &InstanceId,
    signed: &SignedRequest<'_>,
    id: &str,
) -> Result<(), ApiError> {
    let machine = plane.auth.machine(signed, "ecs");
    door::agent_may_come(plane, node, machine.as_deref(), id).await
}
