//! A node as the control plane sees one: a key, credentials, a container instance, polls.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs::{ContainerStateChange, SubmitTaskStateChangeRequest};
use longshore_protocol::poll::{
    Assignment, Cursor, HeldTask, Inventory, InventoryTask, NodeStatus, PATH, PROTOCOL_VERSION, PollRequest,
    PollResponse,
};
use longshore_protocol::sigv4::{Call, Credentials};
use longshore_protocol::status::{DesiredStatus, ReportedStatus};
use longshore_protocol::{SSM_TARGET, Timestamp};
use serde_json::{Value, json};

use super::{Answer, HOST, REGION, World, code, text};
use crate::clock::Clock as _;

/// One key for all nodes: making one takes long without optimisation.
fn key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// A body for RegisterManagedInstance.
pub(crate) fn register_request(activation: &Value) -> Value {
    let der: PublicKeyX509Der<'_> = key().public_key().as_der().unwrap();
    json!({
        "ActivationId": activation["ActivationId"], "ActivationCode": activation["ActivationCode"],
        "PublicKey": STANDARD.encode(der.as_ref()), "PublicKeyType": "Rsa", "Fingerprint": "machine",
    })
}

/// A body for RegisterContainerInstance, with these platform devices: 1024 CPU units and 512 MiB.
pub(crate) fn instance_request(arn: &str, devices: &Value) -> Value {
    let attribute = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "cluster": "default", "containerInstanceArn": arn, "clientToken": "t",
        "instanceIdentityDocument": "", "instanceIdentityDocumentSignature": "",
        "totalResources": [
            {"name": "CPU", "type": "INTEGER", "integerValue": 1024},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 512},
            {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
            {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
        ],
        "platformDevices": devices,
        "attributes": [
            {"name": "ecs.capability.external"}, attribute("ecs.cpu-architecture", "x86_64"),
            {"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"},
            {"name": "com.amazonaws.ecs.capability.logging-driver.json-file"},
            {"name": "ecs.capability.task-cpu-mem-limit"},
            {"name": "ecs.capability.nvidia-driver-version.1"},
        ],
    })
}

/// A node.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) credentials: Credentials,
    pub(crate) arn: String,
    pub(crate) run: uuid::Uuid,
    pub(crate) n: u64,
    pub(crate) cursor: Cursor,
    pub(crate) fingerprint: String,
    pub(crate) held: Vec<InventoryTask>,
    pub(crate) status: NodeStatus,
    /// What it sends of tasks that it is asked for.
    pub(crate) bodies: Vec<HeldTask>,
}

impl Node {
    /// A machine that became a node, got credentials and registered with 1024 CPU units and 512 MiB.
    pub(crate) async fn join(world: &World) -> Self {
        let mut node = Self::activate(world).await;
        node.register(world, json!([])).await;
        node
    }

    /// A machine that became a node and got credentials.
    pub(crate) async fn activate(world: &World) -> Self {
        let activation = world
            .ssm("CreateActivation", json!({"IamRole": "r"}))
            .await
            .unwrap();
        let target = format!("{SSM_TARGET}.RegisterManagedInstance");
        let body = register_request(&activation).to_string();
        let answer = world
            .deliver("/", Some(&target), body.as_bytes(), vec![])
            .await
            .unwrap();
        assert_eq!(answer["Region"], REGION);
        let mut node = Self {
            id: text(&answer["InstanceId"]),
            credentials: Credentials {
                access_key_id: String::new(),
                secret_access_key: String::new(),
                session_token: None,
            },
            arn: String::new(),
            run: uuid::Uuid::new_v4(),
            n: 0,
            cursor: Cursor::default(),
            fingerprint: "machine".into(),
            held: vec![],
            status: NodeStatus::default(),
            bodies: vec![],
        };
        node.renew(world).await;
        node
    }

    /// Gets new credentials by the node's key.
    pub(crate) async fn renew(&mut self, world: &World) {
        let body = json!({"Fingerprint": self.fingerprint});
        let answer = self
            .by_key(world, "RequestManagedInstanceRoleToken", body)
            .await
            .unwrap();
        let expires: Timestamp = serde_json::from_value(answer["TokenExpirationDate"].clone()).unwrap();
        assert_eq!(expires.as_millis(), world.clock.now_millis() + 3_600_000);
        self.credentials = Credentials {
            access_key_id: text(&answer["AccessKeyId"]),
            secret_access_key: text(&answer["SecretAccessKey"]),
            session_token: Some(text(&answer["SessionToken"])),
        };
    }

    /// A call of SSM that is signed by the node's key.
    pub(crate) async fn by_key(&self, world: &World, operation: &str, body: Value) -> Answer {
        self.by_key_to(world, "ssm", operation, body).await
    }

