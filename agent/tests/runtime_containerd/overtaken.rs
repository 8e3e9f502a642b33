//! What happens to a container while a list is on its way by which it runs.

use std::net::SocketAddr;
use std::sync::Arc;

use longshore_agent::runtime::{ObservedState, Runtime, RuntimeEvent, Started};
use longshore_tests::binaries;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Handle;
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

fn stage() -> (Stage, SocketAddr) {
    let (daemon, metrics) = Daemon::counting();
    let writer = "/nonexistent".into();
    let stage = Stage::with(daemon, &["sleep", "1000"], binaries::shim(), writer);
    (stage, metrics)
}

async fn an_end_overtakes_the_list() {
    let (mut stage, metrics) = stage();
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

/// The list waits for its disk on a runtime of its own, so that all else goes on.
async fn a_restart_overtakes_the_list(elsewhere: Handle) {
    let (stage, metrics) = stage();
    let agent = Arc::new(stage.another());
    let mut events = agent.events().await.unwrap();
    agent.prepare_task(&stage.task).await.unwrap();
    agent.create(stage.request(0)).await.unwrap();
    let id = stage.id(0);
    let first = agent.start(&id).await.unwrap();

    let (disk, busy) = std::sync::mpsc::channel::<()>();
    let waits = elsewhere.spawn_blocking(move || busy.recv());
    let before = lists(metrics);
    let listing = Arc::clone(&agent);
    let list = elsewhere.spawn(async move { listing.list().await });
    eventually("containerd has answered", || lists(metrics) > before).await;
    end(&stage, 0, &first, &mut events).await;
    assert_eq!(agent.reap(&id).await.unwrap().run, 0);
    let second = agent.restart(&id, 1).await.unwrap();
    drop(disk);
    assert!(waits.await.unwrap().is_err());
    let list = list.await.unwrap().unwrap();
    end(&stage, 0, &second, &mut events).await;
    assert_eq!(agent.reap(&id).await.unwrap().run, 1);
    assert!(list.iter().all(|observed| observed.id != id), "{list:?}");
    stage.clear().await;
}

/// One thread may wait for a disk.
fn one_disk() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn an_end_that_overtakes_the_list_is_not_lost() {
    one_disk().block_on(async {
        let test = tokio::time::timeout(PATIENCE, an_end_overtakes_the_list());
        test.await.expect("it comes to its end");
    });
}

#[test]
fn the_end_of_a_run_that_a_list_of_before_does_not_know_is_told() {
    let elsewhere = one_disk();
    let restart = a_restart_overtakes_the_list(elsewhere.handle().clone());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let test = tokio::time::timeout(2 * PATIENCE, restart);
        test.await.expect("it comes to its end");
    });
}
