//! More processes in a container that runs.

use longshore_agent::runtime::exec::{ExecId, ExecRequest, ExecStreams, Execs, TerminalSize};
use longshore_agent::runtime::{Runtime, RuntimeError};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::daemon::PATIENCE;
use crate::loss::{signal_shims, stop_shims};
use crate::stage::{Stage, eventually};

fn id(stage: &Stage, number: u32) -> ExecId {
    ExecId {
        container: stage.id(0),
        session: format!("ecs-execute-command-{number:017x}"),
    }
}

fn request(id: &ExecId, args: &[&str], terminal: bool) -> ExecRequest {
    ExecRequest {
        id: id.clone(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        terminal: terminal.then_some(TerminalSize {
            columns: 100,
            rows: 30,
        }),
    }
}

/// Reads until it has come to this, or to the end.
async fn read_to(streams: &mut ExecStreams, mark: &str) -> String {
    let mut got = String::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while !got.contains(mark) {
            match streams.stdout.read(&mut buffer).await.unwrap() {
                0 => break,
                n => got.push_str(&String::from_utf8_lossy(&buffer[..n])),
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, reading).await;
    assert!(in_time.is_ok(), "{mark:?} did not come: {got:?}");
    got
}

/// The groups of sessions, in all hierarchies.
fn groups() -> impl Fn(&ExecId) -> Vec<String> {
    |id| {
        let found = std::process::Command::new("find")
            .args(["/sys/fs/cgroup", "-name", &format!("exec-{}", id.session)])
            .output()
            .unwrap();
        let container = id.container.to_string();
        let lines = String::from_utf8(found.stdout).unwrap();
        lines
            .lines()
            .filter(|line| line.contains(&container))
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_its_size_and_takes_another_and_echoes() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let id = id(&stage, 1);
    let mut streams = stage.runtime.exec(request(&id, &["sh"], true)).await.unwrap();
    streams.stdin.write_all(b"stty size; echo done\n").await.unwrap();
    let got = read_to(&mut streams, "\ndone").await;
    assert!(got.contains("30 100"), "{got:?}");
    let size = TerminalSize { columns: 7, rows: 3 };
    stage.runtime.resize(&id, size).await.unwrap();
    streams.stdin.write_all(b"stty size; echo again\n").await.unwrap();
    let got = read_to(&mut streams, "\nagain").await;
    assert!(got.contains("3 7"), "{got:?}");
    streams.stdin.write_all(b"exit 5\n").await.unwrap();
    let end = stage.runtime.wait_exec(&id).await.unwrap();
    assert_eq!((end.code, end.container_ended), (5, false));
    stage.runtime.remove_exec(&id).await.unwrap();
    assert_eq!(groups()(&id), Vec::<String>::new());
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_are_apart_binary_safe_and_end_one_by_one() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let id = id(&stage, 1);
    let script = "cat; echo -n after >&2; exit 3";
    let request = request(&id, &["sh", "-c", script], false);
    let mut streams = stage.runtime.exec(request).await.unwrap();
    let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let (mut stdin, mut out, mut err) = (streams.stdin, Vec::new(), Vec::new());
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
        stage.runtime.close_input(&id).await.unwrap();
    };
    let stderr = streams.stderr.as_mut().unwrap();
    let all = async {
        tokio::join!(
            write,
            streams.stdout.read_to_end(&mut out),
            stderr.read_to_end(&mut err)
        )
    };
    let ((), read, read_too) = tokio::time::timeout(PATIENCE, all).await.unwrap();
    assert!(read.is_ok() && read_too.is_ok());
    assert!(out == sent, "{} bytes of {}", out.len(), sent.len());
    assert_eq!(err, b"after");
    assert_eq!(stage.runtime.wait_exec(&id).await.unwrap().code, 3);
    stage.runtime.remove_exec(&id).await.unwrap();
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_session_is_left_whatever_it_has_begun() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    let id = id(&stage, 1);
    let script = "setsid sleep 991 & (trap '' HUP; sleep 992) & sleep 993 & echo begun; sleep 994";
    let request = request(&id, &["sh", "-c", script], true);
    let mut streams = stage.runtime.exec(request).await.unwrap();
    read_to(&mut streams, "begun").await;
    assert!(!groups()(&id).is_empty());
    let own = |pid: &i32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains("99")
    };
    let group = format!("{}/{}", stage.task.arn.id, stage.id(0));
    let left = || {
        stage
            .cgroups
            .pids(&group)
            .unwrap()
            .iter()
            .filter(|pid| own(pid))
            .count()
    };
    eventually("all four sleep", || left() >= 4).await;
    // Another agent than the one that began it.
    let another = stage.another();
    assert_eq!(another.leftovers().await.unwrap(), std::slice::from_ref(&id));
    another.remove_exec(&id).await.unwrap();
    assert_eq!(left(), 0);
    assert_eq!(groups()(&id), Vec::<String>::new());
    assert!(another.leftovers().await.unwrap().is_empty());
    another.remove_exec(&id).await.unwrap();
    // The container is none the worse for it.
    assert_eq!(stage.cgroups.pids(&group).unwrap().len(), 1);
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_said_so_and_leaves_nothing() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    for (number, program) in ["nope", "/no/such"].into_iter().enumerate() {
        let id = id(&stage, u32::try_from(number).unwrap());
        let refused = stage.runtime.exec(request(&id, &[program], true)).await;
        let error = refused.err().expect("it was started").to_string();
        assert_eq!(error, format!("there is no program {program:?} in the container"));
        stage.runtime.remove_exec(&id).await.unwrap();
        assert_eq!(groups()(&id), Vec::<String>::new());
    }
    assert!(stage.runtime.leftovers().await.unwrap().is_empty());
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_end_is_that_of_its_sessions_and_told_apart() {
    let stage = Stage::new(&["sleep", "1000"]);
    let mut events = stage.runtime.events().await.unwrap();
    stage.run(0).await.unwrap();
    let (own, other) = (id(&stage, 1), id(&stage, 2));
    let mut streams = stage
        .runtime
        .exec(request(&own, &["sleep", "999"], true))
        .await
        .unwrap();
    let script = "kill -9 $$";
    let killed = request(&other, &["sh", "-c", script], true);
    let _streams = stage.runtime.exec(killed).await.unwrap();
    let end = stage.runtime.wait_exec(&other).await.unwrap();
    assert_eq!((end.code, end.container_ended), (137, false));

    let signal = nix::sys::signal::Signal::SIGKILL as i32;
    let scope = longshore_agent::runtime::SignalScope::Init;
    stage.runtime.kill(&stage.id(0), signal, scope).await.unwrap();
    let end = stage.runtime.wait_exec(&own).await.unwrap();
    assert_eq!((end.code, end.container_ended), (137, true));
    read_to(&mut streams, "nothing that comes").await;
    // Neither waits for the other.
    stage.exited(&mut events, 0).await;
    let container = stage.id(0);
    let exit = tokio::time::timeout(PATIENCE, stage.runtime.reap(&container)).await;
    assert_eq!(exit.unwrap().unwrap().code, Some(137));
    for id in [&own, &other] {
        stage.runtime.remove_exec(id).await.unwrap();
    }
    let late = stage.runtime.exec(request(&own, &["true"], true)).await;
    assert!(matches!(late.err(), Some(RuntimeError::NotFound(_))));
    stage.clear().await;
}

/// The shim has nothing of it, so nobody waits for the shim.
#[tokio::test(flavor = "multi_thread")]
async fn what_never_began_is_removed_though_the_shim_hangs() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    stop_shims(&stage).await;
    let id = id(&stage, 1);
    let started = stage.runtime.exec(request(&id, &["true"], true)).await;
    let removed = tokio::time::timeout(PATIENCE, stage.runtime.remove_exec(&id)).await;
    signal_shims(&stage, Signal::SIGCONT);
    assert!(matches!(started.err().unwrap(), RuntimeError::NotFound(_)));
    removed.unwrap().unwrap();
    stage.clear().await;
}
