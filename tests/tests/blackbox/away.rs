//! What went on while the agent was away is known once it is back: how and when containers ended, and all that they printed.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use longshore_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::deaths::{pid_of, run_with_data};
use crate::system::{self, System, container, id_of};

/// A way to end, and what has to be told of it.
struct End {
    name: &'static str,
    /// What the container does once it may.
    script: &'static str,
    code: i32,
    reason: Option<&'static str>,
}

const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

const ENDS: [End; 4] = [
    End {
        name: "fine",
        script: "exit 0",
        code: 0,
        reason: None,
    },
    End {
        name: "failed",
        script: "exit 3",
        code: 3,
        reason: None,
    },
    End {
        name: "greedy",
        script: "exec busybox awk 'BEGIN { s = \"x\"; while (1) s = s s }'",
        code: 137,
        reason: Some(OUT_OF_MEMORY),
    },
    End {
        name: "killed",
        script: "touch /data/gone; while :; do sleep 1; done",
        code: 137,
        reason: None,
    },
];

#[expect(
    clippy::disallowed_methods,
    reason = "it is compared with what containers' ends are told to be"
)]
fn now() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
    i128::try_from(now.as_nanos()).expect("it fits")
}

async fn until_stopped(system: &System, task: &str) {
    let (namespace, id) = (system.host.containerd_namespace(), format!("{}-0", id_of(task)));
    wait::until_some("containerd shows the end", || {
        let list = system.containerd.ctr(&namespace, &["task", "list"]);
        let mut lines = list.lines().filter(|line| line.starts_with(&id));
        lines.next()?.contains("STOPPED").then_some(())
    })
    .await;
}

// Invariant 3.
#[test]
fn what_ends_while_the_agent_is_dead_has_its_exit_code_and_its_time() {
    system::with(|mut system| async move {
        let mut tasks = Vec::new();
        for end in &ENDS {
            let script = format!("while [ ! -e /data/go ]; do sleep 0.05; done; {}", end.script);
            let (task, folder) = run_with_data(&system, end.name, &script).await;
            tasks.push((end, pid_of(&system, &task, 0), task, folder));
        }
        system.agent.kill();
        let mut times = Vec::new();
        for (end, pid, task, folder) in &tasks {
            let before = now();
            std::fs::write(folder.join("go"), "").expect("a file");
            if end.name == "killed" {
                let gone = folder.join("gone");
                wait::until_some("it goes on", || gone.exists().then_some(())).await;
                kill(Pid::from_raw(*pid), Signal::SIGKILL).expect("it runs");
            }
            until_stopped(&system, task).await;
            times.push((before, now()));
        }
        system.agent.start();
        for ((end, _, task, _), (before, after)) in tasks.iter().zip(times) {
            let stopped = system.until(task, "STOPPED").await;
            let seen = container(&stopped, end.name);
            assert_eq!(seen.exit_code(), Some(end.code), "{stopped:?}");
            let reason = seen.reason().unwrap_or_default();
            assert!(reason.starts_with(end.reason.unwrap_or_default()), "{stopped:?}");
            assert_eq!(reason.is_empty(), end.reason.is_none(), "{stopped:?}");
            let at = stopped.execution_stopped_at().expect("a time").as_nanos();
            // Times are told in milliseconds, rounded down.
            assert!(
                (before - 1_000_000..=after).contains(&at),
                "{}: {at} is not between {before} and {after}",
                end.name
            );
        }
        system
    });
}

/// Waits until a container has printed twenty lines more than it had.
async fn until_more_lines(folder: &Path) {
    let printed = || {
        let text = std::fs::read_to_string(folder.join("printed")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let before = printed().unwrap_or_default();
    let more = || printed().filter(|printed| *printed >= before + 20);
    wait::until_some("it prints more lines", more).await;
}

// Invariant 4.
#[test]
fn a_log_has_every_line_although_agent_and_containerd_die() {
    system::with(|mut system| async move {
        let script = "i=0; while [ ! -e /data/go ]; do echo \"line $i\"; i=$((i+1)); \
                      echo $i > /data/new; mv /data/new /data/printed; sleep 0.01; done; echo \"$i lines\"";
        let (task, folder) = run_with_data(&system, "writer", script).await;
        until_more_lines(&folder).await;
        system.agent.kill();
        until_more_lines(&folder).await;
        system.containerd.kill();
        until_more_lines(&folder).await;
        system.containerd.restart().await;
        until_more_lines(&folder).await;
        system.agent.start();
        system.until_connected().await;
        system.containerd.restart().await;
        until_more_lines(&folder).await;
        std::fs::write(folder.join("go"), "").expect("a file");
        let stopped = system.until(&task, "STOPPED").await;
        assert_eq!(container(&stopped, "writer").exit_code(), Some(0), "{stopped:?}");
        let logs = system.agent.logs(&task, "writer");
        let count = logs.lines().count().saturating_sub(1);
        let lines = (0..count)
            .map(|line| format!("line {line}\n"))
            .collect::<String>();
        assert_eq!(logs, format!("{lines}{count} lines\n"));
        system
    });
}
