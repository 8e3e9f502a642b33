//! From RunTask to an exit code.

use aws_sdk_ecs::types::TaskStopCode;

use crate::deaths::pid_of;
use crate::system::{self, container, shell};

#[test]
fn hello_world_runs_says_so_and_exits_with_0() {
    system::with(|system| async move {
        let task = system
            .run_container(shell("hello", &system.busybox, "echo hello; echo oops >&2").build())
            .await;
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
        assert_eq!(
            stopped.stopped_reason(),
            Some("Essential container in task exited")
        );
        assert_eq!(stopped.desired_status(), Some("STOPPED"));
        let hello = container(&stopped, "hello");
        assert_eq!(
            (hello.exit_code(), hello.last_status(), hello.reason()),
            (Some(0), Some("STOPPED"), None)
        );
        assert!(
            hello
                .image_digest()
                .is_some_and(|digest| digest.starts_with("sha256:"))
        );
        assert!(hello.runtime_id().is_some());
        for time in [
            stopped.created_at(),
            stopped.started_at(),
            stopped.stopped_at(),
            stopped.pull_started_at(),
        ] {
            assert!(time.is_some(), "{stopped:?}");
        }
        let logs = system.agent.until_logs(&task, "hello", "oops").await;
        assert!(logs.contains("hello"), "{logs}");
        system
    });
}

#[test]
fn an_exit_code_is_the_kernels() {
    system::with(|system| async move {
        let task = system
            .run_container(shell("fails", &system.busybox, "exit 42").build())
            .await;
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "fails").exit_code(), Some(42));
        system
    });
}

#[test]
fn the_exit_of_an_essential_container_takes_the_others_down() {
    system::with(|system| async move {
        let definition = system
            .define(
                "pair",
                vec![
                    shell(
                        "main",
                        &system.busybox,
                        "while [ ! -e /go ]; do sleep 0.1; done; exit 7",
                    )
                    .build(),
                    shell(
                        "side",
                        &system.busybox,
                        "trap 'exit 3' TERM; while :; do sleep 0.1; done",
                    )
                    .essential(false)
                    .build(),
                ],
            )
            .await;
        let task = system.run(&definition).await;
        let running = system.until(&task, "RUNNING").await;
        assert!(
            running
                .containers()
                .iter()
                .all(|container| container.last_status() == Some("RUNNING"))
        );
        let main = pid_of(&system, &task, 0);
        std::fs::write(format!("/proc/{main}/root/go"), "").expect("a file in the container");
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "main").exit_code(), Some(7));
        assert_eq!(container(&stopped, "side").exit_code(), Some(3));
        assert_eq!(stopped.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
        system
    });
}

#[test]
fn a_container_that_is_not_essential_may_exit() {
    system::with(|system| async move {
        let definition = system
            .define(
                "helper",
                vec![
                    shell("main", &system.busybox, "exec sleep 1000").build(),
                    shell("once", &system.busybox, "exit 5").essential(false).build(),
                ],
            )
            .await;
        let task = system.run(&definition).await;
        longshore_tests::wait::until("the helper is reported", || async {
            let seen = system.describe(&task).await;
            (container(&seen, "once").exit_code() == Some(5)).then_some(())
        })
        .await;
        assert_eq!(
            system.until(&task, "RUNNING").await.desired_status(),
            Some("RUNNING")
        );
        system
    });
}
