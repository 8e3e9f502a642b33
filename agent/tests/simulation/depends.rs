//! Containers that wait for each other, and stop one after the other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_agent::config::ResumeOnBoot;
use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs;
use longshore_protocol::poll::TaskSpec;
use longshore_protocol::status::DesiredStatus;

use crate::crashes::everywhere;
use crate::node::{Node, container, container_id, task, task_arn};

const TERM: i32 = 15;

/// A container that is not essential.
fn helper(name: &str, command: &str) -> ecs::ContainerDefinition {
    ecs::ContainerDefinition {
        essential: Some(false),
        ..container(name, command)
    }
}

fn after(mut definition: ecs::ContainerDefinition, edges: &[(&str, &str)]) -> ecs::ContainerDefinition {
    let edges = edges.iter().map(|(name, condition)| ecs::ContainerDependency {
        container_name: Some((*name).to_owned()),
        condition: Some((*condition).to_owned()),
    });
    definition.depends_on = Some(edges.collect());
    definition
}

/// A chain as people write it: migrate, then serve, then a proxy before it.
fn chain() -> TaskSpec {
    task(vec![
        after(container("proxy", "graceful 3"), &[("app", "START")]),
        after(container("app", "graceful 2"), &[("migrate", "SUCCESS")]),
        helper("migrate", "run 5 0"),
    ])
}

fn statuses(node: &Node, arn: &TaskArn) -> Vec<String> {
    let containers = node.link.last(arn).unwrap().containers.unwrap();
    containers.into_iter().map(|each| each.status.unwrap()).collect()
}

fn codes(report: ecs::SubmitTaskStateChangeRequest) -> Vec<Option<i32>> {
    let containers = report.containers.unwrap();
    containers.into_iter().map(|each| each.exit_code).collect()
}

/// When the first signal went to a container.
fn signalled(node: &Node, arn: &TaskArn, index: u16) -> i64 {
    node.runtime.history(&container_id(arn, index)).signals[0].1
}

