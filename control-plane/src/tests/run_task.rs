//! RunTask and StartTask: what is placed, what is refused, what is idempotent.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::testing::{Node, World, code, refusal, text};

async fn world_with_node() -> (World, Node) {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    (world, node)
}

fn reasons(answer: &Value) -> Vec<String> {
    answer["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| text(&failure["reason"]))
        .collect()
}

#[tokio::test]
async fn a_placed_task_shows_what_was_asked_for() {
    let (world, node) = world_with_node().await;
    let container = |name: &str| json!({"name": name, "image": "busybox", "cpu": 10, "memory": 16});
    let definition = json!({"family": "f", "containerDefinitions": [container("a"), container("b")],
        "tags": [{"key": "d", "value": "1"}, {"key": "both", "value": "definition"}]});
    world.ecs("RegisterTaskDefinition", definition).await.unwrap();
    let overrides = json!({"containerOverrides": [{"name": "a", "command": ["x"], "memory": 20}]});
    let body = json!({"taskDefinition": "f", "launchType": "EXTERNAL", "startedBy": "me", "overrides": overrides,
        "tags": [{"key": "both", "value": "call"}], "propagateTags": "TASK_DEFINITION", "enableECSManagedTags": true,
        "placementStrategy": [{"type": "random"}]});
    let answer = world.ecs("RunTask", body).await.unwrap();
    assert_eq!(answer["failures"], json!([]));
    let task = &answer["tasks"][0];
    assert_eq!(task["lastStatus"], "PENDING");
    assert_eq!(task["desiredStatus"], "RUNNING");
    assert_eq!(task["launchType"], "EXTERNAL");
    assert_eq!(task["group"], "family:f");
    assert_eq!(task["startedBy"], "me");
    assert_eq!(task["version"], 1);
    assert_eq!((&task["cpu"], &task["memory"]), (&json!("20"), &json!("36")));
    assert_eq!(task["containerInstanceArn"], node.arn);
    assert_eq!(task["connectivity"], "CONNECTED");
    assert_eq!(
        task["attributes"],
        json!([{"name": "ecs.cpu-architecture", "value": "x86_64"}])
    );
    assert_eq!(task["overrides"]["containerOverrides"][1], json!({"name": "b"}));
    assert_eq!(
        task["overrides"]["containerOverrides"][0]["command"],
        json!(["x"])
    );
    let tags: Vec<_> = task["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| (text(&tag["key"]), text(&tag["value"])))
        .collect();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        tags,
        [
            pair("both", "call"),
            pair("d", "1"),
            pair("aws:ecs:clusterName", "default")
        ]
    );
    let arn = text(&task["taskArn"]);
    assert_eq!(
        world.task(&arn).await["tags"],
        json!([]),
        "tags only when asked for"
    );
    assert_eq!(world.task(&arn).await["containers"][0]["memory"], "20");
}

#[tokio::test]
async fn what_does_not_fit_is_told_for_each_instance() {
    let (world, node) = world_with_node().await;
    world.define("small", 100, 100).await;
    world.define("cpu", 2000, 100).await;
    world.define("memory", 100, 600).await;
    let run = async |body: Value| world.ecs("RunTask", body).await.unwrap();
    assert_eq!(
        reasons(&run(json!({"taskDefinition": "cpu"})).await),
        ["RESOURCE:CPU"]
    );
    let answer = run(json!({"taskDefinition": "memory"})).await;
    assert_eq!(reasons(&answer), ["RESOURCE:MEMORY"]);
    assert_eq!(answer["failures"][0]["arn"], node.arn);
    let answer = run(json!({"taskDefinition": "small", "count": 7})).await;
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 5);
    assert_eq!(reasons(&answer), ["RESOURCE:MEMORY", "RESOURCE:MEMORY"]);

    world.advance(16);
    assert_eq!(reasons(&run(json!({"taskDefinition": "cpu"})).await), ["AGENT"]);
}

