//! A copied disk: two agents with one identity.

use longshore_tests::wait;

use crate::system::{self, System, container, shell};

/// What the control plane says of the node.
async fn reason(system: &System, instance: &str) -> Option<String> {
    let request = system.ecs.describe_container_instances();
    let answer = request.container_instances(instance).send().await.ok()?;
    let instance = answer.container_instances?.into_iter().next()?;
    Some(instance.status_reason.unwrap_or_default())
}

#[test]
fn two_machines_with_one_identity_get_nothing_new_and_may_stop_until_one_of_them_goes() {
    system::with(|system| async move {
        let instance = system.until_connected().await;
        let definition = shell("runs", &system.busybox, "exec sleep 1000").build();
        let task = system.run_container(definition).await;
        system.until(&task, "RUNNING").await;

        let mut copy = system.agent.copied(&system.host);
        copy.start();
        wait::until("the operator is told", || async {
            reason(&system, &instance)
                .await?
                .starts_with("CLONED")
                .then_some(())
        })
        .await;
        for agent in [&system.agent, &copy] {
            wait::until_some("the agent says so", || {
                let said = "another machine polls with the identity of this one";
                agent.output().contains(said).then_some(())
            })
            .await;
        }
        let request = system.ecs.run_task().task_definition("runs");
        let refused = request.send().await.expect("an answer");
        assert_eq!(refused.failures()[0].reason(), Some("AGENT"));

        // The copy has lost its processes; what it says of the task is not taken.
        assert_eq!(system.describe(&task).await.last_status(), Some("RUNNING"));
        system.stop(&task).await;
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "runs").exit_code(), Some(137));

        copy.kill();
        // It may be alive for 40 seconds after its last poll.
        wait::until_within(2 * wait::patience(), "the node is one machine again", || async {
            reason(&system, &instance).await?.is_empty().then_some(())
        })
        .await;
        let task = system.run("runs").await;
        system.until(&task, "RUNNING").await;
        system
    });
}
