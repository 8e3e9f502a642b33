//! Starts that were given up before they were answered: what ran is told with its exit code, what did not never will.

use std::time::Duration;

use longshore_agent::containerd::Client;
use longshore_agent::containerd::services::v1::StartRequest;
use longshore_agent::model::BindMount;
use longshore_agent::runtime::{ObservedState, Runtime, SignalScope};
use longshore_tests::binaries;
use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::life::create_task_only;
use crate::loss::{signal_shims, stop_shims};
use crate::records::killed_before_its_start_under;
use crate::stage::{Stage, eventually};

/// With Longshore's shim, which alone knows of everything whether it began.
fn stage(command: &[&str]) -> Stage {
    let (shim, writer) = (binaries::longshore_shim(), "/nonexistent".into());
    Stage::with(Daemon::start(), command, shim, writer)
}

/// Not even as a zombie.
fn alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_at_any_moment_has_run_or_never_does() {
    let mut stage = stage(&["sh", "-c", "echo > /witness/ran; exec sleep 1000"]);
    let folder = tempfile::tempdir().unwrap();
    stage.mounts = vec![BindMount {
        source: folder.path().to_owned(),
        destination: "/witness".into(),
        read_only: false,
    }];
    let (id, witness) = (stage.id(0), folder.path().join("ran"));
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    let (mut ran, mut given_up) = (0, 0);
    let waits = (0..40).map(|number| Some(Duration::from_micros(500 * number)));
    for wait in waits.chain([None]) {
        stage.runtime.create(stage.request(0)).await.unwrap();
        create_task_only(&stage).await;
        let client = Client::new(&stage.daemon.socket(), &stage.daemon.namespace).unwrap();
        let request = StartRequest {
            container_id: id.to_string(),
            exec_id: String::new(),
        };
        let mut tasks = client.tasks();
        let start = tasks.start(request);
        let answered = match wait {
            Some(wait) => tokio::time::timeout(wait, start).await.is_ok(),
            None => start.await.is_ok(),
        };
        given_up += usize::from(!answered);

        let agent = stage.another();
        let mut events = agent.events().await.unwrap();
        let begun = agent.discard(&id, 0).await.unwrap();
        if let Some(state) = begun {
            ran += 1;
            if matches!(state, ObservedState::Running(_)) {
                let kill = Signal::SIGKILL as i32;
                agent.kill(&id, kill, SignalScope::All).await.unwrap();
                stage.exited(&mut events, 0).await;
            }
            let exit = agent.reap(&id).await.unwrap();
            assert_eq!((exit.code, exit.reason), (Some(137), None), "after {wait:?}");
            agent.remove(&id).await.unwrap();
        }
        let has_run = std::fs::remove_file(&witness).is_ok();
        assert!(begun.is_some() || !has_run, "after {wait:?}: it ran");
    }
    assert!(ran > 0 && given_up > 0, "{ran} ran, {given_up} were given up");
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_containerd_was_away_with_the_answer_has_run() {
    let ends = ["sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.05; done; exit 6"];
    let mut stage = stage(&ends);
    let started = stage.run(0).await.unwrap();
    stage.daemon.kill();
    std::fs::write(format!("/proc/{}/root/tmp/end", started.pid), "").unwrap();
    eventually("it has ended", || !alive(started.pid)).await;
    stage.daemon.restart();

    let agent = stage.another();
    let discarded = agent.discard(&stage.id(0), 0).await.unwrap();
    assert_eq!(discarded, Some(ObservedState::Exited));
    assert_eq!(agent.reap(&stage.id(0)).await.unwrap().code, Some(6));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_killed_before_anybody_asked_to_start_it_never_began() {
    for shim in [binaries::longshore_shim(), binaries::STOCK_SHIM.to_owned()] {
        let stage = killed_before_its_start_under(shim, &["sleep", "1000"]).await;
        assert_eq!(stage.another().discard(&stage.id(0), 0).await.unwrap(), None);
        stage.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_takes_its_time_is_asked_again() {
    let stage = stage(&["sleep", "1000"]);
    let mut events = stage.runtime.events().await.unwrap();
    let started = stage.run(0).await.unwrap();
    stop_shims(&stage).await;
    let (agent, id) = (stage.another(), stage.id(0));
    let (begun, ()) = tokio::join!(agent.discard(&id, 0), async {
        // containerd gives up waiting for it once, and more often if this machine is slow.
        tokio::time::sleep(Duration::from_secs(3)).await;
        signal_shims(&stage, Signal::SIGCONT);
    });
    let begun = begun.unwrap();
    assert!(
        matches!(begun, Some(ObservedState::Running(it)) if it.pid == started.pid),
        "{begun:?}"
    );
    let kill = Signal::SIGKILL as i32;
    agent.kill(&id, kill, SignalScope::All).await.unwrap();
    stage.exited(&mut events, 0).await;
    assert_eq!(agent.reap(&id).await.unwrap().code, Some(137));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_a_shim_that_hangs_began_nobody_knows() {
    let stage = stage(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    stop_shims(&stage).await;
    let (agent, id) = (stage.another(), stage.id(0));
    let mut begun = agent.discard(&id, 0).await;
    while let Err(error) = begun {
        assert!(error.is_transient(), "{error}");
        begun = agent.discard(&id, 0).await;
    }
    assert_eq!(begun.unwrap(), Some(ObservedState::Exited));
    let exit = agent.reap(&id).await.unwrap();
    let reason = exit.reason.unwrap_or_default();
    assert!(
        reason.starts_with("ShimDied: ") && exit.code.is_none(),
        "{reason}"
    );
    stage.clear().await;
}