fn ended(node: &Node, arn: &TaskArn, index: u16) -> i64 {
    node.runtime.history(&container_id(arn, index)).ended_at.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_chain_comes_up_link_by_link_and_tells_what_it_waits_for() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    node.link.run(&arn, chain());
    node.until_told(&arn, "PENDING").await;
    assert_eq!(statuses(&node, &arn), ["PENDING", "PENDING", "RUNNING"]);
    let view = node.handle().tasks().remove(0);
    let cause = |index| view.cause(index).unwrap().text;
    assert_eq!(cause(0), "waiting for 'app' to run");
    assert_eq!(cause(1), "waiting for 'migrate' to exit with 0");
    let log = node.world.log();
    assert_eq!(
        log.matches("> pull").count(),
        3,
        "images are fetched meanwhile\n{log}"
    );
    assert_eq!(log.matches("> attach").count(), 1);
    assert_eq!(log.matches("> create").count(), 1);
    node.until_told(&arn, "RUNNING").await;
    assert_eq!(statuses(&node, &arn), ["RUNNING", "RUNNING", "STOPPED"]);
    let told = node.link.told_at(&arn, "RUNNING").unwrap();
    assert!(told >= ended(&node, &arn, 2));
    node.link.stop(&arn);
    let last = node.until_stopped(&arn).await;
    assert_eq!(codes(last), [Some(3), Some(2), Some(0)]);
    assert!(signalled(&node, &arn, 1) >= ended(&node, &arn, 0));
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_failed_fails_the_task_at_once_with_the_edge_named() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    let mut app = after(container("app", "sleep"), &[("migrate", "SUCCESS")]);
    app.image = Some("slow".to_owned());
    node.link.run(
        &arn,
        task(vec![app, helper("migrate", "run 1 4"), helper("side", "sleep")]),
    );
    let begun = node.world.millis();
    let last = node.until_stopped(&arn).await;
    assert!(node.world.millis() - begun < 5_000, "its pull would take an hour");
    let edge =
        "TaskDependencyError: container 'app' depends on 'migrate' with SUCCESS, but 'migrate' exited with 4";
    assert_eq!(last.reason.as_deref(), Some(edge));
    let containers = last.containers.unwrap();
    assert_eq!(containers[0].reason.as_deref(), Some(edge));
    assert_eq!(containers[0].exit_code, None, "it never ran");
    assert_eq!(containers[1].exit_code, Some(4));
    assert_eq!(node.runtime.history(&container_id(&arn, 0)).starts, 0);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_timeout_holds_over_a_restart_of_the_agent() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    let mut slow = helper("slow", "sleep");
    slow.start_timeout = Some(60);
    node.link.run(
        &arn,
        task(vec![
            after(container("app", "sleep"), &[("slow", "COMPLETE")]),
            slow,
        ]),
    );
    node.until_told(&arn, "PENDING").await;
    let begun = node.world.millis();
    tokio::time::sleep(Duration::from_secs(40)).await;
    node.kill().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    node.start();
    let last = node.until_stopped(&arn).await;
    let spent = node.world.millis() - begun;
    assert!((59_000..64_000).contains(&spent), "{spent} ms");
    assert_eq!(
        last.reason.as_deref(),
        Some(
            "TaskDependencyError: container 'app' depends on 'slow' with COMPLETE, but 'slow' did not end within its \
             startTimeout of 60 s"
        )
    );
    assert_eq!(codes(last), [None, Some(128 + TERM)]);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn each_container_has_its_own_patience_from_its_own_stop_on() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    node.link.run(
        &arn,
        task(vec![
            container("base", "stubborn"),
            after(container("app", "stubborn"), &[("base", "START")]),
        ]),
    );
    node.until_told(&arn, "RUNNING").await;
    node.link.stop(&arn);
    // The patience with the first to stop outlives the agent, and so does the order.
    tokio::time::sleep(Duration::from_secs(10)).await;
    node.restart().await;
    let last = node.until_stopped(&arn).await;
    assert_eq!(codes(last), [Some(137), Some(137)]);
    let patience = |index| {
        let signals = node.runtime.history(&container_id(&arn, index)).signals;
        signals.last().unwrap().1 - signals[0].1
    };
    for index in [0, 1] {
        assert!((29_900..30_300).contains(&patience(index)), "{}", patience(index));
    }
    assert!(signalled(&node, &arn, 0) >= ended(&node, &arn, 1));
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_essential_exit_stops_the_rest_in_order_and_force_all_at_once() {
    let mut node = Node::started(1);
    let (exits, forced) = (task_arn(1), task_arn(2));
    let three = |last: &str| {
        task(vec![
            container("base", "stubborn"),
            after(container("app", "stubborn"), &[("base", "START")]),
            container("other", last),
        ])
    };
    node.link.run(&exits, three("run 5 9"));
    node.link.run(&forced, three("sleep"));
    node.until_told(&forced, "RUNNING").await;
    node.link.assign(&forced, DesiredStatus::Stopped, true, None);
    let before = node.world.millis();
    node.until_stopped(&forced).await;
    assert!(node.world.millis() - before < 1_000);
    let last = node.until_stopped(&exits).await;
    assert_eq!(codes(last), [Some(137), Some(137), Some(9)]);
    assert!(signalled(&node, &exits, 1) >= ended(&node, &exits, 2));
    assert!(signalled(&node, &exits, 0) >= ended(&node, &exits, 1));
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_keeps_the_chain_in_order() {
    everywhere(async |node: &mut Node| {
        let arn = task_arn(1);
        node.link.run(&arn, chain());
        node.until("RUNNING", |node| node.link.told_at(&arn, "RUNNING").is_some())
            .await;
        assert!(
            node.runtime.history(&container_id(&arn, 1)).begun_at[0] >= ended(node, &arn, 2),
            "{}",
            node.world.log()
        );
        node.link.stop(&arn);
        let last = node.until_stopped(&arn).await;
        assert_eq!(codes(last), [Some(3), Some(2), Some(0)], "{}", node.world.log());
        assert!(
            signalled(node, &arn, 1) >= ended(node, &arn, 0),
            "{}",
            node.world.log()
        );
        for index in 0..3 {
            assert_eq!(node.runtime.history(&container_id(&arn, index)).starts, 1);
        }
        node.until_clean().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn faults_and_crashes_in_a_row_keep_the_chain_in_order() {
    for seed in 300..330 {
        let mut node = Node::started(seed);
        node.world.fault_percent.store(15, Ordering::Relaxed);
        node.crashes_left = 6;
        node.plant();
        let arn = task_arn(1);
        node.link.run(&arn, chain());
        node.until("RUNNING", |node| node.link.told_at(&arn, "RUNNING").is_some())
            .await;
        assert!(node.runtime.history(&container_id(&arn, 1)).begun_at[0] >= ended(&node, &arn, 2));
        node.link.stop(&arn);
        let last = node.until_stopped(&arn).await;
        assert_eq!(
            codes(last),
            [Some(3), Some(2), Some(0)],
            "seed {seed}\n{}",
            node.world.log()
        );
        assert!(signalled(&node, &arn, 1) >= ended(&node, &arn, 0), "seed {seed}");
        node.until_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_of_the_machine_the_order_holds_again_and_what_is_done_stays_done() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    node.link.run(&arn, chain());
    node.until_told(&arn, "RUNNING").await;
    node.runtime
        .slow
        .lock()
        .unwrap()
        .insert("start", Duration::from_secs(3));
    node.resume = ResumeOnBoot::All;
    node.cut("boot-2").await;
    node.start();
    node.until("both run again", |node| node.runtime.running() == 2)
        .await;
    let begun = |index| node.runtime.history(&container_id(&arn, index)).begun_at;
    assert_eq!((begun(0).len(), begun(1).len(), begun(2).len()), (2, 2, 1));
    assert!(
        begun(0)[1] >= begun(1)[1] + 2_000,
        "the proxy waits until the app runs: {:?}",
        (begun(0), begun(1))
    );
    node.link.stop(&arn);
    let last = node.until_stopped(&arn).await;
    assert_eq!(codes(last), [Some(3), Some(2), Some(0)]);
    node.until_clean().await;
}
