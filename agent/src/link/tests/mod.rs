//! The link against a server that answers as a test tells it to, and checks signatures as the control plane does.

mod calls;
mod credentials;
mod dials;
mod disks;
mod hostile;
mod instances;

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
    /// A text, and how long to wait.
    After(u16, &'static str, &'static str),
    /// A redirect.
    Moved(String),
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
    let mut response = Response::new(Full::default());
    let (status, body) = match reply {
        Reply::Json(status, value) => (status, value.to_string()),
        Reply::Text(status, text) => (status, text.to_owned()),
        Reply::After(status, text, after) => {
            response
                .headers_mut()
                .insert("retry-after", after.parse().unwrap());
            (status, text.to_owned())
        }
        Reply::Moved(location) => {
            response
                .headers_mut()
                .insert("location", location.parse().unwrap());
            (307, String::new())
        }
        Reply::Silence => return Err("no answer"),
    };
    *response.body_mut() = Full::new(Bytes::from(body));
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
    dir: tempfile::TempDir,
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
        dir,
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

fn poll() -> PollRequest {
    PollRequest {
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
    }
}

/// To a call that is signed by a key that is not the node's.
fn wrong_signature() -> Reply {
    Reply::Json(
        403,
        json!({"__type": "InvalidSignatureException", "message": "wrong"}),
    )
}
