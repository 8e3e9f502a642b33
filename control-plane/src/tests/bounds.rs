//! What nobody can use up or hold up, and what is bounded however often it is done.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use longshore_protocol::arn::Scope;
use longshore_protocol::poll::{Cursor, MAX_ASSIGNMENT_BYTES, MAX_ASSIGNMENT_NODES};
use longshore_protocol::status::{DesiredStatus, ReportedStatus};
use longshore_protocol::{ECS_TARGET, SSM_TARGET, ecs, shape};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::api;
use crate::app::OpenError;
use crate::definition;
use crate::store::{definitions, nodes};
use crate::tasks::retention;
use crate::testing::{Log, Node, World, code, held, refusal, register_request};

#[tokio::test]
async fn a_wrong_activation_code_does_not_wait_for_the_write_lock() {
    let world = World::new().await;
    let activation =
        json!({"ActivationId": uuid::Uuid::new_v4().to_string(), "ActivationCode": "x".repeat(40)});
    let target = format!("{SSM_TARGET}.RegisterManagedInstance");
    let body = register_request(&activation).to_string();
    let _held = world.plane.store.write().await.unwrap();
    let answer = world.deliver("/", Some(&target), body.as_bytes(), vec![]).await;
    assert_eq!(code(answer), "InvalidActivationId");
}

#[tokio::test]
async fn a_node_has_at_most_fifty_tags() {
    let world = World::new().await;
    let node = Node::activate(&world).await;
    let tags = |from: i32, to: i32| -> Vec<_> {
        (from..to)
            .map(|number| json!({"Key": format!("k{number}"), "Value": "v"}))
            .collect()
    };
    let add = async |tags: Vec<_>| {
        let body = json!({"ResourceType": "ManagedInstance", "ResourceId": node.id, "Tags": tags});
        world.ssm("AddTagsToResource", body).await
    };
    add(tags(0, 40)).await.unwrap();
    assert_eq!(code(add(tags(40, 51)).await), "TooManyTagsError");
    // The same keys again are no more than before.
    add(tags(30, 50)).await.unwrap();
}

/// Its fingerprint has changed just then.
#[tokio::test]
async fn a_node_that_renews_its_credentials_keeps_the_tags_that_it_is_given_meanwhile() {
    let (log, _guard) = Log::of_this_test();
    let world = World::new().await;
    let mut node = Node::activate(&world).await;
    let id = node.id.clone();
    node.fingerprint = "another mainboard".into();
    let mut transaction = world.plane.store.write().await.unwrap();
    let tag = async {
        // The node is read by then, and waits for the write lock.
        while !log.all().contains("fingerprint changed") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sqlx::query("UPDATE managed_instances SET tags = ?")
            .bind(json!([{"key": "k", "value": "v"}]).to_string())
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    };
    tokio::join!(node.renew(&world), tag);
    let mut connection = world.plane.store.read().await.unwrap();
    let stored = nodes::get(&mut connection, &id.try_into().unwrap())
        .await
        .unwrap();
    let stored = stored.unwrap();
    assert_eq!(
        (stored.tags.len(), &*stored.fingerprint),
        (1, "another mainboard")
    );
}

#[tokio::test]
async fn a_path_or_method_that_is_not_served_is_told_so() {
    let world = World::new().await;
    let answer = world.deliver("/nowhere", None, b"{}", vec![]).await;
    assert_eq!(code(answer), "UnknownOperationException");
    let services = format!("{ECS_TARGET}.ListServices");
    let (_, text) = refusal(world.deliver("/", Some(&services), b"{}", vec![]).await);
    assert!(text.starts_with("ListServices is not served"), "{text}");
    let get = Request::get("/").body(Body::empty()).unwrap();
    let response = api::router(std::sync::Arc::clone(&world.plane))
        .oneshot(get)
        .await
        .unwrap();
    assert!(response.headers().contains_key("x-amzn-requestid"));
    let kind = response.headers()["x-amzn-errortype"].to_str().unwrap();
    assert_eq!(kind, "UnknownOperationException");
}

#[tokio::test]
async fn an_anonymous_body_is_small() {
    let world = World::new().await;
    let target = format!("{SSM_TARGET}.RegisterManagedInstance");
    let body = json!({"Fingerprint": "f".repeat(100_000)}).to_string();
    let answer = world.deliver("/", Some(&target), body.as_bytes(), vec![]).await;
    assert_eq!(code(answer), "RequestEntityTooLargeException");
}

#[tokio::test]
async fn a_data_folder_keeps_its_region_and_account() {
    let world = World::new().await;
    for scope in [
        Scope::new("eu-west-1", "000000000000"),
        Scope::new("us-east-1", "111111111111"),
    ] {
        let refused = world.open_as(scope).await.unwrap_err();
        assert!(matches!(refused, OpenError::OtherScope { .. }), "{refused}");
    }
    world
        .open_as(Scope::new("us-east-1", "000000000000"))
        .await
        .unwrap();
}

#[tokio::test]
async fn any_number_of_old_records_is_removed() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 1, 6).await;
    let task = world.run("f").await;
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    let mut transaction = world.plane.store.write().await.unwrap();
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 450)
         INSERT INTO tasks SELECT id || n, cluster, instance, family, started_by, desired_status, last_status,
             reserved_cpu, reserved_memory, stopped_at, record, spec FROM tasks, numbers",
    )
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    world.advance(25 * 3600);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 451);
}

