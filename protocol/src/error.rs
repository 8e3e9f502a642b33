//! Errors of the awsJson1_1 protocol: a code, a text, and whether trying again can help.

use serde::{Deserialize, Serialize};

/// The body of an error answer. AWS clients read the code from `__type` (after `#`, before `:`), and the text from
/// `message` or `Message`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// The code, such as `ClusterNotFoundException`.
    #[serde(rename = "__type")]
    pub code: String,
    /// The text.
    #[serde(alias = "Message", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What a `ConflictException` is about: ARNs.
    #[serde(rename = "resourceIds", skip_serializing_if = "Option::is_none")]
    pub resource_ids: Option<Vec<String>>,
}

impl ErrorBody {
    /// The bare code: without a namespace before `#` or an address after `:`.
    #[must_use]
    pub fn bare_code(&self) -> &str {
        let code = self.code.rsplit('#').next().unwrap_or_default();
        code.split(':').next().unwrap_or_default()
    }
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The server or the way to it failed: again, after a while.
    Later,
    /// The credentials are no longer good: again, with new ones.
    WithNewCredentials,
    /// The clocks differ: again, signed with the time of the answer's `Date`.
    WithServerTime,
    /// The request is at fault: never.
    Never,
}

/// How an answer with this HTTP status and error code is to be taken.
#[must_use]
pub fn retry_class(status: u16, code: &str) -> Retry {
    match code {
        "ThrottlingException" | "ServerException" | "LimitExceededException" | "TooManyUpdates" => {
            Retry::Later
        }
        "ExpiredTokenException" | "UnrecognizedClientException" => Retry::WithNewCredentials,
        "SignatureTimeException" => Retry::WithServerTime,
        _ if status >= 500 || status == 429 => Retry::Later,
        _ => Retry::Never,
    }
}

/// Whether an `InvalidSignatureException` is about the time: its text is the only sign that AWS gives.
#[must_use]
pub fn is_clock_skew(code: &str, message: &str) -> bool {
    code == "InvalidSignatureException"
        && (message.starts_with("Signature expired") || message.starts_with("Signature not yet current"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_with_and_without_its_dressing() {
        for dressed in ["A", "com.amazon#A", "A:http://x", "ns#A:http://x"] {
            let body = ErrorBody {
                code: dressed.into(),
                ..Default::default()
            };
            assert_eq!(body.bare_code(), "A", "{dressed}");
        }
    }

    #[test]
    fn faults_of_the_request_are_not_tried_again() {
        assert_eq!(retry_class(400, "InvalidParameterException"), Retry::Never);
        assert_eq!(retry_class(400, "ThrottlingException"), Retry::Later);
        assert_eq!(retry_class(502, ""), Retry::Later);
    }
}
