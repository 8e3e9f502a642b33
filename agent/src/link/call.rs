//! One signed call: its request, and what its answer means.

use bytes::Bytes;
use http::header;
use http_body_util::Full;
use longshore_protocol::error::Retry;
use longshore_protocol::node::InstanceId;
use longshore_protocol::sigv4::{self, Credentials};
use longshore_protocol::{AWS_JSON, ECS_TARGET, SSM_TARGET};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

use super::answer::{check_shape, failure};
use super::key::{KeyError, NodeKey};
use super::server_time::ServerTime;
use crate::http::{Client, HttpError};

/// How long a call that is no poll may take, head and body.
const DEADLINE: Duration = Duration::from_secs(30);
/// The most bytes of an answer that is no poll's.
const LIMIT: usize = 1024 * 1024;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The address can't be called.
    #[error("{address:?} is no address: {why}")]
    Address { address: String, why: String },
    /// The service's own error.
    #[error("{code}: {message}")]
    Service {
        code: String,
        message: String,
        retry: Retry,
        retry_after: Option<Duration>,
    },
    /// An answer that the service does not give: a proxy's page, another server.
    #[error(
        "the answer (status {status}) is not the control plane's: {why}; is a proxy or another server there?"
    )]
    Foreign {
        status: u16,
        why: String,
        retry_after: Option<Duration>,
    },
    /// The request can't be made.
    #[error("{0}")]
    Key(#[from] KeyError),
}

/// Who signs.
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    /// Nobody: the body authenticates itself.
    Nobody,
    /// A node's temporary credentials.
    Credentials(&'a Credentials),
    /// A node's own key.
    Key(&'a InstanceId, &'a NodeKey),
}

/// What is called.
#[derive(Clone, Copy)]
pub(super) struct Operation<'a> {
    /// Scheme, host and port.
    pub(super) endpoint: &'a str,
    /// `/` for the APIs.
    pub(super) path: &'a str,
    /// `ecs` or `ssm`.
    pub(super) service: &'static str,
    /// `X-Amz-Target`'s first half; none for the poll.
    pub(super) target: Option<&'static str>,
    /// The operation's name.
    pub(super) name: &'static str,
    /// How long it may take.
    pub(super) deadline: Duration,
    /// The most bytes of its answer.
    pub(super) limit: usize,
}

impl<'a> Operation<'a> {
    pub(super) fn ecs(endpoint: &'a str, name: &'static str) -> Self {
        Self::api(endpoint, "ecs", ECS_TARGET, name)
    }

    pub(super) fn ssm(endpoint: &'a str, name: &'static str) -> Self {
        Self::api(endpoint, "ssm", SSM_TARGET, name)
    }

    fn api(endpoint: &'a str, service: &'static str, target: &'static str, name: &'static str) -> Self {
        Self {
            endpoint,
            path: "/",
            service,
            target: Some(target),
            name,
            deadline: DEADLINE,
            limit: LIMIT,
        }
    }
}

/// Makes calls.
pub(super) struct Caller {
    pub(super) http: Client,
    pub(super) region: String,
    pub(super) time: ServerTime,
}

impl Caller {
    /// Calls; once more where the clocks turn out to differ.
    pub(super) async fn call<I: Serialize, O: DeserializeOwned>(
        &self,
        operation: Operation<'_>,
        input: &I,
        signer: Signer<'_>,
    ) -> Result<O, CallError> {
        let body = serde_json::to_vec(input)
            .map(Bytes::from)
            .map_err(|error| foreign(0, error.to_string()))?;
        let answer = match self.once(operation, body.clone(), signer).await {
            Err(CallError::Service {
                retry: Retry::WithServerTime,
                ..
            }) => self.once(operation, body, signer).await?,
            other => other?,
        };
        check_shape(&answer).map_err(|why| foreign(200, why))?;
        serde_json::from_slice(&answer).map_err(|error| foreign(200, error.to_string()))
    }

    async fn once(
        &self,
        operation: Operation<'_>,
        body: Bytes,
        signer: Signer<'_>,
    ) -> Result<Bytes, CallError> {
        let request = self.request(operation, body, signer)?;
        let verified = request.uri().scheme_str() == Some("https");
        let (head, body) = self
            .http
            .fetch(request, operation.limit, operation.deadline)
            .await?
            .into_parts();
        if let Some(date) = head.headers.get(header::DATE).and_then(|date| date.to_str().ok()) {
            self.time.learn(date, verified);
        }
        match head.status.is_success() {
            true => Ok(body),
            false => Err(failure(head.status.as_u16(), &head.headers, &body)),
        }
    }

    fn request(
        &self,
        operation: Operation<'_>,
        body: Bytes,
        signer: Signer<'_>,
    ) -> Result<http::Request<Full<Bytes>>, CallError> {
        let address = format!("{}{}", operation.endpoint.trim_end_matches('/'), operation.path);
        let bad = |why: String| CallError::Address {
            address: address.clone(),
            why,
        };
        let url = url::Url::parse(&address).map_err(|error| bad(error.to_string()))?;
        let host = authority(&url).ok_or_else(|| bad("it has no host".to_owned()))?;
        let target = operation
            .target
            .map(|prefix| format!("{prefix}.{}", operation.name));
        let content_type = if target.is_some() {
            AWS_JSON
        } else {
            "application/json"
        };
        let mut headers = vec![("content-type", content_type)];
        headers.extend(target.as_deref().map(|target| ("x-amz-target", target)));
        let call = sigv4::Call {
            method: "POST",
            path: url.path(),
            query: "",
            host: &host,
            headers: &headers,
            body: &body,
            region: &self.region,
            service: operation.service,
            time: self.time.now(),
        };
        let signed = match signer {
            Signer::Nobody => Vec::new(),
            Signer::Credentials(credentials) => call.sign(credentials),
            Signer::Key(id, key) => call.sign_by(id.as_str(), None, |text, _| key.sign(text))?,
        };
        let mut builder = http::Request::post(url.as_str()).header(header::HOST, &host);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        for (name, value) in signed {
            builder = builder.header(name, value);
        }
        builder
            .body(Full::new(body))
            .map_err(|error| bad(error.to_string()))
    }
}

fn foreign(status: u16, why: String) -> CallError {
    CallError::Foreign {
        status,
        why,
        retry_after: None,
    }
}

/// Host and port as the `Host` header has them: without a scheme's own port.
pub(super) fn authority(url: &url::Url) -> Option<String> {
    let host = url.host_str()?;
    Some(
        url.port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_leaves_out_only_the_schemes_own_port() {
        let of = |text: &str| authority(&url::Url::parse(text).unwrap()).unwrap();
        assert_eq!(of("https://a:443/"), "a");
        assert_eq!(of("http://127.0.0.1:8474/"), "127.0.0.1:8474");
        assert_eq!(of("https://[::1]:8474/v1/poll"), "[::1]:8474");
    }
}
