//! The link against a server that answers as a test tells it to, and checks signatures as the control plane does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use longshore_protocol::sigv4::{self, Authorization};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::config::ProxyConfig;
use crate::http::{CertificateClock, Client, Trust, client_config};

const INSTANCE: &str = "mi-0123456789abcdef0";
const ARN: &str =
    "arn:aws:ecs:us-east-1:000000000000:container-instance/default/0123456789abcdef0123456789abcdef";

/// What the server does with a call.
enum Reply {
    Json(u16, Value),
    Text(u16, &'static str),
    /// Closes the connection without an answer.
    Silence,
}

/// A call as the server sees it.
struct Seen {
    operation: String,
    body: Value,
    authorization: Option<Authorization>,
    string_to_sign: String,
    /// How far its signature's time is from the server's, in seconds.
    ahead: i64,
}

impl Seen {
    fn signed_by(&self, public: &str) -> bool {
        let Some(authorization) = &self.authorization else {
            return false;
        };
        let signature = STANDARD.decode(&authorization.signature).unwrap_or_default();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, STANDARD.decode(public).unwrap())
            .verify(self.string_to_sign.as_bytes(), &signature)
            .is_ok()
    }

    fn signed_with(&self, secret: &str) -> bool {
        self.authorization.as_ref().is_some_and(|authorization| {
            authorization.signature == sigv4::signature(secret, &authorization.scope, &self.string_to_sign)
        })
    }
}

type Answer = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// A server whose clock is `skew` seconds ahead of this machine's.
struct Plane {
    endpoint: String,
    calls: Arc<Mutex<Vec<String>>>,
    _owner: JoinSet<()>,
}

async fn plane(skew: i64, answer: Answer) -> Plane {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let mut owner = JoinSet::new();
    let record = Arc::clone(&calls);
    owner.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answer, record) = (Arc::clone(&answer), Arc::clone(&record));
            let service = service_fn(move |request| {
                let (answer, record) = (Arc::clone(&answer), Arc::clone(&record));
                async move { serve(skew, request, &answer, &record).await }
            });
            connections.spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Plane {
        endpoint,
        calls,
        _owner: owner,
    }
}

async fn serve(
    skew: i64,
    request: Request<Incoming>,
    answer: &Answer,
    record: &Mutex<Vec<String>>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let now = SystemClock
        .now()
        .checked_add(jiff::SignedDuration::from_secs(skew))
        .unwrap();
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
    let authorization: Option<Authorization> = header("authorization").map(|text| text.parse().unwrap());
    let date = header("x-amz-date").unwrap_or_default();
    let names = authorization
        .as_ref()
        .map(|authorization| authorization.signed_headers.clone())
        .unwrap_or_default();
    let headers: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), header(name).unwrap()))
        .collect();
    let string_to_sign = authorization.as_ref().map_or_else(String::new, |authorization| {
        let request = sigv4::Request {
            method: "POST",
            path: head.uri.path(),
            query: "",
            headers: &headers,
            body: &body,
        };
        request.string_to_sign(date, &authorization.scope)
    });
    let target = header("x-amz-target").unwrap_or(head.uri.path());
    let seen = Seen {
        operation: target.rsplit('.').next().unwrap().to_owned(),
        body: serde_json::from_slice(&body).unwrap(),
        authorization,
        string_to_sign,
        ahead: sigv4::parse_amz_date(date).map_or(0, |time| time.as_second() - now.as_second()),
    };
    record.lock().unwrap().push(seen.operation.clone());
    let late = json!({"__type": "InvalidSignatureException", "message": "Signature expired: it is late"});
    let reply = match seen.ahead.abs() > sigv4::CLOCK_WINDOW_SECONDS {
        true => Reply::Json(403, late),
        false => answer(&seen),
    };
    let (status, body) = match reply {
        Reply::Json(status, value) => (status, value.to_string()),
        Reply::Text(status, text) => (status, text.to_owned()),
        Reply::Silence => return Err("no answer"),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    response.headers_mut().insert("date", date.parse().unwrap());
    Ok(response)
}

