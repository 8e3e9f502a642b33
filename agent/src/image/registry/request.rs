//! One request to a registry: its login, its redirects.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use url::Url;

use super::auth::{self, Challenge};
use super::body;
use super::error::WORDS_LIMIT;
use super::hosts::Endpoint;
use super::{Registries, RegistryError, answer};
use crate::http::Client;
use crate::image::reference::Reference;

/// As many redirects as browsers of old followed; registries use one.
const REDIRECTS: usize = 5;
/// How long the header for user and password is kept without asking whether it is still wanted.
const BASIC_LIFE: Duration = Duration::from_secs(60 * 60);

/// An answer, and who gave it.
pub struct Answered {
    /// The answer.
    pub response: Response<Incoming>,
    /// `None` for whom was asked, else to which other place it led.
    pub led_to: Option<String>,
}

/// What to ask.
pub struct Ask<'a> {
    /// Whom.
    pub endpoint: &'a Endpoint,
    /// About which image.
    pub reference: &'a Reference,
    /// GET or HEAD.
    pub method: Method,
    /// Under the repository: `blobs/sha256:…`.
    pub path: String,
    /// `Accept`.
    pub accept: Option<&'static str>,
    /// `Range`.
    pub range: Option<String>,
    /// Whether the answer will be checked against a digest, so that it does not matter who gives it.
    pub by_digest: bool,
    /// For the head of the answer.
    pub deadline: Duration,
}

impl Ask<'_> {
    fn url(&self) -> Url {
        let mut url = self.endpoint.root.clone();
        let path = format!("{}/{}/{}", url.path(), self.reference.path(), self.path);
        url.set_path(&path);
        // So a mirror of many registries knows whose image is meant.
        if self.endpoint.authority() != self.reference.host() && !self.is_docker_hub() {
            url.query_pairs_mut().append_pair("ns", self.reference.host());
        }
        url
    }

    fn is_docker_hub(&self) -> bool {
        self.endpoint.authority() == "registry-1.docker.io"
            && self.reference.host() == crate::image::reference::DOCKER_HUB
    }
}

impl Registries {
    /// Sends it, with a login if one is asked for.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answered, RegistryError> {
        let client = self.clients.get(&ask.endpoint.tls).await?;
        let root = ask.endpoint.root.as_str();
        let cached = self
            .logins
            .cached(root, ask.reference.path(), self.clock.since_boot());
        let answered = follow(&client, ask, cached.as_ref()).await?;
        // Where a registry leads, nobody may say to whom its password goes.
        if answered.response.status() != StatusCode::UNAUTHORIZED || answered.led_to.is_some() {
            return Ok(answered);
        }
        let login = match auth::challenge(answered.response.headers()) {
            None => return Ok(answered),
            Some(Challenge::Basic) => self.basic(ask)?,
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                // Read to its end, so that the connection can be used again.
                let _ = body::read(answered.response.into_body(), root, WORDS_LIMIT, ask.deadline).await;
                let wanted = (realm.as_str(), service.as_deref(), scope.as_deref());
                self.token(&client, ask, wanted).await?
            }
        };
        let (header, life) = login;
        let answered = follow(&client, ask, Some(&header)).await?;
        if answered.response.status() != StatusCode::UNAUTHORIZED {
            let now = self.clock.since_boot();
            self.logins.keep(root, ask.reference.path(), header, life, now);
        }
        Ok(answered)
    }

    fn basic(&self, ask: &Ask<'_>) -> Result<(HeaderValue, Duration), RegistryError> {
        let host = ask.endpoint.authority();
        let login = |why: String| RegistryError::Login {
            host: host.to_owned(),
            why,
        };
        let found = self.logins.login(host).ok_or_else(|| {
            login(format!(
                "it wants a login; set one for {host} in ECS_ENGINE_AUTH_DATA"
            ))
        })?;
        let header =
            auth::basic(found).ok_or_else(|| login("its login can't be put in a header".to_owned()))?;
        Ok((header, BASIC_LIFE))
    }

    /// A token from the server that the registry names.
    pub(super) async fn token(
        &self,
        client: &Client,
        ask: &Ask<'_>,
        (realm, service, scope): (&str, Option<&str>, Option<&str>),
    ) -> Result<(HeaderValue, Duration), RegistryError> {
        let host = ask.endpoint.authority();
        let login = |why: String| RegistryError::Login {
            host: host.to_owned(),
            why,
        };
        let found = self.logins.login(host);
        let default_scope = format!("repository:{}:pull", ask.reference.path());
        let user = found.map(|auth| auth.username.as_str());
        let url = auth::token_url(realm, service, scope, &default_scope, user).map_err(login)?;
        if found.is_some() && url.scheme() == "http" && ask.endpoint.root.scheme() == "https" {
            let shown: String = realm.chars().take(auth::SHOWN).collect();
            let why =
                format!("its token server {shown} wants the password in plain text, which it does not get");
            return Err(login(why));
        }
        let mut request = get(Method::GET, &url).map_err(|why| answer(ask.endpoint, why))?;
        if let Some(header) = found.and_then(auth::basic) {
            request.headers_mut().insert(header::AUTHORIZATION, header);
        }
        let response = client.fetch(request, WORDS_LIMIT, ask.deadline).await?;
        let (head, body) = response.into_parts();
        let server = url.host_str().unwrap_or_default();
        if head.status != StatusCode::OK {
            return Err(RegistryError::from_answer(
                server,
                head.status,
                &head.headers,
                &body,
            ));
        }
        let token = auth::token(&body).ok_or_else(|| {
            login(format!(
                "its token server {server} gave an answer without a token"
            ))
        })?;
        Ok((token.header, token.life))
    }
}

