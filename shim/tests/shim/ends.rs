//! Ends: recorded before they are shown, and not shown while anything is left (invariant 3).

use longshore_shim::api::task::{Empty, PauseRequest, Status};

use crate::kit::{on_a_host, until};

#[test]
fn an_exit_is_on_disk_before_anybody_is_told() {
    on_a_host(|shims| {
        let container = shims.container("c", "exit 7");
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 7);
        // The answer came, so the record must be there: no waiting.
        let record = shims.record("c", None).expect("a record");
        assert_eq!((record.status, record.signal, record.exec), (7, None, None));
        assert!(record.undead.is_empty());
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        assert_eq!(record.exited_at.boot_id, boot.trim());
        let deleted = shim.delete("c", "").unwrap();
        assert_eq!(deleted.exit_status, 7);
        assert_eq!(
            deleted.exited_at.unwrap().seconds,
            record.exited_at.wall.as_second()
        );
        shim.end();
        let topics = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"];
        assert_eq!(shims.topics("c"), topics);
        assert_eq!(
            std::fs::read_dir(&shims.exits).unwrap().count(),
            1,
            "nothing half-written"
        );
    });
}

#[test]
fn a_signal_is_told_apart_from_a_status() {
    on_a_host(|shims| {
        // The first process of a pid namespace doesn't die of its own signals.
        let container = shims
            .container("c", "kill -TERM $$; exec sleep 1000")
            .in_hosts_pids();
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 143);
        assert_eq!(shims.record("c", None).unwrap().signal, Some(15));
        shim.delete("c", "").unwrap();
        let mut other = shims.container("d", "exit 143");
        other.config["annotations"]["io.containerd.runc.v2.group"] = "c".into();
        shim.create(&other).unwrap();
        shim.begin("d", "").unwrap();
        assert_eq!(shim.wait("d", ""), 143);
        assert_eq!(shims.record("d", None).unwrap().signal, None);
        shim.delete("d", "").unwrap();
        shim.end();
    });
}

#[test]
fn an_end_before_start_has_returned_is_neither_lost_nor_early() {
    on_a_host(|shims| {
        let first = shims.container("c0", "exit 3");
        let mut shim = shims.shim(&first);
        for number in 0..20 {
            let id = format!("c{number}");
            let container = shims.container(&id, "exit 3");
            shim.create(&container).unwrap();
            shim.begin(&id, "").unwrap();
            assert_eq!(shim.wait(&id, ""), 3);
            assert_eq!(shims.record(&id, None).unwrap().status, 3);
            shim.exec(&id, "e", "true").unwrap_err();
            shim.delete(&id, "").unwrap();
        }
        shim.end();
        for number in 0..20 {
            let topics = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"];
            let id = format!("bundles/c{number}");
            assert_eq!(shims.topics(&id)[..1], topics[..1], "created, with its bundle");
        }
        assert_eq!(shims.exit_events().len(), 20);
    });
}

#[test]
fn a_container_that_was_never_started_can_be_killed_and_deleted() {
    on_a_host(|shims| {
        let container = shims.container("c", "exit 3");
        let mut shim = shims.shim(&container);
        shim.create(&container).unwrap();
        shim.kill("c", 9, false).unwrap();
        assert_eq!(shim.wait("c", ""), 137);
        assert!(shim.is("c", Status::Stopped));
        let pid = shim.state("c", "").unwrap().pid;
        assert_eq!(pid, 0, "what never ran has ended no run");
        shim.delete("c", "").unwrap();
        let other = shims.container("d", "exit 3").in_group("c");
        shim.create(&other).unwrap();
        assert_eq!(shim.delete("d", "").unwrap().exit_status, 137);
        assert_eq!(shims.record("d", None), None, "it never ran");
        shim.end();
    });
}

