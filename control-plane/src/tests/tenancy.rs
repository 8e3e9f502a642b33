//! Invariant 7: a node sees its own. Every call that there is, made by everyone who may not make it, and every call of a
//! node about what belongs to another one.

use longshore_protocol::poll::{NodeStatus, PATH, TaskProgress};
use longshore_protocol::sigv4::Credentials;
use longshore_protocol::status::ReportedStatus;
use serde_json::{Value, json};

use crate::api::dispatch::ALL;
use crate::auth::Access;
use crate::testing::{Answer, Node, World, code, held, wire_names};

/// A world with a node that runs a task, and another node.
async fn neighbours() -> (World, Node, String, Node) {
    let world = World::new().await;
    let mut owner = Node::join(&world).await;
    owner.poll(&world).await;
    world.define("f", 128, 64).await;
    let task = world.run("f").await;
    owner.poll(&world).await;
    owner.report(&world, &task, "RUNNING", json!({})).await.unwrap();
    owner.held = vec![held(&task, ReportedStatus::Running)];
    let mut other = Node::join(&world).await;
    other.poll(&world).await;
    (world, owner, task, other)
}

/// The code of a refusal, and a word for an answer.
fn said(answer: Answer) -> String {
    match answer {
        Ok(_) => "answered".to_owned(),
        refusal => code(refusal),
    }
}

#[tokio::test]
async fn every_call_is_refused_to_those_who_may_not_make_it() {
    let world = World::new().await;
    let node = Node::join(&world).await;
    let stranger = Credentials {
        access_key_id: "AKIANOBODY".to_owned(),
        secret_access_key: "x".to_owned(),
        session_token: None,
    };
    for (service, name, access) in ALL {
        let call = async |by: &Credentials| said(world.call(by, service, name, json!({})).await);
        let by_key = async || said(node.by_key_to(&world, service, name, json!({})).await);
        let denied = "AccessDeniedException";
        match access {
            Access::Operator => {
                assert_eq!(call(&node.credentials).await, denied, "{name} by a node");
                assert_eq!(by_key().await, denied, "{name} by a node's key");
            }
            Access::Node => assert_eq!(by_key().await, denied, "{name} by a node's key"),
            Access::NodeKey => {
                assert_eq!(
                    call(&node.credentials).await,
                    denied,
                    "{name} by a node's credentials"
                );
                assert_eq!(call(&world.operator).await, denied, "{name} by an operator");
            }
            Access::Anonymous => continue,
        }
        assert_eq!(call(&stranger).await, "UnrecognizedClientException", "{name}");
        let (prefix, _) = wire_names(service);
        let target = format!("{prefix}.{name}");
        let unsigned = world.deliver("/", Some(&target), b"{}", vec![]).await;
        assert_eq!(said(unsigned), "MissingAuthenticationTokenException", "{name}");
    }
    assert!(ALL.len() > 30, "the list is the one that is served");
}

