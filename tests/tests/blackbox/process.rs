//! How a process begins its life: limits, rights, user; and how memory ends it.

use aws_sdk_ecs::types::{Ulimit, UlimitName};

use crate::system::{self, container, shell};

/// A line of `/proc/PID/status` of a container's first process.
fn status_line(pid: u32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find(|line| line.starts_with(name))
        .expect("the line");
    line.split_once(':').expect("NAME: VALUE").1.trim().to_owned()
}

fn pid_of(system: &system::System, task: &str) -> u32 {
    let id = format!("{}-0", system::id_of(task));
    let tasks = system
        .containerd
        .ctr(&system.host.containerd_namespace(), &["task", "list"]);
    let line = tasks
        .lines()
        .find(|line| line.starts_with(&id))
        .expect("the task");
    line.split_whitespace()
        .nth(1)
        .and_then(|pid| pid.parse().ok())
        .expect("a pid")
}

#[test]
fn defaults_are_set_and_not_inherited() {
    system::with(|system| async move {
        let nofile = Ulimit::builder()
            .name(UlimitName::Nofile)
            .soft_limit(321)
            .hard_limit(654)
            .build();
        let sleeper = shell("plain", &system.busybox, "exec sleep 1000")
            .ulimits(nofile.expect("all members"))
            .build();
        let task = system.run_container(sleeper).await;
        system.until(&task, "RUNNING").await;
        let pid = pid_of(&system, &task);
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
        assert_eq!(read("oom_score_adj").trim(), "0");
        let limits = read("limits");
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .expect("the line");
        assert_eq!(
            files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(),
            ["321", "654"]
        );
        // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot,
        // mknod, audit_write, setfcap.
        assert_eq!(status_line(pid, "CapBnd"), "00000000a80425fb");
        assert_eq!(status_line(pid, "CapEff"), "00000000a80425fb");
        assert_eq!(status_line(pid, "Seccomp"), "2");
        let mounts = read("mountinfo");
        for masked in ["/proc/keys", "/proc/timer_list", "/proc/sys"] {
            assert!(
                mounts.lines().any(|line| line.split(' ').nth(4) == Some(masked)),
                "{masked} in {mounts}"
            );
        }
        system
    });
}

#[test]
fn privileged_containers_have_the_hosts_rights() {
    system::with(|system| async move {
        let sleeper = shell("root", &system.busybox, "exec sleep 1000")
            .privileged(true)
            .build();
        let task = system.run_container(sleeper).await;
        system.until(&task, "RUNNING").await;
        let pid = pid_of(&system, &task);
        assert_eq!(
            status_line(pid, "CapEff"),
            status_line(std::process::id(), "CapBnd")
        );
        assert_eq!(status_line(pid, "Seccomp"), "0");
        system
    });
}

#[test]
fn user_folder_and_read_only_root_are_as_defined() {
    system::with(|system| async move {
        let script =
            "echo [$(id -u):$(id -g) $(busybox id -G) $HOME $PWD]; echo x > /tmp/x || echo cannot write";
        let definition = shell("app", &system.busybox, script)
            .user("app")
            .working_directory("/tmp")
            .readonly_root_filesystem(true)
            .build();
        let task = system.run_container(definition).await;
        let logs = system.agent.until_logs(&task, "app", "cannot write").await;
        assert!(logs.contains("[1000:1000 1000 2000 /data /tmp]"), "{logs}");
        system.until(&task, "STOPPED").await;
        system
    });
}

#[test]
fn a_user_that_the_image_does_not_have_is_told() {
    system::with(|system| async move {
        let task = system
            .run_container(shell("who", &system.busybox, "true").user("nobodyhere").build())
            .await;
        let stopped = system.until(&task, "STOPPED").await;
        let reason = container(&stopped, "who").reason().unwrap_or_default().to_owned();
        assert!(
            reason.starts_with("CannotCreateContainerError: ") && reason.contains("nobodyhere"),
            "{reason}"
        );
        system
    });
}

#[test]
fn a_command_that_is_not_there_is_told() {
    system::with(|system| async move {
        let command = Some(vec!["/no/such/program".to_owned()]);
        let definition = shell("absent", &system.busybox, "").set_command(command).build();
        let task = system.run_container(definition).await;
        let stopped = system.until(&task, "STOPPED").await;
        let reason = container(&stopped, "absent")
            .reason()
            .unwrap_or_default()
            .to_owned();
        assert!(
            reason.starts_with("CannotStartContainerError: ") && reason.contains("/no/such/program"),
            "{reason}"
        );
        assert_eq!(
            stopped.stop_code(),
            Some(&aws_sdk_ecs::types::TaskStopCode::TaskFailedToStart)
        );
        system
    });
}

#[test]
fn memory_that_is_not_there_kills_and_is_told() {
    system::with(|system| async move {
        let script = "exec busybox awk 'BEGIN { s = \"x\"; while (1) s = s s }'";
        let task = system
            .run_container(shell("greedy", &system.busybox, script).memory(16).build())
            .await;
        let stopped = system.until(&task, "STOPPED").await;
        let greedy = container(&stopped, "greedy");
        assert_eq!(greedy.exit_code(), Some(137));
        let reason = greedy.reason().unwrap_or_default();
        assert!(
            reason.starts_with("OutOfMemoryError: Container killed due to memory usage"),
            "{reason}"
        );
        system
    });
}
