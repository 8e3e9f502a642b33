//! What registries and their token servers say beside the images, and the operator's files about them.

use std::path::Path;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

use super::auth::{Challenge, challenge, token, token_url};
use super::error::RegistryError;
use super::hosts;

/// The most that any error says: it goes to the log and to whoever started the task.
const WORDS: usize = 2_000;

#[test]
fn www_authenticate() {
    Target::new(corpus!("www_authenticate"), Form::Bytes).run(|input| {
        let mut headers = HeaderMap::new();
        for line in input.split(|byte| *byte == b'\n') {
            let Ok(value) = HeaderValue::from_bytes(line) else {
                continue;
            };
            headers.append(header::WWW_AUTHENTICATE, value);
        }
        let Some(challenge) = challenge(&headers) else {
            return "nothing that is known".to_owned();
        };
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge
        else {
            return "basic".to_owned();
        };
        let url = token_url(
            &realm,
            service.as_deref(),
            scope.as_deref(),
            "repository:a:pull",
            Some("user"),
        );
        match url {
            Ok(url) => {
                assert!(
                    matches!(url.scheme(), "http" | "https") && url.host().is_some(),
                    "{url}"
                );
                assert!(url.username().is_empty() && url.password().is_none(), "{url}");
                assert!(url.as_str().len() <= 20 * input.len() + 200, "{url}");
                // The two crates do not agree on every host; then it is refused when it is to be asked.
                let asked = super::request::get(http::Method::GET, &url).map(drop);
                format!(
                    "{} {} {} {asked:?}",
                    url.scheme(),
                    service.is_some(),
                    scope.is_some()
                )
            }
            Err(why) => {
                assert!(why.len() <= WORDS, "{} bytes of words", why.len());
                why
            }
        }
    });
}

#[test]
fn token_answer() {
    Target::new(corpus!("token_answer"), Form::Json).run(|input| match token(input) {
        Some(token) => {
            assert!(token.header.is_sensitive());
            assert!(
                !token.life.is_zero() && token.life.as_secs() <= 24 * 60 * 60,
                "{:?}",
                token.life
            );
            format!("{}", token.life.as_secs() == 60)
        }
        None => "no token".to_owned(),
    });
}

#[test]
fn registry_refusal() {
    Target::new(corpus!("registry_refusal"), Form::Json).run(|input| {
        let error = RegistryError::from_answer("r.example", StatusCode::FORBIDDEN, &HeaderMap::new(), input);
        let words = error.to_string();
        assert!(words.len() <= WORDS, "{} bytes of words", words.len());
        assert!(!words.contains(char::is_control), "{words:?}");
        words
    });
}

#[test]
fn hosts_toml() {
    // A key of empty parts, `a....`, costs the TOML reader 140 bytes for each of them.
    Target::new(corpus!("hosts_toml"), Form::Text)
        .holds(200)
        .run(|input| {
            let text = std::str::from_utf8(input).unwrap();
            match hosts::parse(text, Path::new("/etc/certs.d/r"), "r.example:5000") {
                Ok(endpoints) => {
                    for endpoint in &endpoints {
                        assert!(
                            matches!(endpoint.root.scheme(), "http" | "https"),
                            "{}",
                            endpoint.root
                        );
                        assert!(endpoint.root.password().is_none(), "{}", endpoint.root);
                    }
                    format!(
                        "{} {}",
                        endpoints.len() > 1,
                        endpoints.iter().any(|each| each.tls.skip_verify)
                    )
                }
                Err(why) => why,
            }
        });
}
