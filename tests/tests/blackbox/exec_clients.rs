//! Exec sessions with clients that others wrote: the AWS CLI for the API, and the crate `aws-ssm-bridge` for the data
//! channel, also as the plugin that the AWS CLI starts.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::exec_cli::{run_open, run_waiting};
use crate::system::{self, System, id_of, shell};

/// The crate, as a program; see `tests/other-clients`.
fn program() -> PathBuf {
    let folder = std::env::var("LONGSHORE_TEST_CLIENTS").expect("LONGSHORE_TEST_CLIENTS names a folder");
    let program = PathBuf::from(folder).join("aws-ssm-bridge");
    assert!(
        program.exists(),
        "{program:?} is missing: scripts/other-clients makes it"
    );
    program
}

/// The crate in a session.
struct Bridge {
    child: Child,
    orders: ChildStdin,
    output: ChildStdout,
    seen: String,
}

impl Bridge {
    fn attach(session: &Value) -> Self {
        let mut command = Command::new(program());
        command.arg(session.to_string());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let orders = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().expect("a pipe");
        Self {
            child,
            orders,
            output,
            seen: String::new(),
        }
    }

    fn order(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").expect("it reads");
    }

    fn types(&mut self, keys: &str) {
        self.order(&json!({"send": keys}));
    }

    fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let mut part = [0; 4096];
            let length = self.output.read(&mut part).expect("output");
            assert!(length > 0, "{text:?} did not come, but {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&part[..length]));
        }
        let end = self.seen.find(text).expect("it is there") + text.len();
        self.seen.drain(..end);
    }

    /// Why it says that the session closed.
    fn end(mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("output");
        let mut why = String::new();
        let mut stderr = self.child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut why).expect("its last words");
        self.child.wait().expect("its end");
        why
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Of a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The session that ExecuteCommand starts, as clients are given it.
async fn start(system: &System, task: &str, command: &str) -> Value {
    let answer = system
        .ecs
        .execute_command()
        .task(task)
        .container("app")
        .command(command)
        .interactive(true)
        .send()
        .await
        .expect("a session");
    let session = answer.session().expect("a session");
    json!({"sessionId": session.session_id(), "streamUrl": session.stream_url(),
        "tokenValue": session.token_value()})
}

#[test]
fn a_shell_by_the_crate() {
    system::with(|system| async move {
        let task = run_waiting(&system).await;
        let session = start(&system, &task, "/bin/sh").await;
        let mut bridge = Bridge::attach(&session);
        bridge.order(&json!({"resize": [101, 37]}));
        bridge.expect("/ # ");
        bridge.types("busybox stty size\r");
        bridge.expect("37 101\r\n");
        // While it edits a line, the shell takes Ctrl-C for itself.
        // What says so itself has the terminal by then: a Ctrl-C between the shell's fork and that would reach nobody.
        bridge.types("sh -c 'echo $((6*7)); exec sleep 1000'\r");
        bridge.expect("42\r\n");
        bridge.types("\u{3}");
        bridge.expect("/ # ");
        bridge.types("busybox seq 1 100000\r");
        bridge.expect("\n99999\r\n100000\r\n");
        bridge.types("\u{4}");
        let why = bridge.end();
        assert!(
            why.contains("AgentClosed") && why.contains("detail: None"),
            "{why}"
        );

        // Its token has been used.
        let why = Bridge::attach(&session).end();
        assert!(why.contains("its token is wrong, was used"), "{why}");
        let mut session = start(&system, &task, "/bin/sh").await;
        session["tokenValue"] = "another".into();
        let why = Bridge::attach(&session).end();
        assert!(why.contains("its token is wrong"), "{why}");
        system
    });
}

