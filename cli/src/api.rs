//! The client of the public API: awsJson1_1, signed, with a deadline.

mod stream;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use longshore_protocol::error::{ErrorBody, Retry, is_clock_skew, retry_class};
use longshore_protocol::sigv4::Call;
use longshore_protocol::{AWS_JSON, ECS_TARGET, SSM_TARGET, session};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::settings::Settings;
use crate::{clock, tls};

pub use stream::Stream;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a connection may take to stand.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes of an answer: a hundred tasks with ten containers each stay below 4 MiB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How often a call is made at most where the server says that it is its own fault.
const TRIES: u32 = 3;
/// The pause before a call is made again.
const PAUSE: Duration = Duration::from_millis(300);

/// A call that did not work.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No connection. May be tried again once somebody listens.
    #[error(
        "nothing answers at {endpoint} ({why}). Is the control plane running (`longshore up`), and is the endpoint right?"
    )]
    Unreachable {
        /// Where to.
        endpoint: String,
        /// The transport's words.
        why: String,
    },
    /// Somebody answers, with a certificate that isn't trusted here, or not by TLS.
    #[error(
        "{endpoint} is not trusted: {why}. If it speaks plain HTTP, write http://; if its certificate is its own \
         authority, name it in AWS_CA_BUNDLE (in the folder of `longshore up`: control-plane/tls.crt)"
    )]
    Untrusted {
        /// Where to.
        endpoint: String,
        /// The TLS library's words.
        why: String,
    },
    /// The deadline passed. May be tried again.
    #[error("{operation}: no answer from {endpoint} within {} s", DEADLINE.as_secs())]
    Deadline {
        /// The operation.
        operation: &'static str,
        /// Where to.
        endpoint: String,
    },
    /// An answer, but none of an AWS API.
    #[error("{operation}: {endpoint} does not speak the AWS API ({why}). Is the endpoint right?")]
    NotAws {
        /// The operation.
        operation: &'static str,
        /// Where to.
        endpoint: String,
        /// What came.
        why: String,
    },
    /// The service refused. The same call is refused again, unless the code says otherwise.
    #[error("{operation}: {code}: {message}{}", hint(code))]
    Refused {
        /// The operation.
        operation: &'static str,
        /// Such as `ClusterNotFoundException`.
        code: String,
        /// The service's words.
        message: String,
    },
    /// Trust can't be made.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

impl ApiError {
    /// Whether there was no answer at all.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Deadline { .. })
    }

    /// Whether the service refused what was asked for, and might grant the same for something else.
    #[must_use]
    pub fn is_about_the_request(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "InvalidParameterException")
    }
}

/// What to do about a code, where that can be said.
fn hint(code: &str) -> &'static str {
    match code {
        "InvalidSignatureException" => {
            " The secret key is not that of this control plane, or the clocks differ: take AWS_SECRET_ACCESS_KEY from \
             its data folder: `env` for `longshore up`, else `credentials`."
        }
        "UnrecognizedClientException" | "MissingAuthenticationTokenException" => {
            " This control plane does not know the key: take AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from its \
             data folder (`env` for `longshore up`, else `credentials`), and unset AWS_SESSION_TOKEN."
        }
        _ => "",
    }
}

/// Which API of an endpoint.
#[derive(Clone, Copy, Debug)]
enum Service {
    Ecs,
    Ssm,
    /// Longshore's own.
    Longshore,
}

/// Makes calls.
#[derive(Debug)]
pub struct Client {
    connector: HttpsConnector<HttpConnector>,
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    settings: Settings,
}

/// An answer, as it came.
struct Answer {
    status: u16,
    date: Option<jiff::Timestamp>,
    body: Bytes,
}

