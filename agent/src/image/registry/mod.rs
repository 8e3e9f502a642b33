//! Asks registries, by the OCI distribution API: which digest a tag has, manifests, blobs.
//!
//! Invariants: a login goes nowhere but to the host that it is for; what is fetched by digest may come from anywhere,
//! what is looked up by tag never comes over a redirect from TLS to plain text. Nothing is tried again here, except
//! once with a new token, and at the next host of `hosts.toml`.
//!
//! Why not `oci-client`: it brings reqwest, chrono and regex into an agent that is to stay small and has hyper already,
//! knows no `hosts.toml`, and does not give the registry's words, `Retry-After` or a broken blob's offset to its caller.

mod auth;
mod body;
mod error;
mod hosts;
mod request;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};

use self::auth::Logins;
use self::hosts::Endpoint;
use self::request::{Answered, Ask};
use self::tls::Clients;
use super::digest::Digest;
use super::manifest::{ACCEPT, DOCUMENT_LIMIT};
use super::reference::Reference;
use crate::clock::Clock;
use crate::config::{ImageConfig, ProxyConfig};
use crate::http::{CertificateClock, Client};

pub use body::Blob;
pub use error::RegistryError;

/// What a registry has under a reference.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The digest of the manifest or index.
    pub digest: Digest,
    /// The document, where it had to be fetched to know its digest.
    pub document: Option<Fetched>,
}

/// A manifest or an index, whose digest has been checked.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The registry's Content-Type, if any.
    pub media_type: Option<String>,
    /// The document itself.
    pub bytes: Bytes,
}

/// Speaks to every registry; connections and tokens are kept.
pub struct Registries {
    clients: Clients,
    logins: Logins,
    folder: PathBuf,
    inactivity: Duration,
    clock: Arc<dyn Clock>,
}

/// How registries are reached.
pub struct Reach {
    /// The agent's client.
    pub http: Client,
    /// The proxies that it goes through.
    pub proxy: ProxyConfig,
    /// What certificates are judged by.
    pub time: Arc<CertificateClock>,
}

