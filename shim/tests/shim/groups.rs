//! Containers that share a shim.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use longshore_shim::sockets;
use longshore_tests::process::run;
use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{Shim, descriptors, on_a_host, runs, until};

#[test]
fn starts_that_race_end_up_with_one_shim() {
    on_a_host(|shims| {
        let containers: Vec<_> = (0..8)
            .map(|number| {
                shims
                    .container(&format!("c{number}"), "exec sleep 1000")
                    .in_group("g")
            })
            .collect();
        let commands: Vec<_> = containers
            .iter()
            .map(|container| {
                std::fs::write(container.bundle.join("config.json"), container.config.to_string()).unwrap();
                let mut command = shims.command(container, &["start"]);
                command.stdout(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let addresses: BTreeSet<_> = commands
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success());
                String::from_utf8(output.stdout).unwrap()
            })
            .collect();
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        let address = addresses.first().unwrap();
        for container in &containers {
            let written = std::fs::read_to_string(container.bundle.join("address")).unwrap();
            assert_eq!(&written, address);
        }
        let mut shim = Shim::connect(address.strip_prefix("unix://").unwrap().as_ref());
        for container in &containers {
            shim.create(container).unwrap();
        }
        for container in &containers {
            shim.delete(&container.id, "").unwrap();
        }
        shim.end();
    });
}

#[test]
fn a_shim_that_hangs_holds_up_no_start_of_another_group() {
    on_a_host(|shims| {
        let first = shims.container("a1", "exec sleep 1000").in_group("a");
        let second = shims.container("a2", "exec sleep 1000").in_group("a");
        let other = shims.container("b1", "exec sleep 1000").in_group("b");
        let mut shim = shims.running(&first);
        let hung = Pid::from_raw(shim.pid()).unwrap();
        kill_process(hung, Signal::STOP).unwrap();
        second.write();
        let mut waits = shims.command(&second, &["start"]).spawn().unwrap();
        let descriptors = format!("/proc/{}/fd", waits.id());
        until("it speaks to the shim that hangs", || {
            let open = std::fs::read_dir(&descriptors).unwrap().flatten();
            let mut open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
            open.any(|leads| leads.to_string_lossy().starts_with("socket:"))
        });
        let mut another = shims.shim(&other);
        assert!(
            waits.try_wait().unwrap().is_none(),
            "the other start had to wait for it"
        );
        kill_process(hung, Signal::CONT).unwrap();
        assert!(waits.wait().unwrap().success());
        for (shim, container) in [(&mut shim, &second), (&mut another, &other)] {
            shim.create(container).unwrap();
            shim.delete(&container.id, "").unwrap();
        }
        another.end();
        shim.kill_and_end("a1");
    });
}

#[test]
fn members_come_and_go_in_any_order() {
    on_a_host(|shims| {
        let first = shims.container("c1", "exec sleep 1000").in_group("g");
        let second = shims.container("c2", "exec sleep 1000").in_group("g");
        let third = shims.container("c3", "exit 9").in_group("g");
        let mut shim = shims.running(&first);
        assert_eq!(shims.start(&second), shim.socket);
        shim.create(&second).unwrap();
        shim.begin("c2", "").unwrap();
        shim.kill("c1", 9, false).unwrap();
        assert_eq!(shim.wait("c1", ""), 137);
        shim.delete("c1", "").unwrap();
        std::fs::remove_dir_all(&first.bundle).unwrap();
        shim.shutdown();
        assert_eq!(shims.start(&third), shim.socket, "one runs: the shim has stayed");
        shim.create(&third).unwrap();
        shim.begin("c3", "").unwrap();
        assert_eq!(shim.wait("c3", ""), 9);
        shim.exec("c2", "e", "exit 2").unwrap();
        shim.begin("c2", "e").unwrap();
        assert_eq!(shim.wait("c2", "e"), 2);
        shim.delete("c3", "").unwrap();
        shim.kill("c2", 9, false).unwrap();
        shim.wait("c2", "");
        shim.delete("c2", "").unwrap();
        shim.end();
    });
}