fn token(n: u32, update_key_pair: bool) -> Reply {
    let end = SystemClock.now().as_second() + 3600;
    Reply::Json(
        200,
        json!({"AccessKeyId": format!("ASIA{n}"), "SecretAccessKey": format!("secret{n}"), "SessionToken": "t",
            "TokenExpirationDate": end, "UpdateKeyPair": update_key_pair}),
    )
}

/// A node that is registered, in a folder of its own.
struct Node {
    files: IdentityFiles,
    key: String,
    _dir: tempfile::TempDir,
}

fn node(endpoint: &str) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let files = IdentityFiles::new(dir.path());
    let key = NodeKey::generate().unwrap();
    files.store_first_key(&key).unwrap();
    files.promote_next_key().unwrap();
    let instance = longshore_protocol::node::InstanceId::try_from(INSTANCE.to_owned()).unwrap();
    let identity = Identity::new(
        instance,
        "us-east-1".into(),
        endpoint.into(),
        "default".into(),
        &Trust::System,
    );
    files.store(&identity).unwrap();
    Node {
        files,
        key: key.public().unwrap(),
        _dir: dir,
    }
}

fn link(node: &Node) -> Link {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let certificates = Arc::new(CertificateClock::new(Arc::clone(&clock)));
    let tls = client_config(&Trust::System, Arc::clone(&certificates)).unwrap();
    let identity = node.files.load().unwrap();
    Link::new(LinkParts {
        http: Client::through(tls, &ProxyConfig::default()),
        certificates,
        clock,
        files: node.files.clone(),
        endpoint: identity.endpoint.clone(),
        identity,
        fingerprint: "f".to_owned(),
    })
    .unwrap()
}

fn submit() -> ecs::SubmitTaskStateChangeRequest {
    ecs::SubmitTaskStateChangeRequest {
        task: Some("t".to_owned()),
        ..Default::default()
    }
}

