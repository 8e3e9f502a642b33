//! Logins: which one is for which registry, what a `WWW-Authenticate` asks for, and tokens while they are good.
//!
//! Invariants: a password goes to the registry that it was set for and to the token server that this registry names,
//! never in plain text unless the registry itself is spoken to in plain text, and never along a redirect.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use url::Url;

use crate::config::RegistryAuth;

/// What a token is good for where its server doesn't say.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// The longest that a token is believed to be good.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many characters of an address of the registry's are repeated in an error.
pub const SHOWN: usize = 200;
/// Repositories whose tokens are kept: a node runs a few dozen images.
const KEPT: usize = 256;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password.
    Basic,
    /// A token of this server.
    Bearer {
        /// Where.
        realm: String,
        /// For which service.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// The challenge to answer, the strongest first; `None` where none is known.
#[must_use]
pub fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        let Some(challenges) = value
            .to_str()
            .ok()
            .and_then(|text| http_auth::parse_challenges(text).ok())
        else {
            continue;
        };
        for challenge in challenges {
            let param = |name: &str| {
                challenge
                    .params
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.to_unescaped())
                    .filter(|text| !text.is_empty())
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            } else if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = param("realm")
            {
                let (service, scope) = (param("service"), param("scope"));
                return Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                });
            }
        }
    }
    basic
}

/// Where to ask for a token; `default_scope` is asked for if the challenge has none.
///
/// # Errors
/// What is wrong with the realm.
pub fn token_url(
    realm: &str,
    service: Option<&str>,
    scope: Option<&str>,
    default_scope: &str,
    user: Option<&str>,
) -> Result<Url, String> {
    let shown: String = realm.chars().take(SHOWN).collect();
    let mut url =
        Url::parse(realm).map_err(|error| format!("its token server {shown:?} is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!(
            "its token server {shown:?} is neither http:// nor https://"
        ));
    }
    // A user in the URL would be sent as a login by no one here, and shown in errors.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(format!("its token server {shown:?} is no URL that can be used"));
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in scope
            .unwrap_or(default_scope)
            .split(' ')
            .filter(|scope| !scope.is_empty())
        {
            query.append_pair("scope", scope);
        }
        if let Some(user) = user {
            query.append_pair("account", user);
        }
    }
    Ok(url)
}

/// A token as its server gives it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The header that carries it.
    pub header: HeaderValue,
    /// How long it is good.
    pub life: Duration,
}

/// Reads a token server's answer; `None` if there is no token in it that a header can carry.
#[must_use]
pub fn token(body: &[u8]) -> Option<Token> {
    #[derive(Deserialize)]
    struct Body {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<f64>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let token = body
        .token
        .or(body.access_token)
        .filter(|token| !token.is_empty())?;
    let life = body
        .expires_in
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|life| !life.is_zero())
        .map_or(DEFAULT_LIFE, |life| life.min(LONGEST_LIFE));
    let header = secret(&format!("Bearer {token}"))?;
    Some(Token { header, life })
}

