//! More processes in a container.

use longshore_shim::api::task::{
    CloseIoRequest, Empty, KillRequest, PidsRequest, PidsResponse, ResizePtyRequest,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{exec_request, on_a_host, until};

#[test]
fn an_exec_has_an_end_of_its_own() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.running(&container);
        shim.exec("c", "e", "exit 4").unwrap();
        let pid = shim.begin("c", "e").unwrap();
        assert!(pid > 0);
        assert_eq!(shim.wait("c", "e"), 4);
        let record = shims.record("c", Some("e")).expect("a record");
        assert_eq!((record.status, record.exec.as_deref()), (4, Some("e")));
        assert_eq!(shims.record("c", None), None, "the container runs on");
        assert_eq!(shim.delete("c", "e").unwrap().exit_status, 4);
        shim.state("c", "e").unwrap_err();
        // One that was never started goes without a trace.
        shim.exec("c", "f", "exit 4").unwrap();
        shim.delete("c", "f").unwrap();
        shim.kill_and_end("c");
        assert_eq!(shims.exit_events(), [("e".to_owned(), 4), ("c".to_owned(), 137)]);
    });
}

#[test]
fn the_ends_of_execs_come_before_that_of_their_container() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000").in_hosts_pids();
        let mut shim = shims.running(&container);
        for exec in ["e1", "e2", "e3"] {
            shim.exec("c", exec, "exec sleep 1000").unwrap();
            shim.begin("c", exec).unwrap();
        }
        let request = PidsRequest { id: "c".into() };
        let pids: PidsResponse = shim.call("Pids", &request).unwrap();
        assert_eq!(pids.processes.len(), 4);
        assert_eq!(
            pids.processes
                .iter()
                .filter(|process| process.info.is_some())
                .count(),
            3
        );
        shim.kill("c", 9, false).unwrap();
        assert_eq!(shim.wait("c", ""), 137);
        assert_eq!(shim.wait("c", "e3"), 137);
        shim.delete("c", "").unwrap();
        shim.end();
        let exits = shims.exit_events();
        assert_eq!(exits.len(), 4);
        assert_eq!(exits.last().unwrap(), &("c".to_owned(), 137));
    });
}

#[test]
fn so_they_do_when_many_containers_end_at_once() {
    on_a_host(|shims| {
        let ids: Vec<_> = (0..24).map(|number| format!("c{number}")).collect();
        let member = |id: &String| {
            shims
                .container(id, "exec sleep 1000")
                .in_hosts_pids()
                .in_group("g")
        };
        let mut shim = shims.shim(&member(&ids[0]));
        let mut pids = Vec::new();
        for id in &ids {
            shim.create(&member(id)).unwrap();
            pids.push(shim.begin(id, "").unwrap());
            let exec = format!("e-{id}");
            shim.exec(id, &exec, "exec sleep 1000").unwrap();
            shim.begin(id, &exec).unwrap();
        }
        // All at once: the shim looks only when all have been killed.
        let own = Pid::from_raw(shim.pid()).unwrap();
        kill_process(own, Signal::STOP).unwrap();
        for pid in pids {
            kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
        }
        kill_process(own, Signal::CONT).unwrap();
        for id in &ids {
            assert_eq!(shim.wait(id, ""), 137);
            shim.delete(id, "").unwrap();
        }
        shim.end();
        let exits = shims.exit_events();
        let place = |id: &str| exits.iter().position(|(other, _)| other == id).unwrap();
        for id in &ids {
            assert!(place(&format!("e-{id}")) < place(id), "{id} in {exits:?}");
        }
    });
}

#[test]
fn an_exec_that_starts_while_its_container_stops_holds_up_nothing() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000").in_hosts_pids();
        let mut shim = shims.running(&container);
        for number in 0..8 {
            shim.exec("c", &format!("e{number}"), "exec sleep 1000").unwrap();
        }
        let socket = shim.socket.clone();
        let starts: Vec<_> = (0..8)
            .map(|number| {
                let mut shim = crate::kit::Shim::connect(&socket);
                std::thread::spawn(move || shim.begin("c", &format!("e{number}")).is_ok())
            })
            .collect();
        shim.kill("c", 9, false).unwrap();
        assert_eq!(shim.wait("c", ""), 137);
        let processes = shims.host.cgroup_file("memory", "c", "cgroup.procs");
        assert_eq!(processes.unwrap_or_default(), "", "nothing is left in the cgroup");
        for start in starts {
            // Some came in time, some did not; each got its answer.
            let _ = start.join().unwrap();
        }
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn an_exec_with_a_pty_has_its_size_and_its_signals() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.running(&container);
        let mut request = exec_request("c", "e", "while :; do stty size; sleep 0.1; done");
        let output = container.bundle.join("output");
        request.terminal = true;
        request.stdout = format!("file://{}", output.display());
        let mut spec: serde_json::Value =
            serde_json::from_slice(&request.spec.as_ref().unwrap().value).unwrap();
        spec["terminal"] = true.into();
        request.spec.as_mut().unwrap().value = spec.to_string().into_bytes();
        shim.call::<Empty>("Exec", &request).unwrap();
        shim.begin("c", "e").unwrap();
        let size = ResizePtyRequest {
            id: "c".into(),
            exec_id: "e".into(),
            width: 91,
            height: 17,
        };
        shim.call::<Empty>("ResizePty", &size).unwrap();
        until("the size is seen", || {
            std::fs::read_to_string(&output).is_ok_and(|text| text.contains("17 91"))
        });
        let kill = KillRequest {
            id: "c".into(),
            exec_id: "e".into(),
            signal: 15,
            all: false,
        };
        shim.call::<Empty>("Kill", &kill).unwrap();
        assert_eq!(shim.wait("c", "e"), 143);
        shim.delete("c", "e").unwrap();
        shim.kill_and_end("c");
    });
}

#[test]
fn input_that_is_closed_before_an_exec_starts_ends_too() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.running(&container);
        let fifo = container.bundle.join("in");
        longshore_tests::process::run(std::process::Command::new("mkfifo").arg(&fifo));
        let mut request = exec_request("c", "e", "cat; exit 6");
        request.stdin = fifo.to_str().unwrap().to_owned();
        shim.call::<Empty>("Exec", &request).unwrap();
        let close = CloseIoRequest {
            id: "c".into(),
            exec_id: "e".into(),
            stdin: true,
        };
        shim.call::<Empty>("CloseIO", &close).unwrap();
        shim.begin("c", "e").unwrap();
        assert_eq!(shim.wait("c", "e"), 6);
        shim.kill_and_end("c");
    });
}

#[test]
fn input_ends_when_it_is_closed() {
    on_a_host(|shims| {
        let (mut container, output) = shims.container("c", "cat; exit 6").with_output();
        let fifo = container.bundle.join("in");
        longshore_tests::process::run(std::process::Command::new("mkfifo").arg(&fifo));
        container.request.stdin = fifo.to_str().unwrap().to_owned();
        let mut shim = shims.running(&container);
        let mut input = std::fs::File::options().write(true).open(&fifo).unwrap();
        std::io::Write::write_all(&mut input, b"to be passed on\n").unwrap();
        let close = CloseIoRequest {
            id: "c".into(),
            exec_id: String::new(),
            stdin: true,
        };
        shim.call::<Empty>("CloseIO", &close).unwrap();
        drop(input);
        assert_eq!(shim.wait("c", ""), 6);
        shim.delete("c", "").unwrap();
        assert_eq!(std::fs::read_to_string(output).unwrap(), "to be passed on\n");
        shim.end();
    });
}
