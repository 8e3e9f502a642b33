//! Images that are there, that are not, and that want a password.

use aws_sdk_ecs::types::TaskStopCode;
use longshore_tests::registry::{LOGIN, Registry};
use serde_json::json;

use crate::system::{self, System, container, shell};

/// Runs an image that can't be had, and answers with the container's reason.
async fn failure(system: &System, image: &str) -> String {
    let task = system.run_container(shell("never", image, "true").build()).await;
    let stopped = system.until(&task, "STOPPED").await;
    assert_eq!(stopped.stop_code(), Some(&TaskStopCode::TaskFailedToStart));
    let never = container(&stopped, "never");
    assert_eq!(never.exit_code(), None);
    let reason = never.reason().unwrap_or_default().to_owned();
    assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
    reason
}

#[test]
fn a_missing_image_is_told_in_the_registrys_words() {
    system::with(|system| async move {
        let missing = format!("{}/nobody:1", system.registry.address());
        let reason = failure(&system, &missing).await;
        assert!(
            reason.contains("manifest unknown") && reason.contains("nobody:1"),
            "{reason}"
        );
        system
    });
}

#[test]
fn a_reference_that_is_none_is_told() {
    system::with(|system| async move {
        let reason = failure(&system, "127.0.0.1:1/UPPER//case::").await;
        assert!(reason.contains("UPPER//case::"), "{reason}");
        system
    });
}

#[test]
fn a_registry_that_is_down_is_told_unless_the_image_is_here() {
    system::with(|mut system| async move {
        let warm = system
            .run_container(shell("warm", &system.busybox, "true").build())
            .await;
        system.until(&warm, "STOPPED").await;
        system.registry.stop();
        let absent = format!("{}/absent:1", system.registry.address());
        let reason = failure(&system, &absent).await;
        assert!(reason.to_lowercase().contains("refused"), "{reason}");
        let task = system
            .run_container(shell("local", &system.busybox, "exec sleep 1000").build())
            .await;
        let running = system.until(&task, "RUNNING").await;
        assert_eq!(
            container(&running, "local").reason(),
            None,
            "a reason that is over is cleared"
        );
        system
    });
}

#[test]
fn an_image_for_another_machine_is_refused_before_it_is_unpacked() {
    system::with(|system| async move {
        let other = if longshore_tests::image::architecture() == "arm64" {
            "amd64"
        } else {
            "arm64"
        };
        let image = longshore_tests::image::busybox(&system.host.dir().join("other"), other, &json!({}));
        let reference = system.registry.push(&image, "other:1");
        let reason = failure(&system, &reference).await;
        assert!(
            reason.contains(other) && reason.contains(longshore_tests::image::architecture()),
            "{reason}"
        );
        system
    });
}

#[test]
fn a_registry_that_wants_a_password_gets_it() {
    system::with(|mut system| async move {
        let private = Registry::start_with_login(&system.host).await;
        let reference = private.push_busybox(&system.host, "secret:1", &json!({}));
        let reason = failure(&system, &reference).await;
        assert!(
            reason.contains("login") && reason.contains(private.address()),
            "{reason}"
        );

        let auth =
            json!({private.address(): {"username": LOGIN.user, "password": LOGIN.password}}).to_string();
        let config = system.agent.config();
        let mut text = std::fs::read_to_string(&config).expect("the settings");
        text.push_str(&format!(
            "ECS_ENGINE_AUTH_TYPE=docker\nECS_ENGINE_AUTH_DATA={auth}\n"
        ));
        std::fs::write(&config, text).expect("the settings");
        system.agent.terminate().await;
        system.agent.start();
        system.until_connected().await;
        let task = system
            .run_container(shell("secret", &reference, "echo inside").build())
            .await;
        assert_eq!(
            container(&system.until(&task, "STOPPED").await, "secret").exit_code(),
            Some(0)
        );
        assert!(
            !system.agent.output().contains(LOGIN.password),
            "passwords are not logged"
        );
        system
    });
}

#[test]
fn the_image_says_how_it_is_run() {
    system::with(|system| async move {
        let config = json!({
            "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo [$FROM_IMAGE $(id -u):$(id -g) $PWD]"],
            "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "User": "app", "WorkingDir": "/data",
        });
        let image = system
            .registry
            .push_busybox(&system.host, "configured:1", &config);
        let definition = aws_sdk_ecs::types::ContainerDefinition::builder()
            .name("own")
            .image(&image)
            .memory(32)
            .build();
        let task = system.run_container(definition).await;
        let logs = system.agent.until_logs(&task, "own", "]").await;
        assert!(logs.contains("[yes 1000:1000 /data]"), "{logs}");
        system.until(&task, "STOPPED").await;
        system
    });
}
