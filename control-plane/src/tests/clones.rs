//! A copied disk: two machines with one identity.

use longshore_protocol::status::ReportedStatus;
use serde_json::{Value, json};

use super::poll::{polled, soon};
use crate::testing::{Node, World, code};

/// A node that runs a task, and a copy of it on another machine.
async fn cloned() -> (World, Node, Node, String) {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.obey(&world).await;
    world.define("f", 1, 16).await;
    let task = world.run("f").await;
    node.obey(&world).await;
    let mut copy = Node {
        run: uuid::Uuid::new_v4(),
        n: 0,
        fingerprint: "copy".into(),
        credentials: node.credentials.clone(),
        id: node.id.clone(),
        arn: node.arn.clone(),
        cursor: node.cursor.clone(),
        held: node.held.clone(),
        status: node.status.clone(),
        bodies: node.bodies.clone(),
    };
    copy.renew(&world).await;
    (world, node, copy, task)
}

#[tokio::test]
async fn clones_get_no_new_tasks_and_may_both_stop_what_they_hold() {
    let (world, mut node, mut copy, task) = cloned().await;
    let waiting = world.run("f").await;
    for machine in [&mut copy, &mut node] {
        let request = machine.request(true);
        let answer = machine.send(&world, &request).await.unwrap();
        assert!(answer.cloned && answer.assignments.is_empty(), "{answer:?}");
    }
    let none = world
        .ecs("RunTask", json!({"taskDefinition": "f"}))
        .await
        .unwrap();
    assert_eq!(none["failures"][0]["reason"], "AGENT");
    let body = json!({"containerInstances": [node.arn]});
    let shown = world.ecs("DescribeContainerInstances", body).await.unwrap();
    let said = shown["containerInstances"][0]["statusReason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(said.starts_with("CLONED"), "{said}");

    world.ecs("StopTask", json!({"task": task})).await.unwrap();
    for machine in [&mut node, &mut copy] {
        assert_eq!(machine.obey(&world).await, [&*task]);
    }
    // The copy has lost its processes at its start; the task is not over by that.
    assert_eq!(
        code(copy.report(&world, &task, "STOPPED", json!({})).await),
        "ServerException"
    );
    assert_ne!(world.task(&task).await["lastStatus"], "STOPPED");
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    assert_eq!(world.task(&task).await["lastStatus"], "STOPPED");
    node.forget(&task);

    // The copy is shut down: what was held back comes.
    world.advance(41);
    node.obey(&world).await;
    assert_eq!(node.held[0].task_arn.to_string(), waiting);
}

#[tokio::test]
async fn an_agent_that_begins_while_cloned_gets_the_orders_of_before_its_first_list() {
    let (world, mut node, mut copy, task) = cloned().await;
    for machine in [&mut node, &mut copy] {
        assert_eq!(machine.obey(&world).await, [""; 0]);
    }
    (node.run, node.n) = (uuid::Uuid::new_v4(), 0);
    world.ecs("StopTask", json!({"task": task})).await.unwrap();
    // An agent's first poll has no list.
    let first = node.request(false);
    let answer = node.send(&world, &first).await.unwrap();
    assert!(answer.cloned && answer.want_inventory, "{answer:?}");
    assert!(answer.assignments.is_empty(), "nobody knows yet what it holds");
    node.cursor = answer.cursor;
    assert_eq!(node.obey(&world).await, [&*task]);
    assert_eq!(
        node.obey(&world).await,
        [""; 0],
        "once it has it, it is not told again"
    );
}

#[tokio::test]
async fn a_task_that_ended_on_one_of_the_machines_is_stopped_on_the_other() {
    let (world, mut node, mut copy, task) = cloned().await;
    for machine in [&mut node, &mut copy] {
        assert_eq!(machine.obey(&world).await, [""; 0]);
    }
    let mut waits = copy.request(false);
    waits.wait_seconds = 60;
    let (times, _) = world.plane.hub.polls(copy.arn.rsplit('/').next().unwrap());
    let end = async {
        polled(&world, &node, times + 1, 1).await;
        node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
            .await
    };
    let (answer, ended) = soon(async { tokio::join!(copy.send(&world, &waits), end) }).await;
    ended.unwrap();
    let answer = answer.unwrap();
    assert!(
        answer.want_inventory && answer.cursor == copy.cursor,
        "{answer:?}"
    );
    node.held[0].status = ReportedStatus::Stopped;
    assert_eq!(copy.obey(&world).await, [&*task]);
    assert_eq!(node.obey(&world).await, [""; 0], "it has ended there");
}

#[tokio::test]
async fn the_machine_that_is_left_becomes_the_node() {
    let (world, mut node, mut copy, task) = cloned().await;
    node.obey(&world).await;
    copy.obey(&world).await;
    world.advance(41);
    let new = world
        .ecs("RunTask", json!({"taskDefinition": "f"}))
        .await
        .unwrap();
    assert_eq!(new["failures"][0]["reason"], "AGENT", "nobody polls");
    copy.obey(&world).await;
    let new = world.run("f").await;
    copy.obey(&world).await;
    assert!(copy.held.iter().any(|held| held.task_arn.to_string() == new));
    copy.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    let late = node.report(&world, &new, "STOPPED", json!({})).await;
    assert_eq!(code(late), "ServerException", "it is the copy now");
}

#[tokio::test]
async fn another_machine_gets_nothing_while_nobody_can_know_that_the_first_is_gone() {
    let (mut world, mut node, mut copy, task) = cloned().await;
    world.restart().await;
    let waits = copy.request(true);
    let answer = copy.send(&world, &waits).await.unwrap();
    assert_eq!((answer.assignments.len(), &answer.cursor), (0, &copy.cursor));
    assert_eq!(
        code(copy.report(&world, &task, "STOPPED", json!({})).await),
        "ServerException"
    );
    node.obey(&world).await;
    let request = copy.request(true);
    assert!(copy.send(&world, &request).await.unwrap().cloned);
}

#[tokio::test]
async fn a_poll_that_a_proxy_held_up_harms_nothing() {
    let (world, mut node, _, task) = cloned().await;
    let late = node.request(true);
    node.obey(&world).await;
    assert_eq!(
        code(node.send(&world, &late).await.unwrap_err()),
        "StalePollException"
    );
    // The same after the agent was started anew.
    node.run = uuid::Uuid::new_v4();
    node.n = 0;
    node.obey(&world).await;
    let before = world.task(&task).await;
    assert_eq!(
        code(node.send(&world, &late).await.unwrap_err()),
        "StalePollException"
    );
    let new = world.run("f").await;
    node.obey(&world).await;
    assert!(node.held.iter().any(|held| held.task_arn.to_string() == new));
    assert_eq!(world.task(&task).await, before);
}

/// How many kinds of GPUs an instance has.
fn gpus(shown: &Value) -> usize {
    let resources = shown["registeredResources"].as_array().unwrap();
    resources
        .iter()
        .filter(|resource| resource["name"] == "GPU")
        .count()
}

fn gpu_of_the_copy() -> Value {
    json!([{"id": "GPU-of-the-copy", "type": "GPU"}])
}

async fn shown(world: &World, node: &Node) -> Value {
    let body = json!({"containerInstances": [node.arn]});
    let mut answer = world.ecs("DescribeContainerInstances", body).await.unwrap();
    answer["containerInstances"][0].take()
}

async fn must_register(world: &World, machine: &mut Node) {
    let request = machine.request(true);
    let refused = machine.send(world, &request).await.unwrap_err();
    assert_eq!(code(refused), "InactiveInstanceException", "register again");
}

#[tokio::test]
async fn what_a_copy_has_is_not_taken_while_the_known_machine_does_not_poll() {
    let (mut world, mut node, mut copy, _) = cloned().await;
    world.advance(16);
    let answer = copy.register(&world, gpu_of_the_copy()).await;
    assert_eq!(gpus(&answer), 0, "{answer}");
    world.restart().await;
    let answer = copy.register(&world, gpu_of_the_copy()).await;
    assert_eq!(gpus(&answer), 0, "{answer}");
    node.obey(&world).await;
    let shown = shown(&world, &node).await;
    assert_eq!(gpus(&shown), 0, "{shown}");
}

/// As when a mainboard was replaced, or a disk put into another machine.
#[tokio::test]
async fn what_the_machine_has_that_became_the_node_is_taken_though_the_control_plane_ends_before_it_has_registered()
 {
    let (mut world, node, mut copy, _) = cloned().await;
    copy.register(&world, gpu_of_the_copy()).await;
    world.advance(41);
    must_register(&world, &mut copy).await;
    world.restart().await;
    let request = copy.request(true);
    let waited = copy.send(&world, &request).await.unwrap();
    assert_eq!(waited.cursor, copy.cursor, "the known one may be alive");
    world.advance(131);
    must_register(&world, &mut copy).await;
    assert_eq!(gpus(&copy.register(&world, gpu_of_the_copy()).await), 1);
    copy.obey(&world).await;
    let shown = shown(&world, &node).await;
    assert_eq!(gpus(&shown), 1, "{shown}");
    // Nor is it a copy from then on.
    world.restart().await;
    assert_eq!(gpus(&copy.register(&world, json!([])).await), 0);
}

#[tokio::test]
async fn a_machine_that_was_to_become_the_node_and_did_not_is_a_copy_again() {
    let (world, mut node, mut copy, _) = cloned().await;
    world.advance(41);
    must_register(&world, &mut copy).await;
    world.advance(41);
    node.obey(&world).await;
    world.advance(41);
    node.obey(&world).await;
    let answer = copy.register(&world, gpu_of_the_copy()).await;
    assert_eq!(gpus(&answer), 0, "{answer}");
}

#[tokio::test]
async fn a_machine_that_was_to_become_the_node_is_a_copy_as_soon_as_the_known_one_is_heard() {
    let (world, mut node, mut copy, task) = cloned().await;
    world.advance(41);
    must_register(&world, &mut copy).await;
    // It is slow to register, and still counts as one that polls.
    node.obey(&world).await;
    let answer = copy.register(&world, gpu_of_the_copy()).await;
    assert_eq!(gpus(&answer), 0, "{answer}");
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();

    world.advance(41);
    must_register(&world, &mut copy).await;
    node.register(&world, json!([])).await;
    let answer = copy.register(&world, gpu_of_the_copy()).await;
    assert_eq!(gpus(&answer), 0, "{answer}");
}

#[tokio::test]
async fn the_versions_of_a_machine_that_is_not_the_node_are_not_noted() {
    let (world, mut node, mut copy, _) = cloned().await;
    for silent in [0, 41] {
        world.advance(silent);
        let mut request = copy.request(true);
        request.agent_version = "0.2.0".into();
        let answer = copy.send(&world, &request).await;
        assert_eq!(answer.is_err(), silent > 0, "{answer:?}");
        let shown = shown(&world, &node).await;
        assert_eq!(shown["versionInfo"]["agentVersion"], "0.1.0", "{shown}");
        node.obey(&world).await;
    }
}

#[tokio::test]
async fn what_a_copy_has_is_not_taken_for_what_the_node_has() {
    let (world, node, mut copy, _) = cloned().await;
    let device = gpu_of_the_copy();
    let shown = copy.register(&world, device.clone()).await;
    assert_eq!(
        (copy.arn.as_str(), gpus(&shown)),
        (node.arn.as_str(), 0),
        "{shown}"
    );
    // The machine that it was copied from is gone.
    world.advance(41);
    for _ in 0..2 {
        must_register(&world, &mut copy).await;
    }
    // What is in the books is still what that one has.
    let none = world
        .ecs("RunTask", json!({"taskDefinition": "f"}))
        .await
        .unwrap();
    assert_eq!(none["failures"][0]["reason"], "AGENT");
    let shown = copy.register(&world, device).await;
    assert_eq!(
        (copy.arn.as_str(), gpus(&shown)),
        (node.arn.as_str(), 1),
        "{shown}"
    );
    let request = copy.request(true);
    copy.send(&world, &request).await.unwrap();
    world.run("f").await;
}
