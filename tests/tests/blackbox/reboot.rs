//! The power is cut: the machine comes back with its files and nothing else, with no link and no registry.

use aws_sdk_ecs::types::builders::ContainerDefinitionBuilder;
use aws_sdk_ecs::types::{
    ContainerDefinition, ContainerRestartPolicy, NetworkMode, PortMapping, TransportProtocol,
};
use longshore_tests::wait;

use crate::deaths::{Waiting, is_stock, until_no_records};
use crate::network::{get, host_port};
use crate::system::{self, System, container, shell};

/// What is restarted, but not within a minute after its start.
pub fn restarted(definition: ContainerDefinitionBuilder) -> ContainerDefinitionBuilder {
    let policy = ContainerRestartPolicy::builder().enabled(true);
    let policy = policy.restart_attempt_period(60).build().expect("a policy");
    definition.restart_policy(policy)
}

/// Counts its starts in its own files, and serves the count.
fn web(system: &System) -> ContainerDefinition {
    let script = "echo start >> /count; echo started $(wc -l < /count) times; exec httpd -f -p 8080 -h /";
    let port = PortMapping::builder()
        .container_port(8080)
        .protocol(TransportProtocol::Tcp);
    restarted(shell("web", &system.busybox, script))
        .port_mappings(port.build())
        .build()
}

pub async fn run_bridged(system: &System, definition: ContainerDefinition) -> String {
    let name = definition.name().expect("a name").to_owned();
    let request = system.ecs.register_task_definition().family(name);
    let request = request
        .network_mode(NetworkMode::Bridge)
        .container_definitions(definition);
    let definition = system.define_with(request).await;
    system.run(&definition).await
}

/// How often a container was restarted, as the agent says.
pub fn restarts(system: &System, task: &str) -> Option<u64> {
    let output = system.agent.ask("tasks", &["--json"]);
    let tasks: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let found = tasks["tasks"]
        .as_array()?
        .iter()
        .find(|each| each["taskArn"] == task)?;
    found["containers"][0]["restartCount"].as_u64()
}

async fn cut_the_power(system: &mut System, boot: u32) {
    system.agent.kill();
    system.containerd.kill();
    system.plane.kill();
    system.registry.stop();
    system.host.reboot(boot);
    system.containerd.restart().await;
    system.agent.start();
}

async fn until_served(port: u16, starts: usize) {
    wait::until_some(&format!("it serves {starts} starts"), || {
        let answer = get(port, "/count")?;
        (answer.matches("start\n").count() == starts).then_some(())
    })
    .await;
}

#[test]
fn what_has_a_restart_policy_goes_on_with_its_files_port_and_log_and_nobody_asked() {
    system::with(|mut system| async move {
        let task = run_bridged(&system, web(&system)).await;
        let plain = system
            .run_container(shell("plain", &system.busybox, "exec sleep 1000").build())
            .await;
        let port = host_port(&system.until(&task, "RUNNING").await, "web");
        system.until(&plain, "RUNNING").await;
        until_served(port, 1).await;
        for boot in 1..=3 {
            cut_the_power(&mut system, boot).await;
            until_served(port, 1 + usize::try_from(boot).expect("small")).await;
            wait::until_some("the restart is counted", || {
                (restarts(&system, &task) == Some(boot.into())).then_some(())
            })
            .await;
        }
        let logs = system.agent.until_logs(&task, "web", "started 4 times").await;
        assert_eq!(
            logs,
            "started 1 times\nstarted 2 times\nstarted 3 times\nstarted 4 times\n"
        );

        system.plane.start_again().await;
        let stopped = system.until(&plain, "STOPPED").await;
        let seen = container(&stopped, "plain");
        assert_eq!(seen.exit_code(), None);
        assert!(
            seen.reason().unwrap_or_default().starts_with("HostRebooted: "),
            "{stopped:?}"
        );
        let web = system.describe(&task).await;
        assert_eq!(web.last_status(), Some("RUNNING"));
        assert_eq!(host_port(&web, "web"), port);
        wait::until("its reason says so", || async {
            let task = system.describe(&task).await;
            let reason = container(&task, "web").reason().unwrap_or_default().to_owned();
            reason
                .starts_with("restarted 3 times, last after HostRebooted: ")
                .then_some(())
        })
        .await;
        system.stop(&task).await;
        system.until(&task, "STOPPED").await;
        until_no_records(&system).await;
        system
    });
}

#[test]
fn what_the_shim_wrote_before_the_cut_counts_and_half_made_things_are_taken_away() {
    system::with(|mut system| async move {
        let waiting = Waiting::run(&system, "ends", 9).await;
        // Longer than the agent lives: it is on its way when the power goes.
        let definition = shell("begins", &system.busybox, "exec sleep 1000").build();
        system.agent.kill();
        waiting.end().await;
        // The shim has told everybody by now.
        wait::until_some("containerd knows", || {
            let namespace = system.host.containerd_namespace();
            let tasks = system.containerd.ctr(&namespace, &["task", "list"]);
            tasks.contains("STOPPED").then_some(())
        })
        .await;
        system.agent.start();
        system.agent.kill();
        cut_the_power(&mut system, 1).await;
        system.plane.start_again().await;
        let stopped = system.until(&waiting.task, "STOPPED").await;
        let seen = container(&stopped, "ends");
        if is_stock() && seen.exit_code().is_none() {
            assert!(
                seen.reason().unwrap_or_default().starts_with("HostRebooted: "),
                "{stopped:?}"
            );
        } else {
            assert_eq!((seen.exit_code(), seen.reason()), (Some(9), None), "{stopped:?}");
        }
        // A start that is cut off at whatever it is at, again and again.
        let definition = system.define("begins", vec![definition]).await;
        system.until_connected().await;
        let task = system.run(&definition).await;
        for boot in 2..=4 {
            cut_the_power(&mut system, boot).await;
            system.plane.start_again().await;
        }
        // It either never ran before the last cut, or is told that it was cut off.
        wait::until("it runs or is over", || async {
            let seen = system.describe(&task).await;
            let reason = container(&seen, "begins").reason().unwrap_or_default().to_owned();
            match seen.last_status().unwrap_or_default() {
                "RUNNING" => Some(()),
                "STOPPED" => {
                    let expected = reason.starts_with("HostRebooted: ")
                        || reason.starts_with("CannotPullContainerError: ");
                    assert!(expected, "{seen:?}");
                    Some(())
                }
                _ => None,
            }
        })
        .await;
        system.stop(&task).await;
        system.until(&task, "STOPPED").await;
        until_no_records(&system).await;
        system
    });
}
