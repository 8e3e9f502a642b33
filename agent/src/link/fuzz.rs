//! What comes back from the control plane, or from whoever answers in its place, but for polls; and the identity's file.

use http::{HeaderMap, HeaderValue, header};
use longshore_protocol::{ecs, node};
use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

use super::answer::failure;
use super::call::CallError;
use super::identity::Identity;

#[test]
fn refusal() {
    Target::new(corpus!("refusal"), Form::Json).run(|input| {
        let mut headers = HeaderMap::new();
        let first = input.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if let Ok(value) = HeaderValue::from_bytes(first) {
            headers.insert(header::RETRY_AFTER, value.clone());
            headers.insert("x-amzn-errortype", value);
        }
        let error = failure(503, &headers, input);
        let words = error.to_string();
        assert!(words.len() <= 5_000, "{} bytes of words", words.len());
        assert!(!words.contains(char::is_control), "{words:?}");
        match error {
            CallError::Service { code, .. } => code,
            other => other.to_string(),
        }
    });
}

#[test]
fn registration_answers() {
    Target::new(corpus!("registration_answers"), Form::Json).run(|input| {
        let said = [
            serde_json::from_slice::<ecs::RegisterContainerInstanceResponse>(input).err(),
            serde_json::from_slice::<ecs::DiscoverPollEndpointResponse>(input).err(),
            serde_json::from_slice::<ecs::SubmitTaskStateChangeResponse>(input).err(),
            serde_json::from_slice::<node::RegisterManagedInstanceResponse>(input).err(),
            serde_json::from_slice::<node::RequestManagedInstanceRoleTokenResponse>(input).err(),
        ];
        said.iter().flatten().map(ToString::to_string).collect()
    });
}

#[test]
fn identity_file() {
    Target::new(corpus!("identity_file"), Form::Json).run(|input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return "no text".to_owned();
        };
        match Identity::parse(text) {
            Ok(identity) => {
                let written = serde_json::to_string(&identity).unwrap();
                assert_eq!(Identity::parse(&written).unwrap().trust(), identity.trust());
                format!("{:?}", std::mem::discriminant(&identity.trust()))
            }
            Err(why) => why,
        }
    });
}
