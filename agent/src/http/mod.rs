//! The one HTTP client: TLS by rustls, a corrected clock, proxies, limits, deadlines, and which failures may be tried
//! again.

mod proxy;
mod time;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::ProxyConfig;

pub use time::CertificateClock;
pub use tls::{Fingerprint, InvalidFingerprint, Trust, certificates, client_config, system_roots};

/// A connection as whoever reads and writes it has it, whatever is below.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A request that got no answer, or half of one.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or it broke.
    #[error("{uri}: {why}")]
    Connection {
        /// Where to.
        uri: String,
        /// The transport's words, from the outermost to the innermost.
        why: String,
    },
    /// The deadline passed.
    #[error("{uri}: no answer within {} s", deadline.as_secs())]
    Deadline {
        /// Where to.
        uri: String,
        /// How long it was waited.
        deadline: Duration,
    },
    /// The answer's body is longer than the caller takes.
    #[error("{uri}: the answer is longer than {limit} bytes")]
    TooLong {
        /// Where to.
        uri: String,
        /// The most that is taken.
        limit: usize,
    },
    /// The trust store can't be made.
    #[error("TLS: {0}")]
    Tls(String),
}

impl HttpError {
    /// Whether the same request may get an answer later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Deadline { .. } => true,
            Self::TooLong { .. } | Self::Tls(_) => false,
        }
    }
}

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection whose other end has acknowledged nothing for this long is dead: a link that was cut ends no connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// An idle connection is asked for a sign of life this often, so that a dead one is not used for the next call.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How often that is asked again without an answer, where no other rule says when a connection is dead.
const KEEPALIVES: u32 = 2;
/// Bytes that a connection reads ahead, and what the head of an answer may have. With hyper's own 400 KiB, layers that
/// come at the same time would be most of an agent's memory.
const READ_AHEAD: usize = 64 << 10;
/// Idle connections are kept this long: longer than the pause between two polls.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Sends requests; cloning is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Inner,
    /// For requests after which the connection is another protocol's.
    lasting: Inner,
}

type Inner = HyperClient<HttpsConnector<proxy::Connector>, Full<Bytes>>;

impl Client {
    /// A client that trusts as `tls` says and knows no proxy.
    #[must_use]
    pub fn new(tls: rustls::ClientConfig) -> Self {
        Self::through(tls, &ProxyConfig::default())
    }

    /// A client that trusts as `tls` says and goes through `proxy`.
    #[must_use]
    pub fn through(tls: rustls::ClientConfig, proxy: &ProxyConfig) -> Self {
        let inner = build(HttpConnector::new(), tls, proxy);
        Self {
            lasting: inner.clone(),
            inner,
        }
    }

    /// As [`Client::through`], and a connection whose other end acknowledges nothing for 20 seconds is dropped. For calls
    /// that are made again anyway; not for downloads, whose patience is a setting, nor for what a connection is upgraded to:
    /// there the other end may leave things unread for long, which the kernel would take for the same.
    #[must_use]
    pub fn watchful(tls: rustls::ClientConfig, proxy: &ProxyConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        let mut lasting = tcp.clone();
        lasting.set_tcp_user_timeout(None);
        lasting.set_keepalive_retries(Some(KEEPALIVES));
        Self {
            inner: build(tcp, tls.clone(), proxy),
            lasting: build(lasting, tls, proxy),
        }
    }

    /// Sends a request whose answer may be another protocol's beginning, and waits for its head.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn upgrade(
        &self,
        request: http::Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<http::Response<Incoming>, HttpError> {
        by(&self.lasting, request, deadline).await
    }

    /// Sends a request and waits for the head of the answer; the body streams.
    ///
    /// # Errors
    /// [`HttpError::Connection`] and [`HttpError::Deadline`]: both may be tried again.
    pub async fn send(
        &self,
        request: http::Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<http::Response<Incoming>, HttpError> {
        by(&self.inner, request, deadline).await
    }

    /// Sends a request and reads the whole answer, head and body within one deadline.
    ///
    /// # Errors
    /// As [`Client::send`], and [`HttpError::TooLong`].
    pub async fn fetch(
        &self,
        request: http::Request<Full<Bytes>>,
        limit: usize,
        deadline: Duration,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let uri = request.uri().to_string();
        let whole = async {
            let (head, body) = self.send(request, deadline).await?.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|error| {
                match error.is::<http_body_util::LengthLimitError>() {
                    true => HttpError::TooLong {
                        uri: uri.clone(),
                        limit,
                    },
                    false => HttpError::Connection {
                        uri: uri.clone(),
                        why: chain(error.as_ref()),
                    },
                }
            })?;
            Ok(http::Response::from_parts(head, body.to_bytes()))
        };
        match tokio::time::timeout(deadline, whole).await {
            Err(_) => Err(HttpError::Deadline {
                uri: uri.clone(),
                deadline,
            }),
            Ok(result) => result,
        }
    }
}

fn build(mut tcp: HttpConnector, tls: rustls::ClientConfig, proxy: &ProxyConfig) -> Inner {
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1();
    HyperClient::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_timer(hyper_util::rt::TokioTimer::new())
        .http1_max_buf_size(READ_AHEAD)
        .build(https.wrap_connector(proxy::Connector::new(tcp, proxy)))
}

async fn by(
    client: &Inner,
    request: http::Request<Full<Bytes>>,
    deadline: Duration,
) -> Result<http::Response<Incoming>, HttpError> {
    let uri = request.uri().to_string();
    match tokio::time::timeout(deadline, client.request(request)).await {
        Err(_) => Err(HttpError::Deadline { uri, deadline }),
        Ok(Err(error)) => Err(HttpError::Connection {
            uri,
            why: format!("{}{}", chain(&error), tls::advice(&error).unwrap_or_default()),
        }),
        Ok(Ok(response)) => Ok(response),
    }
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
