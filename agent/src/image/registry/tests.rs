use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::clock::SystemClock;
use crate::config::{PullBehavior, RegistryAuth};
use crate::http::{Trust, client_config};

const SECOND: Duration = Duration::from_secs(1);
const MANIFEST: &str = r#"{"schemaVersion":2}"#;

type Seen = Arc<Mutex<Vec<String>>>;
type Reply = Response<Full<Bytes>>;

/// A server on loopback that answers as `handle` says and remembers what it was asked.
struct Server {
    host: String,
    seen: Seen,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(handle: impl Fn(&Request<Incoming>, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Seen::default();
        let handle = Arc::new(handle);
        let mut tasks = JoinSet::new();
        let (own, log) = (host.clone(), seen.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (handle, own, log) = (handle.clone(), own.clone(), log.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let login = request.headers().get(header::AUTHORIZATION);
                    let login = login.and_then(|login| login.to_str().ok()).unwrap_or("-");
                    log.lock()
                        .unwrap()
                        .push(format!("{} {} {login}", request.method(), request.uri()));
                    let reply = handle(&request, &own);
                    async move { Ok::<_, std::convert::Infallible>(reply) }
                });
                connections.spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            host,
            seen,
            _tasks: tasks,
        }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn reference(&self) -> Reference {
        format!("{}/a/b:v1", self.host).parse().unwrap()
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut reply = Response::builder().status(status);
    for (name, value) in headers {
        reply = reply.header(*name, *value);
    }
    reply.body(Full::from(body.to_owned())).unwrap()
}

fn registries(folder: &std::path::Path, auth: &[(&str, &str, &str)]) -> Registries {
    let clock = Arc::new(SystemClock);
    let time = Arc::new(CertificateClock::new(clock.clone()));
    let config = ImageConfig {
        pull_behavior: PullBehavior::Default,
        auth: auth
            .iter()
            .map(|(host, user, password)| {
                let auth = RegistryAuth {
                    username: (*user).to_owned(),
                    password: (*password).to_owned(),
                };
                ((*host).to_owned(), auth)
            })
            .collect::<BTreeMap<_, _>>(),
        registry_config_dir: folder.to_owned(),
        pull_timeout: 60 * SECOND,
        inactivity_timeout: SECOND,
        limits: Default::default(),
    };
    let reach = Reach {
        http: Client::new(client_config(&Trust::System, time.clone()).unwrap()),
        proxy: ProxyConfig::default(),
        time,
    };
    Registries::new(reach, &config, clock)
}

fn login(request: &Request<Incoming>) -> &str {
    request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|login| login.to_str().ok())
        .unwrap_or("-")
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_again() {
    let server = Server::start(|request, own| {
        if request.uri().path() == "/token" {
            return reply(200, &[], r#"{"token":"t","expires_in":300}"#);
        }
        let digest = Digest::sha256(MANIFEST.as_bytes());
        match login(request) {
            "Bearer t" => reply(200, &[("docker-content-digest", digest.as_str())], ""),
            _ => {
                let challenge = format!(r#"Bearer realm="http://{own}/token",service="s""#);
                reply(401, &[("www-authenticate", &challenge)], "")
            }
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let registries = registries(folder.path(), &[(&server.host, "me", "pw")]);
    for _ in 0..2 {
        let resolved = registries.resolve(&server.reference(), SECOND).await.unwrap();
        assert_eq!(resolved.digest, Digest::sha256(MANIFEST.as_bytes()));
    }
    assert_eq!(
        server.seen(),
        [
            "HEAD /v2/a/b/manifests/v1 -",
            "GET /token?service=s&scope=repository%3Aa%2Fb%3Apull&account=me Basic bWU6cHc=",
            "HEAD /v2/a/b/manifests/v1 Bearer t",
            "HEAD /v2/a/b/manifests/v1 Bearer t",
        ]
    );
}

#[tokio::test]
async fn a_registry_that_says_no_digest_is_asked_for_the_document() {
    let server = Server::start(|_, _| reply(200, &[("content-type", "a/b; c=d")], MANIFEST)).await;
    let folder = tempfile::tempdir().unwrap();
    let resolved = registries(folder.path(), &[])
        .resolve(&server.reference(), SECOND)
        .await
        .unwrap();
    assert_eq!(resolved.digest, Digest::sha256(MANIFEST.as_bytes()));
    assert_eq!(resolved.document.unwrap().media_type.as_deref(), Some("a/b"));
}

#[tokio::test]
async fn a_login_does_not_travel_along_a_redirect() {
    let other = Server::start(|_, _| reply(200, &[], "blob")).await;
    let to = format!("http://{}/x", other.host);
    let server = Server::start(move |request, _| match login(request) {
        "-" => reply(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
        _ => reply(307, &[("location", &to)], ""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let registries = registries(folder.path(), &[(&server.host, "me", "pw")]);
    let digest = Digest::sha256(b"blob");
    let mut blob = registries.blob(&server.reference(), &digest, 0).await.unwrap();
    assert_eq!(blob.next().await.unwrap().unwrap(), "blob");
    assert!(blob.next().await.unwrap().is_none());
    assert_eq!(other.seen(), ["GET /x -"]);
    assert!(server.seen().last().unwrap().ends_with("Basic bWU6cHc="));
}

#[tokio::test]
async fn where_a_registry_leads_nobody_can_ask_for_its_password() {
    let thief = Server::start(|_, _| reply(200, &[], r#"{"token":"t"}"#)).await;
    for challenge in [
        format!(r#"Bearer realm="http://{}/token""#, thief.host),
        "Basic realm=\"r\"".to_owned(),
    ] {
        let said = r#"{"errors":[{"code":"DENIED","message":"a secret of the inner network"}]}"#;
        let other = Server::start(move |_, _| reply(401, &[("www-authenticate", &challenge)], said)).await;
        let to = format!("http://{}/x", other.host);
        let server = Server::start(move |_, _| reply(307, &[("location", &to)], "")).await;
        let folder = tempfile::tempdir().unwrap();
        let logins = [(&*server.host, "me", "pw"), (&*other.host, "you", "pw")];
        let registries = registries(folder.path(), &logins);
        let digest = Digest::sha256(b"blob");
        let error = registries
            .blob(&server.reference(), &digest, 0)
            .await
            .unwrap_err();
        assert_eq!(thief.seen(), Vec::<String>::new());
        assert_eq!(other.seen(), ["GET /x -"]);
        assert!(
            server.seen().iter().all(|line| line.ends_with(" -")),
            "{:?}",
            server.seen()
        );
        let told = format!(
            "{} led to {}, which answered: HTTP 401 Unauthorized",
            server.host, other.host
        );
        assert!(error.to_string().starts_with(&told), "{error}");
    }
}

#[tokio::test]
async fn a_token_server_in_plain_text_does_not_get_the_password_of_a_registry_with_tls() {
    // Whom TLS leads to is not looked at, so that one server is enough.
    let server = Server::start(|_, _| reply(200, &[], r#"{"token":"t"}"#)).await;
    let folder = tempfile::tempdir().unwrap();
    let registries = registries(folder.path(), &[("r.example", "me", "pw")]);
    let reference: Reference = "r.example/a/b:v1".parse().unwrap();
    let endpoints = registries.endpoints(&reference).await.unwrap();
    let ask = Ask {
        endpoint: &endpoints[0],
        reference: &reference,
        method: Method::GET,
        path: String::new(),
        accept: None,
        range: None,
        by_digest: true,
        deadline: SECOND,
    };
    let client = registries.clients.get(&endpoints[0].tls).await.unwrap();
    let realm = format!("http://{}/token", server.host);
    let error = registries
        .token(&client, &ask, (&realm, None, None))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("in plain text, which it does not get"),
        "{error}"
    );
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn tokens_without_end_are_not_read() {
    let server = Server::start(|request, own| {
        if request.uri().path() == "/token" {
            return reply(200, &[], &format!(r#"{{"token":"{}"}}"#, "t".repeat(1 << 20)));
        }
        let challenge = format!(r#"Bearer realm="http://{own}/token""#);
        reply(401, &[("www-authenticate", &challenge)], "")
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let registries = registries(folder.path(), &[]);
    let error = registries.resolve(&server.reference(), SECOND).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the answer is longer than 65536 bytes"),
        "{error}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_missing_login_and_a_wrong_one_are_told_apart() {
    let server = Server::start(|_, _| {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        reply(401, &[("www-authenticate", "Basic realm=\"r\"")], body)
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let none = registries(folder.path(), &[])
        .resolve(&server.reference(), SECOND)
        .await;
    let none = none.unwrap_err();
    assert!(none.to_string().contains("set one for 127.0.0.1"), "{none}");
    let wrong = registries(folder.path(), &[(&server.host, "me", "no")])
        .resolve(&server.reference(), SECOND)
        .await
        .unwrap_err();
    assert!(
        wrong
            .to_string()
            .contains("unauthorized: authentication required (HTTP 401); check"),
        "{wrong}"
    );
    assert!(!none.is_transient() && !wrong.is_transient());
}

#[tokio::test]
async fn a_mirror_comes_first_and_the_registry_where_it_fails() {
    let mirror = Server::start(|request, _| match request.uri().path().ends_with("/v1") {
        true => reply(404, &[], ""),
        false => reply(200, &[], MANIFEST),
    })
    .await;
    let server = Server::start(|_, _| reply(200, &[], MANIFEST)).await;
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(&server.host);
    std::fs::create_dir(&own).unwrap();
    let hosts = format!(
        "server = \"http://{}\"\n[host.\"http://{}\"]\n",
        server.host, mirror.host
    );
    std::fs::write(own.join("hosts.toml"), hosts).unwrap();
    let registries = registries(folder.path(), &[]);
    let resolved = registries.resolve(&server.reference(), SECOND).await.unwrap();
    let asked_before = server.seen().len();
    registries
        .manifest(&server.reference(), &resolved.digest, SECOND)
        .await
        .unwrap();
    assert_eq!(server.seen().len(), asked_before, "the mirror had the manifest");
    let ns = format!("GET /v2/a/b/manifests/{}?ns=127.0.0.1%3A", resolved.digest);
    assert!(
        mirror.seen().last().unwrap().starts_with(&ns),
        "{:?}",
        mirror.seen()
    );
}

#[tokio::test]
async fn a_manifest_that_is_not_what_was_asked_for_is_refused() {
    let server = Server::start(|_, _| reply(200, &[], "{}")).await;
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let error = registries(folder.path(), &[])
        .manifest(&server.reference(), &digest, SECOND)
        .await;
    assert!(error.unwrap_err().to_string().contains("is not sha256:"));
}

#[tokio::test]
async fn part_of_a_blob_must_begin_where_it_was_asked_to() {
    let server = Server::start(|request, _| match request.uri().path().ends_with('0') {
        true => reply(206, &[("content-range", "bytes 2-3/4")], "ob"),
        false => reply(206, &[("content-range", "bytes 0-3/4")], "blob"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let registries = registries(folder.path(), &[]);
    let digest = |last: &str| {
        format!("sha256:{}{last}", "0".repeat(63))
            .parse::<Digest>()
            .unwrap()
    };
    let blob = registries
        .blob(&server.reference(), &digest("0"), 2)
        .await
        .unwrap();
    assert_eq!(blob.offset, 2);
    let error = registries
        .blob(&server.reference(), &digest("1"), 2)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("bytes from 2 on"), "{error}");
}

#[tokio::test]
async fn endless_redirects_and_silence_end() {
    let server = Server::start(|_, _| reply(302, &[("location", "/again")], "")).await;
    let folder = tempfile::tempdir().unwrap();
    let registries = registries(folder.path(), &[]);
    let error = registries.resolve(&server.reference(), SECOND).await.unwrap_err();
    assert!(error.to_string().contains("more than 5 times"), "{error}");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reference: Reference = format!("{}/a", silent.local_addr().unwrap()).parse().unwrap();
    let error = registries
        .resolve(&reference, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error}");
}
