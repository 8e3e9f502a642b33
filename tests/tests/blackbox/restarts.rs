//! The agent, the control plane and containerd come and go; containers don't mind.

use crate::system::{self, container, shell};

const COUNTS: &str = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done";

#[test]
fn an_agent_that_was_killed_finds_its_task_running() {
    system::with(|mut system| async move {
        let task = system
            .run_container(shell("counts", &system.busybox, COUNTS).build())
            .await;
        system.agent.until_logs(&task, "counts", "line 3\n").await;
        system.until(&task, "RUNNING").await;
        let started = system.describe(&task).await.started_at().copied();
        let namespace = system.host.containerd_namespace();
        let before = system.containerd.ctr(&namespace, &["task", "list"]);
        system.agent.kill();
        system.agent.start();
        system.until_connected().await;
        assert_eq!(
            system.containerd.ctr(&namespace, &["task", "list"]),
            before,
            "the same process runs"
        );
        system.agent.until_logs(&task, "counts", "line 20\n").await;
        let after = system.describe(&task).await;
        assert_eq!(
            (after.last_status(), after.started_at().copied()),
            (Some("RUNNING"), started)
        );
        // Not a line is lost, nor one doubled.
        let logs = system.agent.logs(&task, "counts");
        for (index, line) in logs.lines().enumerate() {
            assert!(line.ends_with(&format!("line {}", index + 1)), "{logs}");
        }
        system
    });
}

#[test]
fn what_ends_while_the_agent_is_dead_has_its_exit_code() {
    system::with(|mut system| async move {
        let script = "while [ ! -e /data/go ]; do sleep 0.1; done; exit 33";
        let folder = system.host.dir().join("signal");
        let volume =
            aws_sdk_ecs::types::HostVolumeProperties::builder().source_path(folder.to_str().expect("UTF-8"));
        let volume = aws_sdk_ecs::types::Volume::builder()
            .name("signal")
            .host(volume.build())
            .build();
        let mount = aws_sdk_ecs::types::MountPoint::builder()
            .source_volume("signal")
            .container_path("/data")
            .build();
        let definition = shell("ends", &system.busybox, script).mount_points(mount).build();
        let request = system
            .ecs
            .register_task_definition()
            .family("ends")
            .container_definitions(definition);
        let request = request
            .network_mode(aws_sdk_ecs::types::NetworkMode::None)
            .volumes(volume);
        let definition = system.define_with(request).await;
        let task = system.run(&definition).await;
        system.until(&task, "RUNNING").await;
        system.agent.kill();
        std::fs::write(folder.join("go"), "").expect("a file");
        let namespace = system.host.containerd_namespace();
        longshore_tests::wait::until_some("the process has ended", || {
            system
                .containerd
                .ctr(&namespace, &["task", "list"])
                .contains("STOPPED")
                .then_some(())
        })
        .await;
        system.agent.start();
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "ends").exit_code(), Some(33));
        system
    });
}

#[test]
fn a_stop_ordered_while_the_agent_is_dead_is_obeyed_when_it_is_back() {
    system::with(|mut system| async move {
        let script = "trap 'exit 21' TERM; echo ready; while :; do sleep 0.1; done";
        let task = system
            .run_container(shell("waits", &system.busybox, script).build())
            .await;
        system.agent.until_logs(&task, "waits", "ready").await;
        system.until(&task, "RUNNING").await;
        system.agent.kill();
        system.stop(&task).await;
        system.agent.start();
        assert_eq!(
            container(&system.until(&task, "STOPPED").await, "waits").exit_code(),
            Some(21)
        );
        system
    });
}

#[test]
fn a_control_plane_that_was_killed_knows_its_tasks() {
    system::with(|mut system| async move {
        let task = system
            .run_container(shell("counts", &system.busybox, COUNTS).build())
            .await;
        system.until(&task, "RUNNING").await;
        system.plane.start_again().await;
        system.until_connected().await;
        assert_eq!(system.describe(&task).await.last_status(), Some("RUNNING"));
        system.stop(&task).await;
        system.until(&task, "STOPPED").await;
        system
    });
}

#[test]
fn containerd_comes_back_under_a_running_task() {
    system::with(|mut system| async move {
        let script = "trap 'exit 17' TERM; echo ready; while :; do sleep 0.1; done";
        let task = system
            .run_container(shell("stays", &system.busybox, script).build())
            .await;
        system.agent.until_logs(&task, "stays", "ready").await;
        system.until(&task, "RUNNING").await;
        system.containerd.restart().await;
        system.stop(&task).await;
        assert_eq!(
            container(&system.until(&task, "STOPPED").await, "stays").exit_code(),
            Some(17)
        );
        system
    });
}