#[test]
fn a_session_by_the_aws_cli_and_a_plugin_of_another_s() {
    system::with(|system| async move {
        let task = run_waiting(&system).await;
        // Stands where session-manager-plugin would: writes down what it is told, and has the crate do the rest.
        let folder = system.host.dir().join("plugin");
        std::fs::create_dir_all(&folder).expect("a folder");
        let told = folder.join("told");
        let script = format!(
            "#!/bin/sh\n[ $# = 0 ] && exit 0\nprintf '%s\\n' \"$@\" >{}\n\
             printf '%s\\n' '{}' '{}' '{}' | {} \"$1\"\n",
            told.display(),
            json!({"resize": [90, 20]}),
            json!({"send": "echo plugged-$((1+1))\r"}),
            json!({"send": "exit\r"}),
            program().display()
        );
        let plugin = folder.join("session-manager-plugin");
        std::fs::write(&plugin, script).expect("a script");
        longshore_tests::process::run(Command::new("chmod").arg("+x").arg(&plugin));
        let output = execute(
            &system,
            &folder,
            &["--task", &task, "--interactive", "--command", "/bin/sh"],
        );
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        assert!(stdout.contains("\nplugged-2\r\n"), "{stdout}");

        let told = std::fs::read_to_string(told).expect("what it was told");
        let told: Vec<_> = told.lines().collect();
        let session: Value = serde_json::from_str(told[0]).expect("JSON");
        let url = session["streamUrl"].as_str().expect("a URL");
        assert!(
            url.starts_with("ws://127.0.0.1:") && url.contains("/v1/data-channel/"),
            "{url}"
        );
        assert_eq!(told[2], "StartSession");
        let runtime = system.describe(&task).await.containers()[0]
            .runtime_id()
            .map(str::to_owned);
        let target: Value = serde_json::from_str(told[4]).expect("JSON");
        let runtime = runtime.expect("runtimeId");
        assert_eq!(
            target["Target"],
            format!("ecs:default_{}_{runtime}", id_of(&task))
        );
        assert_eq!(told[5].trim_end_matches('/'), system.plane.url());
        system
    });
}

/// `aws ecs execute-command` with a plugin from this folder.
fn execute(system: &System, plugin: &std::path::Path, args: &[&str]) -> Output {
    let path = format!("{}:/usr/bin:/bin", plugin.display());
    let args = [&["ecs", "execute-command"], args].concat();
    system
        .aws_command(&args)
        .env("PATH", path)
        .output()
        .expect("the AWS CLI")
}

#[test]
fn what_the_aws_cli_is_refused() {
    system::with(|mut system| async move {
        let folder = system.host.dir().join("plugin");
        std::fs::create_dir_all(&folder).expect("a folder");
        let plugin = folder.join("session-manager-plugin");
        std::fs::write(&plugin, "#!/bin/sh\n[ $# = 0 ] || echo started\n").expect("a script");
        longshore_tests::process::run(Command::new("chmod").arg("+x").arg(&plugin));
        let refused = |system: &System, args: &[&str]| {
            let output = execute(system, &folder, args);
            assert!(!output.status.success(), "{args:?}: {output:?}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let closed = system
            .run_container(shell("closed", &system.busybox, "sleep 10000").build())
            .await;
        system.until(&closed, "RUNNING").await;
        let two = ["one", "two"].map(|name| shell(name, &system.busybox, "sleep 10000").build());
        let open = run_open(&system, two.to_vec()).await;
        let unknown = "0123456789abcdef0123456789abcdef";
        let say = |task| ["--task", task, "--interactive", "--command", "sh"];
        for (args, code) in [
            (say(&closed).to_vec(), "InvalidParameterException"),
            (say(unknown).to_vec(), "InvalidParameterException"),
            // Which of the two?
            (say(&open).to_vec(), "InvalidParameterException"),
            (
                vec![
                    "--task",
                    &open,
                    "--container",
                    "one",
                    "--non-interactive",
                    "--command",
                    "sh",
                ],
                "InvalidParameterException",
            ),
            (
                [&["--cluster", "other"], &say(&open)[..]].concat(),
                "ClusterNotFoundException",
            ),
        ] {
            let said = refused(&system, &args);
            assert!(said.contains(code), "{args:?}: {said}");
        }
        system.agent.kill();
        longshore_tests::wait::until_some("the agent's absence is known", || {
            let args = [&say(&open)[..], &["--container", "one"]].concat();
            let output = execute(&system, &folder, &args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            said.contains("TargetNotConnectedException").then_some(())
        })
        .await;
        system.agent.start();
        system.until_connected().await;
        system
    });
}