#[tokio::test]
async fn ports_and_gpus_are_given_once() {
    let (world, mut node) = world_with_node().await;
    node.register(
        &world,
        json!([{"id": "GPU-1", "type": "GPU"}, {"id": "GPU-2", "type": "GPU"}]),
    )
    .await;
    let define = async |family: &str, extra: Value| {
        let mut container = json!({"name": "a", "image": "busybox", "memory": 16});
        container
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let body = json!({"family": family, "containerDefinitions": [container]});
        world.ecs("RegisterTaskDefinition", body).await.unwrap();
    };
    define(
        "web",
        json!({"portMappings": [{"containerPort": 80, "hostPort": 8080}]}),
    )
    .await;
    define(
        "ssh",
        json!({"portMappings": [{"containerPort": 22, "hostPort": 22}]}),
    )
    .await;
    define(
        "gpu",
        json!({"resourceRequirements": [{"type": "GPU", "value": "1"}]}),
    )
    .await;
    let run = async |family: &str| {
        world
            .ecs("RunTask", json!({"taskDefinition": family}))
            .await
            .unwrap()
    };
    let web = text(&run("web").await["tasks"][0]["taskArn"]);
    assert_eq!(reasons(&run("web").await), ["RESOURCE:PORTS"]);
    assert_eq!(reasons(&run("ssh").await), ["RESOURCE:PORTS"]);
    let (one, two) = (run("gpu").await, run("gpu").await);
    let ids = |answer: &Value| text(&answer["tasks"][0]["containers"][0]["gpuIds"][0]);
    assert_ne!(ids(&one), ids(&two));
    assert_eq!(reasons(&run("gpu").await), ["RESOURCE:GPU"]);
    let body = json!({"containerInstances": [node.arn]});
    let shown = world.ecs("DescribeContainerInstances", body).await.unwrap();
    let remaining = shown["containerInstances"][0]["remainingResources"]
        .as_array()
        .unwrap()
        .clone();
    let set =
        |name: &str| remaining.iter().find(|each| each["name"] == name).unwrap()["stringSetValue"].clone();
    assert_eq!((set("PORTS"), set("GPU")), (json!(["22", "8080"]), json!([])));
    node.report(&world, &web, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    assert_eq!(reasons(&run("web").await), [""; 0]);
}

#[tokio::test]
async fn a_missing_attribute_is_told() {
    let (world, _node) = world_with_node().await;
    let body = json!({"family": "f", "containerDefinitions": [
        {"name": "a", "image": "busybox", "memory": 16, "privileged": true}]});
    world.ecs("RegisterTaskDefinition", body).await.unwrap();
    let answer = world
        .ecs("RunTask", json!({"taskDefinition": "f"}))
        .await
        .unwrap();
    assert_eq!(reasons(&answer), ["ATTRIBUTE"]);
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_name() {
    let (world, node) = world_with_node().await;
    world.define("f", 1, 16).await;
    world.define("gone", 1, 16).await;
    world
        .ecs("DeregisterTaskDefinition", json!({"taskDefinition": "gone:1"}))
        .await
        .unwrap();
    let run = async |extra: Value| {
        let mut body = json!({"taskDefinition": "f"});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        refusal(world.ecs("RunTask", body).await)
    };
    let strategy = json!([{"capacityProvider": "FARGATE"}]);
    for (extra, says) in [
        (json!({"count": 0}), "count"),
        (json!({"count": 11}), "count"),
        (json!({"launchType": "FARGATE"}), "EXTERNAL instances only"),
        (json!({"launchType": "MOON"}), "launchType should be one of"),
        (
            json!({"capacityProviderStrategy": strategy}),
            "capacityProviderStrategy",
        ),
        (
            json!({"launchType": "EXTERNAL", "capacityProviderStrategy": strategy}),
            "both a launch type",
        ),
        (
            json!({"placementStrategy": [{"type": "binpack", "field": "cpu"}]}),
            "placementStrategy",
        ),
        (
            json!({"placementConstraints": [{"type": "distinctInstance"}]}),
            "placementConstraints",
        ),
        (
            json!({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}}}),
            "Network Configuration",
        ),
        (json!({"platformVersion": "LATEST"}), "platformVersion"),
        (json!({"referenceId": "x"}), "referenceId"),
        (
            json!({"volumeConfigurations": [{"name": "v"}]}),
            "volumeConfigurations",
        ),
        (json!({"propagateTags": "SERVICE"}), "propagateTags"),
        (json!({"group": "service:x"}), "service:"),
        (json!({"startedBy": "a b"}), "startedBy"),
        (json!({"clientToken": "ü"}), "clientToken"),
        (json!({"tags": [{"key": "a"}, {"key": "a"}]}), "more than once"),
        (
            json!({"overrides": {"containerOverrides": [{"name": "x"}]}}),
            "not a container in the TaskDefinition",
        ),
        (
            json!({"overrides": {"taskRoleArn": "arn:aws:iam::000000000000:role/r"}}),
            "taskRoleArn",
        ),
        (json!({"taskDefinition": "gone:1"}), "TaskDefinition is inactive"),
        (json!({"cluster": "a b"}), "Cluster must match"),
    ] {
        let (code, message) = run(extra.clone()).await;
        assert_eq!(code, "InvalidParameterException", "{extra}: {message}");
        assert!(message.contains(says), "{extra}: {message}");
    }
    assert_eq!(
        run(json!({"taskDefinition": "x"})).await,
        ("ClientException".into(), "TaskDefinition not found.".into())
    );
    assert_eq!(run(json!({"cluster": "x"})).await.0, "ClusterNotFoundException");
    let start = json!({"taskDefinition": "f", "containerInstances": [node.arn], "referenceId": "x"});
    assert!(
        refusal(world.ecs("StartTask", start).await)
            .1
            .contains("referenceId")
    );
}

