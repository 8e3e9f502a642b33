//! Which shim and which OCI runtime run a container, and that what runs keeps its own.

use std::os::unix::fs::PermissionsExt as _;

use longshore_tests::binaries;

use crate::deaths::{Waiting, is_stock, status, until_no_records};
use crate::system::{self, System, container, shell};

/// Starts the agent again with another setting.
async fn change(system: &mut System, name: &str, value: &str) {
    system.agent.terminate().await;
    system.agent.set(name, value);
    system.agent.start();
    system.until_connected().await;
}

#[test]
fn containers_keep_their_shim_when_the_setting_changes() {
    system::with(|mut system| async move {
        let old = Waiting::run(&system, "old", 21).await;
        let idle = Waiting::run(&system, "idle", 22).await;
        let shim = || status(idle.pid, "PPid:");
        let before = shim();
        let other = if is_stock() { "" } else { binaries::STOCK_SHIM };
        change(&mut system, "LONGSHORE_RUNTIME", other).await;
        let new = Waiting::run(&system, "new", 23).await;
        let program = |pid: i32| {
            let shim = status(pid, "PPid:").expect("it runs");
            std::fs::read_to_string(format!("/proc/{shim}/cmdline")).expect("it runs")
        };
        assert_ne!(program(new.pid), program(old.pid));
        for waiting in [&old, &new] {
            waiting.end().await;
            waiting.until_known(&system).await;
        }
        assert_eq!((status(idle.pid, "State:").is_some(), shim()), (true, before));
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
