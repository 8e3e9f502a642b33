//! What is known of an end when the shim, containerd, the agent or several of them are dead.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use aws_sdk_ecs::types::{HostVolumeProperties, MountPoint, NetworkMode, Task, Volume};
use longshore_tests::{binaries, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::system::{self, System, container, id_of, shell};

/// A task of one container that ends when it is told to.
pub struct Waiting {
    pub task: String,
    pub name: &'static str,
    pub pid: i32,
    pub code: i32,
    go: PathBuf,
}

impl Waiting {
    /// Runs one that will end with `code`, and prints a line before.
    pub async fn run(system: &System, name: &'static str, code: i32) -> Self {
        let script = format!("while [ ! -e /data/go ]; do sleep 0.05; done; echo going; exit {code}");
        let (task, folder) = run_with_data(system, name, &script).await;
        Self {
            pid: pid_of(system, &task, 0),
            task,
            name,
            code,
            go: folder.join("go"),
        }
    }

    /// Has it end, and waits until its process is gone.
    pub async fn end(&self) {
        std::fs::write(&self.go, "").expect("a file");
        until_dead(self.pid).await;
    }

    /// Waits until the end is told, with its code. What containerd's own shim knows is lost where containerd forgets it.
    pub async fn until_known(&self, system: &System) {
        let stopped = system.until(&self.task, "STOPPED").await;
        let seen = container(&stopped, self.name);
        if is_stock() && seen.exit_code().is_none() {
            assert_reason(&stopped, self.name, "ExitStatusLost: ");
        } else {
            assert_eq!(
                (seen.exit_code(), seen.reason()),
                (Some(self.code), None),
                "{stopped:?}"
            );
        }
        assert_eq!(system.agent.logs(&self.task, self.name), "going\n");
    }
}

/// Runs a task of one container that has a folder of the host as `/data`; its ARN and the folder.
pub async fn run_with_data(system: &System, name: &str, script: &str) -> (String, PathBuf) {
    let folder = system.host.dir().join(name);
    let host = HostVolumeProperties::builder().source_path(folder.to_str().expect("UTF-8"));
    let volume = Volume::builder().name("data").host(host.build()).build();
    let mount = MountPoint::builder()
        .source_volume("data")
        .container_path("/data");
    let definition = shell(name, &system.busybox, script).mount_points(mount.build());
    let request = system.ecs.register_task_definition().family(name);
    let request = request.container_definitions(definition.build()).volumes(volume);
    let definition = system.define_with(request.network_mode(NetworkMode::None)).await;
    let task = system.run(&definition).await;
    system.until(&task, "RUNNING").await;
    (task, folder)
}

pub fn is_stock() -> bool {
    binaries::shim() == binaries::STOCK_SHIM
}

pub fn pid_of(system: &System, task: &str, index: usize) -> i32 {
    let id = format!("{}-{index}", id_of(task));
    let namespace = system.host.containerd_namespace();
    let tasks = system.containerd.ctr(&namespace, &["task", "list"]);
    let line = tasks.lines().find(|line| line.starts_with(&id));
    let pid = line.and_then(|line| line.split_whitespace().nth(1));
    pid.and_then(|pid| pid.parse().ok()).expect("a process")
}

/// The value of a line of `/proc/PID/status`; none if the process has gone.
pub fn status(pid: i32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map(|value| value.trim().to_owned())
}

pub fn is_dead(pid: i32) -> bool {
    status(pid, "State:").is_none_or(|state| state.starts_with('Z'))
}

pub async fn until_dead(pid: i32) {
    let dead = || is_dead(pid).then_some(());
    wait::until_some(&format!("process {pid} has ended"), dead).await;
}

/// Kills the shim of a container: it is its first process's parent.
fn kill_shim_of(pid: i32) {
    let shim: i32 = status(pid, "PPid:")
        .and_then(|pid| pid.parse().ok())
        .expect("it runs");
    let name = std::fs::read_to_string(format!("/proc/{shim}/cmdline")).expect("it runs");
    assert!(name.contains("containerd-shim"), "{name}");
    kill(Pid::from_raw(shim), Signal::SIGKILL).expect("it can be killed");
}

fn assert_reason(task: &Task, name: &str, reason: &str) {
    let seen = container(task, name);
    assert_eq!(seen.exit_code(), None, "{task:?}");
    let said = seen.reason().unwrap_or_default();
    assert!(said.starts_with(reason), "{task:?}");
}

/// Waits until no exit record is left.
pub async fn until_no_records(system: &System) {
    let folder = system.agent.data_dir().join("exits");
    let empty = || is_empty(&folder).then_some(());
    wait::until_some("the exit records are removed", empty).await;
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .expect("the agent made it")
        .next()
        .is_none()
}

#[test]
fn a_killed_shim_is_no_exit_code_and_leaves_nothing_running() {
    system::with(|system| async move {
        // A daemon that has left its session, and a neighbour under the same shim.
        let script = "setsid sh -c 'while :; do sleep 1; done' & echo ready; wait";
        let definition = system
            .define(
                "orphans",
                vec![
                    shell("first", &system.busybox, script).build(),
                    shell("second", &system.busybox, script).build(),
                ],
            )
            .await;
        let task = system.run(&definition).await;
        system.agent.until_logs(&task, "first", "ready").await;
        system.agent.until_logs(&task, "second", "ready").await;
        system.until(&task, "RUNNING").await;
        let pids = [pid_of(&system, &task, 0), pid_of(&system, &task, 1)];
        kill_shim_of(pids[0]);
        let stopped = system.until(&task, "STOPPED").await;
        for (pid, name) in pids.into_iter().zip(["first", "second"]) {
            until_dead(pid).await;
            assert_reason(&stopped, name, "ShimDied: ");
        }
        let group = system.cgroup_of(&task, 0);
        let left = system.host.cgroup_file("pids", &group, "cgroup.procs");
        assert!(left.as_deref().unwrap_or_default().is_empty(), "{left:?}");
        until_no_records(&system).await;
        system
    });
}

#[test]
fn a_shim_that_was_killed_while_the_agent_was_dead_is_told_as_such() {
    system::with(|mut system| async move {
        let waiting = Waiting::run(&system, "alone", 3).await;
        system.agent.kill();
        kill_shim_of(waiting.pid);
        until_dead(waiting.pid).await;
        system.agent.start();
        let stopped = system.until(&waiting.task, "STOPPED").await;
        let said = container(&stopped, "alone").reason().unwrap_or_default();
        // Of another shim, only events tell: containerd may have cleaned up before the agent listened, or not.
        let reason = match is_stock() && said.starts_with("ExitStatusLost: ") {
            true => "ExitStatusLost: ",
            false => "ShimDied: ",
        };
        assert_reason(&stopped, "alone", reason);
        system
    });
}

// Whoever reads the log learns of it once, and not at each try.
#[test]
fn containerd_is_lost_and_back_in_two_lines_of_the_log() {
    system::with(|mut system| async move {
        let waiting = Waiting::run(&system, "goes-on", 5).await;
        system.containerd.kill();
        system.until_said("containerd is lost").await;
        // In its place, somebody who hangs up on every try.
        let socket = system.containerd.socket();
        let _ = std::fs::remove_file(&socket);
        let somebody = UnixListener::bind(&socket).expect("a socket");
        tokio::task::spawn_blocking(move || {
            for _ in 0..4 {
                somebody.accept().expect("a try");
            }
        })
        .await
        .expect("tries");
        std::fs::remove_file(&socket).expect("its socket");
        system.containerd.restart().await;
        system.until_said("containerd is back").await;
        assert_eq!(system.said("containerd is lost"), 1, "{}", system.agent.output());
        waiting.end().await;
        waiting.until_known(&system).await;
        system
    });
}

#[test]
fn exits_before_during_and_after_a_death_of_containerd_are_known() {
    system::with(|mut system| async move {
        let before = Waiting::run(&system, "before", 11).await;
        let during = Waiting::run(&system, "during", 12).await;
        let after = Waiting::run(&system, "after", 13).await;
        before.end().await;
        system.containerd.kill();
        during.end().await;
        system.containerd.restart().await;
        after.end().await;
        for waiting in [&before, &during, &after] {
            waiting.until_known(&system).await;
        }
        until_no_records(&system).await;
        system
    });
}

#[test]
fn what_ends_while_agent_and_containerd_are_dead_has_its_exit_code() {
    system::with(|mut system| async move {
        let early = Waiting::run(&system, "early", 6).await;
        let late = Waiting::run(&system, "late", 7).await;
        system.agent.kill();
        early.end().await;
        system.containerd.kill();
        late.end().await;
        // containerd first: what it throws away is gone before the agent can ask.
        system.containerd.restart().await;
        system.agent.start();
        for waiting in [&early, &late] {
            waiting.until_known(&system).await;
        }
        until_no_records(&system).await;
        system
    });
}
