//! A control plane that comes back from a backup.

use longshore_tests::wait;

use crate::system::{self, container, shell};

/// Where a task is; nothing while nobody knows it.
async fn status(system: &system::System, task: &str) -> Option<String> {
    let answer = system.ecs.describe_tasks().tasks(task).send().await.ok()?;
    let task = answer.tasks?.into_iter().next()?;
    task.last_status
}

// Invariant 1.
#[test]
fn tasks_that_a_backup_has_not_come_back_from_their_node_and_can_be_stopped() {
    system::with(|mut system| async move {
        let runs = |name| shell(name, &system.busybox, "echo ready; exec sleep 1000").build();
        let (kept, forgotten) = (runs("kept"), runs("forgotten"));
        let kept = system.run_container(kept).await;
        system.until(&kept, "RUNNING").await;
        system.plane.back_up().await;
        system.until_connected().await;
        let forgotten = system.run_container(forgotten).await;
        let before = system.until(&forgotten, "RUNNING").await;
        system.plane.restore().await;
        wait::until("the task is known again", || async {
            (status(&system, &forgotten).await? == "RUNNING").then_some(())
        })
        .await;
        let after = system.describe(&forgotten).await;
        let runtime_id = |task: &aws_sdk_ecs::types::Task| {
            let found = container(task, "forgotten").runtime_id();
            found.map(str::to_owned)
        };
        assert_eq!(
            runtime_id(&after),
            runtime_id(&before),
            "it is the same container"
        );
        assert!(
            system
                .agent
                .logs(&forgotten, "forgotten")
                .matches("ready")
                .count()
                == 1
        );
        for (task, name) in [(&kept, "kept"), (&forgotten, "forgotten")] {
            system.stop(task).await;
            let stopped = system.until(task, "STOPPED").await;
            assert_eq!(container(&stopped, name).exit_code(), Some(137));
        }
        system
    });
}
