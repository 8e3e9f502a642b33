//! `longshore exec` and `longshore logs` with a stand-in for everything behind the API.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail like tests"
)]

mod relay;

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use longshore_tests::pty::Pty;
use relay::{Program, Relay, Trouble, flood};
use serde_json::json;

const EXEC: [&str; 4] = ["exec", "0a", "--", "x"];

impl Relay {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.env_clear().env("AWS_ENDPOINT_URL", &self.url);
        command
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "b");
        command.args(args);
        command
    }

    /// Runs the program to its end, with this input.
    fn longshore(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // It may end before it has read all.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap()
        })
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Waits for something of another process; the test's own time limit ends it.
fn until(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn pipes_carry_every_byte_both_ways_and_the_exit_code() {
    let relay = Relay::start(Program::Cat, Trouble::default());
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let args = [
        "exec",
        "0a",
        "-c",
        "web",
        "--cluster",
        "edge",
        "--",
        "cat",
        "a b",
        "it's",
    ];
    let output = relay.longshore(&args, &input);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(
        output.stdout == input,
        "{} of {}",
        output.stdout.len(),
        input.len()
    );
    assert_eq!(stderr(&output), "no more\n");
    assert_eq!(relay.offer(), Some(false));
    let mut asked = relay
        .asked("AmazonEC2ContainerServiceV20141113.ExecuteCommand")
        .remove(0);
    let command = asked["command"].take();
    assert_eq!(
        shlex::split(command.as_str().unwrap()).unwrap(),
        ["cat", "a b", "it's"]
    );
    assert_eq!(
        asked,
        json!({"cluster": "edge", "task": "0a", "container": "web", "interactive": true, "command": null})
    );
    assert_eq!(relay.opened()[0].token_value, "token-1");
    assert!(relay.asked("AmazonSSM.TerminateSession").is_empty());
}

#[test]
fn a_terminal_is_passed_through_and_left_as_it_was() {
    let relay = Relay::start(Program::Window, Trouble::default());
    let mut pty = Pty::start(relay.command(&EXEC), 101, 37);
    pty.expect("<101x37>");
    assert!(!pty.is_cooked());
    pty.types(b"\x03\x04\x1a\r");
    pty.expect("[03]");
    pty.expect("[04]");
    pty.expect("[1a]");
    pty.expect("[0d]");
    pty.resize(55, 44);
    pty.expect("<55x44>");
    pty.types(b"q");
    pty.expect("[71]");
    assert_eq!(pty.wait().code(), Some(3));
    assert!(pty.is_cooked());
    assert_eq!(relay.offer(), Some(true));
}

#[test]
fn a_signal_ends_the_session_and_leaves_the_terminal_as_it_was() {
    for (signal, code) in [
        (rustix::process::Signal::TERM, 143),
        (rustix::process::Signal::HUP, 129),
        (rustix::process::Signal::QUIT, 131),
    ] {
        let relay = Relay::start(Program::Window, Trouble::default());
        let mut pty = Pty::start(relay.command(&EXEC), 80, 24);
        pty.expect("<80x24>");
        pty.signal(signal);
        assert_eq!(pty.wait().code(), Some(code));
        assert!(pty.is_cooked());
        assert_eq!(
            relay.asked("AmazonSSM.TerminateSession"),
            [json!({"SessionId": "s"})]
        );
        until(|| relay.hung_up());
    }
}

#[test]
fn a_socket_that_is_lost_costs_nothing_but_a_message() {
    let all = 3_000_000;
    let trouble = Trouble {
        cut_after: Some(50),
        ..Trouble::default()
    };
    let relay = Relay::start(Program::Flood { written: 0, all }, trouble);
    let output = relay.longshore(&EXEC, b"");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout == flood(0, all), "{} bytes", output.stdout.len());
    let text = stderr(&output);
    assert!(
        text.contains("no connection") && text.contains("connected again"),
        "{text}"
    );
    let opened = relay.opened();
    assert_eq!(opened.len(), 2);
    assert_eq!(opened[0].client_id, opened[1].client_id);
    assert_ne!(opened[0].token_value, opened[1].token_value);
    assert_eq!(
        relay.asked("AmazonSSM.ResumeSession"),
        [json!({"SessionId": "s"})]
    );
}

#[test]
fn what_is_typed_while_the_socket_is_gone_arrives() {
    let trouble = Trouble {
        cut_after: Some(5),
        ..Trouble::default()
    };
    let relay = Relay::start(Program::Cat, trouble);
    let input = flood(0, 2_000_000);
    let output = relay.longshore(&EXEC, &input);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(output.stdout == input, "{} bytes", output.stdout.len());
}

