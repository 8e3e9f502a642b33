//! The AWS CLI, as PyPI has it.

use serde_json::Value;

use crate::system::{self, System};

/// What the CLI prints, as JSON.
fn json(system: &System, args: &[&str]) -> Value {
    let output = system.aws(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    if output.stdout.iter().all(u8::is_ascii_whitespace) {
        return Value::Null;
    }
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_whole_life_of_a_task_by_the_cli() {
    system::with(|system| async move {
        let containers = serde_json::json!([{
            "name": "app", "image": system.busybox, "memory": 32,
            "command": ["/bin/sh", "-c", "trap 'exit 4' TERM; while :; do sleep 0.1; done"],
        }]);
        let containers = containers.to_string();
        let ecs = |args: &[&str]| json(&system, &[&["ecs"], args].concat());
        let clusters = ecs(&["list-clusters"]);
        assert!(
            clusters["clusterArns"][0]
                .as_str()
                .is_some_and(|arn| arn.ends_with(":cluster/default"))
        );
        let definition = ecs(&[
            "register-task-definition",
            "--family",
            "app",
            "--network-mode",
            "none",
            "--container-definitions",
            &containers,
        ]);
        assert_eq!(definition["taskDefinition"]["revision"], 1);
        let ran = ecs(&[
            "run-task",
            "--task-definition",
            "app",
            "--launch-type",
            "EXTERNAL",
            "--tags",
            "key=who,value=me",
        ]);
        let task = ran["tasks"][0]["taskArn"].as_str().expect("a task").to_owned();
        assert!(ecs(&["wait", "tasks-running", "--tasks", &task]).is_null());
        let listed = ecs(&["list-tasks", "--family", "app"]);
        assert_eq!(listed["taskArns"][0], task.as_str());
        let seen = ecs(&["describe-tasks", "--tasks", &task, "--include", "TAGS"]);
        assert_eq!(seen["tasks"][0]["containers"][0]["lastStatus"], "RUNNING");
        assert_eq!(seen["tasks"][0]["tags"][0]["value"], "me");
        ecs(&["stop-task", "--task", &task, "--reason", "done"]);
        assert!(ecs(&["wait", "tasks-stopped", "--tasks", &task]).is_null());
        let seen = ecs(&["describe-tasks", "--tasks", &task]);
        assert_eq!(seen["tasks"][0]["containers"][0]["exitCode"], 4);
        assert_eq!(seen["tasks"][0]["stoppedReason"], "done");
        let gone = system.aws(&["ecs", "stop-task", "--task", "0123456789abcdef0123456789abcdef"]);
        let error = String::from_utf8_lossy(&gone.stderr).into_owned();
        assert!(
            error.contains("InvalidParameterException")
                && error.contains("The referenced task was not found."),
            "{error}"
        );
        system
    });
}
