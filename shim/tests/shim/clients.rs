//! What one client or one container does holds up no other.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use longshore_shim::api::task::{SERVICE, StartRequest, StateRequest, Status};
use longshore_shim::ttrpc::frame::{self, REQUEST, Request};
use longshore_tests::process::run;

use crate::kit::{Shim, descriptors, on_a_host, until};

/// A call as its bytes.
fn call(stream: u32, method: &str, request: &impl longshore_shim::api::Message) -> Vec<u8> {
    let request = Request {
        service: SERVICE.into(),
        method: method.into(),
        payload: request.encode_to_vec(),
        timeout_nano: 0,
    };
    frame::frame(stream, REQUEST, &request)
}

#[test]
fn a_client_that_reads_no_answers_holds_up_nobody() {
    on_a_host(|shims| {
        let mut shim = shims.running(&shims.container("c", "exec sleep 1000"));
        let deaf = UnixStream::connect(&shim.socket).unwrap();
        // Where the shim stops reading, the rest need not be sent.
        deaf.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let state = StateRequest {
            id: "c".into(),
            exec_id: String::new(),
        };
        let calls = call(1, "State", &state).repeat(5000);
        let _ = (&deaf).write_all(&calls);
        assert!(
            shim.is("c", Status::Running),
            "answered, while another client does not read"
        );
        shim.kill("c", 9, false).unwrap();
        assert_eq!(shim.wait("c", ""), 137);
        shim.delete("c", "").unwrap();
        drop(deaf);
        shim.end();
    });
}

#[test]
fn calls_that_hang_keep_nobody_from_killing() {
    on_a_host(|shims| {
        let gate = shims.host.dir().join("gate");
        let hang = format!(
            "case \" $* \" in *' exec '*) while [ ! -e {} ]; do sleep 0.1; done; exit 1;; esac",
            gate.display()
        );
        let program = shims.runtime(&hang);
        let mut container = shims.container("c", "exec sleep 1000");
        container.config["annotations"]["longshore.runtime"] = program.to_str().unwrap().into();
        let mut shim = shims.running(&container);
        let pid = shim.pid();
        let mut hanging = UnixStream::connect(&shim.socket).unwrap();
        for number in 0..40_u32 {
            shim.exec("c", &format!("e{number}"), "true").unwrap();
        }
        for number in 0..40_u32 {
            let start = StartRequest {
                id: "c".into(),
                exec_id: format!("e{number}"),
            };
            let bytes = call(number * 2 + 1, "Start", &start);
            hanging.write_all(&bytes).unwrap();
        }
        let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
        until("as many execs hang as ever will", || threads() >= 32);
        Shim::connect(&shim.socket).kill("c", 9, false).unwrap();
        std::fs::write(gate, "").unwrap();
        assert_eq!(shim.wait("c", ""), 137);
        until("it can be deleted", || shim.delete("c", "").is_ok());
        drop(hanging);
        shim.end();
    });
}

/// Clock ticks of the processor that a process has had.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn more_clients_than_descriptors_wait_and_cost_nothing() {
    on_a_host(|shims| {
        let mut shim = shims.running(&shims.container("c", "exec sleep 1000"));
        let pid = shim.pid();
        let used = u64::try_from(descriptors(pid)).unwrap();
        setrlimit(pid, used + 10);
        let clients: Vec<_> = (0..40)
            .map(|_| UnixStream::connect(&shim.socket).unwrap())
            .collect();
        until("no descriptor is left", || {
            descriptors(pid) >= usize::try_from(used + 10).unwrap()
        });
        let before = ticks(pid);
        std::thread::sleep(Duration::from_secs(1));
        let spent = ticks(pid) - before;
        assert!(spent < 10, "it tries all the time: {spent} ticks of a hundred");
        assert!(shim.is("c", Status::Running), "who is connected is served");
        drop(clients);
        let mut another = Shim::connect(&shim.socket);
        another.kill("c", 9, false).unwrap();
        assert_eq!(another.wait("c", ""), 137);
        another.delete("c", "").unwrap();
        shim.end();
    });
}

fn setrlimit(pid: i32, descriptors: u64) {
    let limit = format!("--nofile={descriptors}:{descriptors}");
    run(Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]));
}