/// The header of a user and a password; `None` if no header can carry it.
#[must_use]
pub fn basic(auth: &RegistryAuth) -> Option<HeaderValue> {
    let pair = STANDARD.encode(format!("{}:{}", auth.username, auth.password));
    secret(&format!("Basic {pair}"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Logins by registry, and the headers that worked.
pub struct Logins {
    auth: BTreeMap<String, RegistryAuth>,
    headers: Mutex<HashMap<(String, String), (HeaderValue, Duration)>>,
}

impl Logins {
    /// With the logins as they are set: by host, or by what Docker's configuration calls it
    /// (`https://index.docker.io/v1/`).
    #[must_use]
    pub fn new(auth: &BTreeMap<String, RegistryAuth>) -> Self {
        Self {
            auth: auth
                .iter()
                .map(|(name, auth)| (registry_key(name), auth.clone()))
                .collect(),
            headers: Mutex::new(HashMap::new()),
        }
    }

    /// The login for `host[:port]`.
    #[must_use]
    pub fn login(&self, authority: &str) -> Option<&RegistryAuth> {
        self.auth.get(&registry_key(authority))
    }

    /// The header that worked for a repository, if it is still good at `now` (since boot).
    #[must_use]
    pub fn cached(&self, root: &str, path: &str, now: Duration) -> Option<HeaderValue> {
        let headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        let (header, until) = headers.get(&(root.to_owned(), path.to_owned()))?;
        (now < *until).then(|| header.clone())
    }

    /// Keeps a header for a tenth less than its life.
    pub fn keep(&self, root: &str, path: &str, header: HeaderValue, life: Duration, now: Duration) {
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if headers.len() >= KEPT {
            headers.retain(|_, (_, until)| now < *until);
        }
        if headers.len() >= KEPT {
            headers.clear();
        }
        let until = now.saturating_add(life - life / 10);
        headers.insert((root.to_owned(), path.to_owned()), (header, until));
    }
}

/// One name for a registry: no scheme, no path, lower case, and one for all of Docker Hub's.
fn registry_key(name: &str) -> String {
    let name = name.trim();
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => "docker.io".to_owned(),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        challenge(&headers)
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let bearer = r#"Basic realm="x", bearer Realm="https://auth.example/t",service="r",scope="repository:a/b:pull,push""#;
        assert_eq!(
            read(&[bearer]),
            Some(Challenge::Bearer {
                realm: "https://auth.example/t".to_owned(),
                service: Some("r".to_owned()),
                scope: Some("repository:a/b:pull,push".to_owned()),
            })
        );
        assert_eq!(
            read(&["Digest realm=\"x\"", "BASIC realm=\"x\""]),
            Some(Challenge::Basic)
        );
        assert_eq!(read(&["Negotiate"]), None);
        assert_eq!(read(&["Bearer service=\"x\""]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn the_token_server_hears_for_what_and_for_whom() {
        let url = token_url(
            "https://u:p@a.example/t?x=1",
            Some("r e"),
            Some("a:b:pull c:d:pull"),
            "no",
            Some("me"),
        );
        assert_eq!(
            url.unwrap().as_str(),
            "https://a.example/t?x=1&service=r+e&scope=a%3Ab%3Apull&scope=c%3Ad%3Apull&account=me"
        );
        let url = token_url("http://a.example/t", None, None, "repository:a:pull", None).unwrap();
        assert_eq!(url.as_str(), "http://a.example/t?scope=repository%3Aa%3Apull");
        assert!(token_url("/t", None, None, "", None).is_err());
        assert!(token_url("file:///etc/passwd", None, None, "", None).is_err());
    }

    #[test]
    fn a_login_is_found_by_any_of_a_registry_s_names() {
        let login = |user: &str| RegistryAuth {
            username: user.to_owned(),
            password: "p".to_owned(),
        };
        let logins = Logins::new(&BTreeMap::from([
            ("https://index.docker.io/v1/".to_owned(), login("hub")),
            ("Quay.io".to_owned(), login("quay")),
        ]));
        for host in ["docker.io", "registry-1.docker.io", "index.docker.io"] {
            assert_eq!(logins.login(host), Some(&login("hub")));
        }
        assert_eq!(logins.login("quay.io"), Some(&login("quay")));
        assert_eq!(logins.login("quay.io:443"), None);
        assert_eq!(logins.login("evil-quay.io"), None);
    }

    #[test]
    fn a_header_is_forgotten_before_its_life_ends() {
        let logins = Logins::new(&BTreeMap::new());
        let second = Duration::from_secs;
        logins.keep("r", "a", HeaderValue::from_static("x"), second(100), second(1000));
        assert!(logins.cached("r", "a", second(1089)).is_some());
        assert!(logins.cached("r", "a", second(1090)).is_none());
        assert!(logins.cached("r", "b", second(1000)).is_none());
        for number in 0..KEPT * 2 {
            logins.keep(
                "r",
                &number.to_string(),
                HeaderValue::from_static("x"),
                second(9),
                second(1),
            );
        }
        assert!(logins.headers.lock().unwrap().len() <= KEPT);
    }

    #[test]
    fn tokens_come_under_two_names_and_live_a_minute_unless_said() {
        assert_eq!(token(br#"{"access_token":"t"}"#).unwrap().life, DEFAULT_LIFE);
        let read = token(br#"{"token":"t","access_token":"u","expires_in":300}"#).unwrap();
        assert_eq!(read.header, "Bearer t");
        assert!(read.header.is_sensitive());
        assert_eq!(read.life, Duration::from_secs(300));
        assert_eq!(
            token(br#"{"token":"t","expires_in":-5}"#).unwrap().life,
            DEFAULT_LIFE
        );
        assert!(token(b"{}").is_none() && token(br#"{"token":"a\nb"}"#).is_none());
    }

    proptest! {
        #[test]
        fn any_challenge_is_read_or_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.append(header::WWW_AUTHENTICATE, value);
            }
            let _ = challenge(&headers);
        }

        #[test]
        fn anything_like_a_challenge_is_read_or_passed_over(text in "(Bearer|Basic|,| |=|\"|\\\\|realm|a|scope){0,20}") {
            let mut headers = HeaderMap::new();
            headers.append(header::WWW_AUTHENTICATE, text.parse().unwrap());
            let _ = challenge(&headers);
        }

        #[test]
        fn any_token_answer_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120), realm in "\\PC{0,40}") {
            let _ = token(&bytes);
            let _ = token_url(&realm, Some(&realm), None, &realm, None);
        }
    }
}
