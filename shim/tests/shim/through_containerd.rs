//! On a real containerd, as its own client uses shims.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::rc::Rc;

use longshore_protocol::exit_record::{ExitRecord, file_name};
use longshore_tests::containerd::Containerd;
use longshore_tests::host::{Host, on_a_host};

use crate::kit::{SHIM, rootfs, until};

const NAMESPACE: &str = "shim-test";

struct System {
    host: Rc<Host>,
    containerd: Containerd,
    rootfs: PathBuf,
}

fn system<F: Future<Output = System>>(test: impl FnOnce(System) -> F) {
    on_a_host(|host| async move {
        let containerd = Containerd::start(&host).await;
        let folder = host.dir().join("rootfs");
        rootfs(&folder);
        let system = System {
            host: Rc::clone(&host),
            containerd,
            rootfs: folder,
        };
        drop(test(system).await);
        let left = host.leftovers();
        assert!(left.is_empty(), "left behind: {left:?}");
    });
}

impl System {
    fn ctr(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(self.containerd.socket());
        // The OCI runtime's state is one folder for all containerds of a machine.
        command.args(["-n", &self.namespace()]).args(words);
        command
    }

    fn namespace(&self) -> String {
        format!("{NAMESPACE}-{}", self.host.id())
    }

    /// `ctr run` with more flags, of a shell script.
    fn run(&self, flags: &[&str], id: &str, script: &str) -> Command {
        let cgroup = format!("{}/{id}", self.host.cgroup_parent());
        let exits = format!("longshore.exits={}", self.exits().display());
        let mut words = vec![
            "run",
            "--runtime",
            SHIM,
            "--cgroup",
            &cgroup,
            "--annotation",
            &exits,
        ];
        words.extend(flags);
        let folder = self.rootfs.to_str().expect("UTF-8");
        words.extend(["--rootfs", folder, id, "/bin/sh", "-c", script]);
        self.ctr(&words)
    }

    fn exits(&self) -> PathBuf {
        self.host.dir().join("exits")
    }

    fn record(&self, id: &str) -> Option<ExitRecord> {
        let json = std::fs::read(self.exits().join(file_name(id, None))).ok()?;
        ExitRecord::parse(&json).ok()
    }

    /// Removes a container, whatever it is up to.
    fn remove(&self, id: &str) {
        let _ = self.ctr(&["task", "rm", "-f", id]).output();
        succeeded(&self.ctr(&["container", "rm", id]).output().expect("ctr"));
    }
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn run_gives_output_and_status() {
    system(|system| async move {
        let output = system
            .run(&["--rm"], "c", "echo out; echo err >&2; exit 3")
            .output()
            .expect("ctr");
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(stdout(&output), "out\n");
        assert!(String::from_utf8_lossy(&output.stderr).contains("err"));
        let output = system.run(&["--rm"], "d", "exec nope").output().expect("ctr");
        assert_eq!(output.status.code(), Some(127));
        system
    });
}

#[test]
fn a_pty_by_run_and_by_exec() {
    system(|system| async move {
        // ctr wants a terminal for its pty: `script` gives it one.
        let in_a_pty = |command: &Command| {
            let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy());
            let words: Vec<_> = std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(quoted)
                .collect();
            let mut script = Command::new("script");
            script.args(["-qec", &words.join(" "), "/dev/null"]);
            script.output().expect("script is installed")
        };
        let output = in_a_pty(&system.run(
            &["--rm", "-t"],
            "c",
            "[ -t 0 ] && [ -t 1 ] && echo a terminal; exit 4",
        ));
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert!(stdout(&output).contains("a terminal"), "{output:?}");
        succeeded(&system.run(&["-d"], "d", "exec sleep 1000").output().expect("ctr"));
        let exec = [
            "task",
            "exec",
            "-t",
            "--exec-id",
            "e",
            "d",
            "/bin/sh",
            "-c",
            "[ -t 1 ] && echo one too; exit 5",
        ];
        let output = in_a_pty(&system.ctr(&exec));
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        assert!(stdout(&output).contains("one too"), "{output:?}");
        system.remove("d");
        system
    });
}

#[test]
fn exits_before_during_and_after_containerds_restart_are_all_known() {
    system(|mut system| async move {
        let go = system.rootfs.join("tmp/go");
        succeeded(&system.run(&["-d"], "before", "exit 7").output().expect("ctr"));
        let script = "until [ -e /tmp/go ]; do sleep 0.05; done; exit 8";
        succeeded(&system.run(&["-d"], "during", script).output().expect("ctr"));
        let script = "until [ -e /tmp/later ]; do sleep 0.05; done; exit 9";
        succeeded(&system.run(&["-d"], "after", script).output().expect("ctr"));
        until("the first has ended", || system.record("before").is_some());
        system.containerd.kill();
        std::fs::write(&go, "").expect("written");
        until("the second has ended", || system.record("during").is_some());
        system.containerd.restart().await;
        std::fs::write(system.rootfs.join("tmp/later"), "").expect("written");
        until("the third has ended", || system.record("after").is_some());
        for (id, status) in [("before", 7), ("during", 8), ("after", 9)] {
            assert_eq!(system.record(id).expect("a record").status, status);
        }
        // The one that ran is still this containerd's, and so is its end.
        let state = stdout(&system.ctr(&["task", "ls"]).output().expect("ctr"));
        assert!(
            state
                .lines()
                .any(|line| line.starts_with("after") && line.contains("STOPPED")),
            "{state}"
        );
        for id in ["before", "during", "after"] {
            system.remove(id);
        }
        system
    });
}

#[test]
fn a_shim_that_was_killed_takes_its_container_along() {
    system(|system| async move {
        succeeded(&system.run(&["-d"], "c", "exec sleep 1000").output().expect("ctr"));
        let pid = stdout(&system.ctr(&["task", "ls"]).output().expect("ctr"));
        let pid = pid
            .lines()
            .find(|line| line.starts_with("c "))
            .and_then(|line| line.split_whitespace().nth(1));
        let pid: i32 = pid.and_then(|pid| pid.parse().ok()).expect("a pid");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let shim = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1))
            .expect("a parent");
        let shim = nix::unistd::Pid::from_raw(shim.parse().expect("a pid"));
        nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).expect("killed");
        until("the cgroup is gone or empty", || {
            let processes = system.host.cgroup_file("memory", "c", "cgroup.procs");
            processes.unwrap_or_default().is_empty()
        });
        until("containerd has cleaned up", || {
            !stdout(&system.ctr(&["task", "ls"]).output().expect("ctr")).contains("RUNNING")
        });
        assert!(system.record("c").is_none());
        system.remove("c");
        system
    });
}
