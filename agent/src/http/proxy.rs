//! Connections straight or through a proxy.
//!
//! Every proxied connection is a CONNECT tunnel, those to plain-HTTP targets too. This machine itself is never reached
//! through a proxy.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::config::ProxyConfig;

const NEVER: &str = "localhost,127.0.0.0/8,::1";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes TCP connections to where a URI leads.
#[derive(Clone, Debug)]
pub struct Connector {
    tcp: HttpConnector,
    proxies: Option<std::sync::Arc<Matcher>>,
}

impl Connector {
    /// Through the proxies that are set.
    #[must_use]
    pub fn new(tcp: HttpConnector, proxy: &ProxyConfig) -> Self {
        let proxies = (proxy.https.is_some() || proxy.http.is_some()).then(|| {
            let no = proxy
                .no
                .as_deref()
                .map_or_else(|| NEVER.to_owned(), |no| format!("{no},{NEVER}"));
            Matcher::builder()
                .https(proxy.https.clone().unwrap_or_default())
                .http(proxy.http.clone().unwrap_or_default())
                .no(no)
                .build()
                .into()
        });
        Self { tcp, proxies }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let proxy = self
            .proxies
            .as_ref()
            .and_then(|proxies| proxies.intercept(&target));
        let Some(proxy) = proxy else {
            let straight = self.tcp.call(target);
            return Box::pin(async { straight.await.map_err(Into::into) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(login) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(login.clone());
        }
        Box::pin(async move {
            let target = with_port(&target)?;
            tunnel.call(target).await.map_err(Into::into)
        })
    }
}

/// A tunnel is to a port; the tunnel's own default is that of https.
fn with_port(target: &Uri) -> Result<Uri, BoxError> {
    let host = target.host().ok_or("the address has no host")?;
    let port = target.port_u16().unwrap_or(match target.scheme_str() {
        Some("http") => 80,
        _ => 443,
    });
    Ok(Uri::builder()
        .scheme(target.scheme_str().unwrap_or("https"))
        .authority(format!("{host}:{port}"))
        .path_and_query("/")
        .build()?)
}
