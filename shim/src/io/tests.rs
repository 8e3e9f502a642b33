mod clients;
mod fast;
mod loggers;

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};

use longshore_protocol::json_file::{Record, Stream, WriterOptions, parse};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

const LONG: Duration = Duration::from_secs(60);
const NAME: ProcessName<'static> = ProcessName {
    namespace: "tests",
    container: "web",
};

fn start() -> Io {
    Io::start(jiff::Timestamp::now).unwrap()
}

fn fifo(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A request of nothing but stdout.
fn to(stdout: &str) -> StdioRequest<'_> {
    StdioRequest {
        stdout,
        ..StdioRequest::default()
    }
}

/// A process with this I/O.
fn run(child: ChildStdio, script: &str) -> std::process::Child {
    Program::new("sh")
        .args(["-c", script])
        .stdin(Stdio::from(child.stdin))
        .stdout(Stdio::from(child.stdout))
        .stderr(Stdio::from(child.stderr))
        .spawn()
        .unwrap()
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

fn log_uri(dir: &Path, max_size: u64, max_file: u32) -> (String, PathBuf) {
    let path = dir.join("log");
    let options = WriterOptions {
        path: path.clone(),
        max_size,
        max_file,
    };
    let file = dir.join("options.json");
    std::fs::write(&file, serde_json::to_vec(&options).unwrap()).unwrap();
    (format!("longshore-log://{}", file.display()), path)
}

fn records(path: &Path) -> Vec<Record> {
    let file = std::fs::read(path).unwrap_or_default();
    let lines = file.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| line.ends_with(b"\n"))
        .map(|line| parse(line).unwrap())
        .collect()
}

fn text(records: &[Record], stream: Stream) -> String {
    let of_stream = records.iter().filter(|record| record.stream == stream);
    of_stream.map(|record| record.log.as_str()).collect()
}

/// A program for `binary://`: a shell script.
fn logger_uri(dir: &Path, script: &str) -> String {
    let path = dir.join("logger");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("binary://{}?dir={}&flag", path.display(), dir.display())
}

#[test]
fn a_log_takes_both_streams_with_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let (uri, path) = log_uri(dir.path(), 1 << 20, 2);
    let io = start();
    let request = to(&uri);
    let before = jiff::Timestamp::now();
    let (child, process) = io.open(&request, &NAME).unwrap();
    let mut program = run(child, "echo out; echo err >&2; printf last");
    assert!(program.wait().unwrap().success());
    assert!(process.drained(LONG));
    let records = records(&path);
    assert_eq!(text(&records, Stream::Stdout), "out\nlast");
    assert_eq!(text(&records, Stream::Stderr), "err\n");
    for record in records {
        let time: jiff::Timestamp = record.time.parse().unwrap();
        assert!(before <= time && time <= jiff::Timestamp::now());
    }
}

#[test]
fn lines_are_written_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (uri, path) = log_uri(dir.path(), 1 << 20, 2);
    let io = start();
    let request = to(&uri);
    let (child, process) = io.open(&request, &NAME).unwrap();
    let mut out = File::from(child.stdout);
    for n in 1..=3 {
        out.write_all(b"a line\n").unwrap();
        wait_for(|| records(&path).len() == n);
    }
    assert!(!process.status.wait_drained(Duration::ZERO));
}

#[test]
fn a_file_takes_both_streams() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new folder/file");
    let uri = format!("file://{}/new%20folder/file", dir.path().display());
    let io = start();
    let request = StdioRequest {
        stdout: &uri,
        stderr: &uri,
        ..StdioRequest::default()
    };
    for _ in 0..2 {
        let (child, process) = io.open(&request, &NAME).unwrap();
        run(child, "echo out; echo err >&2").wait().unwrap();
        assert!(process.drained(LONG));
    }
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.len(), "out\nerr\nout\nerr\n".len());
    assert_eq!(text.matches("out\n").count(), 2);
}

#[test]
fn what_cant_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent").to_str().unwrap().to_owned();
    let io = start();
    let open = |request: &StdioRequest<'_>| io.open(request, &NAME).map(drop).unwrap_err();
    for (request, name) in [
        (
            StdioRequest {
                stdin: &absent,
                ..StdioRequest::default()
            },
            "stdin",
        ),
        (
            StdioRequest {
                stdout: &absent,
                ..StdioRequest::default()
            },
            "stdout",
        ),
        (
            StdioRequest {
                stderr: &absent,
                ..StdioRequest::default()
            },
            "stderr",
        ),
        (
            StdioRequest {
                stdout: &absent,
                terminal: true,
                ..StdioRequest::default()
            },
            "stdout",
        ),
    ] {
        assert!(
            matches!(open(&request), IoError::Open { stream, path, .. } if stream == name && path == Path::new(&absent))
        );
    }
    assert!(matches!(
        open(&to("longshore-log:///absent")),
        IoError::Options(_)
    ));
    let odd = StdioRequest {
        stderr: "file:///x",
        ..StdioRequest::default()
    };
    assert!(open(&odd).is_invalid_argument());
}

