//! Connections for something else than calls: with the trust, and to the hosts, that calls have.

use std::time::Duration;

use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::{ApiError, CONNECT_DEADLINE, Client, chain, tls_fault};

/// For a connection with its TLS handshake.
const DEADLINE: Duration = CONNECT_DEADLINE;

/// A connection, with TLS or without.
pub type Stream = TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>;

impl Client {
    /// Connects to the host of a `ws://`, `wss://`, `http://` or `https://` URL.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`], [`ApiError::Untrusted`].
    pub async fn connect(&self, url: &url::Url) -> Result<Stream, ApiError> {
        let unreachable = |why: String| ApiError::Unreachable {
            endpoint: url.to_string(),
            why,
        };
        let scheme = match url.scheme() {
            "wss" | "https" => "https",
            _ => "http",
        };
        let place = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let uri: http::Uri = format!("{scheme}://{place}/")
            .parse()
            .map_err(|error: http::uri::InvalidUri| unreachable(error.to_string()))?;
        let connected = tokio::time::timeout(DEADLINE, self.connector.clone().oneshot(uri)).await;
        match connected {
            Ok(Ok(stream)) => Ok(TokioIo::new(stream)),
            Ok(Err(error)) => Err(match tls_fault(error.as_ref()) {
                Some(why) => ApiError::Untrusted {
                    endpoint: url.to_string(),
                    why,
                },
                None => unreachable(chain(error.as_ref())),
            }),
            Err(_) => Err(unreachable(format!(
                "no connection within {} s",
                DEADLINE.as_secs()
            ))),
        }
    }
}
