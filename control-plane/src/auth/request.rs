//! A request as its signature sees it.

use http::{HeaderMap, request::Parts};
use jiff::Timestamp;
use longshore_protocol::sigv4::{self, Authorization, CLOCK_WINDOW_SECONDS, Request};

use super::signature_mismatch;
use crate::error::{ApiError, Code};

/// What arrived, before anything of it is believed.
#[derive(Debug)]
pub struct SignedRequest<'a> {
    /// Method, URI and headers as received.
    pub parts: &'a Parts,
    /// The whole body.
    pub body: &'a [u8],
}

/// What a request claims: whose it is, and what must have been signed if that is so.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) authorization: Authorization,
    pub(super) session_token: Option<String>,
    pub(super) string_to_sign: String,
}

impl SignedRequest<'_> {
    /// Reads the claim, and checks all of it that needs no key: form, time, scope, what is signed, the body's hash.
    pub(super) fn claim(&self, region: &str, service: &str, now: Timestamp) -> Result<Claim, ApiError> {
        let headers = &self.parts.headers;
        let Some(authorization) = header(headers, "authorization") else {
            return Err(ApiError::new(
                Code::MissingAuthenticationToken,
                "Missing Authentication Token",
            ));
        };
        let authorization: Authorization = authorization
            .parse()
            .map_err(|error: sigv4::InvalidAuthorization| incomplete(error.to_string()))?;
        let date = header(headers, "x-amz-date").ok_or_else(|| {
            incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
        })?;
        let time = sigv4::parse_amz_date(date).ok_or_else(|| {
            incomplete("Date must be in ISO-8601 'basic format', such as 20260101T000000Z.")
        })?;
        check_time(time, now)?;
        check_scope(&authorization, date, region, service)?;
        self.check_signed_headers(&authorization)?;
        self.check_body_hash()?;
        let signed = signed_headers(headers, &authorization.signed_headers);
        let request = Request {
            method: self.parts.method.as_str(),
            path: self.parts.uri.path(),
            query: self.parts.uri.query().unwrap_or_default(),
            headers: &signed,
            body: self.body,
        };
        Ok(Claim {
            string_to_sign: request.string_to_sign(date, &authorization.scope),
            session_token: header(headers, "x-amz-security-token").map(str::to_owned),
            authorization,
        })
    }

    /// What decides over the request's meaning must be signed.
    fn check_signed_headers(&self, authorization: &Authorization) -> Result<(), ApiError> {
        let decisive = ["host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
        for name in decisive {
            let needed = name == "host" || self.parts.headers.contains_key(name);
            if needed && !authorization.signed_headers.iter().any(|signed| signed == name) {
                return Err(ApiError::new(
                    Code::InvalidSignature,
                    format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."),
                ));
            }
        }
        Ok(())
    }

    /// The body's hash is part of what is signed; a header that names another one is a mistake worth its own text.
    fn check_body_hash(&self) -> Result<(), ApiError> {
        match header(&self.parts.headers, "x-amz-content-sha256") {
            Some(claimed) if claimed != sigv4::sha256_hex(self.body) => Err(ApiError::new(
                Code::InvalidSignature,
                "The X-Amz-Content-Sha256 header is not the SHA-256 of the body.",
            )),
            _ => Ok(()),
        }
    }
}

impl Claim {
    /// Checks the signature by a secret access key.
    pub(super) fn verify_secret(&self, secret: &str) -> Result<(), ApiError> {
        let ours = sigv4::signature(secret, &self.authorization.scope, &self.string_to_sign);
        if sigv4::signatures_match(&ours, &self.authorization.signature) {
            return Ok(());
        }
        Err(signature_mismatch())
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The headers that a signature names, as received. Values that are no text sign as empty, so they never match.
fn signed_headers<'a>(headers: &'a HeaderMap, names: &'a [String]) -> Vec<(&'a str, &'a str)> {
    names
        .iter()
        .flat_map(|name| {
            let values = headers.get_all(name.as_str()).iter();
            values.map(move |value| (name.as_str(), value.to_str().unwrap_or_default()))
        })
        .collect()
}

fn incomplete(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::IncompleteSignature, message)
}

fn check_time(time: Timestamp, now: Timestamp) -> Result<(), ApiError> {
    let ahead = time.as_second() - now.as_second();
    if ahead.abs() <= CLOCK_WINDOW_SECONDS {
        return Ok(());
    }
    let minutes = CLOCK_WINDOW_SECONDS / 60;
    let (text, relation, edge, sign) = match ahead < 0 {
        true => ("Signature expired", "earlier", -CLOCK_WINDOW_SECONDS, '-'),
        false => ("Signature not yet current", "later", CLOCK_WINDOW_SECONDS, '+'),
    };
    let limit = Timestamp::from_second(now.as_second() + edge).unwrap_or(now);
    Err(ApiError::new(
        Code::InvalidSignature,
        format!(
            "{text}: {} is now {relation} than {} ({} {sign} {minutes} min.)",
            sigv4::amz_date(time),
            sigv4::amz_date(limit),
            sigv4::amz_date(now)
        ),
    ))
}

fn check_scope(
    authorization: &Authorization,
    date: &str,
    region: &str,
    service: &str,
) -> Result<(), ApiError> {
    let scope = &authorization.scope;
    let wrong = |message: String| Err(ApiError::new(Code::InvalidSignature, message));
    if scope.service != service {
        return wrong(format!(
            "Credential should be scoped to correct service: '{service}'."
        ));
    }
    if scope.region != region {
        return wrong(format!(
            "Credential should be scoped to a valid region, not '{}'. This control plane is in '{region}'.",
            scope.region
        ));
    }
    if !date.starts_with(&scope.date) || scope.date.len() != 8 {
        return wrong(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}'.",
            scope.date,
            &date[..8]
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn the_clock_window_is_five_minutes_either_way() {
        assert!(check_time(at(1_000_300), at(1_000_000)).is_ok());
        assert!(check_time(at(999_700), at(1_000_000)).is_ok());
        let late = check_time(at(999_699), at(1_000_000)).unwrap_err();
        assert!(
            late.message
                .starts_with("Signature expired: 19700112T134139Z is now earlier"),
            "{late}"
        );
        let early = check_time(at(1_000_301), at(1_000_000)).unwrap_err();
        assert!(early.message.starts_with("Signature not yet current"), "{early}");
        for error in [late, early] {
            assert!(longshore_protocol::error::is_clock_skew(
                error.code.as_str(),
                &error.message
            ));
        }
    }

    #[test]
    fn the_scope_is_ours() {
        let parse = |scope: &str| -> Authorization {
            format!("AWS4-HMAC-SHA256 Credential=K/{scope}/aws4_request, SignedHeaders=host, Signature=1")
                .parse()
                .unwrap()
        };
        let check = |scope: &str| check_scope(&parse(scope), "20260101T000000Z", "us-east-1", "ecs");
        assert!(check("20260101/us-east-1/ecs").is_ok());
        for wrong in [
            "20260101/us-east-1/ssm",
            "20260101/eu-west-1/ecs",
            "20260102/us-east-1/ecs",
            "2026/us-east-1/ecs",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