#[test]
fn a_shim_that_was_promised_a_container_does_not_end() {
    on_a_host(|shims| {
        let first = shims.container("c1", "exit 0").in_group("g");
        let second = shims.container("c2", "exit 8").in_group("g");
        let mut shim = shims.running(&first);
        shim.wait("c1", "");
        shim.delete("c1", "").unwrap();
        // containerd has the address for the second, and only then asks the shim to end, for the first.
        assert_eq!(shims.start(&second), shim.socket);
        shim.shutdown();
        shim.create(&second).unwrap();
        shim.begin("c2", "").unwrap();
        assert_eq!(shim.wait("c2", ""), 8);
        shim.delete("c2", "").unwrap();
        shim.end();
    });
}

#[test]
fn a_start_that_fails_leaves_no_shim() {
    on_a_host(|shims| {
        let container = shims.container("c", "true");
        // In the way of the file that the address is written to.
        std::fs::create_dir(container.bundle.join("address.unfinished")).unwrap();
        std::fs::write(container.bundle.join("config.json"), container.config.to_string()).unwrap();
        let output = shims.command(&container, &["start"]).output().unwrap();
        assert!(!output.status.success());
        let fault = String::from_utf8_lossy(&output.stderr);
        assert!(fault.contains("address"), "{fault}");
        let namespace = shims.host.containerd_namespace();
        let socket = sockets::path(Path::new(sockets::FOLDER), "/run/none.sock", &namespace, "c");
        assert!(!socket.exists(), "nobody listens");
        let is_shim = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let namespace = format!("\0{namespace}\0");
            String::from_utf8_lossy(&line).contains(&namespace) && runs(*pid)
        };
        let processes = || {
            let entries = std::fs::read_dir("/proc").unwrap().flatten();
            let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            pids.filter(is_shim).collect::<Vec<i32>>()
        };
        until("no shim runs", || processes().is_empty());
    });
}

#[test]
fn a_shim_has_more_descriptors_than_it_was_given_and_what_it_runs_has_not() {
    on_a_host(|shims| {
        // Some versions of runc raise the limit by themselves: so it is asked what they begin with.
        let limit = shims.host.dir().join("limit");
        let runtime = shims.runtime(&format!("ulimit -Sn > {}", limit.display()));
        let member = |number: u32| {
            let mut container = shims
                .container(&format!("c{number}"), "exec sleep 1000")
                .in_group("g");
            container.config["annotations"]["longshore.runtime"] = runtime.to_str().unwrap().into();
            container.with_output().0
        };
        let first = member(0);
        std::fs::write(first.bundle.join("config.json"), first.config.to_string()).unwrap();
        let start = shims.command(&first, &["start"]);
        let mut limited = Command::new("prlimit");
        limited
            .arg("--nofile=50:4096")
            .arg(start.get_program())
            .args(start.get_args());
        for (name, value) in start.get_envs() {
            limited.env(name, value.unwrap_or_default());
        }
        let address = run(limited.current_dir(&first.bundle)).stdout;
        let address = String::from_utf8(address).unwrap();
        let mut shim = Shim::connect(address.strip_prefix("unix://").unwrap().as_ref());
        for number in 0..20 {
            let container = member(number);
            shim.create(&container).unwrap();
            shim.begin(&container.id, "").unwrap();
        }
        assert!(descriptors(shim.pid()) > 50);
        assert_eq!(std::fs::read_to_string(&limit).unwrap(), "50\n");
        for number in 0..20 {
            let id = format!("c{number}");
            shim.kill(&id, 9, false).unwrap();
            assert_eq!(shim.wait(&id, ""), 137);
            shim.delete(&id, "").unwrap();
        }
        shim.end();
    });
}