    /// A call that is signed by the node's key.
    pub(crate) async fn by_key_to(
        &self,
        world: &World,
        service: &str,
        operation: &str,
        body: Value,
    ) -> Answer {
        let (prefix, service) = super::wire_names(service);
        let target = format!("{prefix}.{operation}");
        let body = body.to_string();
        let call = Call {
            method: "POST",
            path: "/",
            query: "",
            host: HOST,
            headers: &[("x-amz-target", &target)],
            body: body.as_bytes(),
            region: REGION,
            service,
            time: world.clock.now(),
        };
        let headers = call.sign_by(&self.id, None, |text, _| {
            let mut signature = vec![0; key().public_modulus_len()];
            key().sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )?;
            Ok::<_, aws_lc_rs::error::Unspecified>(STANDARD.encode(signature))
        });
        world
            .deliver("/", Some(&target), body.as_bytes(), headers.unwrap())
            .await
    }

    pub(crate) async fn ecs(&self, world: &World, operation: &str, body: Value) -> Answer {
        world.call(&self.credentials, "ecs", operation, body).await
    }

    /// Registers, with these platform devices, as ECS agents on their own machines do.
    pub(crate) async fn register(&mut self, world: &World, devices: Value) -> Value {
        let body = instance_request(&self.arn, &devices);
        let mut answer = self.ecs(world, "RegisterContainerInstance", body).await.unwrap();
        self.arn = text(&answer["containerInstance"]["containerInstanceArn"]);
        answer["containerInstance"].take()
    }

    /// One poll that waits a second at most, as it is sent.
    pub(crate) fn request(&mut self, list: bool) -> PollRequest {
        self.n += 1;
        PollRequest {
            container_instance: self.arn.parse().unwrap(),
            cursor: self.cursor.clone(),
            agent_run: self.run,
            n: self.n,
            inventory: Inventory {
                hash: Inventory::hash_of(&self.held),
                tasks: list.then(|| self.held.clone()),
                bodies: vec![],
            },
            status: self.status.clone(),
            fingerprint: self.fingerprint.clone(),
            wait_seconds: 1,
            protocol_version: PROTOCOL_VERSION,
            agent_version: "0.1.0".into(),
            runtime_version: "containerd 1.6.20".into(),
        }
    }

    /// Sends a poll.
    pub(crate) async fn send(&self, world: &World, request: &PollRequest) -> Result<PollResponse, Answer> {
        let body = serde_json::to_vec(request).unwrap();
        match world.send(&self.credentials, "ecs", PATH, None, &body).await {
            Ok(answer) => Ok(serde_json::from_value(answer).unwrap()),
            error => Err(error),
        }
    }

    /// Polls, with the list of tasks where it is asked for, and keeps the new cursor as if it had become durable.
    pub(crate) async fn poll(&mut self, world: &World) -> PollResponse {
        // With the list at once, so that the answer has not to be waited for.
        let request = self.request(self.n == 0);
        let mut response = self.send(world, &request).await.unwrap();
        if response.want_inventory {
            let first = std::mem::take(&mut response.assignments);
            self.cursor = response.cursor;
            let request = self.request(true);
            response = self.send(world, &request).await.unwrap();
            response.assignments.splice(0..0, first);
        }
        self.cursor = response.cursor.clone();
        response
    }

    /// Polls as an agent does until there is nothing more to be asked for, and takes the orders: a task that is to run runs,
    /// one that is to stop is left to the test. Returns what was ordered to stop.
    pub(crate) async fn obey(&mut self, world: &World) -> Vec<String> {
        let (mut stops, mut wanted) = (Vec::new(), Vec::new());
        let mut list = self.n == 0;
        loop {
            let mut request = self.request(list);
            let asked = |held: &&HeldTask| wanted.contains(&held.task_arn);
            request.inventory.bodies = self.bodies.iter().filter(asked).cloned().collect();
            let response = match self.send(world, &request).await {
                Ok(response) => response,
                Err(refused) => {
                    assert_eq!(code(refused), "InactiveInstanceException");
                    self.register(world, json!([])).await;
                    continue;
                }
            };
            let settled = response.assignments.is_empty() && !response.want_inventory;
            for order in response.assignments {
                if order.desired_status == DesiredStatus::Stopped {
                    stops.push(order.task_arn.to_string());
                } else {
                    self.run_task(order);
                }
            }
            self.cursor = response.cursor;
            (list, wanted) = (response.want_inventory, response.want_tasks);
            if settled {
                return stops;
            }
        }
    }

    fn run_task(&mut self, order: Assignment) {
        if self.held.iter().any(|held| held.task_arn == order.task_arn) {
            return;
        }
        self.held
            .push(held(&order.task_arn.to_string(), ReportedStatus::Running));
        self.bodies.push(HeldTask {
            state: Box::new(SubmitTaskStateChangeRequest {
                status: Some("RUNNING".to_owned()),
                containers: Some(vec![ContainerStateChange {
                    container_name: Some("a".to_owned()),
                    status: Some("RUNNING".to_owned()),
                    ..ContainerStateChange::default()
                }]),
                ..SubmitTaskStateChangeRequest::default()
            }),
            task_arn: order.task_arn,
            generation: order.generation,
            desired_status: order.desired_status,
            task: order.task.unwrap(),
        });
    }

    /// Forgets a task whose end was acknowledged.
    pub(crate) fn forget(&mut self, task: &str) {
        self.held.retain(|held| held.task_arn.to_string() != task);
        self.bodies.retain(|held| held.task_arn.to_string() != task);
    }

    /// Reports a task's status, with this for its container `a`.
    pub(crate) async fn report(&self, world: &World, task: &str, status: &str, container: Value) -> Answer {
        let mut container = container;
        container["containerName"] = json!("a");
        container["status"] = json!(status);
        let body = json!({"cluster": "default", "task": task, "status": status, "containers": [container]});
        self.ecs(world, "SubmitTaskStateChange", body).await
    }
}

/// A task as an inventory has it.
pub(crate) fn held(task: &str, status: longshore_protocol::status::ReportedStatus) -> InventoryTask {
    InventoryTask {
        task_arn: task.parse::<TaskArn>().unwrap(),
        generation: 1,
        status,
    }
}
