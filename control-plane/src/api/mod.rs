//! The HTTP surface: awsJson1_1 at `POST /`, the long poll at `POST /v1/poll`, sessions' websockets at
//! `GET /v1/data-channel/ID`, `GET /healthz`.
//!
//! Order of every call: size → operation known → signature → permission → JSON → model constraints → the operation.
//! Every answer carries a request id and the time (which clients correct their clocks by).

mod activations;
mod body;
mod clusters;
mod container_instances;
mod data_channel;
pub(crate) mod dispatch;
mod exec_logging;
#[cfg(test)]
mod fuzz;
mod managed_instances;
mod page;
mod placement;
mod refs;
mod register_instance;
pub(crate) mod reports;
mod run_task;
mod sessions;
mod shape;
mod tags;
mod task_definitions;
mod tasks;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, Request, header, request::Parts};
use longshore_protocol::error::ErrorBody;
use longshore_protocol::node::InstanceId;
use longshore_protocol::poll::{MAX_REQUEST_BYTES, PATH, PollRequest};
use longshore_protocol::session::path;
use longshore_protocol::{AWS_JSON, sigv4};

use crate::agents;
use crate::app::ControlPlane;
use crate::auth::{Access, Principal, SignedRequest};
use crate::error::{ApiError, Code};

pub(crate) use body::Bodies;
#[cfg(test)]
pub(crate) use dispatch::call_as;

/// The most bytes of an API request: a task definition of 64 KiB, escaped at its worst, fits many times.
const MAX_BODY: usize = 1024 * 1024;
/// The most objects and lists in one: a definition of 64 KiB has some three thousand.
const MAX_BODY_NODES: usize = 8 * 1024;
/// The most of them in a poll: a list of as many tasks as fit, and the bodies of some.
const MAX_POLL_NODES: usize = 2 * longshore_protocol::shape::MAX_NODES;
/// A task is made of a definition and of RunTask's overrides, each of which came in a request, and of a few for each
/// container: so what is taken can be assigned.
const _: () = assert!(2 * MAX_BODY_NODES + 1024 <= longshore_protocol::poll::MAX_ASSIGNMENT_NODES);
/// The most bytes of a request that nobody signs: a key, a code and a few words.
const MAX_ANONYMOUS_BODY: usize = 64 * 1024;

/// Who calls, and where: what every operation gets beside its request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The control plane.
    pub(crate) plane: Arc<ControlPlane>,
    /// The caller.
    pub(crate) principal: Principal,
    /// The id of the key that signed; empty where nobody did.
    pub(crate) key_id: String,
    /// The machine that a node's credentials were given to, as [`crate::auth::machine`] has it.
    pub(crate) machine: Option<String>,
    /// The URL by which nodes reach this control plane.
    pub(crate) base_url: String,
}

impl Call {
    /// That what belongs to this node may be touched: operators may touch everything, a node its own.
    pub(crate) fn require_own(&self, owner: &InstanceId) -> Result<(), ApiError> {
        match &self.principal {
            Principal::Operator => Ok(()),
            Principal::Node(id) if id == owner => Ok(()),
            Principal::Node(id) => Err(ApiError::denied(format!(
                "The node {id} may touch only what is its own."
            ))),
            Principal::NodeKey(_) | Principal::Anonymous => Err(ApiError::denied("Sign with credentials.")),
        }
    }

    /// The time in milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.plane.clock.now_millis()
    }
}

/// The whole surface of a control plane.
pub fn router(plane: Arc<ControlPlane>) -> Router {
    Router::new()
        .route("/", post(api))
        .route(PATH, post(poll))
        .route(&path("{id}"), get(data_channel::open))
        .route("/healthz", get(health))
        .fallback(nothing_here)
        .method_not_allowed_fallback(nothing_here)
        .with_state(plane)
}

async fn api(State(plane): State<Arc<ControlPlane>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let result = async {
        let limit = match dispatch::access_of(&parts) {
            Some(Access::Anonymous) => MAX_ANONYMOUS_BODY,
            Some(Access::Operator | Access::Node | Access::NodeKey) | None => MAX_BODY,
        };
        let body = plane.bodies.read(body, limit).await?;
        dispatch::dispatch(&plane, &parts, body).await
    };
    respond(&plane, result.await)
}

