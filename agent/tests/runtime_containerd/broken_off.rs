//! containerd dies between the start of a shim and the container that the shim is for. One of version 1.6 takes such a shim
//! for a task when it comes back, although no container is in it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use longshore_agent::runtime::{ObservedState, Runtime};
use longshore_tests::binaries;

use crate::daemon::Daemon;
use crate::stage::{Stage, eventually};

/// Runs the shim, but when it has been asked to, the next one that is started takes its containerd with it.
const DEADLY: &str = r#"#!/bin/sh
for last; do :; done
if [ "$last" != start ] || ! rm "$0.armed" 2>/dev/null; then exec SHIM "$@"; fi
SHIM "$@"
kill -9 $PPID
"#;

/// A container that was about to be started when containerd died; containerd is back.
async fn broken_off(command: &[&str]) -> Stage {
    let daemon = Daemon::start();
    let shim = daemon.folder().join("bin/containerd-shim-longshore-v1");
    std::fs::create_dir(shim.parent().unwrap()).unwrap();
    std::fs::write(&shim, DEADLY.replace("SHIM", &binaries::longshore_shim())).unwrap();
    std::fs::set_permissions(&shim, Permissions::from_mode(0o755)).unwrap();
    let armed = shim.with_extension("armed");
    let shim = shim.display().to_string();
    let mut stage = Stage::with(daemon, command, shim, "/nonexistent".into());
    std::fs::write(&armed, "").unwrap();
    let error = stage.run(0).await.unwrap_err();
    assert!(error.is_transient() && !armed.exists(), "{error}");
    stage.daemon.kill();
    assert_eq!(stage.daemon.shims().len(), 1);
    stage.daemon.restart();
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_without_its_container_goes_with_the_container() {
    let stage = broken_off(&["sleep", "1000"]).await;
    assert_eq!(stage.observed().await.state, ObservedState::Recorded);
    stage.another().remove(&stage.id(0)).await.unwrap();
    eventually("its shim ends", || stage.daemon.shims().is_empty()).await;
    stage.clear().await;
}

// Invariant 2: what was about to be started is started.
#[tokio::test(flavor = "multi_thread")]
async fn a_shim_without_its_container_is_in_nobodys_way() {
    let stage = broken_off(&["sh", "-c", "exit 9"]).await;
    let agent = stage.another();
    let mut events = agent.events().await.unwrap();
    let start = async {
        loop {
            match agent.start(&stage.id(0)).await {
                Err(error) if error.is_transient() => {}
                started => return started,
            }
        }
    };
    let started = tokio::time::timeout(crate::daemon::PATIENCE, start).await;
    assert_ne!(started.expect("a start comes through").unwrap().pid, 0);
    stage.exited(&mut events, 0).await;
    let exit = agent.reap(&stage.id(0)).await.unwrap();
    assert_eq!((exit.code, exit.reason), (Some(9), None));
    stage.clear().await;
}
