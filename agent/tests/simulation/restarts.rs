//! Restart policies: what ends is run again, with pauses, over every death of the agent.

use std::time::Duration;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs;
use longshore_protocol::poll::TaskSpec;

use crate::node::{Node, container, container_id, task, task_arn, with_port};

fn policy(period: i32, ignored: &[i32]) -> Option<ecs::ContainerRestartPolicy> {
    Some(ecs::ContainerRestartPolicy {
        enabled: Some(true),
        ignored_exit_codes: Some(ignored.to_vec()),
        restart_attempt_period: Some(period),
    })
}

/// A task of one container that is restarted after 60 seconds, but not after exit code 0.
pub fn restarting(command: &str) -> TaskSpec {
    let mut app = container("app", command);
    app.restart_policy = policy(60, &[0]);
    task(vec![app])
}

fn restarts(node: &Node, arn: &TaskArn) -> u32 {
    let tasks = node.handle().tasks();
    let of = tasks.iter().find(|task| task.state.assignment.arn == *arn);
    of.map_or(0, |task| task.state.record.containers[0].restarts.count)
}

#[tokio::test(start_paused = true)]
async fn what_ends_is_run_again_and_nobody_is_told_that_it_stopped() {
    let mut node = Node::started(11);
    let arn = task_arn(1);
    node.link.run(&arn, with_port(restarting("run 70 3"), 80, None));
    node.until("three restarts", |node| restarts(node, &arn) == 3)
        .await;
    let history = node.runtime.history(&container_id(&arn, 0));
    // A run of 70 s, then at once, then after 10 s, then after 20 s.
    let gaps: Vec<_> = history
        .begun_at
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / 1000)
        .collect();
    assert_eq!(gaps, [70, 80]);
    node.until("it runs", |node| {
        node.runtime.history(&container_id(&arn, 0)).starts == 4
    })
    .await;
    let view = node.handle().tasks().remove(0);
    assert_eq!(
        view.cause(0).unwrap().text,
        "restarted 3 times, last after exit code 3"
    );
    let told: Vec<_> = node
        .link
        .reports(&arn)
        .into_iter()
        .map(|report| report.status.unwrap())
        .collect();
    assert_eq!(told, ["RUNNING"]);
    assert_eq!(node.network.attached(), 1, "the network is the one that it had");
    node.until("the poll tells", |node| {
        let polls = node.link.polls();
        let last = polls.last().and_then(|poll| poll.status.tasks.first().cloned());
        last.is_some_and(|task| task.containers[0].restart_count >= 3)
    })
    .await;
    node.link.stop(&arn);
    let last = node.until_stopped(&arn).await;
    assert_eq!(last.containers.unwrap()[0].exit_code, Some(143));
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_ends_early_or_with_an_ignored_code_is_not() {
    for (command, code, reason) in [
        (
            "run 50 3",
            3,
            Some("RestartPolicy: it ended 50 s after its start"),
        ),
        ("run 70 0", 0, None),
    ] {
        let mut node = Node::started(12);
        let arn = task_arn(1);
        node.link.run(&arn, restarting(command));
        let last = node.until_stopped(&arn).await;
        let app = &last.containers.unwrap()[0];
        assert_eq!(app.exit_code, Some(code));
        match reason {
            Some(reason) => assert!(app.reason.as_deref().unwrap().starts_with(reason), "{app:?}"),
            None => assert_eq!(app.reason, None),
        }
        assert_eq!(node.runtime.history(&container_id(&arn, 0)).starts, 1);
        node.until_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_pause_wins() {
    let mut node = Node::started(13);
    let arn = task_arn(1);
    node.link.run(&arn, restarting("run 70 3"));
    node.until("the second pause", |node| restarts(node, &arn) == 2)
        .await;
    node.link.stop(&arn);
    let last = node.until_stopped(&arn).await;
    assert_eq!(
        last.containers.unwrap()[0].exit_code,
        Some(3),
        "that of its last run"
    );
    assert_eq!(node.runtime.history(&container_id(&arn, 0)).starts, 2);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_essential_neighbour_that_ends_stops_it_for_good() {
    let mut node = Node::started(14);
    let arn = task_arn(1);
    let mut side = container("side", "run 70 3");
    side.restart_policy = policy(60, &[]);
    side.essential = Some(false);
    node.link
        .run(&arn, task(vec![container("main", "run 200 0"), side]));
    let last = node.until_stopped(&arn).await;
    let containers = last.containers.unwrap();
    assert_eq!(containers[0].exit_code, Some(0));
    assert!(node.runtime.history(&container_id(&arn, 1)).starts >= 2);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_cant_be_started_again_has_stopped_with_the_code_that_it_had() {
    let mut node = Node::started(15);
    let arn = task_arn(1);
    node.link.run(&arn, restarting("once 70 5"));
    let last = node.until_stopped(&arn).await;
    let app = &last.containers.unwrap()[0];
    assert_eq!(app.exit_code, Some(5));
    assert!(
        app.reason
            .as_deref()
            .unwrap()
            .starts_with("CannotStartContainerError: "),
        "{app:?}"
    );
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_the_agent_is_dead_is_restarted_when_it_is_back() {
    let mut node = Node::started(16);
    let arn = task_arn(1);
    node.link.run(&arn, restarting("run 70 3"));
    node.until_told(&arn, "RUNNING").await;
    node.kill().await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    node.start();
    node.until("it runs again", |node| {
        node.runtime.history(&container_id(&arn, 0)).starts == 2
    })
    .await;
    assert_eq!(restarts(&node, &arn), 1);
    node.link.stop(&arn);
    node.until_stopped(&arn).await;
    node.until_clean().await;
}

/// The list was asked for while the run before the pause went on, and says so when that has ended.
#[tokio::test(start_paused = true)]
async fn a_list_of_before_the_pause_is_not_taken_for_the_run_that_is_to_follow() {
    let mut node = Node::started(17);
    let arn = task_arn(1);
    let id = container_id(&arn, 0);
    node.link.run(&arn, restarting("run 70 3"));
    node.until("the second run", |node| node.runtime.history(&id).starts == 2)
        .await;
    tokio::time::sleep(Duration::from_secs(66)).await;
    let slow = Duration::from_secs(8);
    node.runtime.slow.lock().unwrap().insert("list", slow);
    node.runtime.break_events();
    node.until("the pause", |node| restarts(node, &arn) == 2).await;
    assert!(node.world.is_busy("< list"), "{}", node.world.log());
    node.until("the third run", |node| node.runtime.history(&id).starts == 3)
        .await;
    let begun = node.runtime.history(&id).begun_at;
    let gap = (begun[2] - begun[1]) / 1000;
    assert_eq!(gap, 80, "the list changes nothing about the pause");
    node.link.stop(&arn);
    node.until_stopped(&arn).await;
    node.until_clean().await;
}

/// The fake runtime fails when a run is begun twice.
#[tokio::test(start_paused = true)]
async fn no_death_of_the_agent_runs_one_twice_or_forgets_the_number() {
    for seed in 0..60 {
        let mut node = Node::new(seed);
        node.world
            .fault_percent
            .store(seed % 4 * 5, std::sync::atomic::Ordering::Relaxed);
        node.crashes_left = 6;
        node.start();
        let arn = task_arn(1);
        node.link.run(&arn, with_port(restarting("run 61 3"), 80, None));
        node.until_told(&arn, "RUNNING").await;
        for wanted in 1..=3 {
            node.plant();
            node.until("another restart", |node| restarts(node, &arn) >= wanted)
                .await;
        }
        let id = container_id(&arn, 0);
        let begun = |node: &Node| node.runtime.history(&id).starts;
        node.until("each was begun", |node| begun(node) == restarts(node, &arn) + 1)
            .await;
        node.link.stop(&arn);
        let last = node.until_stopped(&arn).await;
        assert!(last.containers.unwrap()[0].exit_code.is_some(), "seed {seed}");
        let statuses: Vec<_> = node
            .link
            .reports(&arn)
            .into_iter()
            .map(|report| report.status.unwrap())
            .collect();
        assert_eq!(
            statuses.first().map(String::as_str),
            Some("RUNNING"),
            "seed {seed}"
        );
        node.world
            .fault_percent
            .store(0, std::sync::atomic::Ordering::Relaxed);
        node.crashes_left = 0;
        node.until_clean().await;
    }
}
