//! What RunTask overrides, seen by the process and in its cgroup.

use std::path::Path;

use aws_sdk_ecs::types::{ContainerOverride, TaskOverride};

use crate::system::{self, System, shell, variable};

#[test]
fn the_process_sees_environment_and_command_of_the_override() {
    system::with(|system| async move {
        let definition = system
            .define(
                "overridden",
                vec![
                    shell("env", &system.busybox, "echo not this")
                        .environment(variable("KEPT", "kept"))
                        .environment(variable("CHANGED", "before"))
                        .build(),
                ],
            )
            .await;
        let overrides = ContainerOverride::builder()
            .name("env")
            .set_command(Some(
                ["/bin/sh", "-c", "echo [$KEPT $CHANGED $ADDED]"]
                    .map(str::to_owned)
                    .to_vec(),
            ))
            .environment(variable("CHANGED", "after"))
            .environment(variable("ADDED", "a b\"c"))
            .build();
        let overrides = TaskOverride::builder().container_overrides(overrides).build();
        let task = system.run_with(&definition, Some(overrides)).await;
        let seen = system.describe(&task).await;
        let shown = seen.overrides().expect("the overrides").container_overrides();
        assert_eq!(shown[0].environment().len(), 2, "{shown:?}");
        let logs = system.agent.until_logs(&task, "env", "]").await;
        assert!(logs.contains("[kept after a b\"c]"), "{logs}");
        assert!(!logs.contains("not this"), "{logs}");
        system.until(&task, "STOPPED").await;
        system
    });
}

#[test]
fn environment_files_fill_what_the_definition_leaves_open() {
    system::with(|system| async move {
        let file = system.host.dir().join("some.env");
        std::fs::write(&file, "# a comment\nFROM_FILE=yes=really\nBOTH=file\n").expect("a file");
        let value = format!("file://{}", file.display());
        let file = aws_sdk_ecs::types::EnvironmentFile::builder()
            .value(value)
            .r#type(aws_sdk_ecs::types::EnvironmentFileType::S3)
            .build()
            .expect("both members");
        let definition = shell("files", &system.busybox, "echo [$FROM_FILE $BOTH]")
            .environment(variable("BOTH", "definition"))
            .environment_files(file)
            .build();
        let task = system.run_container(definition).await;
        let logs = system.agent.until_logs(&task, "files", "]").await;
        assert!(logs.contains("[yes=really definition]"), "{logs}");
        system.until(&task, "STOPPED").await;
        system
    });
}

/// A limit of a container or task as its cgroup has it, on either version.
fn limit(system: &System, below: &str, v1: (&str, &str), v2: &str) -> String {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let (controller, file) = if unified { ("", v2) } else { v1 };
    system
        .host
        .cgroup_file(controller, below, file)
        .unwrap_or_else(|| panic!("no {file} of {below}"))
}

#[test]
fn cpu_and_memory_overrides_are_in_the_cgroup() {
    system::with(|system| async move {
        let sleeper = shell("limits", &system.busybox, "exec sleep 1000")
            .cpu(100)
            .memory_reservation(16)
            .build();
        let definition = system.define("limits", vec![sleeper]).await;
        let overrides = ContainerOverride::builder()
            .name("limits")
            .cpu(256)
            .memory(96)
            .memory_reservation(48)
            .build();
        let overrides = TaskOverride::builder()
            .container_overrides(overrides)
            .cpu("512")
            .memory("128")
            .build();
        let task = system.run_with(&definition, Some(overrides)).await;
        let running = system.until(&task, "RUNNING").await;
        assert_eq!((running.cpu(), running.memory()), (Some("512"), Some("128")));
        let container = system.cgroup_of(&task, 0);
        let mebibytes = |count: u64| (count * 1024 * 1024).to_string();
        let memory = limit(
            &system,
            &container,
            ("memory", "memory.limit_in_bytes"),
            "memory.max",
        );
        assert_eq!(memory, mebibytes(96));
        let soft = limit(
            &system,
            &container,
            ("memory", "memory.soft_limit_in_bytes"),
            "memory.low",
        );
        assert_eq!(soft, mebibytes(48));
        // What runc makes of 256 shares on cgroup v2: 1 + (256 - 2) * 9999 / 262142.
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let (weight, quota) = if unified {
            ("10", "50000 100000")
        } else {
            ("256", "50000")
        };
        let shares = limit(&system, &container, ("cpu", "cpu.shares"), "cpu.weight");
        assert_eq!(shares, weight);
        let whole = system::id_of(&task);
        assert_eq!(
            limit(&system, whole, ("cpu", "cpu.cfs_quota_us"), "cpu.max"),
            quota
        );
        let whole = limit(
            &system,
            system::id_of(&task),
            ("memory", "memory.limit_in_bytes"),
            "memory.max",
        );
        assert_eq!(whole, mebibytes(128));
        system
    });
}

#[test]
fn an_override_for_nobody_is_refused() {
    system::with(|system| async move {
        let definition = system
            .define("one", vec![shell("one", &system.busybox, "true").build()])
            .await;
        let overrides = TaskOverride::builder()
            .container_overrides(ContainerOverride::builder().name("other").cpu(1).build())
            .build();
        let answer = system
            .ecs
            .run_task()
            .task_definition(&definition)
            .overrides(overrides)
            .send()
            .await;
        let error = answer.expect_err("a refusal").into_service_error();
        assert!(error.is_invalid_parameter_exception(), "{error:?}");
        assert!(
            error.to_string().contains("other") || format!("{error:?}").contains("other"),
            "{error:?}"
        );
        system
    });
}
