//! Signatures before they are believed, and the operator's file of keys.

use http::{HeaderName, HeaderValue, Request};
use jiff::Timestamp;
use longshore_protocol::sigv4::{Authorization, amz_date, parse_amz_date};
use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

use super::operator::OperatorKeys;
use super::request::SignedRequest;

/// Lines: path and query, `Authorization`, `X-Amz-Date`, other headers.
#[test]
fn signed_request() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    Target::new(corpus!("signed_request"), Form::Bytes)
        .holds(60)
        .run(|input| {
            let mut lines = input.split(|byte| *byte == b'\n');
            let mut next = || lines.next().unwrap_or_default();
            let (uri, authorization, date) = (next(), next(), next());
            let Ok(request) = Request::post(uri).body(()) else {
                return "no request".to_owned();
            };
            let mut parts = request.into_parts().0;
            let named = [("authorization", authorization), ("x-amz-date", date)];
            for (name, value) in named {
                parts.headers.extend(
                    HeaderValue::from_bytes(value)
                        .ok()
                        .map(|value| (HeaderName::from_static(name), value)),
                );
            }
            for line in lines {
                let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                    continue;
                };
                let header = HeaderName::from_bytes(&line[..colon])
                    .ok()
                    .zip(HeaderValue::from_bytes(&line[colon + 1..]).ok());
                if let Some((name, value)) = header {
                    parts.headers.append(name, value);
                }
            }
            let read = std::str::from_utf8(authorization)
                .ok()
                .and_then(|text| text.parse::<Authorization>().ok());
            if let Some(read) = read {
                assert_eq!(read.to_string().parse::<Authorization>().as_ref(), Ok(&read));
            }
            if let Some(time) = std::str::from_utf8(date).ok().and_then(parse_amz_date) {
                assert_eq!(parse_amz_date(&amz_date(time)), Some(time));
            }
            let signed = SignedRequest {
                parts: &parts,
                body: b"{}",
            };
            match signed.claim("us-east-1", "ecs", now) {
                Ok(claim) => {
                    assert!(claim.string_to_sign.len() < 500, "{}", claim.string_to_sign);
                    assert!(
                        claim
                            .authorization
                            .signed_headers
                            .iter()
                            .any(|name| name == "host")
                    );
                    claim.verify_secret("secret").unwrap_err().message
                }
                Err(error) => error.message,
            }
        });
}

#[test]
fn operator_credentials() {
    Target::new(corpus!("operator_credentials"), Form::Text).run(|input| {
        let keys = OperatorKeys::parse(std::str::from_utf8(input).unwrap());
        format!("{:?}", keys.map(|keys| keys.secret("1").is_some()))
    });
}
