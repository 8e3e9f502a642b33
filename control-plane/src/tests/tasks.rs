//! A task's life: reports, stops, lists, retention.

use longshore_protocol::poll::{ContainerProgress, NodeStatus, TaskProgress};
use longshore_protocol::status::DesiredStatus;
use serde_json::{Value, json};

use crate::tasks::retention;
use crate::testing::{Node, World, code, refusal, text};

async fn running_task() -> (World, Node, String) {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 256, 128).await;
    let task = world.run("f").await;
    let assignments = node.poll(&world).await.assignments;
    assert_eq!(assignments.len(), 1);
    assert_eq!(assignments[0].task_arn.to_string(), task);
    let container = json!({"runtimeId": "abc", "imageDigest": "sha256:1", "networkBindings": [
        {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 8080, "protocol": "tcp"}]});
    node.report(&world, &task, "RUNNING", container).await.unwrap();
    (world, node, task)
}

#[tokio::test]
async fn a_task_runs_and_exits_with_its_code() {
    let (world, node, task) = running_task().await;
    let shown = world.task(&task).await;
    assert_eq!(shown["lastStatus"], "RUNNING");
    assert!(shown["startedAt"].is_number());
    let container = &shown["containers"][0];
    assert_eq!(
        (&container["runtimeId"], &container["lastStatus"]),
        (&json!("abc"), &json!("RUNNING"))
    );
    assert_eq!(container["networkBindings"][0]["hostPort"], 8080);

    node.report(&world, &task, "STOPPED", json!({"exitCode": 42}))
        .await
        .unwrap();
    let shown = world.task(&task).await;
    assert_eq!(
        (&shown["lastStatus"], &shown["desiredStatus"]),
        (&json!("STOPPED"), &json!("STOPPED"))
    );
    assert_eq!(shown["stopCode"], "EssentialContainerExited");
    assert_eq!(shown["stoppedReason"], "Essential container in task exited");
    assert_eq!(shown["containers"][0]["exitCode"], 42);
    for time in ["stoppingAt", "stoppedAt", "executionStoppedAt"] {
        assert!(shown[time].is_number(), "{time}");
    }
    let version = shown["version"].as_i64().unwrap();
    node.report(&world, &task, "RUNNING", json!({})).await.unwrap();
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    let later = world.task(&task).await;
    assert_eq!(
        (
            later["version"].as_i64().unwrap(),
            &later["containers"][0]["exitCode"]
        ),
        (version, &json!(42))
    );
}

#[tokio::test]
async fn a_task_that_never_ran_failed_to_start() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 1, 16).await;
    let task = world.run("f").await;
    let why = json!({"reason": "CannotPullContainerError: no such image"});
    node.report(&world, &task, "STOPPED", why).await.unwrap();
    let shown = world.task(&task).await;
    assert_eq!(
        (&shown["stopCode"], &shown["stoppedReason"]),
        (&json!("TaskFailedToStart"), &json!("Task failed to start"))
    );
    assert!(shown["startedAt"].is_null());
    assert_eq!(
        shown["containers"][0]["reason"],
        "CannotPullContainerError: no such image"
    );
}

#[tokio::test]
async fn stopping_climbs_as_the_node_learns_of_it() {
    let (world, mut node, task) = running_task().await;
    let stop = async |extra: Value| {
        let mut body = json!({"task": task, "reason": "enough"});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        world.ecs("StopTask", body).await.unwrap()["task"].take()
    };
    let shown = stop(json!({})).await;
    assert_eq!(
        (&shown["desiredStatus"], &shown["lastStatus"]),
        (&json!("STOPPED"), &json!("DEACTIVATING"))
    );
    assert_eq!(
        (&shown["stopCode"], &shown["stoppedReason"]),
        (&json!("UserInitiated"), &json!("enough"))
    );
    assert_eq!(
        stop(json!({"reason": "again"})).await,
        shown,
        "a repeated call changes nothing"
    );

    let order = node.poll(&world).await.assignments;
    assert_eq!(order.len(), 1);
    assert_eq!(
        (order[0].desired_status, order[0].generation, order[0].force),
        (DesiredStatus::Stopped, 2, false)
    );
    assert!(order[0].task.is_none(), "the node has the task");
    assert_eq!(
        world.task(&task).await["lastStatus"],
        "DEACTIVATING",
        "told, but not acknowledged"
    );
    assert!(node.poll(&world).await.assignments.is_empty());
    assert_eq!(world.task(&task).await["lastStatus"], "STOPPING");

    stop(json!({"force": true})).await;
    stop(json!({"force": true})).await;
    let order = node.poll(&world).await.assignments;
    assert_eq!((order.len(), order[0].generation, order[0].force), (1, 3, true));
    node.report(&world, &task, "STOPPED", json!({"exitCode": 137}))
        .await
        .unwrap();
    let shown = world.task(&task).await;
    assert_eq!(
        (&shown["lastStatus"], &shown["stoppedReason"]),
        (&json!("STOPPED"), &json!("enough"))
    );
    assert_eq!(
        stop(json!({})).await["version"],
        shown["version"],
        "stopping what is stopped changes nothing"
    );
    let unknown = json!({"task": "0123456789abcdef0123456789abcdef"});
    assert_eq!(
        refusal(world.ecs("StopTask", unknown).await).1,
        "The referenced task was not found."
    );
}

