use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use proptest::prelude::*;

use super::*;

/// What the `aws-sigv4` crate makes of the same call.
fn theirs(call: &Call<'_>, credentials: &Credentials, seconds: u64) -> String {
    let identity = aws_credential_types::Credentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        credentials.session_token.clone(),
        None,
        "test",
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(call.region)
        .name(call.service)
        .time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let uri = match call.query {
        "" => format!("http://{}{}", call.host, call.path),
        query => format!("http://{}{}?{query}", call.host, call.path),
    };
    let headers = call.headers.iter().copied();
    let request = SignableRequest::new(call.method, uri, headers, SignableBody::Bytes(call.body)).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let (headers, _) = instructions.into_parts();
    headers
        .iter()
        .find(|header| header.name() == "authorization")
        .unwrap()
        .value()
        .to_owned()
}

proptest! {
    #[test]
    fn signs_as_the_sdk_does(
        path in "/[a-zA-Z0-9._~/-]{0,20}", key in "[a-z]{1,5}", value in "[a-zA-Z0-9]{0,8}", body: Vec<u8>,
        secret in "[A-Za-z0-9/+]{40}", token in proptest::option::of("[A-Za-z0-9/+=]{1,60}"), seconds in 0_u32..,
        header in "[a-zA-Z0-9][a-zA-Z0-9 ]{0,20}[a-zA-Z0-9]",
    ) {
        // The SDK resolves `.` and `..` in paths; nothing that we call has any.
        prop_assume!(!path.split('/').any(|part| part == "." || part == "..") && !path.contains("//"));
        let credentials = Credentials { access_key_id: "AKID".into(), secret_access_key: secret, session_token: token };
        let query = format!("{key}={value}");
        let call = Call {
            method: "POST", path: &path, query: &query, host: "127.0.0.1:8474", headers: &[("x-amz-target", &header)],
            body: &body, region: "us-east-1", service: "ecs",
            time: jiff::Timestamp::from_second(i64::from(seconds)).unwrap(),
        };
        let ours = call.sign(&credentials);
        let ours = &ours.iter().find(|(name, _)| *name == "authorization").unwrap().1;
        prop_assert_eq!(ours, &theirs(&call, &credentials, u64::from(seconds)));
    }

    #[test]
    fn the_parser_takes_any_text(text in ".{0,200}") {
        let _ = text.parse::<Authorization>();
    }
}

#[test]
fn authorizations_round_trip() {
    let text = "AWS4-HMAC-SHA256 Credential=AKID/20261124/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab=";
    assert_eq!(text.parse::<Authorization>().unwrap().to_string(), text);
}

#[test]
fn what_is_missing_is_named() {
    let parse = |text: &str| text.parse::<Authorization>().unwrap_err();
    assert_eq!(parse("Basic x"), InvalidAuthorization::Algorithm);
    assert_eq!(
        parse("AWS4-HMAC-SHA256 Credential=a/b"),
        InvalidAuthorization::Credential
    );
    assert_eq!(
        parse("AWS4-HMAC-SHA256 Credential=k/20261124/r/ecs/aws4_request, Signature=1"),
        InvalidAuthorization::Missing("SignedHeaders")
    );
}

#[test]
fn a_header_is_signed_once() {
    // Repeating one is how a small request would become a canonical request of gigabytes.
    for names in [
        "host;x-amz-date;x-amz-date",
        "x-amz-date;host",
        "host;",
        "Host",
        ";host",
    ] {
        let text = format!(
            "AWS4-HMAC-SHA256 Credential=k/20261124/r/ecs/aws4_request, SignedHeaders={names}, Signature=1"
        );
        let error = text.parse::<Authorization>().unwrap_err();
        assert_eq!(error, InvalidAuthorization::SignedHeaders, "{names}");
    }
}

#[test]
fn dates_round_trip() {
    let time = parse_amz_date("20261124T131202Z").unwrap();
    assert_eq!(amz_date(time), "20261124T131202Z");
    for bad in ["", "2026-11-24T13:12:02Z", "20261124T131202", "20261324T131202Z"] {
        assert!(parse_amz_date(bad).is_none(), "{bad}");
    }
}
