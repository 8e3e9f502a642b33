//! Registries that want to know who asks.

use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use longshore_agent::clock::{Clock, SystemClock};
use longshore_agent::config::PullBehavior;
use longshore_agent::image::ImageError;
use serde_json::json;
use tokio::task::JoinSet;

use crate::images::Image;
use crate::lab::{Lab, ensure};
use crate::loopback::serve;

/// `me` with the password `secret`, by bcrypt.
const HTPASSWD: &str = "me:$2b$05$D3wWd5j20UoLs2aw3.YhMetiXcKOkx28wiL7xutetfEatJv8tK5lq\n";

#[tokio::test]
async fn a_password_opens_its_registry_and_a_wrong_one_does_not() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", b"1")]);
    lab.push("a:v1", &image).await;
    let path = lab.folder().join("htpasswd");
    std::fs::write(&path, HTPASSWD).unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: r, path: {}}}}}\n", path.display());
    let registry = lab.locked_registry(&auth).await;
    let reference = format!("{}/a:v1", registry.host);
    let host = registry.host.as_str();

    let wrong = lab.images_with(PullBehavior::Default, &[(host, "me", "guess")]);
    let error = ensure(&wrong, &reference, 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Refused { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("unauthorized: authentication required"),
        "{error}"
    );

    let none = lab.images(PullBehavior::Default);
    let error = ensure(&none, &reference, 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("ECS_ENGINE_AUTH_DATA"), "{error}");

    let right = lab.images_with(PullBehavior::Default, &[(host, "me", "secret")]);
    let pulled = ensure(&right, &reference, 0).await.unwrap();
    assert_eq!(pulled.digest, image.manifest.digest);
}

/// A server that gives tokens to `me` with the password `secret`, and counts them.
struct Tokens {
    host: String,
    given: Arc<Mutex<u32>>,
    _tasks: JoinSet<()>,
}

impl Tokens {
    async fn start(key: EcdsaKeyPair, certificate: Vec<u8>) -> Self {
        let given = Arc::new(Mutex::new(0));
        let signer = Arc::new((key, certificate));
        let counted = given.clone();
        let (host, tasks) = serve(move |request: Request<Incoming>| {
            let login = format!("Basic {}", STANDARD.encode("me:secret"));
            let known = request
                .headers()
                .get(header::AUTHORIZATION)
                .is_some_and(|given| given == &login);
            let mut answer = Response::new(Full::<Bytes>::from(
                r#"{"details":"incorrect username or password"}"#,
            ));
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            if known
                && request
                    .uri()
                    .query()
                    .unwrap()
                    .contains("scope=repository%3Aa%3Apull")
            {
                *counted.lock().unwrap() += 1;
                let token = json!({"token": jwt(&signer.0, &signer.1), "expires_in": 300});
                answer = Response::new(Full::from(token.to_string()));
            }
            async move { Ok(answer) }
        })
        .await;
        Self {
            host,
            given,
            _tasks: tasks,
        }
    }
}

/// A token as Docker's registry wants it: with its certificate, and what it allows.
fn jwt(key: &EcdsaKeyPair, certificate: &[u8]) -> String {
    let now = SystemClock.now().as_second();
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(certificate)]}));
    let claims = part(
        json!({"iss": "tokens", "sub": "me", "aud": "registry", "jti": now.to_string(),
        "iat": now - 10, "nbf": now - 10, "exp": now + 300,
        "access": [{"type": "repository", "name": "a", "actions": ["pull"]}]}),
    );
    let signed = format!("{head}.{claims}");
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn one_token_serves_a_whole_pull() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", b"1"), ("b", b"2")]);
    lab.push("a:v1", &image).await;
    let signed = rcgen::generate_simple_self_signed(vec!["tokens".to_owned()]).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &signed.signing_key.serialize_der(),
    );
    let bundle = lab.folder().join("tokens.pem");
    std::fs::write(&bundle, signed.cert.pem()).unwrap();
    let tokens = Tokens::start(key.unwrap(), signed.cert.der().to_vec()).await;
    let auth = format!(
        "auth: {{token: {{realm: \"http://{}/token\", service: registry, issuer: tokens, rootcertbundle: {}}}}}\n",
        tokens.host,
        bundle.display()
    );
    let registry = lab.locked_registry(&auth).await;
    let reference = format!("{}/a:v1", registry.host);
    let host = registry.host.as_str();

    let wrong = lab.images_with(PullBehavior::Default, &[(host, "me", "guess")]);
    let error = ensure(&wrong, &reference, 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("incorrect username or password"),
        "{error}"
    );

    let right = lab.images_with(PullBehavior::Default, &[(host, "me", "secret")]);
    let pulled = ensure(&right, &reference, 0).await.unwrap();
    assert_eq!(pulled.digest, image.manifest.digest);
    ensure(&right, &reference, 1).await.unwrap();
    assert_eq!(*tokens.given.lock().unwrap(), 1);
}