#[tokio::test]
async fn credentials_come_by_the_key_and_sign_in_the_servers_time() {
    let public = Arc::new(Mutex::new(String::new()));
    let expected = Arc::clone(&public);
    // The server's clock is two hours ahead: the first call of all is late, and only that one.
    let plane = plane(
        7200,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => {
                assert!(seen.signed_by(&expected.lock().unwrap()));
                assert_eq!(seen.authorization.as_ref().unwrap().access_key_id, INSTANCE);
                assert_eq!(seen.body, json!({"Fingerprint": "f"}));
                token(1, false)
            }
            "SubmitTaskStateChange" => {
                assert!(seen.signed_with("secret1"));
                assert_eq!(seen.body, json!({"cluster": "default", "task": "t"}));
                Reply::Json(200, json!({}))
            }
            other => panic!("{other}"),
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    public.lock().unwrap().clone_from(&node.key);
    let link = link(&node);
    link.submit_task_state_change(submit()).await.unwrap();
    link.submit_task_state_change(submit()).await.unwrap();
    let calls = plane.calls.lock().unwrap().clone();
    let token = "RequestManagedInstanceRoleToken";
    assert_eq!(
        calls,
        [token, token, "SubmitTaskStateChange", "SubmitTaskStateChange"]
    );
    assert_eq!(node.files.last_date(), None, "plain HTTP proves no time");
}

#[tokio::test]
async fn refused_credentials_are_renewed_once_and_then_the_node_is_unknown() {
    let issued = Mutex::new(0);
    let plane = plane(
        0,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => {
                *issued.lock().unwrap() += 1;
                token(*issued.lock().unwrap(), false)
            }
            _ if seen.signed_with("secret2") && seen.body["task"] == "t" => Reply::Json(200, json!({})),
            _ => Reply::Json(403, json!({"__type": "ExpiredTokenException", "message": "over"})),
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    let link = link(&node);
    link.submit_task_state_change(submit()).await.unwrap();
    let other = ecs::SubmitTaskStateChangeRequest::default();
    let error = link.submit_task_state_change(other).await.unwrap_err();
    assert!(matches!(error, LinkError::Identity { .. }), "{error}");
}

#[tokio::test]
async fn only_the_control_plane_can_say_that_a_node_is_unknown() {
    let refuse = |reply: fn() -> Reply| async move {
        let plane = plane(0, Arc::new(move |_| reply())).await;
        link(&node(&plane.endpoint)).check_identity().await.unwrap_err()
    };
    let unknown = || {
        Reply::Json(
            403,
            json!({"__type": "UnrecognizedClientException", "message": "who?"}),
        )
    };
    assert!(matches!(refuse(unknown).await, LinkError::Identity { .. }));
    assert!(
        refuse(|| Reply::Text(403, "<html>blocked</html>"))
            .await
            .is_transient()
    );
    assert!(
        refuse(|| Reply::Text(200, "<html>log in to the hotel</html>"))
            .await
            .is_transient()
    );
    assert!(refuse(|| Reply::Silence).await.is_transient());
    assert!(
        refuse(|| Reply::Json(500, json!({"__type": "ServerException"})))
            .await
            .is_transient()
    );
}

#[tokio::test]
async fn a_new_key_is_used_even_when_its_acknowledgement_got_lost() {
    let taken = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&taken);
    let plane = plane(
        0,
        Arc::new(move |seen| {
            let mut known = known.lock().unwrap();
            if !seen.signed_by(&known) {
                return Reply::Json(
                    403,
                    json!({"__type": "InvalidSignatureException", "message": "wrong"}),
                );
            }
            match seen.operation.as_str() {
                "UpdateManagedInstancePublicKey" => {
                    *known = seen.body["NewPublicKey"].as_str().unwrap().to_owned();
                    Reply::Silence
                }
                _ => token(1, true),
            }
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    taken.lock().unwrap().clone_from(&node.key);
    link(&node).check_identity().await.unwrap();
    let next = node.files.next_key().unwrap().unwrap().public().unwrap();
    assert_eq!(*taken.lock().unwrap(), next);
    assert_eq!(
        node.files.key().unwrap().public().unwrap(),
        node.key,
        "the old key stays until it is certain"
    );
    // After a restart: the old key is refused, the next one is taken and becomes the key.
    link(&node).check_identity().await.unwrap();
    assert_eq!(node.files.key().unwrap().public().unwrap(), next);
}

#[tokio::test]
async fn a_registration_whose_answer_got_lost_is_made_again_as_the_same() {
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let seen_tokens = Arc::clone(&tokens);
    let plane = plane(
        0,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => token(1, false),
            _ => {
                let mut tokens = seen_tokens.lock().unwrap();
                tokens.push((
                    seen.body["clientToken"].clone(),
                    seen.body["containerInstanceArn"].clone(),
                ));
                match tokens.len() {
                    1 => Reply::Silence,
                    _ => Reply::Json(200, json!({"containerInstance": {"containerInstanceArn": ARN}})),
                }
            }
        }),
    )
    .await;
    let node = node(&plane.endpoint);
    let request = ecs::RegisterContainerInstanceRequest::default;
    link(&node)
        .register_container_instance(request())
        .await
        .unwrap_err();
    let again = link(&node);
    for _ in 0..2 {
        again.register_container_instance(request()).await.unwrap();
    }
    let tokens = tokens.lock().unwrap();
    assert!(tokens[0].0.is_string());
    assert_eq!(tokens[0], tokens[1], "the second try is the first one again");
    assert_eq!(tokens[2], (Value::Null, ARN.into()));
    assert_eq!(
        node.files.load().unwrap().container_instance.unwrap().to_string(),
        ARN
    );
}

#[tokio::test]
async fn the_poll_endpoint_is_asked_for_once_and_again_after_a_failure() {
    let address = Arc::new(Mutex::new(String::new()));
    let endpoint = Arc::clone(&address);
    let polls = Mutex::new(0);
    let plane = plane(
        0,
        Arc::new(move |seen| match seen.operation.as_str() {
            "RequestManagedInstanceRoleToken" => token(1, false),
            "DiscoverPollEndpoint" => Reply::Json(200, json!({"endpoint": *endpoint.lock().unwrap()})),
            _ => {
                assert!(seen.operation == "/v1/poll" && seen.signed_with("secret1"));
                *polls.lock().unwrap() += 1;
                match *polls.lock().unwrap() {
                    3 => Reply::Text(502, "bad gateway"),
                    _ => Reply::Json(
                        200,
                        json!({"incarnation": "1", "cursor": 5, "instance": "ACTIVE"}),
                    ),
                }
            }
        }),
    )
    .await;
    address.lock().unwrap().clone_from(&plane.endpoint);
    let node = node(&plane.endpoint);
    let link = link(&node);
    let poll = PollRequest {
        container_instance: ARN.parse().unwrap(),
        cursor: longshore_protocol::poll::Cursor::default(),
        agent_run: uuid::Uuid::nil(),
        n: 1,
        inventory: longshore_protocol::poll::Inventory::default(),
        status: longshore_protocol::poll::NodeStatus::default(),
        fingerprint: "f".to_owned(),
        wait_seconds: 1,
        protocol_version: 1,
        agent_version: "0".to_owned(),
        runtime_version: String::new(),
    };
    for expected in [true, true, false, true] {
        let answer = tokio::time::timeout(Duration::from_secs(20), link.poll(&poll))
            .await
            .unwrap();
        assert_eq!(answer.is_ok(), expected);
        assert!(answer.map_or(true, |answer| answer.cursor.cursor == 5));
    }
    let discoveries = plane
        .calls
        .lock()
        .unwrap()
        .iter()
        .filter(|call| *call == "DiscoverPollEndpoint")
        .count();
    assert_eq!(discoveries, 2);
}

#[tokio::test]
async fn an_activation_makes_a_node_and_a_lost_answer_does_not_make_two() {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen_keys = Arc::clone(&keys);
    let plane = plane(
        0,
        Arc::new(move |seen| {
            assert!(seen.authorization.is_none());
            assert_eq!(seen.body["ActivationCode"], "code");
            let mut keys = seen_keys.lock().unwrap();
            keys.push(seen.body["PublicKey"].clone());
            match keys.len() {
                1 => Reply::Silence,
                _ => Reply::Json(200, json!({"InstanceId": INSTANCE, "Region": "eu-west-1"})),
            }
        }),
    )
    .await;
    let dir = tempfile::tempdir().unwrap();
    let files = IdentityFiles::new(&dir.path().join("data"));
    let activation = Activation {
        endpoint: plane.endpoint.clone(),
        cluster: "edge".to_owned(),
        id: "id".to_owned(),
        code: "code".to_owned(),
        trust: Trust::System,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let certificates = Arc::new(CertificateClock::new(Arc::clone(&clock)));
    let http = Client::new(client_config(&Trust::System, Arc::clone(&certificates)).unwrap());
    let attempt = || {
        register(
            http.clone(),
            Arc::clone(&certificates),
            Arc::clone(&clock),
            &files,
            &activation,
            "f",
        )
    };
    attempt().await.unwrap_err();
    assert_eq!(files.find().unwrap(), None);
    let identity = attempt().await.unwrap();
    assert_eq!(identity, files.load().unwrap());
    assert_eq!(
        (identity.region.as_str(), identity.cluster.as_str()),
        ("eu-west-1", "edge")
    );
    let keys = keys.lock().unwrap();
    assert_eq!(keys[0], keys[1], "the same key again is the same machine");
    assert_eq!(keys[1], files.key().unwrap().public().unwrap());
}
