//! What an answer may be: its shape, and what a failed one means.

use std::time::Duration;

use http::{HeaderMap, header};
use longshore_protocol::error::{ErrorBody, Retry, is_clock_skew, retry_class};
use longshore_protocol::shape;

use super::call::CallError;

/// An error's text is cut to this many characters: it goes to logs and reports.
const MAX_MESSAGE: usize = 1000;
/// The longest code of an error; AWS's longest have 60 characters.
const MAX_CODE: usize = 100;
/// The longest that a control plane is left alone because it asks for it.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Looks an answer over before it is read.
pub(super) fn check_shape(body: &[u8]) -> Result<(), String> {
    shape::check(body, shape::MAX_NODES).map_err(|why| why.to_string())
}

/// What an answer that is no success says.
pub(super) fn failure(status: u16, headers: &HeaderMap, body: &[u8]) -> CallError {
    let error: Option<ErrorBody> = check_shape(body)
        .ok()
        .and_then(|()| serde_json::from_slice(body).ok());
    let mut error = error.unwrap_or_default();
    if error.code.is_empty() {
        let named = headers
            .get("x-amzn-errortype")
            .and_then(|code| code.to_str().ok());
        error.code = named.unwrap_or_default().to_owned();
    }
    let code = error.bare_code().to_owned();
    let retry_after = retry_after(status, headers);
    if code.is_empty() || code.len() > MAX_CODE || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return CallError::Foreign {
            status,
            why: format!("{:?}", plain(&String::from_utf8_lossy(body), 80)),
            retry_after,
        };
    }
    let message = plain(&error.message.unwrap_or_default(), MAX_MESSAGE);
    let retry = match is_clock_skew(&code, &message) {
        true => Retry::WithServerTime,
        false => retry_class(status, &code),
    };
    CallError::Service {
        code,
        message,
        retry,
        retry_after,
    }
}

/// A text of the other end in one line, and not too long.
fn plain(text: &str, most: usize) -> String {
    let chars = text.chars().take(most);
    chars
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

/// `Retry-After`, in seconds or as a date, which is taken against the answer's own.
fn retry_after(status: u16, headers: &HeaderMap) -> Option<Duration> {
    if status != 429 && status < 500 {
        return None;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let said = text(header::RETRY_AFTER)?.trim();
    let seconds = match said.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = |text| jiff::fmt::rfc2822::parse(text).ok();
            let (until, now) = (date(said)?, date(text(header::DATE)?)?);
            let seconds = until.timestamp().as_second() - now.timestamp().as_second();
            u64::try_from(seconds).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds).min(MOST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(status: u16, body: &str) -> CallError {
        failure(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn only_the_services_own_errors_are_taken_for_its_word() {
        let long = format!(r#"{{"__type":"{}"}}"#, "x".repeat(101));
        for foreign in [
            "<html>blocked by proxy</html>",
            "",
            &long,
            r#"{"__type":"two\nlines"}"#,
        ] {
            assert!(
                matches!(classify(403, foreign), CallError::Foreign { .. }),
                "{foreign}"
            );
        }
        match classify(400, r#"{"__type":"x#ClientException","message":"no\nway"}"#) {
            CallError::Service {
                code, message, retry, ..
            } => {
                assert_eq!(
                    (code.as_str(), message.as_str(), retry),
                    ("ClientException", "no way", Retry::Never)
                );
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_signature_that_is_only_late_is_sent_again_with_the_servers_time() {
        let late =
            r#"{"__type":"InvalidSignatureException","message":"Signature expired: 1 is now earlier"}"#;
        let wrong =
            r#"{"__type":"InvalidSignatureException","message":"The request signature we calculated …"}"#;
        let retry = |body| match classify(403, body) {
            CallError::Service { retry, .. } => retry,
            other => panic!("{other}"),
        };
        assert_eq!(retry(late), Retry::WithServerTime);
        assert_eq!(retry(wrong), Retry::Never);
    }

    #[test]
    fn retry_after_is_obeyed_within_bounds_and_only_where_it_belongs() {
        let after = |status, said: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, said.parse().unwrap());
            headers.insert(header::DATE, "Wed, 21 Oct 2015 07:28:00 GMT".parse().unwrap());
            retry_after(status, &headers).map(|after| after.as_secs())
        };
        assert_eq!(after(429, "7"), Some(7));
        assert_eq!(after(503, "Wed, 21 Oct 2015 07:28:30 GMT"), Some(30));
        assert_eq!(after(503, "Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(after(429, "99999999999"), Some(300));
        assert_eq!(after(429, "Fri, 01 Jan 2100 00:00:00 GMT"), Some(300));
        for nothing in ["-1", "soon", "99999999999999999999999"] {
            assert_eq!(after(429, nothing), None, "{nothing}");
        }
        assert_eq!(after(400, "7"), None);
    }
}
