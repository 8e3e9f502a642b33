//! What a registry's refusals mean, in its own words.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::hosts::HostsError;
use crate::http::HttpError;

/// How much of an error's body is read.
pub const WORDS_LIMIT: usize = 64 << 10;
/// How much of it is repeated.
const SHOWN: usize = 400;
/// No registry makes us wait longer than this between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// A registry that did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer, or half of one.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Nothing came for too long.
    #[error("inactivity time exceeded timeout while pulling image: no byte from {host} for {} s", limit.as_secs())]
    Inactive {
        /// Which registry.
        host: String,
        /// How long it was waited.
        limit: Duration,
    },
    /// It answered with an error.
    #[error("{host}: {words}{}", hint(*.status))]
    Status {
        /// Which registry.
        host: String,
        /// Its HTTP status.
        status: StatusCode,
        /// Its own words.
        words: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It wants a login that is not there, or asks for it in a way that is not known.
    #[error("{host}: {why}")]
    Login {
        /// Which registry.
        host: String,
        /// What is missing.
        why: String,
    },
    /// It answered with something that isn't what registries answer.
    #[error("{host}: {why}")]
    Answer {
        /// Which registry.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// The way to it is not configured well.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// None of the places to ask may be asked this.
    #[error("hosts.toml lets no host {what} images of {registry}")]
    NoHost {
        /// `resolve` or `pull`.
        what: &'static str,
        /// Which registry.
        registry: String,
    },
}

impl RegistryError {
    /// Whether the same request can succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http(HttpError::Connection { .. } | HttpError::Deadline { .. }) | Self::Inactive { .. } => {
                true
            }
            Self::Http(HttpError::TooLong { .. } | HttpError::Tls(_)) => false,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Login { .. } | Self::Answer { .. } | Self::Hosts(_) | Self::NoHost { .. } => false,
        }
    }

    /// How long the registry wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Http(_)
            | Self::Inactive { .. }
            | Self::Login { .. }
            | Self::Answer { .. }
            | Self::Hosts(_)
            | Self::NoHost { .. } => None,
        }
    }

    /// The error that an answer is.
    #[must_use]
    pub fn from_answer(host: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        Self::Status {
            host: host.to_owned(),
            status,
            words: words(status, body),
            retry_after: retry_after(headers),
        }
    }
}

/// What to do about a status.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; check that the image exists and that ECS_ENGINE_AUTH_DATA has a login that may pull it"
        }
        StatusCode::NOT_FOUND => "; check that the image and its tag exist",
        _ => "",
    }
}

/// `Retry-After` in seconds. Dates are passed over: they need a clock that is right.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Fault>,
    /// Token servers.
    details: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default)]
    message: serde_json::Value,
}

/// The words of an error's body, in the form in which Docker shows them (`manifest unknown: no such tag`), else the
/// body's first line if it is plain text, else what the status is called.
fn words(status: StatusCode, body: &[u8]) -> String {
    let said = match serde_json::from_slice::<Body>(body) {
        Ok(body) => body.words(),
        Err(_) => plain(body),
    };
    let name = status.canonical_reason().unwrap_or("no known status");
    match said {
        Some(said) => format!("{} (HTTP {})", shorten(&said), status.as_u16()),
        None => format!("HTTP {} {name}", status.as_u16()),
    }
}

impl Body {
    fn words(self) -> Option<String> {
        let faults: Vec<String> = self.errors.iter().filter_map(Fault::words).collect();
        if !faults.is_empty() {
            return Some(faults.join("; "));
        }
        let pair = match (self.error, self.error_description) {
            (Some(error), Some(description)) => Some(format!("{error}: {description}")),
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => None,
        };
        self.details
            .or(pair)
            .or(self.message)
            .filter(|said| !said.is_empty())
    }
}

impl Fault {
    fn words(&self) -> Option<String> {
        let code = self
            .code
            .as_str()
            .unwrap_or_default()
            .replace('_', " ")
            .to_lowercase();
        let message = self.message.as_str().unwrap_or_default();
        match (code.as_str(), message) {
            ("", "") => None,
            ("", only) | (only, "") => Some(only.to_owned()),
            (code, message) => Some(format!("{code}: {message}")),
        }
    }
}

fn plain(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    (!line.starts_with(['<', '{', '['])).then(|| line.to_owned())
}

/// Cuts a text that no one would read, and what would break the line or a terminal.
fn shorten(text: &str) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut short: String = text.chars().take(SHOWN).map(clean).collect();
    if text.chars().count() > SHOWN {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(status: u16, body: &str) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        RegistryError::from_answer("r.example", status, &HeaderMap::new(), body.as_bytes()).to_string()
    }

    #[test]
    fn the_registry_s_own_words_are_kept() {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag","detail":{"Tag":"x"}}]}"#;
        assert_eq!(
            said(404, body),
            "r.example: manifest unknown: no such tag (HTTP 404); check that the image and its tag exist"
        );
        let body = r#"{"details":"incorrect username or password"}"#;
        assert!(said(401, body).starts_with("r.example: incorrect username or password (HTTP 401); check"));
        assert_eq!(said(500, "boom\nmore"), "r.example: boom (HTTP 500)");
        assert_eq!(said(502, "<html>"), "r.example: HTTP 502 Bad Gateway");
        assert_eq!(
            said(503, r#"{"errors":[{}]}"#),
            "r.example: HTTP 503 Service Unavailable"
        );
        assert_eq!(said(500, "a\u{1b}[31mb"), "r.example: a [31mb (HTTP 500)");
        assert_eq!(
            said(400, r#"{"errors":[{"code":7,"message":"odd"}]}"#),
            "r.example: odd (HTTP 400)"
        );
    }

    #[test]
    fn a_registry_that_is_busy_may_be_asked_again_when_it_says() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let error = RegistryError::from_answer("r", StatusCode::TOO_MANY_REQUESTS, &headers, b"");
        assert!(error.is_transient());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        headers.insert(header::RETRY_AFTER, "99999999".parse().unwrap());
        let error = RegistryError::from_answer("r", StatusCode::SERVICE_UNAVAILABLE, &headers, b"");
        assert_eq!(error.retry_after(), Some(LONGEST_WAIT));
        let error = RegistryError::from_answer("r", StatusCode::NOT_FOUND, &HeaderMap::new(), b"");
        assert!(!error.is_transient());
    }

    proptest! {
        #[test]
        fn any_body_has_words_of_bounded_length(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let words = words(StatusCode::BAD_REQUEST, &bytes);
            prop_assert!(!words.is_empty() && words.chars().count() <= SHOWN + 20);
        }
    }
}