#[test]
fn what_outlives_the_first_process_is_killed_before_the_end_is_shown() {
    on_a_host(|shims| {
        // Daemons that nobody is the parent of any more, one of them in a session of its own.
        let script = "(setsid sleep 1000 &) ; (sleep 1000 &) ; (trap '' TERM HUP; sleep 1000 &) ; exit 5";
        let container = shims.container("c", script).in_hosts_pids();
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 5);
        let processes = shims.host.cgroup_file("memory", "c", "cgroup.procs");
        assert_eq!(processes.unwrap_or_default(), "", "nothing is left in the cgroup");
        assert!(shims.record("c", None).unwrap().undead.is_empty());
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn a_paused_container_dies_of_sigkill() {
    on_a_host(|shims| {
        let container = shims.container("c", "sleep 1000 & exec sleep 1000");
        let mut shim = shims.running(&container);
        let pause = PauseRequest { id: "c".into() };
        shim.call::<Empty>("Pause", &pause).unwrap();
        assert!(shim.is("c", Status::Paused));
        shim.kill("c", 9, false).unwrap();
        assert_eq!(shim.wait("c", ""), 137);
        assert!(shim.is("c", Status::Stopped));
        shim.delete("c", "").unwrap();
        shim.end();
        assert!(shims.topics("c").contains(&"/tasks/paused".to_owned()));
    });
}

#[test]
fn a_cgroup_that_somebody_else_froze_is_killed_too() {
    on_a_host(|shims| {
        let container = shims
            .container("c", "sleep 1000 & exec sleep 1000")
            .in_hosts_pids();
        let mut shim = shims.running(&container);
        shims.freeze("c", true);
        shim.kill("c", 9, true).unwrap();
        assert_eq!(shim.wait("c", ""), 137);
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn an_exit_is_shown_on_a_full_disk_and_recorded_once_there_is_room() {
    on_a_host(|shims| {
        let disk = shims.exits.clone();
        let mount = |options: &str| {
            let words = ["-t", "tmpfs", "-o", options, "tmpfs", disk.to_str().unwrap()];
            longshore_tests::process::run(std::process::Command::new("mount").args(words));
        };
        mount("size=64k");
        let filler = disk.join("filler");
        let full = std::fs::write(&filler, vec![0; 128 * 1024]);
        assert!(full.is_err(), "the disk is full");
        let container = shims.container("c", "exit 7");
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 7);
        assert_eq!(shims.record("c", None), None);
        std::fs::remove_file(&filler).unwrap();
        until("the record is there", || {
            shims.record("c", None).is_some_and(|record| record.status == 7)
        });
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn a_signal_to_all_reaches_each_process() {
    on_a_host(|shims| {
        let script =
            "trap 'echo got' USR1; trap 'exit 0' TERM; (trap 'echo got' USR1; while :; do sleep 0.01; done) &
            echo ready; while :; do sleep 0.01; done";
        let (container, output) = shims.container("c", script).with_output();
        let mut shim = shims.running(&container);
        let lines = |line: &str| {
            let text = std::fs::read_to_string(&output).unwrap_or_default();
            text.lines().filter(|other| *other == line).count()
        };
        until("it is ready", || lines("ready") == 1);
        for round in 1..=20 {
            shim.kill("c", 10, true).unwrap();
            until("both have got it", || lines("got") >= 2 * round);
        }
        shim.kill("c", 15, false).unwrap();
        assert_eq!(shim.wait("c", ""), 0);
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn the_signal_that_stops_systemd_arrives() {
    on_a_host(|shims| {
        // SIGRTMIN+3.
        let script = "trap 'exit 3' 37; echo ready; while :; do sleep 0.01; done";
        let (container, output) = shims.container("c", script).with_output();
        let mut shim = shims.running(&container);
        until("it is ready", || {
            std::fs::read_to_string(&output).is_ok_and(|text| text == "ready\n")
        });
        shim.kill("c", 33, false).unwrap_err();
        shim.kill("c", 37, false).unwrap();
        assert_eq!(shim.wait("c", ""), 3);
        shim.delete("c", "").unwrap();
        shim.end();
    });
}
