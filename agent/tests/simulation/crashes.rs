//! The agent dies at every crossing of its border, with answers lost besides, and the task is none the worse.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_agent::network::{Attach, Network as _};
use longshore_agent::reconcile::TaskView;
use longshore_protocol::arn::TaskArn;
use longshore_protocol::status::NetworkMode;

use crate::node::{Node, container, container_id, one, task, task_arn, with_port};

/// What must be so of a task that ran to its end, whatever happened to the agent meanwhile.
async fn check(node: &mut Node, arn: &TaskArn, codes: &[i32]) {
    let last = node.until_stopped(arn).await;
    for (index, code) in (0_u16..).zip(codes) {
        let history = node.runtime.history(&container_id(arn, index));
        let container = &last.containers.as_ref().unwrap()[usize::from(index)];
        assert_eq!(history.starts, 1, "started once\n{}", node.world.log());
        assert_eq!(container.exit_code, Some(*code), "{last:?}\n{}", node.world.log());
        let told = node.link.told_at(arn, "STOPPED").unwrap();
        assert!(history.ended_at.unwrap() <= told, "STOPPED is told after the end");
    }
    let statuses = node
        .link
        .reports(arn)
        .into_iter()
        .map(|report| report.status.unwrap());
    assert!(
        statuses.into_iter().any(|status| status == "RUNNING"),
        "it is told that it ran"
    );
    node.until_clean().await;
}

/// Runs a scenario with a crash at each crossing, until it ends before the crash comes.
pub async fn everywhere(scenario: impl AsyncFn(&mut Node)) {
    let mut crash = 0;
    loop {
        let mut node = Node::started(crash + 1);
        node.world.crash_after(crash);
        scenario(&mut node).await;
        if node.world.crossings() < crash {
            assert!(crash > 30, "only {crash} crossings: did it run at all?");
            return;
        }
        crash += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_leaves_one_start_and_the_right_exit_code() {
    everywhere(async |node: &mut Node| {
        let arn = task_arn(1);
        node.link.run(&arn, with_port(one("run 2 42"), 80, None));
        check(node, &arn, &[42]).await;
    })
    .await;
}

/// A stopped task that is kept, by an agent that has stored that nothing is left of it and has died; and one that runs.
async fn with_one_that_is_kept(node: &mut Node) -> (TaskArn, TaskArn) {
    let (arn, other) = (task_arn(1), task_arn(2));
    node.link.run(&arn, with_port(one("run 2 42"), 80, None));
    node.until_stopped(&arn).await;
    node.until("it is over", is_kept).await;
    // That goes to the disk with what comes next.
    node.link.run(&other, one("sleep"));
    node.until_told(&other, "RUNNING").await;
    node.kill().await;
    (arn, other)
}

fn is_kept(node: &Node) -> bool {
    let over = |task: &Arc<TaskView>| task.state.record.torn_down && task.state.is_acknowledged();
    node.handle().tasks().iter().any(over)
}

// A node keeps hundreds of stopped tasks for hours: that all of them were given back once more is felt at each start.
#[tokio::test(start_paused = true)]
async fn what_was_given_back_is_not_given_back_again_by_the_next_agent() {
    let mut node = Node::started(1);
    let (_, other) = with_one_that_is_kept(&mut node).await;
    let calls = |node: &Node| {
        let log = node.world.log();
        let of = |line: &&str| {
            line.contains("> remove") || line.contains("> detach") || line.contains("> dismantle")
        };
        log.lines().filter(of).count()
    };
    let before = calls(&node);
    assert!(before >= 3, "{}", node.world.log());
    node.start();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(is_kept(&node));
    assert_eq!(calls(&node), before, "{}", node.world.log());
    node.link.stop(&other);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_power_cut_brings_back_of_a_task_that_is_kept_is_taken_away() {
    let mut node = Node::started(1);
    let (arn, other) = with_one_that_is_kept(&mut node).await;
    let attached = node.network.attached();
    let request = Attach {
        container: container_id(&arn, 0),
        mode: NetworkMode::Bridge,
        ports: Vec::new(),
        hostname: String::new(),
    };
    node.network.attach(&request).await.unwrap();
    assert_eq!(node.network.attached(), attached + 1);
    node.start();
    node.until("it is taken away", |node| node.network.attached() == attached)
        .await;
    assert!(is_kept(&node));
    node.link.stop(&other);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_in_a_stop_sends_kill_no_earlier_than_the_deadline() {
    everywhere(async |node: &mut Node| {
        let arn = task_arn(1);
        node.link.run(&arn, one("stubborn"));
        node.until("RUNNING", |node| node.link.told_at(&arn, "RUNNING").is_some())
            .await;
        node.link.stop(&arn);
        check(node, &arn, &[137]).await;
        let signals = node.runtime.history(&container_id(&arn, 0)).signals;
        let (first, kill) = (
            signals[0],
            signals.iter().find(|(signal, _)| *signal == 9).unwrap(),
        );
        assert_eq!(first.0, 15);
        assert!((29_000..31_000).contains(&(kill.1 - first.1)), "{signals:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_with_two_containers_takes_both_down() {
    everywhere(async |node: &mut Node| {
        let arn = task_arn(1);
        node.link.run(
            &arn,
            task(vec![
                container("app", "run 40 1"),
                container("side", "graceful 2"),
            ]),
        );
        check(node, &arn, &[1, 2]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_in_passing_and_answers_that_are_lost_change_nothing() {
    for seed in 0..40 {
        let mut node = Node::started(seed);
        node.world.fault_percent.store(25, Ordering::Relaxed);
        let (short, long) = (task_arn(1), task_arn(2));
        node.link.run(&short, one("run 400 11"));
        node.link.run(
            &long,
            task(vec![container("app", "sleep"), container("side", "stubborn")]),
        );
        node.until("both run", |node| node.runtime.running() == 3).await;
        node.restart().await;
        node.link.stop(&long);
        check(&mut node, &short, &[11]).await;
        check(&mut node, &long, &[143, 137]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_crashes_in_a_row_change_nothing() {
    for seed in 100..130 {
        let mut node = Node::started(seed);
        node.world.fault_percent.store(10, Ordering::Relaxed);
        node.crashes_left = 8;
        node.plant();
        let (short, long) = (task_arn(1), task_arn(2));
        node.link.run(&short, with_port(one("run 30 11"), 80, Some(8080)));
        node.link.run(
            &long,
            task(vec![container("app", "sleep"), container("side", "stubborn")]),
        );
        let ran = |node: &Node, arn| node.link.told_at(arn, "RUNNING").is_some();
        node.until("both ran", |node| ran(node, &short) && ran(node, &long))
            .await;
        node.link.stop(&long);
        check(&mut node, &short, &[11]).await;
        check(&mut node, &long, &[143, 137]).await;
    }
}
