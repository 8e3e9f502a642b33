//! The control plane is away for days: nothing changes on the node, and what happened is told at once when it is back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_protocol::arn::TaskArn;

use crate::node::{Node, container_id, one, task_arn};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// From the first answer on.
const SOON_MILLIS: i64 = 2000;

/// When the first poll after the outage was answered, in the wall clock's milliseconds.
async fn until_answered(node: &mut Node) -> i64 {
    let before = node.handle().link_status().answered_at;
    node.until("a poll is answered", |node| {
        node.handle().link_status().answered_at > before
    })
    .await;
    node.handle().link_status().answered_at.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_week_without_the_control_plane_changes_nothing_and_is_told_within_two_seconds() {
    let mut node = Node::started(11);
    let tasks: Vec<TaskArn> = (1..=20).map(task_arn).collect();
    // All but the first one end within the outage, one after another.
    node.link.run(&tasks[0], one("sleep"));
    for (number, arn) in tasks.iter().enumerate().skip(1) {
        node.link
            .run(arn, one(&format!("run {} {}", number * 3600, number + 1)));
    }
    for arn in &tasks {
        node.until_told(arn, "RUNNING").await;
    }
    node.link.down.store(true, Ordering::Relaxed);
    let before = node.link.calls_made.load(Ordering::Relaxed);
    tokio::time::sleep(WEEK / 2).await;
    // What is owed is on the disk.
    node.restart().await;
    tokio::time::sleep(WEEK / 2).await;
    let tries = node.link.calls_made.load(Ordering::Relaxed) - before;
    // A poll and a report each twice a minute, on average: a minute with full jitter.
    assert!(tries < 7 * 24 * 60 * 5, "no storm on the dead link: {tries}");
    assert!(
        node.runtime
            .history(&container_id(&tasks[0], 0))
            .signals
            .is_empty()
    );
    for arn in &tasks {
        assert_eq!(node.link.status(arn).as_deref(), Some("RUNNING"), "told before");
    }

    node.link.down.store(false, Ordering::Relaxed);
    let answered = until_answered(&mut node).await;
    for (number, arn) in tasks.iter().enumerate().skip(1) {
        let last = node.until_stopped(arn).await;
        let code = i32::try_from(number + 1).unwrap();
        assert_eq!(last.containers.unwrap()[0].exit_code, Some(code));
        let told = node.link.told_at(arn, "STOPPED").unwrap();
        assert!(told - answered < SOON_MILLIS, "{} ms", told - answered);
    }
    assert_eq!(node.link.status(&tasks[0]).as_deref(), Some("RUNNING"));
    let most = node.link.most_calls.load(Ordering::Relaxed);
    assert!(most <= longshore_agent::report::PARALLEL, "{most}");
    node.link.stop(&tasks[0]);
    node.until_stopped(&tasks[0]).await;
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_in_a_grace_moves_no_deadline() {
    for years in [-56, -1, 1, 50] {
        let mut node = Node::started(12);
        let arn = task_arn(1);
        node.link.run(&arn, one("stubborn"));
        node.until_told(&arn, "RUNNING").await;
        node.link.stop(&arn);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let step = years * 365 * 24 * 3600 * 1000;
        node.world.wall_off.store(step, Ordering::Relaxed);
        // A new agent has only its store to know the deadline by.
        if years > 0 {
            node.restart().await;
        }
        let last = node.until_stopped(&arn).await;
        assert_eq!(last.containers.unwrap()[0].exit_code, Some(137));
        let signals = node.runtime.history(&container_id(&arn, 0)).signals;
        let between = signals.last().unwrap().1 - signals[0].1;
        assert!((29_900..30_200).contains(&between), "{years} years: {between} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn another_container_instance_gets_its_assignments_from_the_first_on() {
    let mut node = Node::started(13);
    let (old, new) = (task_arn(1), task_arn(2));
    node.link.run(&old, one("sleep"));
    node.until_told(&old, "RUNNING").await;
    node.until("it is acknowledged", |node| node.link.acknowledged() == 1)
        .await;
    // As the app does it: no poll is under way.
    node.link.down.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(node.handle().begin_again().await.unwrap());
    node.link.down.store(false, Ordering::Relaxed);
    node.link.run(&new, one("sleep"));
    node.until_told(&new, "RUNNING").await;
    let polls = node.link.polls();
    let mut again = polls.iter().skip_while(|poll| poll.cursor.cursor == 0);
    assert!(
        again.any(|poll| poll.cursor.cursor == 0),
        "it counts from the beginning"
    );
    assert_eq!(node.runtime.history(&container_id(&old, 0)).signals, []);
    for arn in [&old, &new] {
        node.link.stop(arn);
        node.until_stopped(arn).await;
    }
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_runs_in_a_backup_and_has_ended_and_is_forgotten_runs_no_second_time() {
    for (seed, stopped) in [(14, false), (15, true)] {
        let mut node = Node::started(seed);
        let arn = task_arn(1);
        node.link.run(&arn, one("run 10 7"));
        node.until_told(&arn, "RUNNING").await;
        node.link.back_up();
        node.until_stopped(&arn).await;
        for round in 1..=2 {
            node.until("it is forgotten", |node| node.handle().tasks().is_empty())
                .await;
            // A new agent has only its store to know it by.
            node.restart().await;
            let before = node.link.reports(&arn).len();
            node.link.restore_backup();
            if stopped {
                node.link.stop(&arn);
            }
            node.until("it is told again", |node| node.link.reports(&arn).len() > before)
                .await;
            // It stays so while it is here again.
            node.restart().await;
            let last = node.until_stopped(&arn).await;
            assert_eq!(last.containers.unwrap()[0].exit_code, Some(7), "round {round}");
            assert_eq!(node.runtime.history(&container_id(&arn, 0)).starts, 1);
        }
        node.until_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_about_what_has_ended_is_not_forgotten_by_an_agent_that_dies() {
    for crossing in 0..12 {
        let mut node = Node::started(100 + crossing);
        let arn = task_arn(1);
        node.link.run(&arn, one("run 10 7"));
        node.until_told(&arn, "RUNNING").await;
        node.link.back_up();
        node.until_stopped(&arn).await;
        let before = node.link.reports(&arn).len();
        node.link.restore_backup();
        node.link.stop(&arn);
        node.world.crash_after(crossing);
        node.until("it is told again", |node| node.link.reports(&arn).len() > before)
            .await;
        node.until_stopped(&arn).await;
        node.until_clean().await;
    }
}