async fn poll(State(plane): State<Arc<ControlPlane>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let result = async {
        let body = plane.bodies.read(body, MAX_REQUEST_BYTES).await?;
        let signed = SignedRequest {
            parts: &parts,
            body: &body,
        };
        let node = match plane
            .auth
            .authenticate(&plane.store, &signed, "ecs", Access::Node)
            .await?
        {
            Principal::Node(node) => node,
            _ => {
                return Err(ApiError::denied(
                    "Only a node may poll, for its own container instance.",
                ));
            }
        };
        let request: PollRequest = parse(&body, MAX_POLL_NODES)?;
        // Not while the poll waits.
        drop(body);
        let response = agents::poll::serve(&plane, &node, request).await?;
        write(&response)
    };
    respond(&plane, result.await)
}

/// Whether the database answers.
async fn health(State(plane): State<Arc<ControlPlane>>) -> Response {
    let result = async {
        let mut connection = plane.store.read().await?;
        sqlx::query("SELECT 1").execute(&mut *connection).await?;
        Ok(br#"{"status":"ok"}"#.to_vec())
    };
    respond(&plane, result.await)
}

async fn nothing_here(State(plane): State<Arc<ControlPlane>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    respond(&plane, Err(dispatch::unknown(&parts)))
}

/// A JSON object of at most `nodes` objects and lists as this shape. Unknown members are ignored, `null` is absent, no body at all is an empty object.
fn parse<T>(body: &[u8], nodes: usize) -> Result<T, ApiError>
where
    T: serde::de::DeserializeOwned + serde::Serialize,
{
    let serialization = |message: String| ApiError::new(Code::Serialization, message);
    let text = match body.trim_ascii() {
        b"" => b"{}",
        // serde would take a list for a structure.
        text if text.first() == Some(&b'{') => text,
        _ => return Err(serialization("The body is no JSON object.".to_owned())),
    };
    longshore_protocol::shape::check(text, nodes)
        .map_err(|why| serialization(format!("The body can not be read: {why}.")))?;
    let wrong = |error: serde_json::Error| serialization(error.to_string());
    let read: T = serde_json::from_slice(text).map_err(wrong)?;
    let given: serde_json::Value = serde_json::from_slice(text).map_err(wrong)?;
    let kept = serde_json::to_value(&read).map_err(wrong)?;
    match shape::list_for_structure(&given, &kept) {
        Some(path) => Err(serialization(format!(
            "{}: a list can not be converted to a structure",
            path.trim_start_matches('.')
        ))),
        None => Ok(read),
    }
}

fn write<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer can't be written as JSON");
        ApiError::server()
    })
}

fn respond(plane: &ControlPlane, result: Result<Vec<u8>, ApiError>) -> Response {
    let id = uuid::Uuid::new_v4().to_string();
    let (status, body, code) = match result {
        Ok(body) => (http::StatusCode::OK, body, None),
        Err(error) => {
            tracing::debug!(
                request = id,
                code = error.code.as_str(),
                message = error.message,
                "refused"
            );
            let body = ErrorBody {
                code: error.code.as_str().to_owned(),
                message: Some(error.message),
                resource_ids: (!error.resource_ids.is_empty()).then_some(error.resource_ids),
            };
            (
                error.code.status(),
                write(&body).unwrap_or_default(),
                Some(error.code),
            )
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(AWS_JSON));
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), value);
    }
    if let Some(code) = code {
        headers.insert(
            HeaderName::from_static("x-amzn-errortype"),
            HeaderValue::from_static(code.as_str()),
        );
    }
    // From our clock, not the HTTP library's: clients sign by it.
    let date = plane
        .clock
        .now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    if let Ok(value) = HeaderValue::from_str(&date) {
        headers.insert(header::DATE, value);
    }
    response
}

/// The URL by which the caller came, or the one that was configured.
fn base_url(plane: &ControlPlane, parts: &Parts) -> String {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host
        .or(parts.uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or("localhost");
    plane
        .public_url
        .clone()
        .unwrap_or_else(|| format!("{}://{host}", plane.scheme))
}

/// A hash of a request, to tell whether a second one is the same.
fn hash_of<T: serde::Serialize>(request: &T) -> Result<String, ApiError> {
    Ok(sigv4::sha256_hex(&write(request)?))
}
