//! Which shim and which OCI runtime run a container, and that what runs keeps its own.

use std::os::unix::fs::PermissionsExt as _;

use longshore_tests::{binaries, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::deaths::{Waiting, is_stock, status, until_no_records};
use crate::system::{self, System, container, shell};

/// The process id of a container's shim: it is its first process's parent.
fn parent_of(pid: i32) -> String {
    status(pid, "PPid:").expect("it runs")
}

fn program_of(pid: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs")
}

fn children_of(pid: &str) -> String {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let children = threads.map(|thread| {
        let path = thread.expect("a thread").path().join("children");
        std::fs::read_to_string(path).unwrap_or_default()
    });
    children.collect::<String>().trim().to_owned()
}

/// Starts the agent again with another setting.
async fn change(system: &mut System, name: &str, value: &str) {
    system.agent.terminate().await;
    system.agent.set(name, value);
    system.agent.start();
    system.until_connected().await;
}

#[test]
fn longshores_shim_is_the_default_and_needs_no_program_for_output() {
    system::with(|mut system| async move {
        change(&mut system, "LONGSHORE_RUNTIME", "").await;
        let waiting = Waiting::run(&system, "plain", 5).await;
        let shim = parent_of(waiting.pid);
        assert!(program_of(&shim).contains("containerd-shim-longshore-v1"));
        // A log writer would stay; the OCI runtime has gone by now, or goes.
        let alone = || (children_of(&shim) == waiting.pid.to_string()).then_some(());
        wait::until_some("the container is the shim's only child", alone).await;
        waiting.end().await;
        waiting.until_known(&system).await;
        system
    });
}

#[test]
fn containers_keep_their_shim_when_the_setting_changes() {
    system::with(|mut system| async move {
        let old = Waiting::run(&system, "old", 21).await;
        let idle = Waiting::run(&system, "idle", 22).await;
        let before = parent_of(idle.pid);
        let other = if is_stock() { "" } else { binaries::STOCK_SHIM };
        change(&mut system, "LONGSHORE_RUNTIME", other).await;
        let new = Waiting::run(&system, "new", 23).await;
        assert_ne!(program_of(&parent_of(new.pid)), program_of(&parent_of(old.pid)));
        for waiting in [&old, &new] {
            waiting.end().await;
            waiting.until_known(&system).await;
        }
        assert_eq!(parent_of(idle.pid), before);
        // Its end is taken from its own shim, whatever others run by.
        system.agent.kill();
        idle.end().await;
        system.agent.start();
        idle.until_known(&system).await;
        until_no_records(&system).await;
        system
    });
}

#[test]
fn a_shim_whose_program_was_replaced_goes_on() {
    system::with(|mut system| async move {
        let program = system.host.dir().join("containerd-shim-longshore-v1");
        let install = || {
            let new = program.with_extension("new");
            std::fs::copy(binaries::longshore_shim(), &new).expect("a copy");
            std::fs::rename(&new, &program).expect("it is replaced");
        };
        install();
        let path = program.to_str().expect("UTF-8");
        change(&mut system, "LONGSHORE_RUNTIME", path).await;
        let old = Waiting::run(&system, "old", 31).await;
        system.agent.terminate().await;
        install();
        system.agent.start();
        system.until_connected().await;
        let new = Waiting::run(&system, "new", 32).await;
        for waiting in [&old, &new] {
            waiting.end().await;
            let stopped = system.until(&waiting.task, "STOPPED").await;
            assert_eq!(container(&stopped, waiting.name).exit_code(), Some(waiting.code));
        }
        until_no_records(&system).await;
        system
    });
}

#[test]
fn another_oci_runtime_makes_the_containers() {
    system::with(|mut system| async move {
        let program = system.host.dir().join("not-runc");
        let calls = system.host.dir().join("calls");
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> {}\nexec runc \"$@\"\n",
            calls.display()
        );
        std::fs::write(&program, script).expect("a program");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
        system.agent.set("LONGSHORE_RUNTIME", &binaries::longshore_shim());
        change(
            &mut system,
            "LONGSHORE_OCI_RUNTIME",
            program.to_str().expect("UTF-8"),
        )
        .await;
        let task = system
            .run_container(shell("made", &system.busybox, "exit 9").build())
            .await;
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "made").exit_code(), Some(9));
        let calls = std::fs::read_to_string(calls).expect("it was called");
        assert!(calls.contains(" create "), "{calls}");
        system
    });
}

// Invariant 3: whose shim hangs is stopped too, once nothing of it is left, with no exit code, since nobody saw it.
#[test]
fn a_shim_that_hangs_keeps_no_task_from_ending() {
    system::with(|system| async move {
        let waiting = Waiting::run(&system, "hung", 41).await;
        let shim: i32 = parent_of(waiting.pid).parse().expect("a process id");
        assert!(program_of(&shim.to_string()).contains("containerd-shim"));
        kill(Pid::from_raw(shim), Signal::SIGSTOP).expect("it can be stopped");
        system.stop(&waiting.task).await;
        let stopped = system.until(&waiting.task, "STOPPED").await;
        let seen = container(&stopped, "hung");
        assert_eq!(seen.exit_code(), None, "{seen:?}");
        let reason = seen.reason().unwrap_or_default();
        assert!(
            reason.starts_with("ShimDied: ") && reason.contains("did not answer"),
            "{reason}"
        );
        assert!(status(waiting.pid, "State:").is_none_or(|state| state.starts_with('Z')));
        system
    });
}