#[test]
fn a_session_that_is_forgotten_meanwhile_is_told() {
    let trouble = Trouble {
        cut_after: Some(4),
        forgets: true,
        ..Trouble::default()
    };
    let relay = Relay::start(Program::Window, trouble);
    let output = relay.longshore(&EXEC, b"a");
    assert_eq!(output.status.code(), Some(255));
    let text = stderr(&output);
    assert!(text.contains("the session ended meanwhile"), "{text}");
    assert!(relay.asked("AmazonSSM.TerminateSession").is_empty());
}

#[test]
fn who_does_not_want_to_wait_gives_up_with_ctrl_c() {
    let trouble = Trouble {
        // Four of the handshake, one for the size that is shown, and the key.
        cut_after: Some(6),
        refuses_sockets: true,
        ..Trouble::default()
    };
    let relay = Relay::start(Program::Window, trouble);
    let mut pty = Pty::start(relay.command(&EXEC), 80, 24);
    pty.expect("<80x24>");
    pty.types(b"a");
    pty.expect("Ctrl-C gives up");
    pty.types(b"\x03");
    pty.expect("given up");
    assert_eq!(pty.wait().code(), Some(255));
    assert!(pty.is_cooked());
    assert_eq!(relay.asked("AmazonSSM.TerminateSession").len(), 1);
}

#[test]
fn what_the_service_refuses_is_no_exit_code_of_a_command() {
    let relay = Relay::start(Program::Cat, Trouble::default());
    let mut command = relay.command(&EXEC);
    let output = command
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(255));
    assert!(
        stderr(&output).contains("nothing answers at"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_refusal_on_the_channel_is_shown() {
    let relay = Relay::start(
        Program::Refused("there are 16 sessions already"),
        Trouble::default(),
    );
    let output = relay.longshore(&EXEC, b"");
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(stderr(&output), "longshore: there are 16 sessions already\n");
}

#[test]
fn a_reader_who_is_slow_costs_no_memory() {
    let all = 64_000_000;
    let relay = Relay::start(Program::Flood { written: 0, all }, Trouble::default());
    let mut command = relay.command(&EXEC);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // It goes on until everything between is full.
    let mut before = 0;
    until(|| relay.flooded() > 1_000_000);
    loop {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = relay.flooded();
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before < all);
    let (mut got, mut part) = (0, vec![0; 1 << 20]);
    let mut peak = 0;
    loop {
        let length = stdout.read(&mut part).unwrap();
        if length == 0 {
            break;
        }
        assert!(part[..length] == flood(got, got + length), "after {got}");
        got += length;
        peak = peak_kib(child.id()).unwrap_or(peak);
    }
    assert_eq!(got, all);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(peak > 0 && peak < 40 * 1024, "{peak} KiB");
}

/// The most memory that a process ever had; nothing if it has ended.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn a_reader_who_goes_away_ends_the_session() {
    let relay = Relay::start(
        Program::Flood {
            written: 0,
            all: usize::MAX,
        },
        Trouble::default(),
    );
    let mut command = relay.command(&EXEC);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(stderr(&output), "");
    assert_eq!(relay.asked("AmazonSSM.TerminateSession").len(), 1);
}

#[test]
fn logs_come_by_a_session_of_their_own() {
    let log = "{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n\
               {\"log\":\"b\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-01T00:00:01Z\"}\n";
    let relay = Relay::start(Program::Says(log.into()), Trouble::default());
    let args = ["logs", "0a", "-c", "web", "-f", "--since", "2026-01-01T00:00:00Z"];
    let output = relay.longshore(&args, b"");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        (output.stdout.as_slice(), stderr(&output).as_str()),
        (&b"a\n"[..], "b\n")
    );
    assert_eq!(
        relay.asked("Longshore.StartLogsSession"),
        [
            json!({"cluster": "default", "task": "0a", "container": "web", "follow": true,
            "since": 1_767_225_600.0})
        ]
    );
    let relay = Relay::start(Program::Says(log.into()), Trouble::default());
    let output = relay.longshore(&["logs", "0a", "--json"], b"");
    assert_eq!(output.stdout, log.as_bytes());
    let relay = Relay::start(Program::Refused("its log is gone"), Trouble::default());
    let output = relay.longshore(&["logs", "0a"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "longshore: its log is gone\n");
}
