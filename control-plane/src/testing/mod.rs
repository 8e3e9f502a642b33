//! What the tests work with: a control plane in a temporary folder, a clock that goes when told to, operators and nodes
//! that sign like real ones.

mod chance;
mod clock;
mod log;
mod node;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::Request;
use longshore_protocol::arn::Scope;
use longshore_protocol::error::ErrorBody;
use longshore_protocol::sigv4::{Call, Credentials};
use longshore_protocol::{ECS_TARGET, SSM_TARGET, session};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) use chance::{Dice, SeededChance};
pub(crate) use clock::ManualClock;
pub(crate) use log::Log;
pub(crate) use node::{Node, held, instance_request, register_request};

use crate::api;
use crate::app::{CREDENTIALS, ControlPlane, OpenError, Settings};
use crate::chance::SystemChance;
use crate::clock::Clock;
use crate::sessions::Limits;

pub(crate) const HOST: &str = "cp.test:8474";
pub(crate) const REGION: &str = "us-east-1";

/// An answer: what was asked for, or an error's status and body.
pub(crate) type Answer = Result<Value, (u16, ErrorBody)>;

/// A control plane to talk to.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) operator: Credentials,
    folder: tempfile::TempDir,
    limits: Limits,
}

async fn open(
    folder: &std::path::Path,
    clock: &Arc<ManualClock>,
    scope: Scope,
    limits: &Limits,
) -> Result<Arc<ControlPlane>, OpenError> {
    let settings = Settings {
        data_dir: folder.to_owned(),
        scope,
        public_url: None,
        sessions: limits.clone(),
        scheme: "http",
    };
    ControlPlane::open(settings, Arc::<ManualClock>::clone(clock), Arc::new(SystemChance)).await
}

pub(crate) fn scope() -> Scope {
    Scope::new(REGION, "000000000000")
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    /// One whose sessions may take so long.
    pub(crate) async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new());
        let plane = open(folder.path(), &clock, scope(), &limits).await.unwrap();
        let text = std::fs::read_to_string(folder.path().join(CREDENTIALS)).unwrap();
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once(" = ").unwrap().1.to_owned()
        };
        let operator = Credentials {
            access_key_id: value("aws_access_key_id"),
            secret_access_key: value("aws_secret_access_key"),
            session_token: None,
        };
        Self {
            clock,
            plane,
            operator,
            folder,
            limits,
        }
    }

    /// Ends the control plane and starts it again on the same folder.
    pub(crate) async fn restart(&mut self) {
        self.end().await;
        self.plane = self.open_as(scope()).await.unwrap();
    }

    async fn end(&self) {
        self.plane.shutdown.cancel();
        self.plane.operations.close();
        self.plane.operations.wait().await;
        self.plane.store.close().await;
    }

    /// Copies the database of the running control plane, as an operator's backup does.
    pub(crate) async fn back_up(&self) {
        let copy = self.folder.path().join("backup");
        let _ = std::fs::remove_file(&copy);
        let mut connection = self.plane.store.read().await.unwrap();
        sqlx::query("VACUUM INTO ?")
            .bind(copy.to_str().unwrap())
            .execute(&mut *connection)
            .await
            .unwrap();
    }

    /// Ends the control plane and starts it on the backup.
    pub(crate) async fn restore(&mut self) {
        self.end().await;
        let database = self.folder.path().join(crate::app::DATABASE);
        std::fs::copy(self.folder.path().join("backup"), database).unwrap();
        self.plane = self.open_as(scope()).await.unwrap();
    }

    /// Another start on the same folder.
    pub(crate) async fn open_as(&self, scope: Scope) -> Result<Arc<ControlPlane>, OpenError> {
        open(self.folder.path(), &self.clock, scope, &self.limits).await
    }

    pub(crate) async fn ecs(&self, operation: &str, body: Value) -> Answer {
        self.call(&self.operator, "ecs", operation, body).await
    }

    pub(crate) async fn ssm(&self, operation: &str, body: Value) -> Answer {
        self.call(&self.operator, "ssm", operation, body).await
    }

    /// A signed call of the API.
    pub(crate) async fn call(&self, by: &Credentials, service: &str, operation: &str, body: Value) -> Answer {
        let (prefix, service) = wire_names(service);
        let target = format!("{prefix}.{operation}");
        self.send(by, service, "/", Some(&target), body.to_string().as_bytes())
            .await
    }

    /// A signed request.
    pub(crate) async fn send(
        &self,
        by: &Credentials,
        service: &str,
        path: &str,
        target: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let headers: Vec<_> = target.iter().map(|target| ("x-amz-target", *target)).collect();
        let call = Call {
            method: "POST",
            path,
            query: "",
            host: HOST,
            headers: &headers,
            body,
            region: REGION,
            service,
            time: self.clock.now(),
        };
        let signed = call.sign(by);
        self.deliver(path, target, body, signed).await
    }

    /// A request with these headers beside host and target.
    pub(crate) async fn deliver(
        &self,
        path: &str,
        target: Option<&str>,
        body: &[u8],
        headers: Vec<(&'static str, String)>,
    ) -> Answer {
        let mut request = Request::post(path).header("host", HOST);
        for (name, value) in target
            .map(|target| ("x-amz-target", target.to_owned()))
            .into_iter()
            .chain(headers)
        {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let response = api::router(Arc::clone(&self.plane))
            .oneshot(request)
            .await
            .unwrap();
        let status = response.status();
        assert!(response.headers().contains_key("x-amzn-requestid"));
        assert!(response.headers().contains_key("date"));
        let body = to_bytes(response.into_body(), 8 << 20).await.unwrap();
        if status.is_success() {
            return Ok(serde_json::from_slice(&body).unwrap());
        }
        Err((status.as_u16(), serde_json::from_slice(&body).unwrap()))
    }

    /// Registers a definition of one container `a` with so much cpu and memory.
    pub(crate) async fn define(&self, family: &str, cpu: i32, memory: i32) {
        let container = json!({"name": "a", "image": "busybox", "cpu": cpu, "memory": memory});
        self.ecs(
            "RegisterTaskDefinition",
            json!({"family": family, "containerDefinitions": [container]}),
        )
        .await
        .unwrap();
    }

    /// The one task of this ARN, as DescribeTasks shows it.
    pub(crate) async fn task(&self, arn: &str) -> Value {
        let mut answer = self.ecs("DescribeTasks", json!({"tasks": [arn]})).await.unwrap();
        assert_eq!(answer["failures"], json!([]));
        answer["tasks"][0].take()
    }

    /// Runs one task of a family and gives its ARN.
    pub(crate) async fn run(&self, family: &str) -> String {
        let answer = self
            .ecs("RunTask", json!({"taskDefinition": family}))
            .await
            .unwrap();
        assert_eq!(answer["failures"], json!([]));
        text(&answer["tasks"][0]["taskArn"])
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

/// The code of a refusal.
pub(crate) fn code(answer: Answer) -> String {
    answer.unwrap_err().1.code
}

/// Code and text of a refusal.
pub(crate) fn refusal(answer: Answer) -> (String, String) {
    let body = answer.unwrap_err().1;
    (body.code, body.message.unwrap_or_default())
}

/// The prefix of a service's targets, and the name that signatures for it have.
pub(crate) fn wire_names(service: &str) -> (&'static str, &'static str) {
    match service {
        "ssm" => (SSM_TARGET, "ssm"),
        "longshore" => (session::TARGET, "ecs"),
        _ => (ECS_TARGET, "ecs"),
    }
}
