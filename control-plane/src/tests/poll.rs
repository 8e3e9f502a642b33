//! The long poll: what is told when, and that nothing is ever lost or told to another.

use std::time::Duration;

use longshore_protocol::poll::{Cursor, PATH};
use longshore_protocol::status::{DesiredStatus, InstanceStatus, ReportedStatus};
use serde_json::json;

use crate::store::nodes;
use crate::testing::{Node, World, code, held};

async fn world_with_node() -> (World, Node) {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 1, 16).await;
    (world, node)
}

/// Waits for a held poll with a deadline: a wake-up that gets lost fails the test.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_assignment_carries_the_task_until_it_is_acknowledged() {
    let (world, mut node) = world_with_node().await;
    let task = world.run("f").await;
    let before = node.cursor.clone();
    for _ in 0..2 {
        // The same cursor again: the node did not get to store it.
        node.cursor = before.clone();
        let response = node.poll(&world).await;
        let spec = response.assignments[0].task.as_ref().unwrap();
        assert_eq!(response.assignments[0].task_arn.to_string(), task);
        assert_eq!(spec.containers[0].definition.name.as_deref(), Some("a"));
        assert_eq!(response.cursor.cursor, 1);
    }
    let response = node.poll(&world).await;
    assert!(response.assignments.is_empty());
    assert_eq!(response.cursor, node.cursor);
}

