//! A registry on loopback for the sample's image: the distribution's `docker-registry`, and as much of its HTTP API as
//! a push needs.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::children::Program;
use super::folder::{self, Folder};
use super::image::{Blob, Image};
use super::services::Service;
use super::{UpError, preflight};

/// How long the registry may take to answer at first.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take with one request.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often it is asked whether it is there.
const PAUSE: Duration = Duration::from_millis(50);
/// The most bytes of an answer that are read: only errors have any.
const MAX_ANSWER: usize = 64 * 1024;

/// A registry that answers.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// Starts the registry at a free port of loopback, its storage in the folder.
///
/// # Errors
/// [`UpError`].
pub async fn start(folder: &Folder) -> Result<(Service, Registry), UpError> {
    let failed = |why: String| UpError::Registry { why };
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = listener.map_err(|error| failed(error.to_string()))?;
    let storage = folder.make("registry")?.join("data");
    let config = serde_json::json!({
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": true}},
        "storage": {"filesystem": {"rootdirectory": storage}},
        "http": {"addr": address.to_string()},
    });
    // JSON is YAML.
    let path = folder.join("registry/config.yml");
    folder::write(&path, 0o600, config.to_string().as_bytes())?;
    let mut service = Service::start(Program {
        name: "docker-registry",
        path: preflight::find("docker-registry").unwrap_or_else(|| "docker-registry".into()),
        arguments: vec!["serve".into(), path.into()],
        hidden: Vec::new(),
        log: folder.log("registry"),
        outlives: false,
    })?;
    let registry = Registry {
        address,
        http: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
    };
    let answers = async {
        while registry
            .send(Method::GET, "/v2/", "", Bytes::new())
            .await
            .is_err()
        {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        failure = service.failure() => return Err(failure),
        answer = tokio::time::timeout(START_DEADLINE, answers) => answer.map_err(|_| UpError::NotInTime {
            what: "the registry's first answer",
            seconds: START_DEADLINE.as_secs(),
            log: folder.log("registry"),
        })?,
    }
    Ok((service, registry))
}

impl Registry {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pushes an image; what is there already is left as it is. Gives the reference to pull it by.
    ///
    /// # Errors
    /// [`UpError::Registry`].
    pub async fn push(&self, repository: &str, tag: &str, image: &Image) -> Result<String, UpError> {
        for blob in &image.blobs {
            self.push_blob(repository, blob).await?;
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        let body = Bytes::from(image.manifest.bytes.clone());
        let answer = self
            .send(Method::PUT, &path, image.manifest.media_type, body)
            .await?;
        expect(&answer, StatusCode::CREATED, "put the manifest")?;
        Ok(format!("{}/{repository}:{tag}", self.address))
    }

    async fn push_blob(&self, repository: &str, blob: &Blob) -> Result<(), UpError> {
        let digest = blob.digest();
        let there = self
            .send(
                Method::HEAD,
                &format!("/v2/{repository}/blobs/{digest}"),
                "",
                Bytes::new(),
            )
            .await?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let begun = self
            .send(
                Method::POST,
                &format!("/v2/{repository}/blobs/uploads/"),
                "",
                Bytes::new(),
            )
            .await?;
        expect(&begun, StatusCode::ACCEPTED, "begin an upload")?;
        let location = begun
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| UpError::Registry {
            why: "an upload was begun without a Location".to_owned(),
        })?;
        let path = upload_path(location, &digest);
        let body = Bytes::from(blob.bytes.clone());
        let answer = self
            .send(Method::PUT, &path, "application/octet-stream", body)
            .await?;
        expect(&answer, StatusCode::CREATED, "put a blob")
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, UpError> {
        let failed = |why: String| UpError::Registry { why };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let answer = self
                .http
                .request(request)
                .await
                .map_err(|error| failed(crate::api::chain(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| failed(crate::api::chain(error.as_ref())))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let answer = tokio::time::timeout(DEADLINE, exchange).await;
        answer.unwrap_or_else(|_| Err(failed(format!("no answer within {} s", DEADLINE.as_secs()))))
    }
}

fn expect(answer: &Response<Bytes>, status: StatusCode, what: &str) -> Result<(), UpError> {
    if answer.status() == status {
        return Ok(());
    }
    let words = String::from_utf8_lossy(answer.body());
    Err(UpError::Registry {
        why: format!("can't {what}: {} {}", answer.status(), words.trim()),
    })
}

/// Path and query of an upload's last request. The registry may give a whole URL, and a query of its own.
fn upload_path(location: &str, digest: &str) -> String {
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => location,
    };
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}digest={digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_s_location_may_have_any_form() {
        assert_eq!(
            upload_path("/v2/a/blobs/uploads/1", "d"),
            "/v2/a/blobs/uploads/1?digest=d"
        );
        assert_eq!(
            upload_path("http://h:1/v2/x?_state=s", "d"),
            "/v2/x?_state=s&digest=d"
        );
    }
}
