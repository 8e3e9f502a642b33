//! Restart policies. ECS's shortest period is a minute, so this takes one.

use std::time::Duration;

use aws_sdk_ecs::types::PortMapping;
use longshore_tests::wait;

use crate::network::{get, host_port};
use crate::reboot::{restarted, restarts, run_bridged};
use crate::system::{self, System, container, shell};

/// Long enough for the shortest period.
const SCRIPT: &str = "echo start >> /count; echo started $(wc -l < /count) times; \
                      httpd -f -p 8080 -h / & sleep 62; exit 3";

async fn until_restarted(system: &System, task: &str) {
    // A run of a minute is longer than tests wait for anything.
    let run = Duration::from_secs(62);
    wait::until_within(2 * wait::patience() + run, "it is restarted", || async {
        (restarts(system, task) == Some(1)).then_some(())
    })
    .await;
}

#[test]
fn what_ends_is_run_again_in_place_and_what_ends_early_is_not() {
    system::with(|mut system| async move {
        let port = PortMapping::builder().container_port(8080).build();
        let web = restarted(shell("web", &system.busybox, SCRIPT)).port_mappings(port);
        let task = run_bridged(&system, web.build()).await;
        let early = restarted(shell("early", &system.busybox, "exit 4")).build();
        let early = system.run_container(early).await;
        let running = system.until(&task, "RUNNING").await;
        let port = host_port(&running, "web");
        let (started, runtime_id) = (
            running.started_at().copied(),
            container(&running, "web").runtime_id().map(str::to_owned),
        );
        let stopped = system.until(&early, "STOPPED").await;
        let seen = container(&stopped, "early");
        assert_eq!(seen.exit_code(), Some(4));
        assert!(
            seen.reason()
                .unwrap_or_default()
                .starts_with("RestartPolicy: it ended "),
            "{stopped:?}"
        );
        until_restarted(&system, &task).await;
        wait::until_some("it serves again", || {
            get(port, "/count").filter(|answer| answer.matches("start\n").count() == 2)
        })
        .await;
        let seen = system.describe(&task).await;
        assert_eq!(
            (
                seen.last_status(),
                seen.started_at().copied(),
                container(&seen, "web").runtime_id()
            ),
            (Some("RUNNING"), started, runtime_id.as_deref())
        );
        assert_eq!(
            system.agent.logs(&task, "web"),
            "started 1 times\nstarted 2 times\n"
        );
        // A stop right after: there is nothing that another run could hide behind.
        system.agent.kill();
        system.stop(&task).await;
        system.agent.start();
        system.until(&task, "STOPPED").await;
        system
    });
}
