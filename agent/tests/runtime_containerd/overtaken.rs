//! An end that is told while a list is on its way by which the container runs.

use std::net::SocketAddr;

use longshore_agent::runtime::{ObservedState, Runtime, RuntimeEvent, Started};
use longshore_tests::binaries;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use crate::daemon::{Daemon, PATIENCE};
use crate::speed::sum;
use crate::stage::{Stage, container, eventually};

/// Ends a container, and waits until a stream has told of that.
async fn end(stage: &Stage, index: u16, started: &Started, events: &mut mpsc::Receiver<RuntimeEvent>) {
    let pid = i32::try_from(started.pid).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    stage.exited(events, index).await;
}

/// How often a containerd has answered what tasks there are.
fn lists(metrics: SocketAddr) -> u64 {
    sum(metrics, |line| {
        line.starts_with("grpc_server_handled_total{")
            && line.contains(r#"grpc_method="List",grpc_service="containerd.services.tasks.v1.Tasks""#)
    })
}

async fn an_end_overtakes_the_list() {
    let (daemon, metrics) = Daemon::counting();
    let mut stage = Stage::with(
        daemon,
        &["sleep", "1000"],
        binaries::shim(),
        "/nonexistent".into(),
    );
    stage.task.containers.push(container("other", &["sleep", "1000"]));
    let mut events = stage.runtime.events().await.unwrap();
    let first = stage.run(0).await.unwrap();
    // An agent that has been restarted, and has not asked for the list yet.
    let agent = stage.another();
    let mut told = agent.events().await.unwrap();
    agent.create(stage.request(1)).await.unwrap();
    let second = agent.start(&stage.id(1)).await.unwrap();

    // The list wants the one thread that may wait for a disk, after containerd has answered.
    let (disk, busy) = std::sync::mpsc::channel::<()>();
    let waits = tokio::task::spawn_blocking(move || busy.recv());
    let before = lists(metrics);
    let (list, ()) = tokio::join!(agent.list(), async {
        eventually("containerd has answered", || lists(metrics) > before).await;
        end(&stage, 0, &first, &mut events).await;
        // Events come in order: when this one is told, so was that.
        end(&stage, 1, &second, &mut told).await;
        drop(disk);
    });
    assert!(waits.await.unwrap().is_err());
    let list = list.unwrap();
    let observed = list.iter().find(|observed| observed.id == stage.id(0)).unwrap();
    assert_eq!(observed.state, ObservedState::Exited);
    assert_eq!(agent.reap(&stage.id(0)).await.unwrap().code, Some(137));
    agent.reap(&stage.id(1)).await.unwrap();
    stage.clear().await;
}

#[test]
fn an_end_that_overtakes_the_list_is_not_lost() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let test = tokio::time::timeout(PATIENCE, an_end_overtakes_the_list());
        test.await.expect("it comes to its end");
    });
}