#[tokio::test]
async fn deregistered_instances_go_and_what_runs_of_them_is_still_ended() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 1, 6).await;
    let task = world.run("f").await;
    let first = std::mem::take(&mut node.arn);
    let gone = json!({"containerInstance": first, "force": true});
    world.ecs("DeregisterContainerInstance", gone).await.unwrap();
    node.register(&world, json!([])).await;
    world.advance(23 * 3600);
    retention::sweep(&world.plane).await.unwrap();
    let describe = json!({"containerInstances": [first]});
    let shown = world
        .ecs("DescribeContainerInstances", describe.clone())
        .await
        .unwrap();
    assert_eq!(shown["containerInstances"][0]["status"], "INACTIVE");

    world.advance(2 * 3600);
    retention::sweep(&world.plane).await.unwrap();
    let shown = world.ecs("DescribeContainerInstances", describe).await.unwrap();
    assert_eq!(shown["failures"][0]["reason"], "MISSING");

    node.renew(&world).await;
    node.held = vec![held(&task, ReportedStatus::Running)];
    let orders = node.poll(&world).await.assignments;
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].desired_status, DesiredStatus::Stopped);
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    node.cursor = Cursor::default();
    assert_eq!(node.poll(&world).await.assignments, []);
}

#[tokio::test]
async fn what_a_node_says_of_itself_is_bounded() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    let resources = json!([{"name": "CPU", "type": "INTEGER", "integerValue": 1},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 1}]);
    let many: Vec<_> = (0..7_000)
        .map(|number| json!({"name": format!("attribute-{number:040}")}))
        .collect();
    let body = json!({"cluster": "default", "totalResources": resources, "attributes": many});
    let (code, text) = refusal(node.ecs(&world, "RegisterContainerInstance", body).await);
    assert_eq!(code, "InvalidParameterException");
    assert!(text.contains("at most 262144 bytes"), "{text}");

    let mut request = node.request(true);
    request.agent_version = "v".repeat(100_000);
    node.send(&world, &request).await.unwrap();
    let describe = json!({"containerInstances": [node.arn]});
    let shown = world.ecs("DescribeContainerInstances", describe).await.unwrap();
    let version = &shown["containerInstances"][0]["versionInfo"]["agentVersion"];
    assert_eq!(version.as_str().unwrap().len(), 255);
}

/// As many port mappings as fit, each of which becomes two and a half times as long.
fn longest_definition() -> Value {
    let ports: Vec<_> = (1..=299).map(|port| json!({"containerPort": port})).collect();
    let container = |number: u32| json!({"name": format!("c{number}"), "image": "i", "memory": 16, "portMappings": ports});
    let containers: Vec<_> = (0..10).map(container).collect();
    json!({"family": "long", "containerDefinitions": containers})
}

/// The node refuses a longer answer, for ever, and hears of nothing else.
#[tokio::test]
async fn the_longest_task_that_is_taken_is_one_that_its_node_reads() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    let mut definition = longest_definition();
    assert!(definition.to_string().len() > definition::MAX_DEFINITION_BYTES - 1024);
    world
        .ecs("RegisterTaskDefinition", definition.clone())
        .await
        .unwrap();
    definition["containerDefinitions"][0]["name"] = json!("x".repeat(1024));
    let longer = world.ecs("RegisterTaskDefinition", definition).await;
    assert_eq!(code(longer), "ClientException");

    let command = "\u{10348}".repeat(definition::MAX_OVERRIDES_CHARS - 64);
    let mut overrides = json!({"containerOverrides": [{"name": "c0", "command": [command]}]});
    overrides["cpu"] = json!(format!("{}256", "0".repeat(29)));
    let mut body = json!({"taskDefinition": "long", "overrides": overrides});
    world.ecs("RunTask", body.clone()).await.unwrap();
    let answer = node.poll(&world).await;
    assert_eq!(answer.assignments.len(), 1);
    let json = serde_json::to_vec(&answer).unwrap();
    assert!(json.len() <= MAX_ASSIGNMENT_BYTES, "{}", json.len());
    assert!(shape::count(&json) <= MAX_ASSIGNMENT_NODES);

    body["overrides"]["cpu"] = json!(format!("{}256", "0".repeat(800_000)));
    let (code, text) = refusal(world.ecs("RunTask", body).await);
    assert_eq!(code, "InvalidParameterException");
    assert!(text.contains("of at most 32"), "{text}");
}

/// Whatever else it is made of, in the store of an earlier version, for one.
#[tokio::test]
async fn a_task_that_its_node_would_not_read_is_not_placed() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 1, 16).await;
    let mut transaction = world.plane.store.write().await.unwrap();
    let found = definitions::get(&mut transaction, "f", None).await.unwrap();
    let mut stored = found.unwrap();
    let volume = ecs::Volume {
        name: Some("v".repeat(MAX_ASSIGNMENT_BYTES)),
        ..ecs::Volume::default()
    };
    stored.body.volumes = Some(vec![volume]);
    definitions::put(&mut transaction, &stored).await.unwrap();
    transaction.commit().await.unwrap();
    for (operation, body) in [
        ("RunTask", json!({"taskDefinition": "f"})),
        (
            "StartTask",
            json!({"taskDefinition": "f", "containerInstances": [node.arn]}),
        ),
    ] {
        let (code, text) = refusal(world.ecs(operation, body).await);
        assert_eq!(code, "InvalidParameterException");
        assert!(text.contains("bytes as JSON, of at most 524288"), "{text}");
    }
    assert_eq!(node.poll(&world).await.assignments, []);
}