#[tokio::test]
async fn an_essential_exit_is_ordered_to_the_node_too() {
    let (world, mut node, task) = running_task().await;
    let exit = json!({"task": task, "containerName": "a", "status": "STOPPED", "exitCode": 1});
    node.ecs(&world, "SubmitContainerStateChange", exit)
        .await
        .unwrap();
    let shown = world.task(&task).await;
    assert_eq!(
        (&shown["lastStatus"], &shown["desiredStatus"]),
        (&json!("STOPPING"), &json!("STOPPED"))
    );
    let order = node.poll(&world).await.assignments;
    assert_eq!(
        (order[0].desired_status, order[0].generation),
        (DesiredStatus::Stopped, 2)
    );
}

#[tokio::test]
async fn a_stopped_task_gives_back_what_it_had() {
    let (world, mut node, task) = running_task().await;
    let remaining = async || {
        let body = json!({"containerInstances": [node.arn]});
        let shown = world.ecs("DescribeContainerInstances", body).await.unwrap();
        let list = shown["containerInstances"][0]["remainingResources"]
            .as_array()
            .unwrap()
            .clone();
        list[..2]
            .iter()
            .map(|each| each["integerValue"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(remaining().await, [768, 384]);
    for _ in 0..2 {
        node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
            .await
            .unwrap();
        assert_eq!(remaining().await, [1024, 512]);
    }
    assert!(node.poll(&world).await.assignments.is_empty());
}

#[tokio::test]
async fn a_node_speaks_of_its_own_tasks_only() {
    let (world, _node, task) = running_task().await;
    let mut other = Node::join(&world).await;
    other.poll(&world).await;
    assert_eq!(
        code(other.report(&world, &task, "STOPPED", json!({})).await),
        "AccessDeniedException"
    );
    assert_eq!(world.task(&task).await["lastStatus"], "RUNNING");
    let unknown = "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef";
    assert_eq!(
        refusal(other.report(&world, unknown, "STOPPED", json!({})).await).1,
        "The referenced task was not found."
    );
    let odd = other.report(&world, unknown, "FLYING", json!({})).await;
    assert!(refusal(odd).1.contains("status should be one of"));
}

#[tokio::test]
async fn progress_is_the_reason_while_it_lasts() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 1, 16).await;
    let task = world.run("f").await;
    node.status = NodeStatus {
        trouble: None,
        tasks: vec![TaskProgress {
            task_arn: task.parse().unwrap(),
            containers: vec![ContainerProgress {
                name: "a".into(),
                cause: "pulling busybox".into(),
                percent: Some(40),
                deadline: None,
                restart_count: 0,
            }],
        }],
    };
    node.poll(&world).await;
    assert_eq!(
        world.task(&task).await["containers"][0]["reason"],
        "pulling busybox (40 %)"
    );
    node.report(&world, &task, "RUNNING", json!({})).await.unwrap();
    assert!(world.task(&task).await["containers"][0]["reason"].is_null());
    let told = &mut node.status.tasks[0].containers[0];
    (told.cause, told.percent, told.restart_count) = ("restarted once".into(), None, 1);
    node.poll(&world).await;
    assert_eq!(
        world.task(&task).await["containers"][0]["reason"],
        "restarted once"
    );
    let stopped = json!({"containers": [{"containerName": "a", "status": "STOPPED", "exitCode": 3}]});
    node.report(&world, &task, "STOPPED", stopped).await.unwrap();
    assert!(world.task(&task).await["containers"][0]["reason"].is_null());
}

#[tokio::test]
async fn tasks_are_listed_by_what_they_are() {
    let (world, node, task) = running_task().await;
    world.define("g", 1, 16).await;
    let body = json!({"taskDefinition": "g", "startedBy": "me"});
    let other = text(&world.ecs("RunTask", body).await.unwrap()["tasks"][0]["taskArn"]);
    let list = async |body: Value| {
        let mut arns: Vec<_> = world.ecs("ListTasks", body).await.unwrap()["taskArns"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        arns.sort();
        arns
    };
    let mut both = vec![task.clone(), other.clone()];
    both.sort();
    assert_eq!(list(json!({})).await, both);
    assert_eq!(
        list(json!({"containerInstance": node.arn, "launchType": "EXTERNAL"})).await,
        both
    );
    assert_eq!(list(json!({"family": "g"})).await, std::slice::from_ref(&other));
    assert_eq!(
        list(json!({"startedBy": "me"})).await,
        std::slice::from_ref(&other)
    );
    assert_eq!(list(json!({"launchType": "EC2"})).await, [""; 0]);
    assert_eq!(list(json!({"desiredStatus": "PENDING"})).await, [""; 0]);
    world.ecs("StopTask", json!({"task": other})).await.unwrap();
    assert_eq!(list(json!({"desiredStatus": "STOPPED"})).await, [other]);
    assert_eq!(list(json!({})).await, [task]);
    assert_eq!(
        code(world.ecs("ListTasks", json!({"serviceName": "s"})).await),
        "InvalidParameterException"
    );
    assert_eq!(
        refusal(world.ecs("DescribeTasks", json!({"tasks": []})).await).1,
        "Tasks cannot be empty."
    );
}

#[tokio::test]
async fn records_go_after_a_day_and_tombstones_stay() {
    let (world, mut node, task) = running_task().await;
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    world.advance(3600);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    world.advance(24 * 3600);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 1);
    let gone = world
        .ecs("DescribeTasks", json!({"tasks": [task]}))
        .await
        .unwrap();
    assert_eq!(
        (&gone["failures"][0]["arn"], &gone["failures"][0]["reason"]),
        (&json!(task), &json!("MISSING"))
    );
    node.renew(&world).await;
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
}