impl Registries {
    /// With the logins and folders of `config`.
    #[must_use]
    pub fn new(reach: Reach, config: &ImageConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            clients: Clients::new(reach.http, reach.proxy, reach.time),
            logins: Logins::new(&config.auth),
            folder: config.registry_config_dir.clone(),
            inactivity: config.inactivity_timeout,
            clock,
        }
    }

    /// The digest that a reference has now. `deadline` is for each host that is asked.
    ///
    /// # Errors
    /// [`RegistryError`] of the last host that was asked.
    pub async fn resolve(
        &self,
        reference: &Reference,
        deadline: Duration,
    ) -> Result<Resolved, RegistryError> {
        let mut failures = Failures::new("resolve", reference);
        let endpoints = self.endpoints(reference).await?;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.resolves) {
            match self.resolve_at(endpoint, reference, deadline).await {
                Ok(resolved) => return Ok(resolved),
                Err(error) => failures.push(error),
            }
        }
        Err(failures.last)
    }

    async fn resolve_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        deadline: Duration,
    ) -> Result<Resolved, RegistryError> {
        let ask = |method| Ask {
            endpoint,
            reference,
            method,
            path: format!("manifests/{}", reference.target()),
            accept: Some(ACCEPT),
            range: None,
            by_digest: reference.digest().is_some(),
            deadline,
        };
        let head = self.ask(&ask(Method::HEAD)).await?.response;
        if head.status() == StatusCode::OK
            && let Some(digest) = said_digest(head.headers())
        {
            return Ok(Resolved {
                digest,
                document: None,
            });
        }
        // A refusal of HEAD has no words in it, and some servers do not know HEAD or say no digest: GET has both.
        drop(head);
        let (said, fetched) = self.document(&ask(Method::GET)).await?;
        let own = Digest::sha256(&fetched.bytes);
        let digest = said.filter(|said| said.is_of(&fetched.bytes)).unwrap_or(own);
        Ok(Resolved {
            digest,
            document: Some(fetched),
        })
    }

    /// A manifest or an index by its digest.
    ///
    /// # Errors
    /// [`RegistryError`] of the last host that was asked.
    pub async fn manifest(
        &self,
        reference: &Reference,
        digest: &Digest,
        deadline: Duration,
    ) -> Result<Fetched, RegistryError> {
        let mut failures = Failures::new("pull", reference);
        let endpoints = self.endpoints(reference).await?;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.pulls) {
            match self.manifest_at(endpoint, reference, digest, deadline).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => failures.push(error),
            }
        }
        Err(failures.last)
    }

    async fn manifest_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        digest: &Digest,
        deadline: Duration,
    ) -> Result<Fetched, RegistryError> {
        let ask = Ask {
            endpoint,
            reference,
            method: Method::GET,
            path: format!("manifests/{digest}"),
            accept: Some(ACCEPT),
            range: None,
            by_digest: true,
            deadline,
        };
        let (_, fetched) = self.document(&ask).await?;
        match digest.is_of(&fetched.bytes) {
            true => Ok(fetched),
            false => Err(answer(
                endpoint,
                format!("the manifest that it gave is not {digest}"),
            )),
        }
    }

    /// A blob from `offset` on.
    ///
    /// # Errors
    /// [`RegistryError`] of the last host that was asked.
    pub async fn blob(
        &self,
        reference: &Reference,
        digest: &Digest,
        offset: u64,
    ) -> Result<Blob, RegistryError> {
        let mut failures = Failures::new("pull", reference);
        let endpoints = self.endpoints(reference).await?;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.pulls) {
            match self.blob_at(endpoint, reference, digest, offset).await {
                Ok(blob) => return Ok(blob),
                Err(error) => failures.push(error),
            }
        }
        Err(failures.last)
    }

    async fn blob_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        digest: &Digest,
        offset: u64,
    ) -> Result<Blob, RegistryError> {
        let ask = Ask {
            endpoint,
            reference,
            method: Method::GET,
            path: format!("blobs/{digest}"),
            accept: None,
            range: (offset > 0).then(|| format!("bytes={offset}-")),
            by_digest: true,
            deadline: self.inactivity,
        };
        let answered = self.ask(&ask).await?;
        let response = match answered.response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => answered.response,
            _ => return Err(self.refusal(&ask, answered).await),
        };
        let offset = match response.status() {
            StatusCode::PARTIAL_CONTENT => begins_at(endpoint, response.headers(), offset)?,
            _ => 0,
        };
        let host = endpoint.authority().to_owned();
        Ok(Blob::new(offset, host, self.inactivity, response.into_body()))
    }

    async fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, RegistryError> {
        Ok(hosts::endpoints(&self.folder, reference.host()).await?)
    }

    /// A whole document, and the digest that the registry says it has.
    async fn document(&self, ask: &Ask<'_>) -> Result<(Option<Digest>, Fetched), RegistryError> {
        let answered = self.ask(ask).await?;
        if answered.response.status() != StatusCode::OK {
            return Err(self.refusal(ask, answered).await);
        }
        let response = answered.response;
        let digest = said_digest(response.headers());
        let media_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_owned());
        let uri = ask.endpoint.authority();
        let bytes = body::read(response.into_body(), uri, DOCUMENT_LIMIT, ask.deadline).await?;
        Ok((digest, Fetched { media_type, bytes }))
    }

    async fn refusal(&self, ask: &Ask<'_>, answered: Answered) -> RegistryError {
        let (head, words) = answered.response.into_parts();
        let host = ask.endpoint.authority();
        if let Some(led_to) = answered.led_to {
            // A registry may lead to anything that this machine can reach. What that says is not for the one who reads
            // the reason of a task.
            let host = format!("{host} led to {led_to}, which answered");
            return RegistryError::from_answer(&host, head.status, &head.headers, b"");
        }
        // Words that do not come in time are none.
        let words = body::read(words, host, error::WORDS_LIMIT, ask.deadline)
            .await
            .unwrap_or_default();
        RegistryError::from_answer(host, head.status, &head.headers, &words)
    }
}

/// What went wrong at the hosts that were asked. The last one counts: the registry itself has the last word over its
/// mirrors.
struct Failures {
    last: RegistryError,
    asked: bool,
}

impl Failures {
    fn new(what: &'static str, reference: &Reference) -> Self {
        let registry = reference.host().to_owned();
        Self {
            last: RegistryError::NoHost { what, registry },
            asked: false,
        }
    }

    fn push(&mut self, error: RegistryError) {
        let before = std::mem::replace(&mut self.last, error);
        if std::mem::replace(&mut self.asked, true) {
            tracing::debug!(error = %before, "a mirror did not help");
        }
    }
}

fn said_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// Where a partial answer begins; a server that sends another part than was asked for can't be used.
fn begins_at(endpoint: &Endpoint, headers: &HeaderMap, asked: u64) -> Result<u64, RegistryError> {
    let said = headers
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("bytes "))
        .and_then(|value| value.split('-').next())
        .and_then(|first| first.trim().parse::<u64>().ok());
    match said {
        Some(first) if first == asked => Ok(first),
        Some(_) | None => Err(answer(
            endpoint,
            format!("it was asked for the bytes from {asked} on and sent others"),
        )),
    }
}

fn answer(endpoint: &Endpoint, why: String) -> RegistryError {
    RegistryError::Answer {
        host: endpoint.authority().to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests;
