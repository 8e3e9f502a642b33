//! The link goes, and the control plane changes its mind about the node.

use std::process::Command;

use aws_sdk_ecs::types::TaskStopCode;
use longshore_tests::process::run;
use longshore_tests::wait;

use crate::system::{self, System, container, shell};

// Invariants 1 and 4.
#[test]
fn what_ends_while_the_control_plane_is_away_is_told_when_it_is_back_and_the_log_is_short() {
    system::with(|mut system| async move {
        let script = "while [ ! -e /tmp/go ]; do sleep 0.1; i=$((i+1)); [ $i -gt 40 ] && exit 33; done";
        let task = system
            .run_container(shell("ends", &system.busybox, script).build())
            .await;
        system.until(&task, "RUNNING").await;
        system.plane.kill();
        system.until_said("the link is lost").await;
        wait::until_some("the task has ended on the node", || {
            let tasks = system.agent.ask("tasks", &["--json"]);
            let text = String::from_utf8_lossy(&tasks.stdout).replace(' ', "");
            text.contains("\"exitCode\":33").then_some(())
        })
        .await;
        let status = system.agent.ask("status", &[]);
        let status = String::from_utf8_lossy(&status.stdout);
        assert!(status.contains("not connected since"), "{status}");
        system.plane.start_again().await;
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "ends").exit_code(), Some(33));
        system.until_said("the link is back").await;
        // A line for the polls and one for the reports, whatever the number of tries.
        assert!(system.said("the link is lost") <= 2, "{}", system.agent.output());
        system
    });
}

/// As a machine does that has booted before its modem has.
#[test]
fn a_new_route_is_a_reason_to_try_at_once() {
    let settings = &[("LONGSHORE_LOG", "info,longshore_agent::link=debug")];
    system::with_settings(settings, |mut system| async move {
        system.until_connected().await;
        system.plane.kill();
        // Another one each time: the agent may not have listened yet, and the kernel tells of none that is there.
        let mut routes = (1..=254).cycle();
        wait::until_some("the agent sees a route", || {
            let route = format!("203.0.113.{}/32", routes.next()?);
            run(Command::new("ip").args(["route", "replace", &route, "dev", "lo"]));
            (system.said("there is a new route") > 0).then_some(())
        })
        .await;
        system.plane.start_again().await;
        system.until_connected().await;
        system
    });
}

#[test]
fn an_instance_that_is_deregistered_behind_its_back_registers_anew_and_takes_tasks() {
    system::with(|system| async move {
        let old = system.until_connected().await;
        // Orders that the new instance's first ones must not be mistaken for.
        for name in ["one", "two"] {
            let task = system
                .run_container(shell(name, &system.busybox, "exit 0").build())
                .await;
            system.until(&task, "STOPPED").await;
        }
        let request = system
            .ecs
            .deregister_container_instance()
            .container_instance(&old);
        request.force(true).send().await.expect("it is deregistered");
        let new = wait::until("another instance is connected", || async {
            system.instances().await?.into_iter().find(|arn| *arn != old)
        })
        .await;
        assert_ne!(system.until_connected().await, old);
        for name in ["three", "four"] {
            let task = system
                .run_container(shell(name, &system.busybox, "exit 3").build())
                .await;
            let stopped = system.until(&task, "STOPPED").await;
            assert_eq!(stopped.container_instance_arn(), Some(new.as_str()));
            assert_eq!(container(&stopped, name).exit_code(), Some(3));
        }
        assert_eq!(system.said("registered anew"), 1, "{}", system.agent.output());
        system
    });
}

#[test]
fn a_node_whose_identity_is_revoked_says_what_to_do_and_goes_on() {
    system::with(|system| async move {
        let arn = system.until_connected().await;
        let node = node_of(&system, &arn).await;
        let request = system.ssm.deregister_managed_instance().instance_id(node);
        request.send().await.expect("the node is deregistered");
        let status = wait::until_some("the status says what to do", || {
            let status = system.agent.ask("status", &[]);
            let status = String::from_utf8_lossy(&status.stdout).into_owned();
            status.contains("create an activation").then_some(status)
        })
        .await;
        assert!(status.contains("not connected since"), "{status}");
        assert!(system.agent.ask("tasks", &[]).status.success(), "it runs");
        assert!(
            system.said("create an activation") <= 2,
            "{}",
            system.agent.output()
        );
        system
    });
}

/// The machine becomes another node, as the status of a revoked one says to do: what ran is still its own.
#[test]
fn a_machine_that_becomes_another_node_ends_what_its_old_instance_is_rid_of() {
    system::with(|mut system| async move {
        let old = system.until_connected().await;
        let task = system
            .run_container(shell("stays", &system.busybox, "sleep 600").build())
            .await;
        system.until(&task, "RUNNING").await;
        let node = node_of(&system, &old).await;
        let request = system.ssm.deregister_managed_instance().instance_id(node);
        request.send().await.expect("the node is deregistered");
        system.until_said("create an activation").await;
        system.agent.terminate().await;
        system.register().await;
        system.agent.start();
        let new = wait::until("another instance is registered", || async {
            system.instances().await?.into_iter().find(|arn| *arn != old)
        })
        .await;
        let seen = || system.plane.output().contains("a node holds a task of another");
        wait::until_some("the task of another is seen", || seen().then_some(())).await;
        let tasks = system.agent.ask("tasks", &[]);
        assert!(
            String::from_utf8_lossy(&tasks.stdout).contains("RUNNING"),
            "it goes on: {tasks:?}"
        );

        let request = system
            .ecs
            .deregister_container_instance()
            .container_instance(&old);
        request.force(true).send().await.expect("it is deregistered");
        let told = system.until(&task, "STOPPED").await;
        assert_eq!(told.stop_code(), Some(&TaskStopCode::TerminationNotice));
        wait::until_some("it has ended on the machine", || {
            let tasks = system.agent.ask("tasks", &[]);
            let tasks = String::from_utf8_lossy(&tasks.stdout).into_owned();
            (!tasks.contains("RUNNING")).then_some(())
        })
        .await;
        assert_eq!(system.until_connected().await, new);
        system
    });
}

/// The node that is this container instance: `mi-…`.
async fn node_of(system: &System, instance: &str) -> String {
    let request = system
        .ecs
        .describe_container_instances()
        .container_instances(instance);
    let answer = request.send().await.expect("the instance");
    let node = answer.container_instances()[0].ec2_instance_id();
    node.expect("a node").to_owned()
}
