//! Deaths of the shim, and of containerd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use longshore_shim::api::Message as _;
use longshore_shim::api::task::{CreateTaskResponse, DeleteResponse, Status};
use longshore_shim::ttrpc::Code;
use longshore_tests::process::run;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kit::{Container, Shim, Shims, on_a_host, until};

/// What `delete` answers, called as containerd does once a shim has died.
fn clean_up(shims: &Shims, container: &Container) -> DeleteResponse {
    let bundle = container.bundle.to_str().unwrap();
    let output = run(&mut shims.command(container, &["-bundle", bundle, "delete"]));
    DeleteResponse::decode(output.stdout.as_slice()).unwrap()
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/root/bin/busybox")).exists()
}

#[test]
fn after_a_killed_shim_delete_kills_what_it_had_and_claims_no_exit() {
    on_a_host(|shims| {
        let script = "(setsid sleep 1000 &) ; exec sleep 1000";
        let container = shims.container("c", script).in_hosts_pids();
        let mut shim = shims.running(&container);
        let init = shim.state("c", "").unwrap().pid;
        assert!(runs(init));
        kill(Pid::from_raw(shim.pid()), Signal::SIGKILL).unwrap();
        let answer = clean_up(&shims, &container);
        assert_eq!((answer.pid, answer.exit_status), (init, 137));
        let processes = shims.host.cgroup_file("memory", "c", "cgroup.procs");
        assert_eq!(processes.unwrap_or_default(), "");
        assert_eq!(shims.record("c", None), None, "nobody saw how it ended");
        assert!(!shim.socket.exists());
    });
}

#[test]
fn after_a_killed_shim_delete_knows_an_exit_that_was_recorded() {
    on_a_host(|shims| {
        let container = shims.container("c", "exit 7");
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 7);
        kill(Pid::from_raw(shim.pid()), Signal::SIGKILL).unwrap();
        let answer = clean_up(&shims, &container);
        let record = shims.record("c", None).unwrap();
        assert_eq!(answer.exit_status, 7);
        assert_eq!(
            answer.exited_at.unwrap().seconds,
            record.exited_at.wall.as_second()
        );
        // Again, and with nothing there at all: what is wanted is so already.
        clean_up(&shims, &container);
    });
}

/// An OCI runtime that does something in the bundle before one of its operations.
fn before(shims: &Shims, container: &mut Container, operation: &str, script: &str) {
    let bundle = container.bundle.display();
    let script = format!("case \" $* \" in *\" {operation} \"*) cd '{bundle}' && {script};; esac");
    container.config["annotations"]["longshore.runtime"] = shims.runtime(&script).to_str().unwrap().into();
}

#[test]
fn what_runs_is_in_the_notes_with_its_cgroup() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "exec sleep 1000");
        before(&shims, &mut container, "start", "cp longshore-shim.json at-start");
        let mut shim = shims.shim(&container);
        let pid = shim.create(&container).unwrap();
        shim.begin("c", "").unwrap();
        let notes = std::fs::read(container.bundle.join("at-start")).unwrap();
        let notes: serde_json::Value = serde_json::from_slice(&notes).unwrap();
        assert_eq!(notes["pid"], pid);
        assert_eq!(notes["cgroup"]["own"], true);
        shim.kill_and_end("c");
    });
}

#[test]
fn nothing_runs_that_could_not_be_noted() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "echo > /tmp/ran; exec sleep 1000");
        // The first notes are written by then.
        before(
            &shims,
            &mut container,
            "create",
            "mkdir longshore-shim.unfinished",
        );
        let mut shim = shims.shim(&container);
        shim.create(&container).unwrap();
        for _ in 0..2 {
            let error = shim.begin("c", "").unwrap_err().to_string();
            assert!(error.contains("can't note container c in its bundle"), "{error}");
        }
        assert!(shim.is("c", Status::Created));
        assert!(!shims.host.dir().join("rootfs/tmp/ran").exists());
        shim.delete("c", "").unwrap();
        let processes = shims.host.cgroup_file("memory", "c", "cgroup.procs");
        assert_eq!(processes.unwrap_or_default(), "");
        shim.end();
    });
}