impl Client {
    /// A client with these settings.
    ///
    /// # Errors
    /// [`ApiError::Tls`].
    pub fn new(settings: Settings) -> Result<Self, ApiError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_DEADLINE));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls::config(settings.ca_bundle.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(https.clone());
        Ok(Self {
            connector: https,
            http,
            settings,
        })
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Calls an operation of the ECS API.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn ecs<Q: Serialize, A: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &Q,
    ) -> Result<A, ApiError> {
        self.call(Service::Ecs, operation, request).await
    }

    /// Calls an operation of the SSM API.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn ssm<Q: Serialize, A: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &Q,
    ) -> Result<A, ApiError> {
        self.call(Service::Ssm, operation, request).await
    }

    /// Calls an operation of Longshore's own API.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn longshore<Q: Serialize, A: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &Q,
    ) -> Result<A, ApiError> {
        self.call(Service::Longshore, operation, request).await
    }

    fn endpoint(&self, service: Service) -> &url::Url {
        match service {
            Service::Ecs | Service::Longshore => &self.settings.ecs,
            Service::Ssm => &self.settings.ssm,
        }
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        service: Service,
        operation: &'static str,
        request: &Q,
    ) -> Result<A, ApiError> {
        let endpoint = self.endpoint(service).to_string();
        let not_aws = |why: String| ApiError::NotAws {
            operation,
            endpoint: endpoint.clone(),
            why,
        };
        let body = Bytes::from(serde_json::to_vec(request).map_err(|error| not_aws(error.to_string()))?);
        // How far the server's clock is ahead of ours, once it said so.
        let mut ahead = jiff::SignedDuration::ZERO;
        let mut tries = 1;
        loop {
            let answer = self.send(service, operation, &body, clock::now() + ahead).await?;
            if answer.status == 200 {
                return serde_json::from_slice(&answer.body).map_err(|error| not_aws(error.to_string()));
            }
            let status = answer.status;
            let error: ErrorBody = serde_json::from_slice(&answer.body).unwrap_or_default();
            let code = error.bare_code().to_owned();
            if code.is_empty() && status < 500 {
                return Err(not_aws(format!("HTTP status {status}")));
            }
            let message = error.message.unwrap_or_default();
            let again = match answer.date {
                Some(date) if is_clock_skew(&code, &message) => {
                    ahead = date.duration_since(clock::now());
                    true
                }
                _ => retry_class(status, &code) == Retry::Later,
            };
            if !again || tries == TRIES {
                let code = if code.is_empty() {
                    format!("HTTP status {status}")
                } else {
                    code
                };
                return Err(ApiError::Refused {
                    operation,
                    code,
                    message,
                });
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn send(
        &self,
        service: Service,
        operation: &'static str,
        body: &Bytes,
        time: jiff::Timestamp,
    ) -> Result<Answer, ApiError> {
        let endpoint = self.endpoint(service);
        let unreachable = |why: String| ApiError::Unreachable {
            endpoint: endpoint.to_string(),
            why,
        };
        let no_connection = |error: &(dyn std::error::Error + 'static)| match tls_fault(error) {
            Some(why) => ApiError::Untrusted {
                endpoint: endpoint.to_string(),
                why,
            },
            None => unreachable(chain(error)),
        };
        let request = self
            .request(service, operation, body, time)
            .map_err(|error| unreachable(error.to_string()))?;
        let exchange = async {
            let (head, body) = self
                .http
                .request(request)
                .await
                .map_err(|error| no_connection(&error))?
                .into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| unreachable(chain(error.as_ref())))?;
            let date = head
                .headers
                .get(http::header::DATE)
                .and_then(|value| value.to_str().ok());
            Ok(Answer {
                status: head.status.as_u16(),
                date: date
                    .and_then(|text| jiff::fmt::rfc2822::parse(text).ok())
                    .map(|zoned| zoned.timestamp()),
                body: body.to_bytes(),
            })
        };
        match tokio::time::timeout(DEADLINE, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(ApiError::Deadline {
                operation,
                endpoint: endpoint.to_string(),
            }),
        }
    }

    fn request(
        &self,
        service: Service,
        operation: &str,
        body: &Bytes,
        time: jiff::Timestamp,
    ) -> Result<http::Request<Full<Bytes>>, http::Error> {
        let (name, prefix) = match service {
            Service::Ecs => ("ecs", ECS_TARGET),
            Service::Ssm => ("ssm", SSM_TARGET),
            Service::Longshore => ("ecs", session::TARGET),
        };
        let endpoint = self.endpoint(service);
        let target = format!("{prefix}.{operation}");
        let host = &endpoint[url::Position::BeforeHost..url::Position::AfterPort];
        let headers = [("content-type", AWS_JSON), ("x-amz-target", target.as_str())];
        let call = Call {
            method: "POST",
            path: endpoint.path(),
            query: endpoint.query().unwrap_or_default(),
            host,
            headers: &headers,
            body,
            region: &self.settings.region,
            service: name,
            time,
        };
        let signed = call.sign(&self.settings.credentials);
        let mut request = http::Request::post(endpoint.as_str()).header(http::header::HOST, host);
        for (name, value) in headers
            .iter()
            .copied()
            .chain(signed.iter().map(|(name, value)| (*name, value.as_str())))
        {
            request = request.header(name, value);
        }
        request.body(Full::new(body.clone()))
    }
}

/// What the TLS library said, if that is why a connection did not come about.
fn tls_fault(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(fault) = error.downcast_ref::<rustls::Error>() {
        return Some(fault.to_string());
    }
    // An I/O error's `source` skips what it wraps.
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => tls_fault(wrapped),
        None => error.source().and_then(tls_fault),
    }
}

/// An error and its causes in one line, without those that only say the same again.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
