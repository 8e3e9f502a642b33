//! What exit records are worth. The tests write them as Longshore's shim does, beside containerd's own shim, which writes
//! none: so the two accounts of an end can differ, and the tests see which one counts.

use longshore_agent::model::OutOfMemory;
use longshore_agent::runtime::{ObservedState, Runtime, RuntimeError};
use longshore_protocol::exit_record::{self, ExitRecord, ExitedAt, Memory};
use longshore_tests::binaries;

use crate::daemon::Daemon;
use crate::life::create_task_only;
use crate::stage::{Stage, eventually};

fn stage(command: &[&str]) -> Stage {
    let shim = binaries::STOCK_SHIM.to_owned();
    Stage::with(Daemon::start(), command, shim, "/nonexistent".into())
}

/// A record of the stage's container.
fn record(stage: &Stage, status: u32) -> ExitRecord {
    ExitRecord {
        version: exit_record::VERSION,
        container: stage.id(0).to_string(),
        exec: None,
        status,
        signal: None,
        exited_at: ExitedAt {
            wall: "2026-01-02T03:04:05Z".parse().unwrap(),
            boot_id: String::new(),
            boot_nanos: 0,
        },
        memory: None,
        undead: Vec::new(),
    }
}

fn path(stage: &Stage) -> std::path::PathBuf {
    let name = exit_record::file_name(&stage.id(0).to_string(), None);
    stage.daemon.folder().join("exits").join(name)
}

fn write(stage: &Stage, record: &ExitRecord) {
    std::fs::write(path(stage), record.to_json()).unwrap();
}

