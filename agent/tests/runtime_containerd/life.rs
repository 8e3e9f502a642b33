//! What containers do while nothing goes wrong around them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use longshore_agent::model::OutOfMemory;
use longshore_agent::runtime::{ObservedState, Runtime, RuntimeError, SignalScope};
use nix::sys::signal::Signal;

use longshore_tests::binaries;

use crate::daemon::Daemon;
use crate::stage::{Stage, catches_sigterm, container, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_and_its_exit_code_is_the_kernels() {
    let stage = Stage::new(&["sh", "-c", "exit 42"]);
    assert!(stage.runtime.version().await.unwrap().starts_with("containerd "));
    let before = jiff::Timestamp::now().as_millisecond();
    let exit = stage.run_to_end().await;
    assert_eq!(
        (exit.code, exit.out_of_memory, &exit.reason),
        (Some(42), None, &None)
    );
    assert!(exit.at_millis >= before && exit.at_millis <= jiff::Timestamp::now().as_millisecond());
    assert!(
        exit.peak_memory.is_some_and(|bytes| bytes > 0 && bytes < 1 << 30),
        "{exit:?}"
    );

    // Asked again, also by an agent that was restarted meanwhile, it is the same.
    assert_eq!(stage.runtime.reap(&stage.id(0)).await.unwrap(), exit);
    assert_eq!(stage.another().reap(&stage.id(0)).await.unwrap(), exit);
    assert_eq!(stage.observed().await.state, ObservedState::Exited);
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_can_be_taken_twice() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    stage.runtime.create(stage.request(0)).await.unwrap();
    assert_eq!(stage.observed().await.state, ObservedState::Recorded);
    stage.runtime.create(stage.request(0)).await.unwrap();
    let first = stage.runtime.start(&stage.id(0)).await.unwrap();
    let second = stage.runtime.start(&stage.id(0)).await.unwrap();
    assert_eq!(first.pid, second.pid);
    // Counted from the kernel's own account, in hundredths of a second.
    assert!(
        (first.at_millis - second.at_millis).abs() < 1000,
        "{first:?} {second:?}"
    );
    let refused = stage.runtime.create(stage.request(0)).await.unwrap_err();
    assert!(refused.to_string().contains("started already"), "{refused}");
    let refused = stage.runtime.reap(&stage.id(0)).await.unwrap_err();
    assert!(refused.to_string().contains("has not ended"), "{refused}");
    assert!(
        matches!(stage.observed().await.state, ObservedState::Running(started) if started.pid == first.pid)
    );
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_created_and_not_started_is_started() {
    let stage = Stage::new(&["sleep", "1000"]);
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    stage.runtime.create(stage.request(0)).await.unwrap();
    // As after a crash between the two calls of a start.
    create_task_only(&stage).await;
    assert_eq!(stage.observed().await.state, ObservedState::Created);
    let started = stage.runtime.start(&stage.id(0)).await.unwrap();
    assert!(std::path::Path::new(&format!("/proc/{}", started.pid)).exists());
    stage.clear().await;
}

/// The first half of a start, by hand.
pub async fn create_task_only(stage: &Stage) {
    use longshore_agent::containerd::services::v1::{CreateTaskRequest, snapshots::MountsRequest};
    use longshore_agent::containerd::{Client, QUICK, call};
    let client = Client::new(&stage.daemon.socket(), &stage.daemon.namespace).unwrap();
    let id = stage.id(0).to_string();
    let mounts = MountsRequest {
        snapshotter: "overlayfs".to_owned(),
        key: id.clone(),
    };
    let mounts = call("Mounts", &id, QUICK, client.snapshots().mounts(mounts))
        .await
        .unwrap();
    let request = CreateTaskRequest {
        container_id: id.clone(),
        rootfs: mounts.mounts,
        ..CreateTaskRequest::default()
    };
    call("Create", &id, QUICK, client.tasks().create(request))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_first_process_or_all() {
    let script = "trap 'exit 7' TERM; while true; do sleep 0.05; done";
    let stage = Stage::new(&["sh", "-c", script]);
    let mut events = stage.runtime.events().await.unwrap();
    let started = stage.run(0).await.unwrap();
    eventually("the trap is set", || catches_sigterm(started.pid)).await;
    stage
        .runtime
        .kill(&stage.id(0), Signal::SIGTERM as i32, SignalScope::Init)
        .await
        .unwrap();
    stage.exited(&mut events, 0).await;
    assert_eq!(stage.runtime.reap(&stage.id(0)).await.unwrap().code, Some(7));
    // To what has ended, it is nothing.
    stage
        .runtime
        .kill(&stage.id(0), Signal::SIGTERM as i32, SignalScope::Init)
        .await
        .unwrap();

    // The same record once more.
    stage.runtime.restart(&stage.id(0), 1).await.unwrap();
    assert!(matches!(stage.observed().await.state, ObservedState::Running(_)));
    stage
        .runtime
        .kill(&stage.id(0), Signal::SIGKILL as i32, SignalScope::All)
        .await
        .unwrap();
    stage.exited(&mut events, 0).await;
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_eq!((exit.code, exit.out_of_memory), (Some(137), None));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_container_is_stopped_all_the_same() {
    let script = "trap 'exit 7' TERM; echo > /tmp/ready; while true; do sleep 0.05; done";
    for (signal, scope, code) in [
        (Signal::SIGTERM, SignalScope::Init, 7),
        (Signal::SIGKILL, SignalScope::All, 137),
    ] {
        let stage = Stage::new(&["sh", "-c", script]);
        let mut events = stage.runtime.events().await.unwrap();
        let started = stage.run(0).await.unwrap();
        let ready = format!("/proc/{}/root/tmp/ready", started.pid);
        eventually("the trap is set", || std::path::Path::new(&ready).exists()).await;
        // As an operator can do it, and as runc leaves it when it is killed half-way.
        let paused = stage.daemon.ctr(&["task", "pause", &stage.id(0).to_string()]);
        assert!(paused.status.success(), "{paused:?}");
        let killed = stage.runtime.kill(&stage.id(0), signal as i32, scope).await;
        killed.unwrap();
        stage.exited(&mut events, 0).await;
        assert_eq!(stage.runtime.reap(&stage.id(0)).await.unwrap().code, Some(code));
        stage.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_process_that_the_kernel_killed_for_memory_is_told() {
    let mut stage = Stage::new(&["tail", "/dev/zero"]);
    stage.container().memory = Some(16);
    let exit = stage.run_to_end().await;
    assert_eq!(
        (exit.code, exit.out_of_memory),
        (Some(137), Some(OutOfMemory::Init))
    );
    let peak = exit.peak_memory.unwrap();
    assert!(peak > 8 << 20 && peak <= 16 << 20, "{peak}");
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_was_killed_for_memory_is_told_apart_and_its_neighbour_is_not_blamed() {
    // Against the limit of the task, which both containers are below.
    let mut stage = Stage::new(&["sh", "-c", "tail /dev/zero; exit 3"]);
    stage.task.memory = Some(16);
    stage
        .task
        .containers
        .push(container("neighbour", &["sleep", "1000"]));
    let mut events = stage.runtime.events().await.unwrap();
    let neighbour = stage.run(1).await.unwrap();
    stage.run(0).await.unwrap();
    stage.exited(&mut events, 0).await;
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_eq!(
        (exit.code, exit.out_of_memory),
        (Some(3), Some(OutOfMemory::Child))
    );

    let pid = nix::unistd::Pid::from_raw(i32::try_from(neighbour.pid).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    stage.exited(&mut events, 1).await;
    let exit = stage.runtime.reap(&stage.id(1)).await.unwrap();
    assert_eq!((exit.code, exit.out_of_memory), (Some(137), None));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_the_cgroup_is_killed_before_the_end_is_told() {
    let stage = Stage::new(&["sleep", "1000"]);
    let mut events = stage.runtime.events().await.unwrap();
    let started = stage.run(0).await.unwrap();
    // A process that the first one's death does not end, as one from another PID namespace is.
    let mut left = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let group = format!("{}/{}", stage.task.arn.id, stage.id(0));
    let root = match stage.cgroups.version() {
        longshore_agent::model::CgroupVersion::V1 => "/sys/fs/cgroup/pids",
        longshore_agent::model::CgroupVersion::V2 => "/sys/fs/cgroup",
    };
    let below = format!("{root}{}/{group}/exec-1", stage.cgroups.parent());
    std::fs::create_dir(&below).unwrap();
    std::fs::write(format!("{below}/cgroup.procs"), left.id().to_string()).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(started.pid).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    stage.exited(&mut events, 0).await;
    // Longshore's shim tells an exit when everything has ended; from others an agent must take it as it comes.
    let by_the_shim = binaries::shim() != binaries::STOCK_SHIM;
    assert_eq!(left.try_wait().unwrap().is_some(), by_the_shim);
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_eq!(exit.code, Some(137));
    assert!(stage.cgroups.pids(&group).unwrap().is_empty());
    assert!(!left.wait().unwrap().success());
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_task_share_a_shim_and_die_apart() {
    let mut stage = Stage::new(&["sleep", "1000"]);
    stage
        .task
        .containers
        .push(container("second", &["sleep", "1000"]));
    stage
        .task
        .containers
        .push(container("third", &["sh", "-c", "exit 5"]));
    let mut events = stage.runtime.events().await.unwrap();
    let (first, second, third) = tokio::join!(stage.run(0), stage.run(1), stage.run(2));
    first.unwrap();
    let second = second.unwrap();
    third.unwrap();
    assert_eq!(stage.daemon.shims().len(), 1);
    stage.exited(&mut events, 2).await;
    assert_eq!(stage.runtime.reap(&stage.id(2)).await.unwrap().code, Some(5));
    // The first member goes while another runs on.
    stage.runtime.remove(&stage.id(0)).await.unwrap();
    assert!(std::path::Path::new(&format!("/proc/{}", second.pid)).exists());
    assert_eq!(stage.runtime.list().await.unwrap().len(), 2);
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_refused_in_the_runtimes_words_and_leaves_nothing() {
    let mut stage = Stage::new(&["/no/such/program"]);
    let error = stage.run(0).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("/no/such/program"), "{error}");
    assert_eq!(stage.observed().await.state, ObservedState::Recorded);
    stage.clear().await;

    stage.container().command = Some(vec!["true".to_owned()]);
    stage.user = "nobody-here".to_owned();
    let error = stage.run(0).await.unwrap_err();
    assert!(
        error.to_string().contains("nobody-here") && !error.is_transient(),
        "{error}"
    );
    let snapshots = stage.daemon.ctr(&["snapshots", "ls"]);
    assert!(!String::from_utf8_lossy(&snapshots.stdout).contains(stage.task.arn.id.as_str()));
    stage.clear().await;
    let error = stage.runtime.start(&stage.id(0)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFound(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_found_by_their_owner_with_the_whole_task_and_no_secret() {
    let mut stage = Stage::new(&["sleep", "1000"]);
    stage.container().docker_labels = BTreeMap::from([
        ("team".to_owned(), "edge".to_owned()),
        ("longshore.instance".to_owned(), "mine".to_owned()),
    ]);
    stage.run(0).await.unwrap();
    assert_eq!(stage.observed().await.task, Some(stage.task.clone()));

    let info = stage
        .daemon
        .ctr(&["containers", "info", &stage.id(0).to_string()]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    let labels = &info["Labels"];
    assert_eq!(labels["team"], "edge");
    assert_eq!(labels["com.amazonaws.ecs.task-arn"], stage.task.arn.to_string());
    assert_eq!(labels["com.amazonaws.ecs.task-definition-version"], "3");
    assert_ne!(labels["longshore.instance"], "mine");
    assert!(!info["Extensions"].to_string().contains("hush"));

    // Another agent neither sees nor touches it.
    let stranger = stage.stranger();
    assert!(stranger.list().await.unwrap().is_empty());
    for refused in [
        stranger.start(&stage.id(0)).await.map(drop),
        stranger.remove(&stage.id(0)).await,
        stranger.reap(&stage.id(0)).await.map(drop),
    ] {
        assert!(refused.unwrap_err().to_string().contains("belongs to"));
    }
    assert!(matches!(stage.observed().await.state, ObservedState::Running(_)));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_containerd_does_not_take_keep_no_container_from_running() {
    let mut stage = Stage::new(&["true"]);
    let long = "x".repeat(5000);
    stage.container().docker_labels = [
        ("team", "edge"),
        ("long", &*long),
        ("", "nameless"),
        ("containerd.io/gc.ref.content", "sha256:beef"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(stage.run_to_end().await.code, Some(0));
    let info = stage
        .daemon
        .ctr(&["containers", "info", &stage.id(0).to_string()]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    let labels = info["Labels"].as_object().unwrap();
    assert_eq!(labels["team"], "edge");
    for name in ["long", "", "containerd.io/gc.ref.content"] {
        assert!(!labels.contains_key(name), "{name:?}");
    }
    // What the definition says is kept all the same.
    assert_eq!(stage.observed().await.task, Some(stage.task.clone()));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_goes_to_the_log_writer() {
    let daemon = Daemon::start();
    let writer = daemon.folder().join("log writer");
    // Reads both streams as the shim hands them over, and says that it is ready by closing descriptor 5.
    let script = "#!/bin/sh\nexec 5>&-\n(cat <&4 >> \"$2.err\") &\ncat <&3 >> \"$2\"\nwait\n";
    std::fs::write(&writer, script).unwrap();
    std::fs::set_permissions(&writer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let command = ["sh", "-c", "echo out; echo err >&2"];
    let mut stage = Stage::with(daemon, &command, binaries::STOCK_SHIM.to_owned(), writer);
    let options = stage.daemon.folder().join("a&b.json");
    stage.log_options = Some(options.clone());
    assert_eq!(stage.run_to_end().await.code, Some(0));
    let error = stage.daemon.folder().join("a&b.json.err");
    assert_eq!(std::fs::read_to_string(options).unwrap(), "out\n");
    assert_eq!(std::fs::read_to_string(error).unwrap(), "err\n");
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_starts_while_the_shim_of_its_task_is_about_to_end() {
    let mut stage = Stage::new(&["true"]);
    stage
        .task
        .containers
        .push(container("second", &["sleep", "1000"]));
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    let mut events = stage.runtime.events().await.unwrap();
    for _ in 0..10 {
        stage.runtime.create(stage.request(0)).await.unwrap();
        stage.runtime.create(stage.request(1)).await.unwrap();
        stage.runtime.start(&stage.id(0)).await.unwrap();
        stage.exited(&mut events, 0).await;
        // The first was the shim's last one, and reaping it ends the shim.
        let (first, second) = (stage.id(0), stage.id(1));
        let (reaped, started) = tokio::join!(stage.runtime.reap(&first), stage.runtime.start(&second));
        assert_eq!(reaped.unwrap().code, Some(0));
        started.unwrap();
        stage.runtime.remove(&second).await.unwrap();
        stage.runtime.remove(&first).await.unwrap();
    }
    stage.clear().await;
}
