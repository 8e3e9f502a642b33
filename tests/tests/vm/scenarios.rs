//! Black-box scenarios, as they run on the test machine, inside a virtual one: there they meet cgroup v2.

use std::path::PathBuf;
use std::time::Duration;

use longshore_tests::vm::{Image, Machine, Programs};

/// One scenario builds a system, runs tasks, and takes it down.
const SCENARIO: Duration = Duration::from_secs(600);

/// Has a scenario run containerd 1.7, which the image brings beside its own.
const NEWER: &str = "LONGSHORE_TEST_CONTAINERD=/opt/containerd-1.7/containerd";

/// What differs between the versions of cgroup: limits, evidence of an end for want of memory, killing all processes of
/// a container, and who is left when it is over. And the plain life of a task, with ports.
const ON_CGROUP_V2: &[&str] = &[
    "overrides::cpu_and_memory_overrides_are_in_the_cgroup",
    "process::memory_that_is_not_there_kills_and_is_told",
    "stop::a_process_left_by_its_parent_does_not_outlive_the_task",
];

/// The rest, in the long form: everything but what needs AWS CLI, other clients, or other hardware.
const LEFT_OUT: &[&str] = &["aws_cli::", "exec_clients::"];

/// A part of a name: of the long form only the scenarios that have it are run.
const ONLY: &str = "LONGSHORE_TEST_SCENARIOS";

/// The test binary that was built beside this one: the newest, if others are left of earlier builds.
fn blackbox() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let entries = std::fs::read_dir(this.parent().unwrap()).unwrap().flatten();
    let programs = entries.map(|entry| entry.path()).filter(|path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.starts_with("blackbox-") && path.extension().is_none()
    });
    programs
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .expect("the black-box tests are built: cargo build --workspace --tests")
}

async fn machine() -> Machine {
    let programs = Programs::collect();
    programs.add_program("blackbox", &blackbox());
    let mut machine = Machine::new(&Image::build(), &programs);
    machine.boot().await;
    assert_eq!(machine.ok("stat -fc %T /sys/fs/cgroup").await, "cgroup2fs");
    // The tests bring their own.
    machine.ok("systemctl stop containerd").await;
    machine
}

/// Runs a scenario in it, with more variables in its environment.
async fn run(machine: &mut Machine, variables: &str, scenario: &str) -> Result<(), String> {
    let script = format!(
        "export LONGSHORE_TEST_BIN_DIR=/opt/longshore/bin LONGSHORE_TEST_PATIENCE=300 {variables}\n\
         /opt/longshore/bin/blackbox --exact {scenario}"
    );
    let answer = machine.run_for(SCENARIO, &script).await;
    let passed = answer.status == 0 && answer.output.contains("1 passed");
    let word = if passed { "passed" } else { "FAILED" };
    machine.step_is_over(&format!("{word}: {scenario} {variables}"));
    match passed {
        true => Ok(()),
        false => Err(format!("{scenario} {variables}\n{}", answer.output)),
    }
}

#[tokio::test]
async fn tasks_live_and_die_on_cgroup_v2_as_elsewhere() {
    let mut machine = machine().await;
    let mut failed = Vec::new();
    for (scenario, variables) in ON_CGROUP_V2.iter().zip([NEWER, "", ""]) {
        failed.extend(run(&mut machine, variables, scenario).await.err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// An hour and more: `make vm-long`.
#[tokio::test]
#[ignore = "takes an hour: make vm-long"]
async fn every_scenario_passes_on_cgroup_v2() {
    every_scenario("").await;
}

/// Likewise, on another containerd than the machine's.
#[tokio::test]
#[ignore = "takes an hour: make vm-long"]
async fn every_scenario_passes_on_cgroup_v2_and_containerd_1_7() {
    every_scenario(NEWER).await;
}

async fn every_scenario(variables: &str) {
    let mut machine = machine().await;
    let list = machine.ok("/opt/longshore/bin/blackbox --list").await;
    let scenarios: Vec<_> = list
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|name| !LEFT_OUT.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    assert!(scenarios.len() > 40, "{list}");
    let only = std::env::var(ONLY).unwrap_or_default();
    let wanted: Vec<_> = scenarios.iter().filter(|name| name.contains(&only)).collect();
    assert!(
        !wanted.is_empty(),
        "{ONLY}={only}: no scenario has this in its name: {list}"
    );
    let mut failed = Vec::new();
    for scenario in wanted {
        failed.extend(run(&mut machine, variables, scenario).await.err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