/// Has containerd forget the task, as a newer one does when it is restarted.
async fn forget_task(stage: &Stage) {
    let id = stage.id(0).to_string();
    let deleted = || {
        stage.daemon.ctr(&["task", "delete", &id]);
        stage.daemon.ctr(&["task", "ls", "-q"]).stdout.is_empty()
    };
    eventually("containerd has forgotten", deleted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_shim_wrote_goes_before_what_containerd_says() {
    let stage = stage(&["sh", "-c", "exit 4"]);
    let mut events = stage.runtime.events().await.unwrap();
    stage.run(0).await.unwrap();
    stage.exited(&mut events, 0).await;
    let mut written = record(&stage, 137);
    written.signal = Some(9);
    written.undead = vec![4_000_001];
    written.memory = Some(Memory {
        oom_kills: 1,
        peak: Some(12_345),
        ..Memory::default()
    });
    write(&stage, &written);
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_eq!(
        (exit.code, exit.out_of_memory),
        (Some(137), Some(OutOfMemory::Init))
    );
    assert_eq!(
        (exit.at_millis, exit.peak_memory),
        (1_767_323_045_000, Some(12_345))
    );
    assert!(
        exit.reason
            .unwrap()
            .starts_with("UndeadProcesses: processes [4000001] ")
    );
    // Until the container is removed, nobody knows that the agent has stored it.
    assert!(path(&stage).exists());
    stage.clear().await;
    assert!(!path(&stage).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_passes_a_childs_137_on_was_not_killed_itself() {
    let stage = stage(&["true"]);
    let mut events = stage.runtime.events().await.unwrap();
    stage.run(0).await.unwrap();
    stage.exited(&mut events, 0).await;
    let memory = Memory {
        oom_kills: 1,
        ..Memory::default()
    };
    let written = ExitRecord {
        memory: Some(memory),
        ..record(&stage, 137)
    };
    write(&stage, &written);
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_eq!(
        (exit.code, exit.out_of_memory),
        (Some(137), Some(OutOfMemory::Child))
    );
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_containerd_forgot_is_known() {
    let stage = stage(&["true"]);
    stage.run(0).await.unwrap();
    forget_task(&stage).await;
    write(&stage, &record(&stage, 7));
    let agent = stage.another();
    assert_eq!(agent.list().await.unwrap()[0].state, ObservedState::Exited);
    assert_eq!(agent.reap(&stage.id(0)).await.unwrap().code, Some(7));
    stage.clear().await;
}

// Invariants 2 and 3: an agent that died between the start and the write that tells of it leaves no more than this.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_asked_for_and_forgotten_is_not_made_again() {
    let stage = stage(&["sh", "-c", "echo >> /runs; exit 5"]);
    stage.run(0).await.unwrap();
    forget_task(&stage).await;
    let agent = stage.another();
    let mut events = agent.events().await.unwrap();
    assert_eq!(agent.list().await.unwrap()[0].state, ObservedState::Exited);
    let refused = agent.create(stage.request(0)).await.unwrap_err();
    assert!(matches!(refused, RuntimeError::Refused { .. }), "{refused:?}");
    let started = agent.start(&stage.id(0)).await.unwrap();
    assert_eq!(started.pid, 0);
    assert!(started.at_millis > 0);
    stage.exited(&mut events, 0).await;
    assert!(stage.daemon.shims().is_empty());
    let exit = agent.reap(&stage.id(0)).await.unwrap();
    let reason = exit.reason.unwrap_or_default();
    assert_eq!((exit.code, exit.run), (None, 0));
    assert!(reason.starts_with("ExitStatusLost: "), "{reason}");

    // What its policy has run again is another run, and is started.
    let again = agent.restart(&stage.id(0), 1).await.unwrap();
    assert_ne!(again.pid, 0);
    stage.exited(&mut events, 0).await;
    let exit = agent.reap(&stage.id(0)).await.unwrap();
    assert_eq!((exit.code, exit.run), (Some(5), 1));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_not_run_again_and_a_new_run_has_no_old_record() {
    let stage = stage(&["true"]);
    let mut events = stage.runtime.events().await.unwrap();
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    stage.runtime.create(stage.request(0)).await.unwrap();
    // A start that nobody heard of: it ran, it ended, containerd has forgotten.
    write(&stage, &record(&stage, 9));
    let started = stage.runtime.start(&stage.id(0)).await.unwrap();
    assert_eq!((started.pid, started.at_millis), (0, 1_767_323_045_000));
    stage.exited(&mut events, 0).await;
    assert_eq!(stage.runtime.reap(&stage.id(0)).await.unwrap().code, Some(9));
    assert!(stage.daemon.shims().is_empty());

    // Now it is known: only a restart is a new run.
    assert_eq!(stage.runtime.start(&stage.id(0)).await.unwrap().pid, 0);
    stage.exited(&mut events, 0).await;
    assert_ne!(stage.runtime.restart(&stage.id(0), 1).await.unwrap().pid, 0);
    assert!(!path(&stage).exists());
    stage.exited(&mut events, 0).await;
    assert_eq!(stage.runtime.reap(&stage.id(0)).await.unwrap().code, Some(0));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_not_ended_by_a_record() {
    let stage = stage(&["sleep", "1000"]);
    stage.run(0).await.unwrap();
    write(&stage, &record(&stage, 0));
    assert!(matches!(stage.observed().await.state, ObservedState::Running(_)));
    let refused = stage.runtime.reap(&stage.id(0)).await.unwrap_err();
    assert!(refused.to_string().contains("has not ended"), "{refused}");
    assert!(matches!(stage.observed().await.state, ObservedState::Running(_)));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_no_container_is_told_and_removed_like_a_container() {
    let stage = stage(&["true"]);
    write(&stage, &record(&stage, 6));
    let observed = stage.observed().await;
    assert_eq!(
        (observed.id, observed.state),
        (stage.id(0), ObservedState::Exited)
    );
    assert_eq!(observed.task, None);
    assert_eq!(stage.runtime.reap(&stage.id(0)).await.unwrap().code, Some(6));
    stage.clear().await;
    assert!(!path(&stage).exists());
}

/// A container of Longshore's shim that was killed after it was made and before it was started.
async fn killed_before_its_start(command: &[&str]) -> Stage {
    killed_before_its_start_under(binaries::longshore_shim(), command).await
}

pub async fn killed_before_its_start_under(shim: String, command: &[&str]) -> Stage {
    let stage = Stage::with(Daemon::start(), command, shim, "/nonexistent".into());
    let id = stage.id(0).to_string();
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    stage.runtime.create(stage.request(0)).await.unwrap();
    create_task_only(&stage).await;
    stage.daemon.ctr(&["task", "kill", "--signal", "SIGKILL", &id]);
    let stopped = || {
        let tasks = stage.daemon.ctr(&["task", "ls"]).stdout;
        String::from_utf8_lossy(&tasks).contains("STOPPED")
    };
    eventually("what was made has ended", stopped).await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_record_of_what_never_ran() {
    let stage = killed_before_its_start(&["sleep", "1000"]).await;
    assert!(!path(&stage).exists());
    // What had run would not be run again.
    forget_task(&stage).await;
    assert_ne!(stage.runtime.start(&stage.id(0)).await.unwrap().pid, 0);
    stage.clear().await;
}

// Invariant 3: containerd was killed while it took down what a dead agent was about to start, and has it as stopped.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_killed_before_its_start_has_not_run_and_is_made_anew() {
    let stage = killed_before_its_start(&["sh", "-c", "exit 9"]).await;
    let agent = stage.another();
    let mut events = agent.events().await.unwrap();
    assert_eq!(agent.list().await.unwrap()[0].state, ObservedState::Created);
    let mut started = agent.start(&stage.id(0)).await;
    while let Err(error) = &started {
        assert!(error.is_transient(), "{error}");
        started = agent.start(&stage.id(0)).await;
    }
    assert_ne!(started.unwrap().pid, 0);
    stage.exited(&mut events, 0).await;
    let exit = agent.reap(&stage.id(0)).await.unwrap();
    assert_eq!((exit.code, exit.reason), (Some(9), None));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_killed_before_its_start_has_no_exit_code_and_can_be_created_anew() {
    let stage = killed_before_its_start(&["sh", "-c", "exit 9"]).await;
    let exit = stage.another().reap(&stage.id(0)).await.unwrap();
    let reason = exit.reason.as_deref().unwrap_or_default();
    assert_eq!(exit.code, None);
    assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
    stage.runtime.remove(&stage.id(0)).await.unwrap();

    let stage = killed_before_its_start(&["sh", "-c", "exit 9"]).await;
    let agent = stage.another();
    agent.create(stage.request(0)).await.unwrap();
    assert_ne!(agent.start(&stage.id(0)).await.unwrap().pid, 0);
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_stops_nothing() {
    let stage = stage(&["sh", "-c", "exit 4"]);
    let mut events = stage.runtime.events().await.unwrap();
    stage.run(0).await.unwrap();
    stage.exited(&mut events, 0).await;
    std::fs::write(path(&stage), "\0\0\0\0").unwrap();
    std::fs::write(path(&stage).with_file_name("garbage"), "?").unwrap();
    assert_eq!(stage.observed().await.state, ObservedState::Exited);
    assert_eq!(stage.runtime.reap(&stage.id(0)).await.unwrap().code, Some(4));
    stage.clear().await;
}
