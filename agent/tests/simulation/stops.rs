//! Stopping: by order, with patience and without, in every state.

use std::time::Duration;

use longshore_protocol::status::DesiredStatus;

use crate::node::{Node, container, container_id, one, task, task_arn};

const TERM: i32 = 15;
const KILL: i32 = 9;

async fn running(command: &str) -> (Node, longshore_protocol::arn::TaskArn) {
    let mut node = Node::started(3);
    let arn = task_arn(1);
    node.link.run(&arn, one(command));
    node.until_told(&arn, "RUNNING").await;
    (node, arn)
}

fn code(report: longshore_protocol::ecs::SubmitTaskStateChangeRequest) -> Option<i32> {
    report.containers.unwrap()[0].exit_code
}

#[tokio::test(start_paused = true)]
async fn a_handled_signal_gives_the_containers_own_code() {
    let (mut node, arn) = running("graceful 5").await;
    node.link.stop(&arn);
    let last = node.until_stopped(&arn).await;
    assert_eq!(code(last), Some(5));
    let signals = node.runtime.history(&container_id(&arn, 0)).signals;
    assert_eq!(
        signals.iter().map(|(signal, _)| *signal).collect::<Vec<_>>(),
        [TERM]
    );
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_ignored_signal_is_followed_by_kill_at_the_deadline() {
    let (mut node, arn) = running("stubborn").await;
    node.link.stop(&arn);
    // A repeated order changes nothing.
    tokio::time::sleep(Duration::from_secs(7)).await;
    node.link.stop(&arn);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let view = node.handle().tasks().remove(0);
    assert_eq!(
        view.cause(0).unwrap().text,
        "waiting for it to end after SIGTERM, then SIGKILL"
    );
    let last = node.until_stopped(&arn).await;
    assert_eq!(code(last), Some(137));
    let signals = node.runtime.history(&container_id(&arn, 0)).signals;
    assert_eq!(
        signals.iter().map(|(signal, _)| *signal).collect::<Vec<_>>(),
        [TERM, KILL]
    );
    let between = signals[1].1 - signals[0].1;
    assert!((29_900..30_100).contains(&between), "{between} ms");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_over_a_restart_of_the_agent() {
    let (mut node, arn) = running("stubborn").await;
    node.link.stop(&arn);
    tokio::time::sleep(Duration::from_secs(20)).await;
    node.kill().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    node.start();
    let last = node.until_stopped(&arn).await;
    assert_eq!(code(last), Some(137));
    let signals = node.runtime.history(&container_id(&arn, 0)).signals;
    let between = signals.last().unwrap().1 - signals[0].1;
    assert!((29_900..30_200).contains(&between), "{between} ms: {signals:?}");
}

#[tokio::test(start_paused = true)]
async fn force_and_zero_patience_kill_at_once() {
    let (mut node, forced) = running("stubborn").await;
    let hasty = task_arn(2);
    let mut spec = one("stubborn");
    spec.containers[0].definition.stop_timeout = Some(0);
    node.link.run(&hasty, spec);
    node.until_told(&hasty, "RUNNING").await;
    node.link.assign(&forced, DesiredStatus::Stopped, true, None);
    node.link.stop(&hasty);
    for arn in [forced, hasty] {
        assert_eq!(code(node.until_stopped(&arn).await), Some(137));
        let signals = node.runtime.history(&container_id(&arn, 0)).signals;
        assert_eq!(
            signals.iter().map(|(signal, _)| *signal).collect::<Vec<_>>(),
            [KILL]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn force_cuts_a_patient_stop_short() {
    let (mut node, arn) = running("stubborn").await;
    node.link.stop(&arn);
    tokio::time::sleep(Duration::from_secs(3)).await;
    node.link.assign(&arn, DesiredStatus::Stopped, true, None);
    node.until_stopped(&arn).await;
    let signals = node.runtime.history(&container_id(&arn, 0)).signals;
    assert!(signals[1].1 - signals[0].1 < 4_000, "{signals:?}");
}

#[tokio::test(start_paused = true)]
async fn the_images_stop_signal_is_sent_even_by_a_new_agent() {
    let mut node = Node::started(3);
    let arn = task_arn(1);
    let mut spec = one("sleep");
    spec.containers[0].definition.image = Some("quit".to_owned());
    node.link.run(&arn, spec);
    node.until_told(&arn, "RUNNING").await;
    node.restart().await;
    node.link.stop(&arn);
    assert_eq!(code(node.until_stopped(&arn).await), Some(131));
}

#[tokio::test(start_paused = true)]
async fn a_stop_cancels_a_pull_and_what_never_ran_has_no_exit_code() {
    let mut node = Node::started(3);
    let arn = task_arn(1);
    let mut slow = container("slow", "sleep");
    slow.image = Some("slow".to_owned());
    node.link.run(&arn, task(vec![slow]));
    node.until("pulling", |node| node.world.log().contains("> pull"))
        .await;
    let before = node.world.millis();
    node.link.stop(&arn);
    let last = node.until_stopped(&arn).await;
    assert!(node.world.millis() - before < 1_000);
    assert_eq!(
        (last.containers.unwrap()[0].exit_code, last.execution_stopped_at),
        (None, None)
    );
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_an_unknown_task_leaves_a_tombstone_that_is_told_and_forgotten() {
    let mut node = Node::started(3);
    let arn = task_arn(1);
    node.link
        .assign(&arn, DesiredStatus::Stopped, false, Some(one("sleep")));
    let last = node.until_stopped(&arn).await;
    assert_eq!(
        last.reason.as_deref(),
        Some("stopped before it reached this node")
    );
    assert_eq!(node.runtime.history(&container_id(&arn, 0)).starts, 0);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_cant_die_is_not_said_to_be_dead() {
    let (mut node, arn) = running("undead 120").await;
    let begun = node.world.millis();
    node.link.stop(&arn);
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(node.link.status(&arn).as_deref(), Some("RUNNING"));
    let cause = node.handle().tasks().remove(0).cause(0).unwrap().text;
    assert!(
        cause.contains("SIGKILL") && cause.contains("hangs in the kernel"),
        "{cause}"
    );
    let last = node.until_stopped(&arn).await;
    assert_eq!(code(last), Some(137));
    assert!(node.link.told_at(&arn, "STOPPED").unwrap() - begun > 110_000);
    node.until_clean().await;
}
