//! SIGTERM, the timeout, SIGKILL; STOPPED on proof.

use aws_sdk_ecs::types::TaskStopCode;
use serde_json::json;

use crate::system::{self, container, shell};

#[test]
fn a_process_that_handles_sigterm_ends_its_own_way() {
    system::with(|system| async move {
        let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
        let task = system
            .run_container(shell("polite", &system.busybox, script).build())
            .await;
        system.agent.until_logs(&task, "polite", "ready").await;
        system.until(&task, "RUNNING").await;
        let answer = system
            .ecs
            .stop_task()
            .task(&task)
            .reason("enough")
            .send()
            .await
            .expect("an answer");
        let seen = answer.task().expect("the task");
        assert_eq!(
            (seen.desired_status(), seen.stopped_reason()),
            (Some("STOPPED"), Some("enough"))
        );
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "polite").exit_code(), Some(0));
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::UserInitiated));
        assert_eq!(stopped.stopped_reason(), Some("enough"));
        assert!(stopped.stopping_at().is_some());
        assert!(system.agent.logs(&task, "polite").contains("bye"));
        system
    });
}

#[test]
fn a_process_that_ignores_sigterm_is_killed_after_its_timeout() {
    system::with(|system| async move {
        // Children ignore it too: the whole cgroup is killed, not the first process only.
        let script = "trap '' TERM; sleep 1000 & echo ready; wait; while :; do sleep 1; done";
        let task = system
            .run_container(shell("deaf", &system.busybox, script).stop_timeout(1).build())
            .await;
        system.agent.until_logs(&task, "deaf", "ready").await;
        system.until(&task, "RUNNING").await;
        system.stop(&task).await;
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "deaf").exit_code(), Some(137));
        system
    });
}

#[test]
fn a_second_stop_changes_nothing() {
    system::with(|system| async move {
        let script = "trap 'sleep 1; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
        let task = system
            .run_container(shell("slow", &system.busybox, script).stop_timeout(30).build())
            .await;
        system.agent.until_logs(&task, "slow", "ready").await;
        system.until(&task, "RUNNING").await;
        let first = system
            .ecs
            .stop_task()
            .task(&task)
            .reason("first")
            .send()
            .await
            .expect("an answer");
        let second = system
            .ecs
            .stop_task()
            .task(&task)
            .reason("second")
            .send()
            .await
            .expect("an answer");
        let stopping =
            |answer: Option<&aws_sdk_ecs::types::Task>| answer.and_then(|task| task.stopping_at().copied());
        assert_eq!(stopping(first.task()), stopping(second.task()));
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "slow").exit_code(), Some(9));
        assert_eq!(stopped.stopped_reason(), Some("first"));
        system.stop(&task).await;
        assert_eq!(system.describe(&task).await.stopped_reason(), Some("first"));
        system
    });
}

#[test]
fn the_images_stop_signal_is_sent() {
    system::with(|system| async move {
        let image = system
            .registry
            .push_busybox(&system.host, "quits:1", &json!({"StopSignal": "SIGQUIT"}));
        let script = "trap 'exit 11' QUIT; trap 'exit 12' TERM; echo ready; while :; do sleep 0.1; done";
        let task = system.run_container(shell("quits", &image, script).build()).await;
        system.agent.until_logs(&task, "quits", "ready").await;
        system.until(&task, "RUNNING").await;
        system.stop(&task).await;
        assert_eq!(
            container(&system.until(&task, "STOPPED").await, "quits").exit_code(),
            Some(11)
        );
        system
    });
}

#[test]
fn sub_second_timeouts_of_the_agent_are_honoured() {
    system::with_settings(&[("ECS_CONTAINER_STOP_TIMEOUT", "200ms")], |system| async move {
        let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
        let task = system
            .run_container(shell("deaf", &system.busybox, script).build())
            .await;
        system.agent.until_logs(&task, "deaf", "ready").await;
        system.until(&task, "RUNNING").await;
        system.stop(&task).await;
        assert_eq!(
            container(&system.until(&task, "STOPPED").await, "deaf").exit_code(),
            Some(137)
        );
        system
    });
}

#[test]
fn a_process_left_by_its_parent_does_not_outlive_the_task() {
    system::with(|system| async move {
        let script = "(trap '' TERM HUP; exec sleep 12345) & echo started; exit 6";
        let task = system
            .run_container(shell("leaves", &system.busybox, script).build())
            .await;
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "leaves").exit_code(), Some(6));
        let processes = std::process::Command::new("pgrep")
            .args(["-f", "^sleep 12345$"])
            .output()
            .expect("pgrep");
        assert!(processes.stdout.is_empty(), "{processes:?}");
        system
    });
}