/// Waits until so many polls of a node were let in and so many are open.
pub(super) async fn polled(world: &World, node: &Node, times: u64, open: u32) {
    let instance = node.arn.rsplit('/').next().unwrap();
    while world.plane.hub.polls(instance) != (times, open) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_held_poll_wakes_at_the_commit() {
    let (world, mut node) = world_with_node().await;
    node.poll(&world).await;
    let mut request = node.request(false);
    request.wait_seconds = 60;
    let run = async {
        polled(&world, &node, node.n, 1).await;
        world.run("f").await
    };
    let (response, task) = soon(async { tokio::join!(node.send(&world, &request), run) }).await;
    assert_eq!(response.unwrap().assignments[0].task_arn.to_string(), task);
}

/// A 60 s poll is open; the operator takes the node's identity away.
#[tokio::test]
async fn a_node_that_was_deregistered_is_refused_in_its_open_poll_and_gets_no_new_task() {
    let (world, mut node) = world_with_node().await;
    node.poll(&world).await;
    let mut request = node.request(false);
    request.wait_seconds = 60;
    let revoke = async {
        polled(&world, &node, node.n, 1).await;
        let body = json!({"InstanceId": node.id});
        world.ssm("DeregisterManagedInstance", body).await.unwrap();
    };
    let (refused, ()) = soon(async { tokio::join!(node.send(&world, &request), revoke) }).await;
    assert_eq!(code(refused.unwrap_err()), "UnrecognizedClientException");
    for (operation, body) in [
        ("RunTask", json!({"taskDefinition": "f"})),
        (
            "StartTask",
            json!({"taskDefinition": "f", "containerInstances": [node.arn]}),
        ),
    ] {
        let answer = world.ecs(operation, body).await.unwrap();
        assert_eq!(answer["failures"][0]["reason"], "AGENT", "{answer}");
    }
    let body = json!({"containerInstances": [node.arn]});
    let shown = world.ecs("DescribeContainerInstances", body).await.unwrap();
    assert_eq!(shown["containerInstances"][0]["agentConnected"], false, "{shown}");
}

/// Its poll was let in before it was deregistered, and made known after that.
#[tokio::test]
async fn a_poll_that_crosses_its_node_s_deregistration_brings_it_no_task() {
    let (world, mut node) = world_with_node().await;
    node.poll(&world).await;
    let mut transaction = world.plane.store.write().await.unwrap();
    let id = node.id.clone().try_into().unwrap();
    assert!(nodes::remove(&mut transaction, &id).await.unwrap());
    transaction.commit().await.unwrap();
    assert!(
        world
            .plane
            .hub
            .link(node.arn.rsplit('/').next().unwrap())
            .connected
    );
    let body = json!({"taskDefinition": "f"});
    let answer = world.ecs("RunTask", body).await.unwrap();
    assert_eq!(answer["failures"][0]["reason"], "AGENT", "{answer}");
}

#[tokio::test]
async fn a_held_poll_is_answered_when_a_newer_comes_and_when_the_control_plane_ends() {
    let (world, mut node) = world_with_node().await;
    let mut held = node.request(false);
    held.wait_seconds = 60;
    let mut newer = node.request(false);
    newer.wait_seconds = 60;
    let second = async {
        polled(&world, &node, held.n, 1).await;
        node.send(&world, &newer).await
    };
    let end = async {
        // Only the newer one is left.
        polled(&world, &node, newer.n, 1).await;
        world.plane.shutdown.cancel();
    };
    let (first, second, ()) = soon(async { tokio::join!(node.send(&world, &held), second, end) }).await;
    assert!(first.unwrap().assignments.is_empty());
    assert!(second.unwrap().assignments.is_empty());
    let late = node.send(&world, &held).await.unwrap_err();
    assert_eq!(code(late), "StalePollException");
}

#[tokio::test]
async fn a_restart_of_the_control_plane_keeps_cursors_good() {
    let (mut world, mut node) = world_with_node().await;
    let first = world.run("f").await;
    node.poll(&world).await;
    node.held.push(held(&first, ReportedStatus::Running));
    let old = node.cursor.clone();
    world.restart().await;
    let response = node.poll(&world).await;
    assert!(
        response.assignments.is_empty(),
        "nothing new: {:?}",
        response.assignments
    );
    assert_ne!(response.cursor.incarnation, old.incarnation);
    let second = world.run("f").await;
    let response = node.poll(&world).await;
    assert_eq!(response.assignments.len(), 1);
    assert_eq!(response.assignments[0].task_arn.to_string(), second);
    node.held.push(held(&second, ReportedStatus::Running));

    node.cursor = old;
    let response = node.poll(&world).await;
    assert_eq!(
        response.assignments.len(),
        1,
        "from where the old incarnation ended"
    );
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_cursor_that_is_not_ours_gets_everything_again() {
    let (mut world, mut node) = world_with_node().await;
    let tasks = [world.run("f").await, world.run("f").await];
    node.poll(&world).await;
    node.held
        .extend(tasks.iter().map(|task| held(task, ReportedStatus::Running)));
    let good = node.cursor.clone();
    let everything = async |world: &World, node: &mut Node, cursor: Cursor| {
        node.cursor = cursor;
        let response = node.poll(world).await;
        let bodies = response
            .assignments
            .iter()
            .filter(|each| each.task.is_some())
            .count();
        assert_eq!((response.assignments.len(), bodies), (2, 2));
        assert_eq!(response.cursor.cursor, 2);
    };
    everything(
        &world,
        &mut node,
        Cursor {
            incarnation: "stranger".into(),
            cursor: 2,
        },
    )
    .await;
    everything(
        &world,
        &mut node,
        Cursor {
            cursor: 3,
            ..good.clone()
        },
    )
    .await;
    everything(&world, &mut node, Cursor::default()).await;
    world.restart().await;
    everything(&world, &mut node, Cursor { cursor: 3, ..good }).await;
}

#[tokio::test]
async fn many_assignments_come_in_pages() {
    let (world, mut node) = world_with_node().await;
    let big = json!({"containerInstanceArn": node.arn, "totalResources": [
        {"name": "CPU", "type": "INTEGER", "integerValue": 100_000}, {"name": "MEMORY", "type": "INTEGER", "integerValue": 100_000}],
        "attributes": [{"name": "ecs.capability.external"}, {"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}]});
    node.ecs(&world, "RegisterContainerInstance", big).await.unwrap();
    for _ in 0..13 {
        let answer = world
            .ecs("RunTask", json!({"taskDefinition": "f", "count": 10}))
            .await
            .unwrap();
        assert_eq!(answer["failures"], json!([]));
    }
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let response = node.poll(&world).await;
        if response.assignments.is_empty() {
            break;
        }
        pages += 1;
        assert!(response.assignments.len() <= 100);
        seen.extend(response.assignments.iter().map(|each| each.seq));
    }
    assert_eq!((seen.len(), pages), (130, 2));
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn one_response_stays_below_its_bound() {
    let (world, mut node) = world_with_node().await;
    let value = "x".repeat(60_000);
    let container =
        json!({"name": "a", "image": "busybox", "memory": 6, "environment": [{"name": "E", "value": value}]});
    let body = json!({"family": "long", "containerDefinitions": [container]});
    world.ecs("RegisterTaskDefinition", body).await.unwrap();
    for _ in 0..2 {
        world
            .ecs("RunTask", json!({"taskDefinition": "long", "count": 10}))
            .await
            .unwrap();
    }
    let (mut seen, mut pages) = (0, 0);
    loop {
        let response = node.poll(&world).await;
        if response.assignments.is_empty() {
            break;
        }
        assert!(serde_json::to_vec(&response).unwrap().len() <= 1024 * 1024);
        (seen, pages) = (seen + response.assignments.len(), pages + 1);
    }
    assert_eq!((seen, pages), (20, 2));
}

#[tokio::test]
async fn a_stop_before_the_node_heard_of_the_task_is_told_with_it() {
    let (world, mut node) = world_with_node().await;
    let task = world.run("f").await;
    world.ecs("StopTask", json!({"task": task})).await.unwrap();
    let response = node.poll(&world).await;
    assert_eq!(response.assignments.len(), 1);
    let order = &response.assignments[0];
    assert_eq!(
        (order.desired_status, order.generation),
        (DesiredStatus::Stopped, 2)
    );
    assert!(order.task.is_some());
    node.report(&world, &task, "STOPPED", json!({})).await.unwrap();
    assert_eq!(world.task(&task).await["stopCode"], "UserInitiated");
}

#[tokio::test]
async fn a_buried_task_that_still_runs_is_stopped_and_an_unknown_one_is_left() {
    let (world, mut node) = world_with_node().await;
    let task = world.run("f").await;
    node.poll(&world).await;
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    let unknown = "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef";
    node.held = vec![
        held(&task, ReportedStatus::Running),
        held(unknown, ReportedStatus::Running),
    ];
    let response = node.poll(&world).await;
    assert_eq!(response.assignments.len(), 1);
    let order = &response.assignments[0];
    assert_eq!(
        (order.task_arn.to_string(), order.desired_status),
        (task.clone(), DesiredStatus::Stopped)
    );
    assert!(order.generation > 1);
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    node.held = vec![
        held(&task, ReportedStatus::Stopped),
        held(unknown, ReportedStatus::Running),
    ];
    assert!(node.poll(&world).await.assignments.is_empty());
}

#[tokio::test]
async fn the_list_is_asked_for_when_its_hash_is_new() {
    let (world, mut node) = world_with_node().await;
    let request = node.request(false);
    assert!(
        !node.send(&world, &request).await.unwrap().want_inventory,
        "known from the first polls"
    );
    let task = world.run("f").await;
    node.poll(&world).await;
    node.held = vec![held(&task, ReportedStatus::Pending)];
    let request = node.request(false);
    assert!(node.send(&world, &request).await.unwrap().want_inventory);
    let request = node.request(true);
    assert!(!node.send(&world, &request).await.unwrap().want_inventory);
}

#[tokio::test]
async fn a_node_is_told_when_it_is_drained() {
    let (world, mut node) = world_with_node().await;
    let body = json!({"containerInstances": [node.arn], "status": "DRAINING"});
    world.ecs("UpdateContainerInstancesState", body).await.unwrap();
    let mut request = node.request(false);
    request.wait_seconds = 60;
    assert_eq!(
        soon(node.send(&world, &request)).await.unwrap().instance,
        InstanceStatus::Draining
    );
}

#[tokio::test]
async fn polls_are_for_nodes_and_for_their_own_instance() {
    let (world, mut node) = world_with_node().await;
    let other = Node::join(&world).await;
    let request = node.request(false);
    let foreign = other.send(&world, &request).await.unwrap_err();
    assert_eq!(code(foreign), "AccessDeniedException");
    let body = serde_json::to_vec(&request).unwrap();
    let operator = world.send(&world.operator, "ecs", PATH, None, &body).await;
    assert_eq!(code(operator), "AccessDeniedException");
    let mut newer = node.request(false);
    newer.protocol_version = 2;
    assert_eq!(
        code(node.send(&world, &newer).await.unwrap_err()),
        "ClientException"
    );
    let odd = world.send(&node.credentials, "ecs", PATH, None, b"{}").await;
    assert_eq!(code(odd), "SerializationException");
}

#[tokio::test]
async fn an_order_to_stop_a_buried_task_ends_with_the_word_of_whoever_had_it() {
    let (world, mut node) = world_with_node().await;
    let task = world.run("f").await;
    node.poll(&world).await;
    let body = json!({"containerInstance": node.arn, "force": true});
    world.ecs("DeregisterContainerInstance", body).await.unwrap();
    node.arn = String::new();
    node.register(&world, json!([])).await;
    let mut copy = Node::join(&world).await;
    for holder in [&mut node, &mut copy] {
        holder.held = vec![held(&task, ReportedStatus::Running)];
        holder.cursor = Cursor::default();
        assert_eq!(holder.poll(&world).await.assignments.len(), 1);
        holder.report(&world, &task, "STOPPED", json!({})).await.unwrap();
        holder.cursor = Cursor::default();
        holder.held = vec![];
        assert!(holder.poll(&world).await.assignments.is_empty());
    }
    let denied = copy.report(&world, &task, "STOPPED", json!({})).await;
    assert_eq!(code(denied), "AccessDeniedException");
}
