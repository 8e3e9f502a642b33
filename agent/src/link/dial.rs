//! The way of a session: a websocket to the control plane's relay, over the link's own connections and signed as a poll.

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use longshore_protocol::error::Retry;
use longshore_protocol::session;
use longshore_protocol::sigv4::{self, Credentials};
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::answer::failure;
use super::call::{CallError, Caller, authority};
use super::client::{Link, link_error};
use super::{LinkError, SessionLink};
use crate::http::Connection;

const NAME: &str = "data channel";
/// What the agent's side of a session asks for.
const QUERY: &str = "role=agent";
/// How long the upgrade may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// The most bytes of a refusal.
const LIMIT: usize = 16 * 1024;

/// A session that can't be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The control plane says that it is over, or none of this node's.
    #[error("the session is over: {0}")]
    Over(String),
    /// Again later.
    #[error(transparent)]
    Link(#[from] LinkError),
}

#[async_trait]
impl SessionLink for Link {
    async fn dial(&self, session_id: &str) -> Result<Box<dyn Connection>, DialError> {
        let endpoint = self.session_endpoint().await?;
        let credentials = self.credentials.get(&self.caller).await?;
        let error = match upgrade(&self.caller, &endpoint, session_id, &credentials).await {
            Ok(socket) => return Ok(socket),
            Err(refusal) => refusal,
        };
        let again = match &error.error {
            CallError::Service {
                retry: Retry::WithServerTime,
                ..
            } => Some(credentials),
            refused => self.instead_of(&credentials, refused).await?,
        };
        let Some(credentials) = again else {
            return Err(error.judged());
        };
        let socket = upgrade(&self.caller, &endpoint, session_id, &credentials).await;
        socket.map_err(Refusal::judged)
    }
}

/// An upgrade that did not come about.
struct Refusal {
    /// Of the answer, if there was one.
    status: Option<StatusCode>,
    error: CallError,
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self { status: None, error }
    }
}

impl Refusal {
    /// Only what the control plane itself says ends a session, not the page of a proxy.
    fn judged(self) -> DialError {
        let over = matches!(self.status, Some(StatusCode::NOT_FOUND | StatusCode::GONE));
        match self.error {
            CallError::Service { message, .. } if over => DialError::Over(message),
            error => DialError::Link(link_error(NAME, error)),
        }
    }
}

async fn upgrade(
    caller: &Caller,
    endpoint: &str,
    session_id: &str,
    credentials: &Credentials,
) -> Result<Box<dyn Connection>, Refusal> {
    let key = base64::engine::general_purpose::STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
    let request = request(caller, endpoint, session_id, (&key, credentials))?;
    let verified = request.uri().scheme_str() == Some("https");
    let response = caller.http.upgrade(request, DEADLINE).await;
    let response = response.map_err(CallError::from)?;
    let (status, headers) = (response.status(), response.headers().clone());
    if let Some(date) = headers.get(header::DATE).and_then(|date| date.to_str().ok()) {
        caller.time.learn(date, verified);
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body = tokio::time::timeout(DEADLINE, Limited::new(response.into_body(), LIMIT).collect()).await;
        // Without its text the status still says something.
        let body = body.ok().and_then(Result::ok);
        let body = body.map_or_else(Bytes::new, |body| body.to_bytes());
        return Err(Refusal {
            status: Some(status),
            error: failure(status.as_u16(), &headers, &body),
        });
    }
    let accepted = headers.get(header::SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none_or(|accepted| accepted.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        let why = "it switches protocols, but not to a websocket".to_owned();
        return Err(foreign(why).into());
    }
    let upgraded = hyper::upgrade::on(response).await;
    let upgraded = upgraded.map_err(|error| foreign(error.to_string()))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

fn request(
    caller: &Caller,
    endpoint: &str,
    session_id: &str,
    (key, credentials): (&str, &Credentials),
) -> Result<http::Request<Full<Bytes>>, CallError> {
    let path = session::path(session_id);
    let address = format!("{}{path}?{QUERY}", endpoint.trim_end_matches('/'));
    let bad = |why: String| CallError::Address {
        address: address.clone(),
        why,
    };
    let url = url::Url::parse(&address).map_err(|error| bad(error.to_string()))?;
    let host = authority(&url).ok_or_else(|| bad("it has no host".to_owned()))?;
    let call = sigv4::Call {
        method: "GET",
        path: url.path(),
        query: QUERY,
        host: &host,
        headers: &[],
        body: b"",
        region: &caller.region,
        service: "ecs",
        time: caller.time.now(),
    };
    let mut builder = http::Request::get(url.as_str())
        .header(header::HOST, &host)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, key);
    for (name, value) in call.sign(credentials) {
        builder = builder.header(name, value);
    }
    builder
        .body(Full::default())
        .map_err(|error| bad(error.to_string()))
}

fn foreign(why: String) -> CallError {
    CallError::Foreign {
        status: StatusCode::SWITCHING_PROTOCOLS.as_u16(),
        why,
        retry_after: None,
    }
}
