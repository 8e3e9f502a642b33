//! Start: by runc's FIFO without runc, and by its program where that does more.

use longshore_shim::api::task::Status;
use serde_json::json;

use crate::kit::{Container, Shims, on_a_host};

/// Notes each of the runtime's calls in the bundle.
fn noted(shims: &Shims, container: &mut Container) {
    let calls = container.bundle.join("calls");
    let program = shims.runtime(&format!("echo \" $* \" >> '{}'", calls.display()));
    // Others may do more in their start.
    let runc = container.bundle.join("runc");
    std::fs::rename(program, &runc).unwrap();
    let program = runc;
    container.config["annotations"]["longshore.runtime"] = program.to_str().unwrap().into();
}

fn called(container: &Container, operation: &str) -> bool {
    let calls = std::fs::read_to_string(container.bundle.join("calls")).unwrap();
    calls.contains(&format!(" {operation} "))
}

#[test]
fn a_container_is_started_without_the_runtimes_program() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "exec sleep 1000");
        noted(&shims, &mut container);
        let mut shim = shims.running(&container);
        assert!(called(&container, "create"));
        assert!(!called(&container, "start"));
        // runc takes it for a running one.
        shim.exec("c", "e", "exit 3").unwrap();
        shim.begin("c", "e").unwrap();
        assert_eq!(shim.wait("c", "e"), 3);
        let again = shim.begin("c", "").unwrap_err().to_string();
        assert!(again.contains("running"), "{again}");
        shim.kill_and_end("c");
    });
}

#[test]
fn hooks_after_a_start_are_left_to_the_program() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "exec sleep 1000");
        noted(&shims, &mut container);
        let ran = container.bundle.join("ran");
        let hook = json!({"path": "/bin/touch", "args": ["touch", &ran]});
        container.config["hooks"] = json!({"poststart": [hook]});
        let shim = shims.running(&container);
        assert!(ran.exists());
        // Old ones run them in create.
        assert!(called(&container, "start"));
        shim.kill_and_end("c");
    });
}

#[test]
fn another_programs_start_is_called() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "exec sleep 1000");
        noted(&shims, &mut container);
        let wrapper = container.bundle.join("wrapper");
        std::fs::rename(container.bundle.join("runc"), &wrapper).unwrap();
        container.config["annotations"]["longshore.runtime"] = wrapper.to_str().unwrap().into();
        let shim = shims.running(&container);
        assert!(called(&container, "start"));
        shim.kill_and_end("c");
    });
}

#[test]
fn a_frozen_container_is_refused_at_once_and_can_be_started_later() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.shim(&container);
        shim.create(&container).unwrap();
        shims.freeze("c", true);
        let error = shim.begin("c", "").unwrap_err().to_string();
        assert!(error.contains("paused"), "{error}");
        shims.freeze("c", false);
        shim.begin("c", "").unwrap();
        assert!(shim.is("c", Status::Running));
        shim.kill_and_end("c");
    });
}