#[tokio::test]
async fn a_node_s_calls_about_another_s_things_are_refused_and_change_nothing() {
    let (world, owner, task, other) = neighbours().await;
    let about = |operation: &str| -> Vec<(&'static str, Value)> {
        let container = json!({"containerName": "a", "status": "STOPPED", "exitCode": 1});
        let report =
            json!({"cluster": "default", "task": task, "status": "STOPPED", "containers": [container]});
        let short = json!({"cluster": "default", "task": task.rsplit('/').next(), "status": "STOPPED"});
        let mut one = container;
        one["cluster"] = json!("default");
        one["task"] = json!(task);
        match operation {
            // A client token is no secret: it names nothing of another node.
            "RegisterContainerInstance" => vec![(
                "InactiveInstanceException ClientException",
                json!({"cluster": "default", "containerInstanceArn": owner.arn, "clientToken": "t", "totalResources": [
                    {"name": "CPU", "type": "INTEGER", "integerValue": 1},
                    {"name": "MEMORY", "type": "INTEGER", "integerValue": 1}]}),
            )],
            "DeregisterContainerInstance" => vec![
                ("AccessDeniedException", json!({"containerInstance": owner.arn})),
                (
                    "AccessDeniedException",
                    json!({"containerInstance": owner.arn, "force": true}),
                ),
            ],
            "UpdateContainerInstancesState" => vec![(
                "AccessDeniedException",
                json!({"containerInstances": [other.arn, owner.arn], "status": "DRAINING"}),
            )],
            // The same address for everybody.
            "DiscoverPollEndpoint" => vec![],
            "SubmitTaskStateChange" => vec![
                ("AccessDeniedException", report),
                ("AccessDeniedException", short),
            ],
            "SubmitContainerStateChange" => vec![("AccessDeniedException", one)],
            "ListTagsForResource" => vec![
                ("AccessDeniedException", json!({"resourceArn": owner.arn})),
                ("AccessDeniedException", json!({"resourceArn": task})),
                (
                    "AccessDeniedException",
                    json!({"resourceArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default"}),
                ),
                (
                    "AccessDeniedException",
                    json!({"resourceArn": "arn:aws:ecs:us-east-1:000000000000:task-definition/f:1"}),
                ),
            ],
            "DeregisterManagedInstance" => vec![("AccessDeniedException", json!({"InstanceId": owner.id}))],
            unknown => panic!("say what {unknown} of a node about another's things must answer"),
        }
    };
    let before = (
        world.task(&task).await,
        shown(&world, &owner).await,
        shown(&world, &other).await,
    );
    for (service, name, access) in ALL {
        if *access != Access::Node {
            continue;
        }
        for (codes, body) in about(name) {
            let answer = said(world.call(&other.credentials, service, name, body.clone()).await);
            assert!(
                codes.split(' ').any(|code| code == answer),
                "{name} {body}: {answer}"
            );
        }
    }
    let after = (
        world.task(&task).await,
        shown(&world, &owner).await,
        shown(&world, &other).await,
    );
    assert_eq!(before, after);
}

async fn shown(world: &World, node: &Node) -> Value {
    let body = json!({"containerInstances": [node.arn]});
    let mut answer = world.ecs("DescribeContainerInstances", body).await.unwrap();
    answer["containerInstances"][0].take()
}

#[tokio::test]
async fn a_node_that_claims_another_s_task_gets_nothing_of_it() {
    let (world, mut owner, task, mut other) = neighbours().await;
    let before = world.task(&task).await;
    // It lists the task, says what it waits for, and that it has ended.
    other.held = vec![held(&task, ReportedStatus::Stopped)];
    other.status = NodeStatus {
        trouble: None,
        tasks: vec![TaskProgress {
            task_arn: task.parse().unwrap(),
            containers: vec![longshore_protocol::poll::ContainerProgress {
                name: "a".to_owned(),
                cause: "a lie".to_owned(),
                percent: None,
                deadline: None,
                restart_count: 7,
            }],
        }],
    };
    // Nor by a cursor of before all time, or of the future.
    for cursor in [0, u64::MAX >> 1] {
        other.cursor.cursor = cursor;
        let response = other.poll(&world).await;
        assert!(response.assignments.is_empty(), "{response:?}");
    }
    assert_eq!(world.task(&task).await, before);
    // For its owner, all is as it was.
    let mut fresh = owner.cursor.clone();
    fresh.cursor = 0;
    owner.cursor = fresh;
    let response = owner.poll(&world).await;
    assert!(
        response
            .assignments
            .iter()
            .all(|order| order.task_arn.to_string() == task),
        "{response:?}"
    );
    owner
        .report(&world, &task, "STOPPED", json!({"exitCode": 3}))
        .await
        .unwrap();
    assert_eq!(world.task(&task).await["containers"][0]["exitCode"], 3);
}

#[tokio::test]
async fn an_operator_is_no_node() {
    let (world, mut owner, _, other) = neighbours().await;
    let request = serde_json::to_vec(&owner.request(true)).unwrap();
    for by in [&world.operator, &other.credentials] {
        let answer = world.send(by, "ecs", PATH, None, &request).await;
        assert_eq!(code(answer), "AccessDeniedException");
    }
    let unsigned = world.deliver(PATH, None, &request, vec![]).await;
    assert_eq!(code(unsigned), "MissingAuthenticationTokenException");
    let body = json!({"cluster": "default", "containerInstanceArn": owner.arn});
    let answer = world.ecs("RegisterContainerInstance", body).await;
    assert_eq!(code(answer), "ClientException");
}