#[test]
fn nobody_wants_anything() {
    let io = start();
    let (child, process) = io.open(&StdioRequest::default(), &NAME).unwrap();
    let mut program = run(child, "cat; echo out; echo err >&2; readlink /proc/self/fd/1 >&2");
    assert!(program.wait().unwrap().success());
    assert!(process.status.wait_drained(Duration::ZERO));
    assert!(matches!(
        process.attach_console(File::open("/dev/null").unwrap().into()),
        Err(IoError::Console)
    ));
}

#[test]
fn a_daemon_outlives_its_exec_and_gets_no_sigpipe() {
    let dir = tempfile::tempdir().unwrap();
    let (uri, path) = log_uri(dir.path(), 1 << 20, 2);
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    let go = fifo(dir.path(), "go");
    let script = format!(
        "echo exec; (trap '' HUP; read line < {go}; echo late; echo later; echo lives > {go}.out) & exit 0"
    );
    assert!(run(child, &script).wait().unwrap().success());
    wait_for(|| records(&path).len() == 1);
    assert!(!process.status.wait_drained(Duration::ZERO));
    // What the exec itself has written is there, and nobody else is waited for.
    assert!(process.drained(LONG));
    std::fs::write(&go, "go\n").unwrap();
    wait_for(|| std::fs::read(format!("{go}.out")).is_ok_and(|text| text == b"lives\n"));
    assert_eq!(text(&records(&path), Stream::Stdout), "exec\n");
}

#[test]
fn what_is_in_the_pipes_at_the_close_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (uri, path) = log_uri(dir.path(), 1 << 20, 2);
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    let mut out = File::from(child.stdout);
    out.write_all(b"whole\npart").unwrap();
    process.close();
    wait_for(|| text(&records(&path), Stream::Stdout) == "whole\npart");
    // The same at the end of all.
    let (child, _process) = io.open(&to(&uri), &NAME).unwrap();
    File::from(child.stdout.try_clone().unwrap())
        .write_all(b"end")
        .unwrap();
    drop(io);
    assert_eq!(text(&records(&path), Stream::Stdout), "whole\npartend");
    out.write_all(b"x").unwrap_err();
}

#[test]
fn a_process_that_closes_its_streams_one_by_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (uri, path) = log_uri(dir.path(), 1 << 20, 2);
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    let go = fifo(dir.path(), "go");
    let mut program = run(
        child,
        &format!("printf last; exec >&-; read line < {go}; echo err >&2"),
    );
    wait_for(|| text(&records(&path), Stream::Stdout) == "last");
    std::fs::write(&go, "go\n").unwrap();
    assert!(program.wait().unwrap().success());
    assert!(process.drained(LONG));
    assert_eq!(text(&records(&path), Stream::Stderr), "err\n");
}

#[test]
fn a_console_can_be_logged() {
    let dir = tempfile::tempdir().unwrap();
    let (log, path) = log_uri(dir.path(), 1 << 20, 2);
    let binary = logger_uri(dir.path(), "exec 5>&-; cat <&3 > \"$2/out\"");
    let file = format!("file://{}", dir.path().join("out").display());
    for uri in [log, binary, file] {
        let io = start();
        let (_, process) = io
            .open(
                &StdioRequest {
                    terminal: true,
                    ..to(&uri)
                },
                &NAME,
            )
            .unwrap();
        let console = nix::pty::openpty(None, None).unwrap();
        process.attach_console(console.master).unwrap();
        File::from(console.slave).write_all(b"shown\n").unwrap();
        assert!(process.drained(LONG));
        let seen = match uri.starts_with("longshore-log") {
            true => text(&records(&path), Stream::Stdout),
            false => std::fs::read_to_string(dir.path().join("out")).unwrap(),
        };
        assert_eq!(seen, "shown\r\n");
        let _ = std::fs::remove_file(dir.path().join("out"));
    }
}

#[test]
fn nothing_is_left_of_a_thousand_processes() {
    let dir = tempfile::tempdir().unwrap();
    let (uri, _) = log_uri(dir.path(), 1 << 20, 2);
    let (stdin, stdout) = (fifo(dir.path(), "0"), fifo(dir.path(), "1"));
    let logger = logger_uri(dir.path(), "exec 5>&-; cat <&3");
    let io = start();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    for n in 0..1000 {
        let request = match n % 10 {
            0 => to(&logger),
            1..5 => StdioRequest {
                stdin: &stdin,
                ..to(&stdout)
            },
            5 => StdioRequest {
                stdin: &stdin,
                terminal: true,
                ..to(&stdout)
            },
            _ => to(&uri),
        };
        let (child, process) = io.open(&request, &NAME).unwrap();
        File::from(child.stdout).write_all(b"a line\n").unwrap();
        if request.terminal {
            process
                .attach_console(nix::pty::openpty(None, None).unwrap().master)
                .unwrap();
        }
        process.close();
    }
    wait_for(|| descriptors() == before);
}