/// Sends it and goes where it is sent.
async fn follow(
    client: &Client,
    ask: &Ask<'_>,
    login: Option<&HeaderValue>,
) -> Result<Answered, RegistryError> {
    let first = ask.url();
    let mut url = first.clone();
    let mut was_on_tls = false;
    for _ in 0..=REDIRECTS {
        was_on_tls |= url.scheme() == "https";
        let is_home = is_same_place(&first, &url, was_on_tls);
        let mut request = get(ask.method.clone(), &url).map_err(|why| answer(ask.endpoint, why))?;
        let headers = request.headers_mut();
        if let Some(accept) = ask.accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        if let Some(range) = ask.range.as_deref().and_then(|range| range.parse().ok()) {
            headers.insert(header::RANGE, range);
        }
        // What is meant for this host is for no other.
        if is_home {
            headers.extend(ask.endpoint.headers.clone());
            if let Some(login) = login {
                headers.insert(header::AUTHORIZATION, login.clone());
            }
        }
        let response = client.send(request, ask.deadline).await?;
        match moved(&url, response.status(), response.headers()) {
            None => {
                let led_to = (!is_home).then(|| url.authority().to_owned());
                return Ok(Answered { response, led_to });
            }
            Some(Err(why)) => return Err(answer(ask.endpoint, why)),
            Some(Ok(next)) => {
                if url.scheme() == "https" && next.scheme() == "http" && !ask.by_digest {
                    return Err(answer(ask.endpoint, format!("it leads from TLS to {next}")));
                }
                url = next;
            }
        }
    }
    Err(answer(
        ask.endpoint,
        format!("it leads on more than {REDIRECTS} times"),
    ))
}

/// Whether what is meant for whom was asked first may go to `url`: the same host and port, and also the same host by TLS
/// where it was asked in plain text, on the same port or the usual ones. Never in plain text once there was TLS.
fn is_same_place(first: &Url, url: &Url, was_on_tls: bool) -> bool {
    if first.origin() == url.origin() {
        return url.scheme() == "https" || !was_on_tls;
    }
    let ports = (first.port_or_known_default(), url.port_or_known_default());
    first.scheme() == "http"
        && url.scheme() == "https"
        && first.host() == url.host()
        && (ports.0 == ports.1 || ports == (Some(80), Some(443)))
}

/// Where an answer leads, if it does.
fn moved(from: &Url, status: StatusCode, headers: &HeaderMap) -> Option<Result<Url, String>> {
    let leads = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !leads {
        return None;
    }
    let location = headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok());
    let Some(location) = location else {
        return Some(Err("it leads on and does not say where".to_owned()));
    };
    match from.join(location) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Some(Ok(url)),
        Ok(_) | Err(_) => Some(Err(format!("it leads on to {location:?}"))),
    }
}

/// A request without a body.
pub(super) fn get(method: Method, url: &Url) -> Result<Request<Full<Bytes>>, String> {
    let mut bare = url.clone();
    bare.set_fragment(None);
    // A URL that has a host can be without a user.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    Request::builder()
        .method(method)
        .uri(bare.as_str())
        .header(
            header::USER_AGENT,
            concat!("longshore-agent/", env!("CARGO_PKG_VERSION")),
        )
        .body(Full::default())
        .map_err(|error| {
            let shown: String = bare.as_str().chars().take(auth::SHOWN).collect();
            format!("{shown} can't be asked: {error}")
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lead(location: &str) -> Option<Result<Url, String>> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::LOCATION,
            HeaderValue::from_bytes(location.as_bytes()).ok()?,
        );
        let from = Url::parse("https://r.example/v2/a/blobs/x").unwrap();
        moved(&from, StatusCode::TEMPORARY_REDIRECT, &headers)
    }

    #[test]
    fn an_answer_may_lead_to_another_place() {
        let to = |location: &str| lead(location).unwrap().unwrap().to_string();
        assert_eq!(to("/y?z=1"), "https://r.example/y?z=1");
        assert_eq!(to("//cdn.example/y"), "https://cdn.example/y");
        assert!(lead("file:///etc/passwd").unwrap().is_err());
        let here = moved(
            &Url::parse("http://a/").unwrap(),
            StatusCode::OK,
            &HeaderMap::new(),
        );
        assert!(here.is_none());
    }

    #[test]
    fn a_login_goes_to_the_same_host_and_never_from_tls_to_plain_text() {
        let kept = [
            ("http://r/", "http://r/x", false, true),
            ("http://r/", "https://r/x", true, true),
            ("http://r:80/", "https://r:443/x", true, true),
            ("http://r:5000/", "https://r:5000/x", true, true),
            ("http://r:5000/", "https://r/x", true, false),
            ("http://r/", "https://r:5000/x", true, false),
            ("http://r/", "https://other/x", true, false),
            ("http://r/", "http://r:81/x", false, false),
            ("http://r/", "http://r/x", true, false),
            ("https://r/", "https://r/x", true, true),
            ("https://r/", "http://r/x", true, false),
            ("https://r:5000/", "http://r:5000/x", true, false),
        ];
        for (first, to, was_on_tls, may) in kept {
            let url = |text: &str| Url::parse(text).unwrap();
            assert_eq!(
                is_same_place(&url(first), &url(to), was_on_tls),
                may,
                "{first} to {to}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_location_is_followed_or_refused(location in "\\PC{0,60}") {
            if let Some(Ok(url)) = lead(&location) {
                prop_assert!(get(Method::GET, &url).is_ok(), "{url}");
            }
        }
    }
}
