//! Bad input gets containerd's error codes and a text that names the file or id (invariant 8).

use longshore_shim::api::Any;
use longshore_shim::api::task::{Empty, PauseRequest, Status, UpdateTaskRequest};
use longshore_shim::ttrpc::Code;
use longshore_shim::ttrpc::client::CallError;

use crate::kit::{on_a_host, until};

fn refused<T>(result: Result<T, CallError>, code: Code, named: &str) {
    let Err(error) = result else {
        panic!("{named} was taken")
    };
    assert!(error.is(code), "{named}: {error:?} is not {code:?}");
    assert!(error.to_string().contains(named), "{error} does not name {named}");
}

#[test]
fn what_is_not_there_is_not_found() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.shim(&container);
        refused(shim.state("c", ""), Code::NotFound, "c");
        refused(shim.kill("other", 9, false), Code::NotFound, "other");
        refused(shim.delete("other", ""), Code::NotFound, "other");
        refused(shim.begin("other", ""), Code::NotFound, "other");
        refused(shim.exec("other", "e", "true"), Code::NotFound, "other");
        let pause = PauseRequest { id: "other".into() };
        refused(shim.call::<Empty>("Pause", &pause), Code::NotFound, "other");
        refused(
            shim.call::<Empty>("Frobnicate", &pause),
            Code::Unimplemented,
            "Frobnicate",
        );
        refused(
            shim.call::<Empty>("Checkpoint", &pause),
            Code::Unimplemented,
            "checkpoint",
        );
        shim.create(&container).unwrap();
        refused(shim.state("c", "e"), Code::NotFound, "e");
        refused(shim.begin("c", "e"), Code::NotFound, "e");
        shim.delete("c", "").unwrap();
        refused(shim.state("c", ""), Code::NotFound, "c");
        shim.end();
    });
}

#[test]
fn a_bundle_that_is_none_is_named_and_the_shim_goes_on() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.shim(&container);
        let good = container.request.clone();
        container.request.bundle = "/nowhere/c".into();
        refused(shim.create(&container), Code::NotFound, "/nowhere/c/config.json");
        container.request.bundle = "here".into();
        refused(shim.create(&container), Code::InvalidArgument, "here");
        container.request = good.clone();
        container.request.id = "../c".into();
        refused(shim.create(&container), Code::InvalidArgument, "../c");
        container.request = good.clone();
        container.request.options = Some(Any {
            type_url: "runtimeoptions.v1.Options".into(),
            value: vec![],
        });
        refused(
            shim.create(&container),
            Code::InvalidArgument,
            "runtimeoptions.v1.Options",
        );
        container.request = good.clone();
        container.request.stdout = "gopher:///x".into();
        let error = shim.create(&container).unwrap_err();
        assert!(error.to_string().contains("gopher"), "{error}");
        container.request = good;
        let config = std::mem::replace(&mut container.config, serde_json::json!("no configuration"));
        refused(shim.create(&container), Code::InvalidArgument, "config.json");
        container.config = config;
        container.config["annotations"]["longshore.runtime"] = "/nowhere/runc".into();
        refused(shim.create(&container), Code::Internal, "/nowhere/runc");
        container.config["annotations"]["longshore.runtime"] = "runc".into();
        container.config["process"]["args"][0] = "/bin/nope".into();
        refused(shim.create(&container), Code::Unknown, "/bin/nope");
        container.config["process"]["args"][0] = "/bin/sh".into();
        shim.create(&container).unwrap();
        refused(shim.create(&container), Code::AlreadyExists, "c");
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn what_comes_at_the_wrong_time_is_a_failed_precondition() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.shim(&container);
        shim.create(&container).unwrap();
        let pause = PauseRequest { id: "c".into() };
        refused(
            shim.call::<Empty>("Pause", &pause),
            Code::FailedPrecondition,
            "created",
        );
        shim.exec("c", "e", "exec sleep 1000").unwrap();
        refused(shim.exec("c", "e", "true"), Code::AlreadyExists, "e");
        refused(shim.begin("c", "e"), Code::FailedPrecondition, "created");
        shim.begin("c", "").unwrap();
        refused(shim.begin("c", ""), Code::FailedPrecondition, "running");
        refused(shim.delete("c", ""), Code::FailedPrecondition, "running");
        refused(shim.kill("c", 0, false), Code::InvalidArgument, "signal");
        refused(shim.kill("c", 4000, false), Code::InvalidArgument, "signal");
        let update = UpdateTaskRequest {
            id: "c".into(),
            resources: None,
        };
        refused(
            shim.call::<Empty>("Update", &update),
            Code::InvalidArgument,
            "resources",
        );
        shim.begin("c", "e").unwrap();
        refused(shim.delete("c", "e"), Code::FailedPrecondition, "running");
        // What runs in it keeps the shim.
        shim.shutdown();
        shim.kill("c", 9, false).unwrap();
        assert_eq!(shim.wait("c", ""), 137);
        refused(shim.kill("c", 9, false), Code::NotFound, "already finished");
        refused(shim.exec("c", "f", "true"), Code::FailedPrecondition, "stopped");
        until("it has stopped", || shim.is("c", Status::Stopped));
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

/// Bytes that look random and are the same each time.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| byte()).collect()
}

#[test]
fn no_bytes_bring_a_shim_down() {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.running(&container);
        for seed in 0..200 {
            let mut stream = UnixStream::connect(&shim.socket).unwrap();
            let mut bytes = noise(seed, 300);
            if seed % 2 == 0 {
                // A header that is one, so that what follows is looked at.
                let length = u32::try_from(bytes.len() - 10).unwrap();
                bytes[..4].copy_from_slice(&length.to_be_bytes());
                bytes[8] = 1;
            }
            // The shim may hang up in the middle of it.
            let _ = stream.write_all(&bytes);
        }
        let methods = [
            "State",
            "Create",
            "Start",
            "Delete",
            "Pids",
            "Pause",
            "Resume",
            "Checkpoint",
            "Kill",
            "Exec",
            "ResizePty",
            "CloseIO",
            "Update",
            "Wait",
            "Stats",
            "Connect",
        ];
        for method in methods {
            for seed in 0..50 {
                let _ = shim.raw(method, noise(seed, usize::try_from(seed).unwrap()));
            }
        }
        assert!(shim.is("c", Status::Running));
        shim.kill_and_end("c");
    });
}
