//! Processes that SIGKILL does not end. Real ones hang in the kernel; here a tracer holds them in their exit.

use longshore_protocol::exit_record::ExitRecord;
use nix::sys::ptrace::{Options, detach, seize};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::kit::{on_a_host, until};

/// Keeps a process from dying, until it is let go.
struct Held(Pid);

impl Held {
    fn hold(pid: u32) -> Self {
        let pid = Pid::from_raw(pid.cast_signed());
        seize(pid, Options::PTRACE_O_TRACEEXIT).expect("traced");
        Self(pid)
    }

    fn let_go(self) {
        waitpid(self.0, None).expect("it stops in its exit");
        detach(self.0, None).expect("let go");
    }
}

#[test]
fn a_first_process_that_does_not_die_is_on_record_and_runs_on_for_containerd() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let mut shim = shims.running(&container);
        let pid = shim.state("c", "").unwrap().pid;
        let held = Held::hold(pid);
        shim.kill("c", 9, false).unwrap();
        until("it is on record", || shims.record("c", None).is_some());
        let record = shims.record("c", None).unwrap();
        assert_eq!((record.status, record.signal), (137, Some(9)));
        assert_eq!(record.undead, [pid.cast_signed()]);
        assert!(shims.exit_events().is_empty(), "it has not ended");
        held.let_go();
        assert_eq!(shim.wait("c", ""), 137);
        assert!(shims.record("c", None).unwrap().undead.is_empty());
        shim.delete("c", "").unwrap();
        shim.end();
    });
}

#[test]
fn an_end_is_shown_with_what_does_not_die_on_record() {
    on_a_host(|shims| {
        let script = "until [ -e /tmp/go ]; do sleep 0.05; done; exit 5";
        let container = shims.container("d", script).in_hosts_pids();
        let mut shim = shims.shim(&container);
        shim.create(&container).unwrap();
        shim.begin("d", "").unwrap();
        shim.exec("d", "e", "exec sleep 1000").unwrap();
        let pid = shim.begin("d", "e").unwrap();
        let held = Held::hold(pid);
        std::fs::write(shims.host.dir().join("rootfs/tmp/go"), "").unwrap();
        assert_eq!(shim.wait("d", ""), 5, "not for ever");
        assert_eq!(shims.record("d", None).unwrap().undead, [pid.cast_signed()]);
        held.let_go();
        until("the record is mended", || {
            shims.record("d", None).unwrap().undead.is_empty()
        });
        assert_eq!(shims.record("d", None).unwrap().status, 5);
        shim.delete("d", "").unwrap();
        shim.end();
    });
}

#[test]
fn a_record_that_is_late_has_the_last_word() {
    on_a_host(|shims| {
        // In the way of the folder.
        let exits = shims.exits.join("late");
        std::fs::write(&exits, "").unwrap();
        let script = "until [ -e /tmp/go ]; do sleep 0.05; done; exit 5";
        let mut container = shims.container("d", script).in_hosts_pids();
        container.config["annotations"]["longshore.exits"] = exits.to_str().unwrap().into();
        let mut shim = shims.running(&container);
        shim.exec("d", "e", "exec sleep 1000").unwrap();
        let held = Held::hold(shim.begin("d", "e").unwrap());
        std::fs::write(shims.host.dir().join("rootfs/tmp/go"), "").unwrap();
        assert_eq!(shim.wait("d", ""), 5);
        // All at once: there is room, and what hung dies.
        std::fs::remove_file(&exits).unwrap();
        held.let_go();
        let record = || {
            let json = std::fs::read(exits.join("d.json")).ok()?;
            Some(ExitRecord::parse(&json).expect("a whole record"))
        };
        until("all have died", || {
            record().is_some_and(|record| record.undead.is_empty())
        });
        shim.delete("d", "").unwrap();
        shim.end();
        assert!(
            record().unwrap().undead.is_empty(),
            "nothing older was written over it"
        );
    });
}

#[test]
fn an_exec_that_was_deleted_gets_no_record_any_more() {
    on_a_host(|shims| {
        // In the way of the folder.
        let exits = shims.exits.join("late");
        std::fs::write(&exits, "").unwrap();
        let mut container = shims.container("d", "exec sleep 1000");
        container.config["annotations"]["longshore.exits"] = exits.to_str().unwrap().into();
        let mut shim = shims.running(&container);
        for exec in ["gone", "there"] {
            shim.exec("d", exec, "exit 3").unwrap();
            shim.begin("d", exec).unwrap();
            assert_eq!(shim.wait("d", exec), 3);
        }
        shim.delete("d", "gone").unwrap();
        std::fs::remove_file(&exits).unwrap();
        // Each is tried as often as the other, and that of the first before.
        until("the other's is written", || exits.join("d+there.json").exists());
        assert!(!exits.join("d+gone.json").exists(), "nobody would remove it");
        shim.kill("d", 9, true).unwrap();
        shim.wait("d", "");
        shim.delete("d", "there").unwrap();
        shim.delete("d", "").unwrap();
        shim.end();
    });
}
