//! Clients of containerd that are joined to a process, leave it, and come back.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::kit::until;
use crate::through_containerd::{System, stdout, succeeded, system};

/// A client whose output is read from a pipe.
fn piped(command: &mut Command) -> (Child, BufReader<ChildStdout>) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ctr");
    let output = child.stdout.take().expect("a pipe");
    (child, BufReader::new(output))
}

/// A client on a terminal of its own: its master.
fn on_a_terminal(command: &mut Command) -> (Child, File) {
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let slave = || Stdio::from(pty.slave.try_clone().expect("a duplicate"));
    let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn();
    (child.expect("ctr"), pty.master.into())
}

/// Reads until a text has come.
fn read_until(from: &mut impl std::io::Read, text: &str) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(text.as_bytes()) {
        from.read_exact(&mut byte)
            .unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&seen)));
        seen.push(byte[0]);
    }
}

fn kill(mut client: Child) {
    client.kill().expect("it runs");
    client.wait().expect("it is ours");
}

fn touch(system: &System, name: &str) {
    std::fs::write(system.rootfs.join("tmp").join(name), "").expect("written");
}

#[test]
fn a_client_that_dies_holds_nothing_up_and_another_may_come() {
    system(|system| async move {
        let script = "echo first; until [ -e /tmp/go ]; do sleep 0.05; done; \
                      head -c 1000000 /dev/zero; echo > /tmp/written; \
                      until [ -e /tmp/stop ]; do echo tick; sleep 0.05; done; echo last; exit 3";
        let (client, mut output) = piped(&mut system.run(&[], "c", script));
        read_until(&mut output, "first\n");
        kill(client);
        touch(&system, "go");
        until("the container is not held up", || {
            system.rootfs.join("tmp/written").exists()
        });
        let (mut client, mut output) = piped(&mut system.ctr(&["task", "attach", "c"]));
        read_until(&mut output, "tick\n");
        touch(&system, "stop");
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("text");
        assert_eq!(rest.trim_start_matches("tick\n"), "last\n");
        assert_eq!(client.wait().expect("it is ours").code(), Some(3));
        system.remove("c");
        system
    });
}

#[test]
fn a_terminal_is_taken_over_by_the_next_client() {
    system(|system| async move {
        let (client, mut terminal) = on_a_terminal(&mut system.run(&["-t"], "c", "exec sh -i"));
        terminal.write_all(b"echo $((40+1))\n").expect("typed");
        read_until(&mut terminal, "\n41\r");
        kill(client);
        let (mut client, mut terminal) = on_a_terminal(&mut system.ctr(&["task", "attach", "c"]));
        terminal.write_all(b"echo $((40+2))\n").expect("typed");
        read_until(&mut terminal, "\n42\r");
        terminal.write_all(b"exit 5\n").expect("typed");
        assert_eq!(client.wait().expect("it is ours").code(), Some(5));
        system.remove("c");
        system
    });
}

#[test]
fn input_reaches_containers_and_execs_and_ends_with_its_client() {
    system(|system| async move {
        let typed = |command: &mut Command| {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("ctr");
            let mut input = child.stdin.take().expect("a pipe");
            let text = "a line\n".repeat(30_000);
            let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
            let output = child.wait_with_output().expect("ctr");
            writer.join().expect("no panic").expect("all was taken");
            succeeded(&output);
            BufReader::new(output.stdout.as_slice()).lines().count()
        };
        assert_eq!(typed(&mut system.run(&["--rm"], "c", "cat")), 30_000);
        succeeded(&system.run(&["-d"], "d", "exec sleep 1000").output().expect("ctr"));
        let exec = ["task", "exec", "--exec-id", "e", "d", "/bin/cat"];
        assert_eq!(typed(&mut system.ctr(&exec)), 30_000);
        system.remove("d");
        system
    });
}

#[test]
fn an_exec_that_leaves_a_daemon_ends_at_once_for_its_client() {
    system(|system| async move {
        succeeded(&system.run(&["-d"], "c", "exec sleep 1000").output().expect("ctr"));
        let script = "sleep 1000 & echo left";
        let exec = ["task", "exec", "--exec-id", "e", "c", "/bin/sh", "-c", script];
        let output = system.ctr(&exec).output().expect("ctr");
        succeeded(&output);
        assert_eq!(stdout(&output), "left\n");
        system.remove("c");
        system
    });
}
