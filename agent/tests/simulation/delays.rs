//! What is slow, or does not answer at all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_protocol::arn::TaskArn;

use crate::node::{Node, container_id, one, task_arn};

#[tokio::test(start_paused = true)]
async fn one_stuck_task_does_not_delay_another() {
    let mut node = Node::started(5);
    let (stuck, other) = (task_arn(1), task_arn(2));
    let mut spec = one("sleep");
    spec.containers[0].definition.image = Some("slow".to_owned());
    node.link.run(&stuck, spec);
    node.until("pulling", |node| node.world.log().contains("> pull"))
        .await;
    let before = node.world.millis();
    node.link.run(&other, one("sleep"));
    node.until_told(&other, "RUNNING").await;
    assert!(node.link.told_at(&other, "RUNNING").unwrap() - before < 100);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_away_is_waited_for() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.runtime.away.store(true, Ordering::Relaxed);
    node.link.run(&arn, one("run 5 0"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(node.link.status(&arn), None);
    node.runtime.away.store(false, Ordering::Relaxed);
    node.until_stopped(&arn).await;
    node.until_clean().await;
}

/// A node in the middle of a start that takes ten seconds.
async fn starting_slowly(program: &str) -> (Node, TaskArn) {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.runtime
        .slow
        .lock()
        .unwrap()
        .insert("start", Duration::from_secs(10));
    node.link.run(&arn, one(program));
    node.until("starting", |node| node.world.log().contains("> start"))
        .await;
    (node, arn)
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_a_slow_start_waits_for_what_comes_of_it() {
    let (mut node, arn) = starting_slowly("sleep").await;
    node.link.stop(&arn);
    let last = node.until_stopped(&arn).await;
    assert_eq!(last.containers.unwrap()[0].exit_code, Some(143));
    let history = node.runtime.history(&container_id(&arn, 0));
    assert_eq!(history.starts, 1);
    assert!(history.ended_at.unwrap() <= node.link.told_at(&arn, "STOPPED").unwrap());
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_dies_during_a_slow_start_finds_what_came_of_it() {
    for stopped in [false, true] {
        let (mut node, arn) = starting_slowly("graceful 4").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        node.kill().await;
        if stopped {
            node.link.stop(&arn);
        }
        node.start();
        if !stopped {
            node.until_told(&arn, "RUNNING").await;
            node.link.stop(&arn);
        }
        let last = node.until_stopped(&arn).await;
        assert_eq!(node.runtime.running(), 0);
        if !stopped {
            assert_eq!(last.containers.unwrap()[0].exit_code, Some(4));
        }
        assert!(node.runtime.history(&container_id(&arn, 0)).starts <= 1);
        node.until_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_falls_between_list_and_events() {
    ends_between_list_and_events(|_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn nor_does_the_end_of_what_the_store_has_lost() {
    ends_between_list_and_events(Node::lose_store).await;
}

async fn ends_between_list_and_events(meanwhile: impl FnOnce(&Node)) {
    let mut node = Node::started(5);
    let tasks: Vec<_> = (0..40_u32)
        .map(|number| (task_arn(number.into()), 100.0 + f64::from(number) / 10.0))
        .collect();
    for (arn, seconds) in &tasks {
        node.link.run(arn, one(&format!("run {seconds} 3")));
    }
    node.until("all run", |node| node.runtime.running() == tasks.len())
        .await;
    node.kill().await;
    meanwhile(&node);
    tokio::time::sleep(Duration::from_secs(99)).await;
    for operation in ["events", "list"] {
        node.runtime
            .slow
            .lock()
            .unwrap()
            .insert(operation, Duration::from_secs(1));
    }
    node.start();
    let begun = node.world.millis();
    for (arn, _) in &tasks {
        let last = node.until_stopped(arn).await;
        assert_eq!(last.containers.unwrap()[0].exit_code, Some(3));
    }
    assert!(
        node.world.millis() - begun < 60_000,
        "before the list is asked for again"
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_list_does_not_bring_a_forgotten_task_back() {
    let mut node = Node::new(5);
    node.cleanup_wait = Duration::ZERO;
    node.start();
    let arn = task_arn(1);
    node.link.run(&arn, one("run 3 0"));
    node.until_told(&arn, "RUNNING").await;
    node.runtime
        .slow
        .lock()
        .unwrap()
        .insert("list", Duration::from_secs(10));
    node.runtime.break_events();
    node.until("forgotten", |node| node.handle().tasks().is_empty())
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(node.leftovers(), Vec::<String>::new());
    assert_eq!(node.link.status(&arn).as_deref(), Some("STOPPED"));
}

// Invariant 8: nor does it keep a core busy.
#[tokio::test(start_paused = true)]
async fn a_control_plane_that_repeats_itself_is_not_asked_in_a_loop() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, one("sleep"));
    node.until_told(&arn, "RUNNING").await;
    node.link.stuck.store(true, Ordering::Relaxed);
    // Ends the poll that is open.
    node.link.run(&task_arn(2), one("sleep"));
    node.until_told(&task_arn(2), "RUNNING").await;
    let before = node.link.polls().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let polls = node.link.polls().len() - before;
    assert!(polls <= 70, "{polls} polls in a minute");
    assert_eq!(node.runtime.running(), 2);
}
