//! Sessions by `longshore exec`, beside `ctr task exec` in the same container: how long until the prompt, how long a key
//! takes to be seen, how fast output comes, and what a session that waits costs the agent.
//!
//! `make bench` runs it on release binaries. Each pair is taken in turn, so that noise hits both. Budgets are printed beside
//! what was measured; nothing is judged here.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a benchmark asks the system for the time and prints what it found"
)]

#[path = "../tests/blackbox/system.rs"]
#[allow(dead_code, reason = "the benchmark needs a part of what the tests do")]
mod system;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use longshore_tests::binaries;
use longshore_tests::pty::Pty;
use system::{System, shell};

/// How often a shell is opened, by each.
const SHELLS: usize = 20;
/// How many keys are typed.
const KEYS: usize = 1000;
/// How much output is taken, in bytes.
const OUTPUT: usize = 200_000_000;
/// How often.
const OUTPUTS: usize = 3;
/// How many sessions wait at once.
const WAITING: usize = 100;
const PROMPT: &str = "/ # ";

fn main() {
    system::with_settings(&[("LONGSHORE_EXEC_MAX_SESSIONS", "200")], |system| async move {
        let task = run(&system).await;
        println!("sessions (beside ctr task exec in the same container):");
        prompts(&system, &task);
        keys(&system, &task);
        output(&system, &task);
        memory(&system, &task);
        system
    });
}

async fn run(system: &System) -> String {
    let container = shell("app", &system.busybox, "sleep 100000").build();
    let definition = system.define("exec", vec![container]).await;
    system.run_open(&definition).await
}

/// A command in the container by Longshore.
fn ours(system: &System, task: &str, command: &[&str]) -> Command {
    let mut program = Command::new(binaries::path("longshore"));
    program.env_clear().envs(system.plane.environment());
    program.args(["exec", task, "--"]).args(command);
    program
}

/// The same by containerd's client; `terminal` is its `-t`.
fn theirs(system: &System, terminal: bool, command: &[&str]) -> Command {
    let namespace = system.host.containerd_namespace();
    let id = system.containerd.ctr(&namespace, &["containers", "list", "-q"]);
    let exec = uuid::Uuid::new_v4().to_string();
    let mut program = Command::new("ctr");
    program.arg("-a").arg(system.containerd.socket());
    program.args(["-n", &namespace, "task", "exec", "--exec-id", &exec]);
    if terminal {
        program.arg("-t");
    }
    program.arg(id.lines().next().expect("a container")).args(command);
    program
}

/// Both in turn; how long each took.
fn in_turn(times: usize, mut measure: impl FnMut(bool) -> Duration) -> (Vec<Duration>, Vec<Duration>) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=times {
        let (one, other) = (measure(true), measure(false));
        // The first round warms both.
        if round > 0 {
            ours.push(one);
            theirs.push(other);
        }
    }
    ours.sort();
    theirs.sort();
    (ours, theirs)
}

fn prompts(system: &System, task: &str) {
    let (ours, theirs) = in_turn(SHELLS, |is_ours| {
        let command = match is_ours {
            true => ours(system, task, &["/bin/sh"]),
            false => theirs(system, true, &["/bin/sh"]),
        };
        let begun = Instant::now();
        let mut pty = Pty::start(command, 80, 24);
        pty.expect(PROMPT);
        let took = begun.elapsed();
        pty.types(b"exit\r");
        pty.wait();
        took
    });
    let ratio = at(&ours, 50).as_secs_f64() / at(&theirs, 50).as_secs_f64();
    println!(
        "  program's start → prompt, median ms (n = {SHELLS}): {:.1}, ctr {:.1}; ratio {ratio:.2} (budget 2)",
        milliseconds(at(&ours, 50)),
        milliseconds(at(&theirs, 50))
    );
}

fn keys(system: &System, task: &str) {
    let mut ours = Pty::start(ours(system, task, &["/bin/cat"]), 80, 24);
    let mut theirs = Pty::start(theirs(system, true, &["/bin/cat"]), 80, 24);
    for pty in [&mut ours, &mut theirs] {
        // Echo is the terminal's: it is there once the whole way is.
        pty.types(b"ready\r");
        for text in ["ready", "\n", "ready", "\n"] {
            pty.expect(text);
        }
    }
    let mut key = 0;
    let (our_times, their_times) = in_turn(KEYS, |is_ours| {
        let pty = if is_ours { &mut ours } else { &mut theirs };
        key += 1;
        let text = char::from(b'a' + u8::try_from(key % 26).unwrap_or(0)).to_string();
        // A line that gets too long is not taken any more.
        if key % 200 < 2 {
            pty.types(b"\r");
            pty.expect("\n");
            pty.expect("\n");
        }
        let begun = Instant::now();
        pty.types(text.as_bytes());
        pty.expect(&text);
        begun.elapsed()
    });
    println!(
        "  key → echo, p50 / p99 ms (n = {KEYS}): {:.2} / {:.2} (budget 2 / 10), ctr {:.2} / {:.2}",
        milliseconds(at(&our_times, 50)),
        milliseconds(at(&our_times, 99)),
        milliseconds(at(&their_times, 50)),
        milliseconds(at(&their_times, 99))
    );
    for mut pty in [ours, theirs] {
        pty.types(b"\r\x04");
        pty.wait();
    }
}

fn output(system: &System, task: &str) {
    let count = OUTPUT.to_string();
    let command = ["/bin/busybox", "head", "-c", &count, "/dev/zero"];
    let (ours, theirs) = in_turn(OUTPUTS, |is_ours| {
        let mut command = match is_ours {
            true => ours(system, task, &command),
            false => theirs(system, false, &command),
        };
        let begun = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (mut stdout, mut part, mut got) = (child.stdout.take().expect("a pipe"), vec![0; 1 << 20], 0);
        loop {
            match stdout.read(&mut part).expect("output") {
                0 => break,
                length => got += length,
            }
        }
        let took = begun.elapsed();
        child.wait().expect("its end");
        assert_eq!(got, OUTPUT);
        took
    });
    println!(
        "  output by a pipe, median MB/s (n = {OUTPUTS}, {} MB): {:.0} (budget 40), ctr {:.0}",
        OUTPUT / 1_000_000,
        rate(at(&ours, 50)),
        rate(at(&theirs, 50))
    );
}

fn memory(system: &System, task: &str) {
    let open = || {
        let mut pty = Pty::start(ours(system, task, &["/bin/sh"]), 80, 24);
        pty.expect(PROMPT);
        pty
    };
    let close = |mut pty: Pty| {
        pty.types(b"exit\r");
        pty.wait();
    };
    // What the first one makes for good is not a session's.
    close(open());
    let (agent, plane) = (system.agent.pid(), system.plane.pid());
    let before = (own(agent), own(plane));
    let waiting: Vec<_> = (0..WAITING).map(|_| open()).collect();
    let after = (own(agent), own(plane));
    let each = |before: u64, after: u64| after.saturating_sub(before) / WAITING as u64;
    println!(
        "  memory of a session that waits, KiB (n = {WAITING}): agent {} (budget 128), control plane {} (budget 100)",
        each(before.0, after.0),
        each(before.1, after.1)
    );
    waiting.into_iter().for_each(close);
}

/// What a process has for itself, in KiB.
fn own(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    let number = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    private.filter_map(number).sum()
}

/// A percentile of times that are sorted.
fn at(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a rate to be read by people")]
fn rate(time: Duration) -> f64 {
    OUTPUT as f64 / 1_000_000.0 / time.as_secs_f64()
}
