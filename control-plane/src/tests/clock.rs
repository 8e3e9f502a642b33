//! A wall clock that steps, or was wrong from the start: what is over is known for as long as it is promised.

use longshore_protocol::poll::Cursor;
use longshore_protocol::status::DesiredStatus;
use serde_json::json;

use crate::tasks::retention;
use crate::testing::{Node, World, text};

const DAY: i64 = 24 * 3600;

/// A node with a task that was run by the token `t` and is running.
async fn running() -> (World, Node, String) {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.obey(&world).await;
    world.define("f", 1, 16).await;
    let task = run_by_token(&world).await;
    node.obey(&world).await;
    (world, node, task)
}

async fn run_by_token(world: &World) -> String {
    let body = json!({"taskDefinition": "f", "clientToken": "t"});
    let answer = world.ecs("RunTask", body).await.unwrap();
    text(&answer["tasks"][0]["taskArn"])
}

async fn end(world: &World, node: &mut Node, task: &str) {
    node.report(world, task, "STOPPED", json!({"exitCode": 3}))
        .await
        .unwrap();
    node.forget(task);
}

/// Whether the task can still be described; with its exit code, then.
async fn is_described(world: &World, task: &str) -> bool {
    let body = json!({"tasks": [task]});
    let shown = world.ecs("DescribeTasks", body).await.unwrap();
    if shown["tasks"] == json!([]) {
        assert_eq!(shown["failures"][0]["reason"], "MISSING");
        return false;
    }
    assert_eq!(shown["tasks"][0]["containers"][0]["exitCode"], 3);
    true
}

#[tokio::test]
async fn what_ended_before_the_clock_was_set_is_known_for_a_day_all_the_same() {
    let (world, mut node, task) = running().await;
    end(&world, &mut node, &task).await;
    // The machine had booted with the time of three days ago.
    world.clock.step(3 * DAY);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    assert!(is_described(&world, &task).await);
    assert_eq!(run_by_token(&world).await, task, "a client tries again");
    world.advance(24 * 3600 - 1);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    assert_eq!(run_by_token(&world).await, task);

    world.advance(2);
    node.renew(&world).await;
    node.obey(&world).await;
    assert_ne!(run_by_token(&world).await, task, "the token is free again");
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 1);
    assert!(!is_described(&world, &task).await);
}

#[tokio::test]
async fn what_ended_while_the_clock_was_wrong_for_a_moment_is_known_for_a_day_all_the_same() {
    let (world, mut node, task) = running().await;
    // Between two sweeps.
    world.clock.step(-3 * DAY);
    node.renew(&world).await;
    end(&world, &mut node, &task).await;
    world.clock.step(3 * DAY);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    assert!(is_described(&world, &task).await);
    world.advance(24 * 3600 + 1);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 1);
}

#[tokio::test]
async fn what_ended_while_the_clock_was_wrong_for_a_moment_is_known_for_a_day_though_the_control_plane_starts_anew()
 {
    let (mut world, mut node, _) = running().await;
    world.advance(3600);
    // Its start was before that.
    world.clock.step(-3 * DAY);
    node.renew(&world).await;
    node.obey(&world).await;
    let body = json!({"taskDefinition": "f", "clientToken": "late"});
    let answer = world.ecs("RunTask", body.clone()).await.unwrap();
    let task = text(&answer["tasks"][0]["taskArn"]);
    node.obey(&world).await;
    end(&world, &mut node, &task).await;
    world.clock.step(3 * DAY);
    for _ in 0..3 {
        world.advance(1800);
        world.restart().await;
        assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
        assert!(is_described(&world, &task).await);
        let again = world.ecs("RunTask", body.clone()).await.unwrap();
        assert_eq!(again["tasks"][0]["taskArn"], json!(task), "a client tries again");
    }
    world.advance(24 * 3600 + 1);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 1);
}

#[tokio::test]
async fn a_clock_that_is_years_ahead_is_not_believed_for_starting_twice() {
    let (mut world, mut node, task) = running().await;
    deregister(&world, &node).await;
    world.clock.step(401 * DAY);
    for _ in 0..3 {
        world.restart().await;
        assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    }
    world.clock.step(-401 * DAY);
    comes_back_with_what_is_buried(&world, &mut node, &task).await;
}

/// The node's task, which was taken off the books, is known to be over when the node comes back with it.
async fn comes_back_with_what_is_buried(world: &World, node: &mut Node, task: &str) {
    node.renew(world).await;
    node.arn = String::new();
    node.register(world, json!([])).await;
    node.cursor = Cursor::default();
    let orders = node.poll(world).await.assignments;
    let stop = |order: &longshore_protocol::poll::Assignment| {
        order.task_arn.to_string() == task && order.desired_status == DesiredStatus::Stopped
    };
    assert!(orders.len() == 1 && stop(&orders[0]), "{orders:?}");
}

async fn deregister(world: &World, node: &Node) {
    let body = json!({"containerInstance": node.arn, "force": true});
    world.ecs("DeregisterContainerInstance", body).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_years_ahead_for_a_moment_brings_nothing_back_to_life() {
    let (world, mut node, task) = running().await;
    deregister(&world, &node).await;
    world.clock.step(401 * DAY);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    world.clock.step(-401 * DAY);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    comes_back_with_what_is_buried(&world, &mut node, &task).await;
}

#[tokio::test]
async fn nor_does_one_that_is_years_ahead_when_the_control_plane_starts() {
    let (mut world, mut node, task) = running().await;
    let ended = task;
    end(&world, &mut node, &ended).await;
    let buried = world.run("f").await;
    node.obey(&world).await;
    deregister(&world, &node).await;
    world.clock.step(401 * DAY);
    world.restart().await;
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    world.clock.step(-401 * DAY);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 0);
    assert!(is_described(&world, &ended).await);
    comes_back_with_what_is_buried(&world, &mut node, &buried).await;
    world.advance(24 * 3600 + 1);
    assert_eq!(retention::sweep(&world.plane).await.unwrap(), 2);
}
