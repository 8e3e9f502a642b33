//! The program as scripts see it: what it asks the API, what it prints, and its exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail like tests"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Answers operations by their names with what a test says, one answer after the other; the last one stays.
struct Api {
    url: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Api {
    fn start(answers: &[(&str, Value)]) -> Self {
        let mut queues: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (operation, answer) in answers {
            queues
                .entry((*operation).to_owned())
                .or_default()
                .push(answer.clone());
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), &mut queues, &seen);
            }
        });
        Self { url, asked }
    }

    /// Runs the program against this API.
    fn longshore(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.env_clear().env("AWS_ENDPOINT_URL", &self.url);
        command
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "b");
        command.args(args).output().unwrap()
    }

    /// The last request of an operation.
    fn asked(&self, operation: &str) -> Value {
        let asked = self.asked.lock().unwrap();
        let last = asked.iter().rev().find(|(name, _)| name == operation);
        last.unwrap_or_else(|| panic!("{operation} wasn't called"))
            .1
            .clone()
    }
}

fn serve(stream: &TcpStream, queues: &mut BTreeMap<String, Vec<Value>>, seen: &Mutex<Vec<(String, Value)>>) {
    let mut reader = BufReader::new(stream);
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return;
        }
        match line.trim().split_once(": ") {
            Some(("x-amz-target", target)) => operation = target.rsplit('.').next().unwrap().to_owned(),
            Some(("content-length", digits)) => length = digits.parse().unwrap(),
            _ if line == "\r\n" => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request = serde_json::from_slice(&body).unwrap();
    let queue = queues
        .get_mut(&operation)
        .unwrap_or_else(|| panic!("{operation} wasn't expected"));
    let answer = if queue.len() > 1 {
        queue.remove(0)
    } else {
        queue[0].clone()
    };
    seen.lock().unwrap().push((operation, request));
    let status = if answer.get("__type").is_some() {
        "400 Bad Request"
    } else {
        "200 OK"
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    (&*stream).write_all((head + &answer).as_bytes()).unwrap();
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn task(id: &str, status: &str, exit_code: Option<i32>) -> Value {
    let mut container = json!({"name": "web", "lastStatus": status});
    if let Some(code) = exit_code {
        container["exitCode"] = code.into();
    }
    json!({"taskArn": format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}"), "lastStatus": status,
        "desiredStatus": "RUNNING", "containers": [container]})
}

fn definition_file(folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("t.json");
    std::fs::write(
        &path,
        r#"{"family": "web", "containerDefinitions": [{"name": "web", "image": "i", "memory": 8}]}"#,
    )
    .unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn run_registers_the_file_and_runs_that_revision() {
    let api = Api::start(&[
        (
            "RegisterTaskDefinition",
            json!({"taskDefinition": {"taskDefinitionArn": "td:7"}}),
        ),
        (
            "RunTask",
            json!({"tasks": [task("0a", "PENDING", None)], "failures": []}),
        ),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let file = definition_file(&folder);
    let output = api.longshore(&[
        "run",
        "-f",
        &file,
        "--count",
        "2",
        "--override",
        "web:cpu=5",
        "--cluster",
        "edge",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("0a") && stdout(&output).contains("PENDING"));
    assert_eq!(api.asked("RegisterTaskDefinition")["family"], "web");
    let asked = api.asked("RunTask");
    assert_eq!(
        (&asked["taskDefinition"], &asked["count"]),
        (&json!("td:7"), &json!(2))
    );
    assert_eq!(
        (&asked["cluster"], &asked["launchType"]),
        (&json!("edge"), &json!("EXTERNAL"))
    );
    assert_eq!(
        asked["overrides"],
        json!({"containerOverrides": [{"name": "web", "cpu": 5}]})
    );
    assert!(asked["clientToken"].is_string());
}

#[test]
fn run_tells_what_was_not_placed() {
    let failure =
        json!({"arn": "arn:x", "reason": "RESOURCE:MEMORY", "detail": "8 MiB are needed, 0 are left."});
    let api = Api::start(&[("RunTask", json!({"tasks": [], "failures": [failure]}))]);
    let output = api.longshore(&["run", "web:3", "--json"]);
    assert_eq!(code(&output), 4);
    assert!(
        stderr(&output).contains("arn:x: RESOURCE:MEMORY (8 MiB are needed"),
        "{}",
        stderr(&output)
    );
    let printed: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(printed["failures"], json!([failure]));
}

#[test]
fn waiting_ends_with_how_the_task_ended() {
    for (exit_code, expected) in [(0, 0), (42, 4)] {
        let api = Api::start(&[
            (
                "RunTask",
                json!({"tasks": [task("0a", "PENDING", None)], "failures": []}),
            ),
            (
                "DescribeTasks",
                json!({"tasks": [task("0a", "RUNNING", None)], "failures": []}),
            ),
            (
                "DescribeTasks",
                json!({"tasks": [task("0a", "STOPPED", Some(exit_code))], "failures": []}),
            ),
        ]);
        let output = api.longshore(&["run", "web", "--wait"]);
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        assert!(
            stdout(&output).contains(&format!("web exit {exit_code}")),
            "{}",
            stdout(&output)
        );
    }
}

#[test]
fn ps_lists_what_runs_and_with_all_what_ran() {
    let api = Api::start(&[
        ("ListTasks", json!({"taskArns": ["x"], "nextToken": "t"})),
        ("ListTasks", json!({"taskArns": ["y"]})),
        (
            "DescribeTasks",
            json!({"tasks": [task("0a", "RUNNING", None), task("0b", "STOPPED", Some(0))]}),
        ),
    ]);
    let output = api.longshore(&["ps"]);
    assert!(
        stdout(&output).contains("0a") && !stdout(&output).contains("0b"),
        "{}",
        stdout(&output)
    );
    assert_eq!(api.asked("DescribeTasks")["tasks"], json!(["x", "y", "y"]));
    assert!(stdout(&api.longshore(&["ps", "--all"])).contains("0b"));
}

#[test]
fn describe_tells_which_tasks_are_not_there() {
    let failures = json!([{"arn": "arn:x", "reason": "MISSING"}]);
    let api = Api::start(&[(
        "DescribeTasks",
        json!({"tasks": [task("0a", "RUNNING", None)], "failures": failures}),
    )]);
    let output = api.longshore(&["describe", "0a", "0c"]);
    assert_eq!(code(&output), 4);
    assert!(
        stdout(&output).contains("lastStatus     RUNNING"),
        "{}",
        stdout(&output)
    );
    assert!(stderr(&output).contains("arn:x: MISSING"));
}

#[test]
fn stop_says_force_only_when_told() {
    let api = Api::start(&[("StopTask", json!({"task": task("0a", "RUNNING", None)}))]);
    assert_eq!(code(&api.longshore(&["stop", "0a"])), 0);
    assert_eq!(api.asked("StopTask"), json!({"cluster": "default", "task": "0a"}));
    api.longshore(&["stop", "0a", "--force", "--reason", "why"]);
    let asked = json!({"cluster": "default", "task": "0a", "reason": "why", "force": true});
    assert_eq!(api.asked("StopTask"), asked);
}

#[test]
fn stop_goes_on_after_a_task_that_is_not_there() {
    let unknown =
        json!({"__type": "InvalidParameterException", "message": "The referenced task was not found."});
    let api = Api::start(&[
        ("StopTask", unknown),
        ("StopTask", json!({"task": task("b", "RUNNING", None)})),
    ]);
    let output = api.longshore(&["stop", "a", "b"]);
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    assert_eq!(api.asked("StopTask")["task"], "b");
    assert!(stdout(&output).contains("\nb "), "{}", stdout(&output));
    let told = stderr(&output);
    assert!(
        told.contains("a: StopTask: ") && told.contains("1 of 2 tasks could not be stopped"),
        "{told}"
    );
}

#[test]
fn activate_prints_one_line_to_paste() {
    let api = Api::start(&[(
        "CreateActivation",
        json!({"ActivationId": "id", "ActivationCode": "code"}),
    )]);
    let output = api.longshore(&["activate", "--limit", "3", "--cluster", "edge"]);
    let expected = format!(
        "longshore-agent register --endpoint {} --cluster edge --activation-id id --activation-code code\n",
        api.url
    );
    assert_eq!(stdout(&output), expected);
    assert_eq!(api.asked("CreateActivation")["RegistrationLimit"], 3);
}

#[test]
fn a_refusal_is_told_in_the_service_s_words() {
    let refusal = json!({"__type": "ClusterNotFoundException", "message": "Cluster not found."});
    let api = Api::start(&[("ListContainerInstances", refusal)]);
    let output = api.longshore(&["nodes"]);
    assert_eq!(code(&output), 1);
    assert_eq!(
        stderr(&output),
        "longshore: ListContainerInstances: ClusterNotFoundException: Cluster not found.\n"
    );
}

#[test]
fn faults_of_the_caller_have_their_own_exit_code() {
    let api = Api::start(&[]);
    for args in [
        &["run"][..],
        &["run", "-f", "/none.json"],
        &["run", "web", "--override", "web:disk=1"],
        &["ps", "--env", "/none"],
        &["frobnicate"],
    ] {
        assert_eq!(code(&api.longshore(args)), 2, "{args:?}");
    }
}

#[test]
fn silence_has_its_own_exit_code() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = Api {
        url: format!("http://{}", nobody.local_addr().unwrap()),
        asked: Arc::default(),
    };
    drop(nobody);
    assert_eq!(code(&api.longshore(&["ps"])), 3);
    assert_eq!(
        code(&api.longshore(&["logs", "0a", "--socket", "/none/admin.sock"])),
        3
    );
}

#[test]
fn logs_asks_the_agent_of_the_folder_that_was_sourced() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command
        .env_clear()
        .env("LONGSHORE_UP_DIR", folder.path())
        .args(["logs", "0a"]);
    // Nobody listens there, yet it is there to be asked.
    std::fs::create_dir(folder.path().join("agent")).unwrap();
    std::fs::write(folder.path().join("agent/admin.sock"), "").unwrap();
    let output = command.output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let socket = folder.path().join("agent/admin.sock");
    assert!(
        stderr(&output).contains(&*socket.to_string_lossy()),
        "{}",
        stderr(&output)
    );
}

#[test]
fn logs_asks_the_agent_whose_socket_the_environment_names() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("other.sock");
    // Nobody listens there, yet it is there to be asked.
    std::fs::write(&socket, "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command
        .env_clear()
        .env("HOME", folder.path())
        .env("LONGSHORE_ADMIN_SOCKET", &socket)
        .env("LONGSHORE_DATA_DIR", folder.path())
        .args(["logs", "0a"]);
    let output = command.output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(
        stderr(&output).contains(&*socket.to_string_lossy()),
        "{}",
        stderr(&output)
    );
}

#[test]
fn up_says_in_one_line_why_it_can_not_start() {
    let api = Api::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let output = api.longshore(&[
        "up",
        "--data-dir",
        folder.path().to_str().unwrap(),
        "--listen",
        "0.0.0.0:0",
    ]);
    assert_eq!(code(&output), 1);
    assert_eq!(stderr(&output).trim().lines().count(), 1, "{}", stderr(&output));
}