/// What happens at a container's Create, in which the OCI runtime waits for a file `go` in the bundle once it has said, by
/// one, that it got there. Whoever asked for it has gone when there is an answer.
fn creating(shims: &Shims, container: &mut Container, script: &str) -> (PathBuf, JoinHandle<()>) {
    before(shims, container, "create", script);
    let (socket, request) = (shims.start(container), container.request.clone());
    let to = socket.clone();
    let creating = std::thread::spawn(move || {
        let _ = Shim::connect(&to).call::<CreateTaskResponse>("Create", &request);
    });
    let begun = container.bundle.join("begun");
    until("the runtime is called", || begun.exists());
    (socket, creating)
}

const WAIT: &str = "touch begun; until [ -e go ]; do sleep 0.05; done";

/// Whether an OCI runtime knows a container, or a process of it is left.
fn is_left(shims: &Shims, container: &Container) -> bool {
    let state = Path::new("/run/containerd/runc").join(shims.host.containerd_namespace());
    let processes = shims.host.cgroup_file("memory", &container.id, "cgroup.procs");
    state.join(&container.id).exists() || !processes.unwrap_or_default().is_empty()
}

#[test]
fn a_container_that_is_deleted_while_it_is_created_is_deleted() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "exec sleep 1000");
        let (socket, creating) = creating(&shims, &mut container, WAIT);
        let mut shim = Shim::connect(&socket);
        assert!(shim.state("c", "").unwrap_err().is(Code::NotFound));
        let deleting = std::thread::spawn(move || Shim::connect(&socket).delete("c", ""));
        let pid = shim.pid();
        let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
        until("Delete waits, or was answered", || {
            threads() >= 3 || deleting.is_finished()
        });
        std::fs::write(container.bundle.join("go"), "").unwrap();
        assert_eq!(deleting.join().unwrap().unwrap().exit_status, 137);
        creating.join().unwrap();
        assert!(!is_left(&shims, &container));
        shim.end();
    });
}

#[test]
fn a_container_whose_bundle_goes_while_it_is_created_leaves_nothing() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "exec sleep 1000");
        let script = format!("runc \"$@\" && {WAIT}; exit");
        let (socket, creating) = creating(&shims, &mut container, &script);
        let aside = container.bundle.with_extension("aside");
        std::fs::rename(&container.bundle, &aside).unwrap();
        std::fs::write(aside.join("go"), "").unwrap();
        creating.join().unwrap();
        until("nothing of it is left", || !is_left(&shims, &container));
        Shim::connect(&socket).end();
    });
}

#[test]
fn delete_cleans_up_a_bundle_that_no_shim_ever_used() {
    on_a_host(|shims| {
        let container = shims.container("c", "exit 7");
        assert_eq!(clean_up(&shims, &container).exit_status, 137);
    });
}

#[test]
fn sigterm_ends_a_shim_when_its_containers_have_ended() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.running(&container);
        let pid = Pid::from_raw(shim.pid());
        for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGTERM] {
            kill(pid, signal).unwrap();
        }
        shim.exec("c", "e", "exit 1").unwrap();
        shim.begin("c", "e").unwrap();
        assert_eq!(shim.wait("c", "e"), 1, "it works on");
        shim.kill("c", 9, false).unwrap();
        until("the socket has gone", || !shim.socket.exists());
        assert_eq!(shims.record("c", None).unwrap().status, 137);
        clean_up(&shims, &container);
    });
}

#[test]
fn an_exit_while_everybody_else_is_dead_is_on_disk() {
    on_a_host(|shims| {
        let gate = shims.host.dir().join("rootfs/tmp/go");
        let container = shims.container("c", "until [ -e /tmp/go ]; do sleep 0.05; done; exit 7");
        let shim = shims.running(&container);
        let socket = shim.socket.clone();
        // No client is left; events go nowhere.
        drop(shim);
        std::fs::remove_file(shims.host.dir().join("events")).unwrap();
        std::fs::write(gate, "").unwrap();
        until("the record is there", || shims.record("c", None).is_some());
        assert_eq!(shims.record("c", None).unwrap().status, 7);
        let mut shim = Shim::connect(&socket);
        assert_eq!(shim.wait("c", ""), 7);
        shim.delete("c", "").unwrap();
        kill(Pid::from_raw(shim.pid()), Signal::SIGKILL).unwrap();
        run(&mut Command::new("true"));
        let _ = std::fs::remove_file(socket);
    });
}
