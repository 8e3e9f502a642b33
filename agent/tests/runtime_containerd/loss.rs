//! What is true when containerd, the shim or both die.

use std::time::Duration;

use longshore_agent::model::Exit;
use longshore_agent::runtime::containerd::ContainerdRuntime;
use longshore_agent::runtime::{Observed, ObservedState, Runtime, RuntimeError, RuntimeEvent, SignalScope};
use longshore_tests::binaries;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use crate::daemon::PATIENCE;
use crate::stage::{Stage, eventually};

async fn lost(events: &mut mpsc::Receiver<RuntimeEvent>) {
    let wait = async { while events.recv().await.expect("a lost stream says so") != RuntimeEvent::Lost {} };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert_eq!(events.recv().await, None);
}

fn kill_shims(stage: &Stage) {
    signal_shims(stage, Signal::SIGKILL);
}

pub fn signal_shims(stage: &Stage, signal: Signal) {
    for shim in stage.daemon.shims() {
        kill(Pid::from_raw(shim), signal).unwrap();
    }
}

/// Stops the shims, and waits until no thread of theirs can answer any more.
pub async fn stop_shims(stage: &Stage) {
    signal_shims(stage, Signal::SIGSTOP);
    let stands = |shim: &i32| {
        let threads = std::fs::read_dir(format!("/proc/{shim}/task")).unwrap();
        let states = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")));
        states.flatten().all(|stat| {
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    };
    eventually("the shims stand still", || {
        stage.daemon.shims().iter().all(stands)
    })
    .await;
}

/// Dead or a zombie that nobody has collected yet.
fn is_dead(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z') || rest.starts_with('X'))
}

fn assert_unknown(exit: &Exit, reason: &str) {
    assert_eq!(exit.code, None);
    let said = exit.reason.as_deref().unwrap();
    assert!(said.starts_with(reason), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_outlives_containerd_and_its_exit_code_too() {
    let mut stage = Stage::new(&["sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.05; done; exit 6"]);
    let mut events = stage.runtime.events().await.unwrap();
    let started = stage.run(0).await.unwrap();
    stage.daemon.kill();
    lost(&mut events).await;
    assert!(stage.runtime.list().await.unwrap_err().is_transient());
    assert!(!is_dead(started.pid));
    stage.daemon.restart();

    let mut events = stage.runtime.events().await.unwrap();
    assert!(
        matches!(stage.observed().await.state, ObservedState::Running(again) if again.pid == started.pid)
    );
    std::fs::write(format!("/proc/{}/root/tmp/end", started.pid), "").unwrap();
    stage.exited(&mut events, 0).await;
    assert_eq!(stage.runtime.reap(&stage.id(0)).await.unwrap().code, Some(6));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_is_no_exit_code() {
    let stage = Stage::new(&["sleep", "1000"]);
    let mut events = stage.runtime.events().await.unwrap();
    let started = stage.run(0).await.unwrap();
    kill_shims(&stage);
    stage.exited(&mut events, 0).await;
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_unknown(&exit, "ShimDied: ");
    assert!(is_dead(started.pid));
    assert_eq!(stage.another().reap(&stage.id(0)).await.unwrap(), exit);
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_that_was_told_before_the_shim_died_is_known() {
    let stage = Stage::new(&["sh", "-c", "exit 4"]);
    let mut events = stage.runtime.events().await.unwrap();
    stage.run(0).await.unwrap();
    stage.exited(&mut events, 0).await;
    kill_shims(&stage);
    let gone = || stage.daemon.ctr(&["task", "ls", "-q"]).stdout.is_empty();
    eventually("containerd has noticed", gone).await;
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_eq!((exit.code, exit.reason), (Some(4), None));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_shim_and_containerd_die_the_rest_is_killed_and_the_status_is_lost() {
    let mut stage = Stage::new(&["sleep", "1000"]);
    let mut events = stage.runtime.events().await.unwrap();
    let started = stage.run(0).await.unwrap();
    stage.daemon.kill();
    kill_shims(&stage);
    lost(&mut events).await;
    assert!(!is_dead(started.pid), "nobody is left who would have killed it");
    stage.daemon.restart();
    let exit = stage.another().reap(&stage.id(0)).await.unwrap();
    // Longshore's shim would have left a record, had it lived; others may only have been forgotten.
    let reason = match binaries::shim() == binaries::STOCK_SHIM {
        true => "ExitStatusLost: ",
        false => "ShimDied: ",
    };
    assert_unknown(&exit, reason);
    assert!(is_dead(started.pid));
    stage.clear().await;
}

// Invariant 3.
#[tokio::test(flavor = "multi_thread")]
async fn what_containerd_has_no_record_of_is_ended_before_it_is_called_gone() {
    let mut stage = Stage::new(&["sleep", "1000"]);
    let started = stage.run(0).await.unwrap();
    stage.daemon.kill();
    stage.daemon.restart_with_nothing();
    kill_shims(&stage);
    assert!(
        !is_dead(started.pid),
        "nobody knows of it who would have killed it"
    );
    let error = stage.another().reap(&stage.id(0)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFound(_)), "{error}");
    assert!(is_dead(started.pid));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_away_finds_what_ended_meanwhile() {
    let stage = Stage::new(&["sh", "-c", "exit 8"]);
    let started = stage.run(0).await.unwrap();
    eventually("it has ended", || is_dead(started.pid)).await;
    let agent = stage.another();
    let mut events = agent.events().await.unwrap();
    let state = || async { agent.list().await.unwrap()[0].state };
    while state().await != ObservedState::Exited {
        tokio::task::yield_now().await;
    }
    // A start that was never heard of is not repeated, and its end is told once more.
    assert_eq!(agent.start(&stage.id(0)).await.unwrap().pid, started.pid);
    stage.exited(&mut events, 0).await;
    assert_eq!(agent.reap(&stage.id(0)).await.unwrap().code, Some(8));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shims_that_hang_hide_nothing() {
    // containerd asks one after the other, and waits two seconds for each.
    let mut stage = Stage::new(&["sleep", "1000"]);
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let id = uuid::Uuid::new_v4().simple();
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}");
        stage.task.arn = arn.parse().unwrap();
        stage.run(0).await.unwrap();
        tasks.push(stage.task.clone());
    }
    stop_shims(&stage).await;
    let listed = stage.runtime.list().await;
    signal_shims(&stage, Signal::SIGCONT);
    assert_eq!(listed.unwrap().len(), tasks.len());
    for task in tasks {
        stage.runtime.remove(&task.container_id(0)).await.unwrap();
        stage.runtime.remove_task(&task.arn.id).await.unwrap();
    }
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_hangs_is_killed_when_nothing_of_its_container_is_left() {
    let stage = Stage::new(&["sleep", "1000"]);
    let mut events = stage.runtime.events().await.unwrap();
    let started = stage.run(0).await.unwrap();
    stop_shims(&stage).await;
    let sigkill = Signal::SIGKILL as i32;
    stage
        .runtime
        .kill(&stage.id(0), sigkill, SignalScope::All)
        .await
        .unwrap();
    eventually("its process has ended", || is_dead(started.pid)).await;
    // Nobody has told of it. The next SIGKILL finds nobody.
    stage
        .runtime
        .kill(&stage.id(0), sigkill, SignalScope::All)
        .await
        .unwrap();
    stage.exited(&mut events, 0).await;
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_unknown(&exit, "ShimDied: the container's shim did not answer");
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_answers_again_in_time_is_left_alone() {
    let stage = Stage::new(&["sleep", "1000"]);
    let mut events = stage.runtime.events().await.unwrap();
    let started = stage.run(0).await.unwrap();
    stop_shims(&stage).await;
    let sigkill = Signal::SIGKILL as i32;
    let id = stage.id(0);
    stage.runtime.kill(&id, sigkill, SignalScope::All).await.unwrap();
    eventually("its process has ended", || is_dead(started.pid)).await;
    let again = stage.runtime.kill(&id, sigkill, SignalScope::All);
    let wakes = async {
        tokio::task::yield_now().await;
        signal_shims(&stage, Signal::SIGCONT);
    };
    let (again, ()) = tokio::join!(again, wakes);
    again.unwrap();
    stage.exited(&mut events, 0).await;
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_eq!((exit.code, exit.reason), (Some(137), None));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_with_its_shim_can_be_removed() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    stop_shims(&stage).await;
    let mut removed = stage.runtime.remove(&stage.id(0)).await;
    while let Err(error) = removed {
        assert!(error.is_transient(), "{error}");
        removed = stage.runtime.remove(&stage.id(0)).await;
    }
    stage.clear().await;
}

/// What an agent does with a container that its list shows so: made anew where there is only a record.
async fn bring_up(stage: &Stage, agent: &ContainerdRuntime) {
    let found = agent.list().await.unwrap();
    let bring = async {
        let recorded = |found: &[Observed]| found.iter().any(|each| each.state == ObservedState::Recorded);
        if found.is_empty() || recorded(&found) {
            agent.create(stage.request(0)).await?;
        }
        agent.start(&stage.id(0)).await
    };
    let mut result = bring.await;
    while let Err(error) = &result {
        assert!(error.is_transient(), "{error}");
        result = agent.start(&stage.id(0)).await;
    }
}

// Invariant 3: containerd takes down what the dead agent was about to start, and tells of an exit with 137.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_its_agent_did_not_live_to_see_is_made_anew() {
    let stage = Stage::new(&["sh", "-c", "exit 9"]);
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    for millis in (0..200).step_by(20) {
        let dying = stage.another();
        dying.create(stage.request(0)).await.unwrap();
        let id = stage.id(0);
        let seen = tokio::time::timeout(Duration::from_millis(millis), dying.start(&id)).await;
        drop(dying);

        let agent = stage.another();
        let mut events = agent.events().await.unwrap();
        bring_up(&stage, &agent).await;
        if seen.is_err() {
            stage.exited(&mut events, 0).await;
        }
        let mut exit = agent.reap(&stage.id(0)).await;
        while exit.is_err() {
            tokio::task::yield_now().await;
            exit = agent.reap(&stage.id(0)).await;
        }
        let exit = exit.unwrap();
        assert_eq!((exit.code, exit.reason), (Some(9), None), "after {millis} ms");
        agent.remove(&stage.id(0)).await.unwrap();
    }
    stage.clear().await;
}
