//! `longshore exec` and `longshore logs`: from a terminal or a pipe, through control plane and agent, into a container.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use aws_sdk_ecs::types::ContainerDefinition;
use longshore_tests::pty::Pty;
use longshore_tests::{binaries, image, wait};
use rustix::process::Signal;

use crate::system::{self, System, id_of, shell};

/// The program, for this system's control plane.
pub fn longshore(system: &System, args: &[&str]) -> Command {
    let mut command = Command::new(binaries::path("longshore"));
    command.env_clear().envs(system.plane.environment()).args(args);
    command
}

/// Runs one task of these containers in which commands may be run, and waits until it runs.
pub async fn run_open(system: &System, containers: Vec<ContainerDefinition>) -> String {
    let definition = system.define("open", containers).await;
    system.run_open(&definition).await
}

/// A task of one container, `app`, that waits.
pub async fn run_waiting(system: &System) -> String {
    run_open(
        system,
        vec![shell("app", &system.busybox, "echo ready; sleep 10000").build()],
    )
    .await
}

/// Runs the program to its end, with this input.
fn with_input(system: &System, args: &[&str], input: &[u8]) -> Output {
    let mut command = longshore(system, args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may end before it has read all.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().expect("its output")
    })
}

fn exec(system: &System, task: &str, command: &[&str], input: &[u8]) -> Output {
    with_input(system, &[&["exec", task, "--"], command].concat(), input)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A shell in a terminal, at its first prompt.
fn shell_in(system: &System, task: &str) -> Pty {
    let command = longshore(system, &["exec", task, "-c", "app", "--", "/bin/sh"]);
    let mut pty = Pty::start(command, 101, 37);
    pty.expect("/ # ");
    pty
}

#[test]
fn a_shell_in_a_terminal() {
    system::with(|system| async move {
        let task = run_waiting(&system).await;
        let mut pty = shell_in(&system, &task);
        pty.types(b"echo $((40+2))$((1+1))\r");
        pty.expect("422\r\n");
        pty.types(b"busybox stty size\r");
        pty.expect("37 101\r\n");
        pty.resize(55, 44);
        wait::until_some("the size is the new one", || {
            pty.types(b"busybox stty size\r");
            pty.expect("size\r\n");
            let size = pty.expect("\r\n");
            size.contains("44 55").then_some(())
        })
        .await;
        // While it edits a line, the shell takes Ctrl-C for itself.
        // What says so itself has the terminal by then: a Ctrl-C between the shell's fork and that would reach nobody.
        pty.types(b"sh -c 'echo $((6*7)); exec sleep 1000'\r");
        pty.expect("42\r\n");
        pty.types(b"\x03");
        pty.expect("/ # ");
        pty.types(b"busybox top\r");
        pty.expect("Mem:");
        pty.expect("Load average");
        pty.types(b"q");
        pty.types(b"exit 5\r");
        assert_eq!(pty.wait().code(), Some(5));
        assert!(pty.is_cooked());
        let mut pty = shell_in(&system, &task);
        pty.types(b"\x04");
        assert_eq!(pty.wait().code(), Some(0));
        system
    });
}

#[test]
fn pipes_quotes_and_exit_codes() {
    system::with(|system| async move {
        let task = run_waiting(&system).await;
        let input: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
        let output = exec(&system, &task, &["cat"], &input);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(output.stdout == input, "{} bytes", output.stdout.len());
        let script = "cat >/dev/null; echo out; echo err >&2; exit 9";
        let output = exec(&system, &task, &["sh", "-c", script], b"x");
        assert_eq!(output.status.code(), Some(9));
        assert_eq!(
            (text(&output.stdout), text(&output.stderr)),
            ("out\n".into(), "err\n".into())
        );
        let words = [
            "a b", "it's", "$HOME", "", "#", "\\", "\"", "*", "a\nb", "é", "-x",
        ];
        let output = exec(
            &system,
            &task,
            &[&["busybox", "printf", "<%s>"], &words[..]].concat(),
            b"",
        );
        let expected: String = words.iter().map(|word| format!("<{word}>")).collect();
        assert_eq!(text(&output.stdout), expected);
        let output = exec(&system, &task, &["sh", "-c", "kill -9 $$"], b"");
        assert_eq!(output.status.code(), Some(137));
        let output = exec(&system, &task, &["no-such-program"], b"");
        assert_eq!(output.status.code(), Some(255));
        assert!(
            text(&output.stderr).contains("no-such-program"),
            "{}",
            text(&output.stderr)
        );
        system
    });
}

#[test]
fn who_the_process_is_in_images_with_next_to_nothing() {
    system::with(|system| async move {
        let dir = system.host.dir().join("images/one-file");
        let one_file = image::one_static_program(&dir, image::architecture());
        let one_file = system.registry.push(&one_file, "one-file:1");
        let scratch = ContainerDefinition::builder()
            .name("scratch")
            .image(one_file)
            .memory(64)
            .set_command(Some(vec!["/busybox".into(), "sleep".into(), "10000".into()]));
        let user = shell("user", &system.busybox, "sleep 10000")
            .user("app")
            .working_directory("/data")
            .environment(system::variable("GREETING", "hello"))
            .readonly_root_filesystem(true);
        let task = run_open(&system, vec![scratch.build(), user.build()]).await;
        let output = with_input(
            &system,
            &["exec", &task, "-c", "scratch", "--", "/busybox", "id", "-u"],
            b"",
        );
        assert_eq!(text(&output.stdout), "0\n", "{}", text(&output.stderr));
        let script = "id -u; pwd; echo $GREETING; touch x 2>/dev/null || echo read-only";
        let output = with_input(
            &system,
            &["exec", &task, "-c", "user", "--", "sh", "-c", script],
            b"",
        );
        assert_eq!(text(&output.stdout), "1000\n/data\nhello\nread-only\n");
        let output = exec(&system, &task, &["id"], b"");
        assert_eq!(output.status.code(), Some(255));
        assert!(
            text(&output.stderr).contains("InvalidParameterException"),
            "{}",
            text(&output.stderr)
        );
        system
    });
}

#[test]
fn much_output_to_a_slow_reader_is_whole() {
    system::with(|system| async move {
        let task = run_waiting(&system).await;
        let args = ["exec", &task, "--", "sh", "-c", "busybox seq 1 3000000"];
        let mut command = longshore(&system, &args);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let mut stdout = child.stdout.take().expect("a pipe");
        let (mut got, mut part) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            let length = stdout.read(&mut part).expect("output");
            if length == 0 {
                break;
            }
            got.extend_from_slice(&part[..length]);
            // Slower than anything on the way.
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        assert_eq!(child.wait().expect("its end").code(), Some(0));
        let whole: String = (1..=3_000_000).map(|number| format!("{number}\n")).collect();
        assert!(got == whole.as_bytes(), "{} of {} bytes", got.len(), whole.len());
        system
    });
}

#[test]
fn a_control_plane_that_is_killed_and_comes_back_costs_no_session() {
    system::with(|mut system| async move {
        let task = run_waiting(&system).await;
        let mut pty = shell_in(&system, &task);
        pty.types(b"answer=kept\r");
        pty.expect("/ # ");
        system.plane.start_again().await;
        pty.expect("connected again");
        pty.types(b"echo $answer-$answer\r");
        pty.expect("kept-kept\r\n");
        pty.types(b"exit 3\r");
        assert_eq!(pty.wait().code(), Some(3));
        system
    });
}

/// Waits until no process of a task has this command.
async fn until_gone(system: &System, task: &str, command: &str) {
    wait::until_some("the process is gone", || {
        let output = exec(system, task, &["busybox", "ps"], b"");
        let left = text(&output.stdout);
        (output.status.success() && !left.contains(command)).then_some(())
    })
    .await;
}

#[test]
fn whoever_ends_a_session_it_ends_for_all() {
    system::with(|mut system| async move {
        let task = run_waiting(&system).await;
        let mut pty = shell_in(&system, &task);
        pty.types(b"sleep 7001\r");
        pty.expect("sleep 7001\r\n");
        pty.signal(Signal::TERM);
        assert_eq!(pty.wait().code(), Some(143));
        assert!(pty.is_cooked());
        until_gone(&system, &task, "sleep 7001").await;
        let mut pty = shell_in(&system, &task);
        pty.types(b"sleep 7002\r");
        pty.expect("sleep 7002\r\n");
        system.agent.kill();
        system.agent.start();
        assert_eq!(pty.wait().code(), Some(255));
        system.until_connected().await;
        until_gone(&system, &task, "sleep 7002").await;
        let mut pty = shell_in(&system, &task);
        system.stop(&task).await;
        assert!(matches!(pty.wait().code(), Some(129 | 137 | 255)));
        system.until(&task, "STOPPED").await;
        system
    });
}

#[test]
fn ten_at_once() {
    system::with(|system| async move {
        let task = run_waiting(&system).await;
        let mut all: Vec<_> = (0..10).map(|_| shell_in(&system, &task)).collect();
        for (number, pty) in all.iter_mut().enumerate() {
            pty.types(format!("echo $(({number}+100))\r").as_bytes());
        }
        for (number, pty) in all.iter_mut().enumerate() {
            pty.expect(&format!("\n{}\r\n", number + 100));
            pty.types(format!("exit {number}\r").as_bytes());
        }
        for (number, mut pty) in all.into_iter().enumerate() {
            assert_eq!(pty.wait().code(), i32::try_from(number).ok());
        }
        system
    });
}

#[test]
fn logs_of_a_task_on_any_machine() {
    system::with(|system| async move {
        let script = "echo one; echo two >&2; sleep 10000";
        let containers = vec![shell("app", &system.busybox, script).build()];
        // No enableExecuteCommand: reading is no running.
        let definition = system.define("talks", containers).await;
        let task = system.run(&definition).await;
        system.until(&task, "RUNNING").await;
        wait::until_some("the log has both lines", || {
            let output = longshore(&system, &["logs", id_of(&task)])
                .output()
                .expect("a process");
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            (text(&output.stdout) == "one\n" && text(&output.stderr) == "two\n").then_some(())
        })
        .await;
        let output = longshore(&system, &["logs", &task, "--json", "--since", "1h"]).output();
        let records = text(&output.expect("a process").stdout);
        assert_eq!(records.lines().count(), 2, "{records}");
        let output = longshore(&system, &["logs", &task, "--since", "2100-01-01T00:00:00Z"]).output();
        assert_eq!(text(&output.expect("a process").stdout), "");
        let mut command = longshore(&system, &["logs", &task, "--follow"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut follower = command.spawn().expect("a process");
        let mut first = [0; 4];
        follower
            .stdout
            .take()
            .expect("a pipe")
            .read_exact(&mut first)
            .expect("output");
        assert_eq!(&first, b"one\n");
        system.stop(&task).await;
        assert_eq!(follower.wait().expect("its end").code(), Some(0));
        let stopped = system.until(&task, "STOPPED").await;
        assert!(stopped.stopped_at().is_some());
        let output = longshore(&system, &["logs", &task]).output().expect("a process");
        assert_eq!(text(&output.stdout), "one\n", "{}", text(&output.stderr));
        system
    });
}