#[tokio::test]
async fn a_client_token_starts_its_tasks_once() {
    let (world, node) = world_with_node().await;
    world.define("f", 1, 16).await;
    world.define("big", 5000, 16).await;
    let run = async |token: &str, family: &str| {
        world
            .ecs("RunTask", json!({"taskDefinition": family, "clientToken": token}))
            .await
    };
    let arn = |answer: Value| text(&answer["tasks"][0]["taskArn"]);
    let first = arn(run("t", "f").await.unwrap());
    assert_eq!(arn(run("t", "f").await.unwrap()), first);
    let (status, conflict) = world
        .ecs(
            "RunTask",
            json!({"taskDefinition": "f", "clientToken": "t", "count": 2}),
        )
        .await
        .unwrap_err();
    assert_eq!((status, conflict.code.as_str()), (400, "ConflictException"));
    assert_eq!(conflict.resource_ids.unwrap(), std::slice::from_ref(&first));

    assert_eq!(reasons(&run("u", "big").await.unwrap()), ["RESOURCE:CPU"]);
    assert_ne!(
        arn(run("u", "f").await.unwrap()),
        first,
        "a call that placed nothing binds nothing"
    );

    world
        .ecs("CreateCluster", json!({"clusterName": "c"}))
        .await
        .unwrap();
    let elsewhere = json!({"cluster": "c", "taskDefinition": "f", "clientToken": "t"});
    assert_eq!(
        code(world.ecs("RunTask", elsewhere).await),
        "InvalidParameterException",
        "no instances there"
    );
    world.advance(24 * 3600 + 1);
    let mut node = node;
    node.renew(&world).await;
    node.poll(&world).await;
    assert_ne!(
        arn(run("t", "f").await.unwrap()),
        first,
        "a day later it is free again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_for_room_of_five_place_exactly_five() {
    let (world, mut node) = world_with_node().await;
    world.define("f", 200, 100).await;
    let world = Arc::new(world);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let world = Arc::clone(&world);
        calls.spawn(async move {
            world
                .ecs("RunTask", json!({"taskDefinition": "f"}))
                .await
                .unwrap()
        });
    }
    let answers = calls.join_all().await;
    let placed = answers
        .iter()
        .filter(|answer| !answer["tasks"].as_array().unwrap().is_empty())
        .count();
    assert_eq!(placed, 5);
    let assignments = node.poll(&world).await.assignments;
    let seqs: Vec<_> = assignments.iter().map(|each| each.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn start_task_goes_where_it_is_told() {
    let (world, node) = world_with_node().await;
    let mut other = Node::join(&world).await;
    other.poll(&world).await;
    world.define("f", 1, 16).await;
    let missing = "0123456789abcdef0123456789abcdef";
    let body = json!({"taskDefinition": "f", "containerInstances": [other.arn, missing]});
    let answer = world.ecs("StartTask", body).await.unwrap();
    assert_eq!(answer["tasks"][0]["containerInstanceArn"], other.arn);
    assert_eq!(reasons(&answer), ["MISSING"]);
    let gone = json!({"containerInstance": node.arn});
    world.ecs("DeregisterContainerInstance", gone).await.unwrap();
    let body = json!({"taskDefinition": "f", "containerInstances": [node.arn]});
    assert_eq!(
        reasons(&world.ecs("StartTask", body).await.unwrap()),
        ["INACTIVE"]
    );
}
