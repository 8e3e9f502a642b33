//! A great many processes, a great deal of output.

use crate::kit::{descriptors, on_a_host};

#[test]
fn thousands_of_orphans_are_reaped() {
    on_a_host(|shims| {
        // In the host's pid namespace orphans come to the shim.
        let script = "i=0; while [ $i -lt 3000 ]; do (true &) ; i=$((i+1)); done; exit 4";
        let container = shims.container("c", script).in_hosts_pids();
        let mut shim = shims.running(&container);
        let pid = shim.pid();
        assert_eq!(shim.wait("c", ""), 4);
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        assert_eq!(children.trim(), "", "no zombie is left");
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn a_storm_of_forks_is_killed_to_the_last() {
    on_a_host(|shims| {
        // Each branch forks on and on, so that walking alone would not get them all.
        let script =
            "f() { while :; do (f &) ; sleep 0.01; done; }; for i in 1 2 3 4; do f & done; sleep 0.3; exit 5";
        let mut container = shims.container("c", script).in_hosts_pids();
        container.config["linux"]["resources"]["pids"]["limit"] = 200.into();
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 5);
        let processes = shims.host.cgroup_file("memory", "c", "cgroup.procs");
        assert_eq!(processes.unwrap_or_default(), "", "nothing is left in the cgroup");
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn containers_that_come_and_go_leave_nothing_in_the_shim() {
    on_a_host(|shims| {
        let first = shims.container("c", "exec sleep 1000").in_group("g");
        let mut shim = shims.running(&first);
        let pid = shim.pid();
        let mut after_one = 0;
        for number in 0..20 {
            let id = format!("d{number}");
            let (container, output) = shims.container(&id, "echo here").in_group("g").with_output();
            shim.create(&container).unwrap();
            shim.begin(&id, "").unwrap();
            assert_eq!(shim.wait(&id, ""), 0);
            shim.delete(&id, "").unwrap();
            assert_eq!(std::fs::read_to_string(output).unwrap(), "here\n");
            if number == 0 {
                after_one = descriptors(pid);
            }
        }
        crate::kit::until("no descriptor more than after the first", || {
            descriptors(pid) <= after_one
        });
        shim.kill_and_end("c");
    });
}

#[test]
fn output_at_full_speed_is_all_there() {
    on_a_host(|shims| {
        // One line of 10 MB among it; its stdout is closed before its end.
        let script = "head -c 10000000 /dev/zero | tr '\\0' x; echo; yes 0123456789 | head -n 4000000; exec >&-; exit 3";
        let (container, output) = shims.container("c", script).with_output();
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 3);
        // Before Delete: an exit that is shown has its output written.
        assert_eq!(std::fs::metadata(output).unwrap().len(), 10_000_001 + 44_000_000);
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn many_containers_at_once_each_get_their_own_end() {
    on_a_host(|shims| {
        let keeper = shims.container("c", "exec sleep 1000").in_group("g");
        let shim = shims.running(&keeper);
        let socket = shim.socket.clone();
        let lives: Vec<_> = (0..40_u32)
            .map(|number| {
                let id = format!("d{number}");
                let script = format!(
                    "(sleep 1000 &) ; [ {} = 0 ] && sleep 0.2; exit {number}",
                    number % 3
                );
                let container = shims.container(&id, &script).in_group("g").in_hosts_pids();
                let mut shim = crate::kit::Shim::connect(&socket);
                std::thread::spawn(move || {
                    shim.create(&container).unwrap();
                    shim.begin(&id, "").unwrap();
                    // It may have ended already.
                    if shim.exec(&id, "e", "exit 9").is_ok() && shim.begin(&id, "e").is_ok() {
                        let status = shim.wait(&id, "e");
                        assert!(status == 9 || status == 137, "{status}");
                    }
                    assert_eq!(shim.wait(&id, ""), number);
                    assert_eq!(shim.delete(&id, "").unwrap().exit_status, number);
                })
            })
            .collect();
        for life in lives {
            life.join().unwrap();
        }
        for number in 0..40 {
            assert_eq!(shims.record(&format!("d{number}"), None).unwrap().status, number);
        }
        shim.kill_and_end("c");
    });
}
