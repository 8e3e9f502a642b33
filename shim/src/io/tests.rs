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
fn clients_have_fifos_for_all_three() {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, stdout, stderr) = (
        fifo(dir.path(), "0"),
        fifo(dir.path(), "1"),
        fifo(dir.path(), "2"),
    );
    let io = start();
    let request = StdioRequest {
        stdin: &stdin,
        stdout: &stdout,
        stderr: &stderr,
        ..StdioRequest::default()
    };
    let (child, process) = io.open(&request, &NAME).unwrap();
    let mut program = run(child, "read line; echo got $line; cat; echo done >&2");
    let mut input = OpenOptions::new().write(true).open(&stdin).unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    let mut output = File::open(&stdout).unwrap();
    let mut error = File::open(&stderr).unwrap();
    let mut seen = [0; 8];
    output.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"got one\n");
    // A client that leaves, and comes back, has not ended stdin.
    drop(input);
    let mut input = OpenOptions::new().write(true).open(&stdin).unwrap();
    input.write_all(b"three\n").unwrap();
    drop(input);
    process.close_stdin();
    let (mut rest, mut errors) = (String::new(), String::new());
    output.read_to_string(&mut rest).unwrap();
    error.read_to_string(&mut errors).unwrap();
    assert_eq!((rest.as_str(), errors.as_str()), ("two\nthree\n", "done\n"));
    assert!(program.wait().unwrap().success());
    assert!(process.drained(LONG));
    assert_eq!(process.dropped_bytes(), 0);
}

#[test]
fn output_waits_for_the_first_client() {
    let dir = tempfile::tempdir().unwrap();
    let stdout = fifo(dir.path(), "1");
    let io = start();
    let request = to(&stdout);
    let (child, process) = io.open(&request, &NAME).unwrap();
    assert!(run(child, "echo early").wait().unwrap().success());
    assert!(!process.status.wait_drained(Duration::ZERO));
    assert_eq!(std::fs::read_to_string(&stdout).unwrap(), "early\n");
    assert!(process.drained(LONG));
}

#[test]
fn a_client_that_goes_is_not_missed_and_may_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let stdout = fifo(dir.path(), "1");
    let io = start();
    let client = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(&stdout)
        .unwrap();
    let request = to(&stdout);
    let (child, process) = io.open(&request, &NAME).unwrap();
    drop(client);
    // More than pipe and FIFO hold: this returns only if it is read.
    let mut out = File::from(child.stdout);
    out.write_all(&vec![b'x'; 1 << 20]).unwrap();
    wait_for(|| process.dropped_bytes() == 1 << 20);
    let (told, hears) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let mut fifo = BufReader::new(File::open(stdout).unwrap());
        let mut text = String::new();
        fifo.read_line(&mut text).unwrap();
        told.send(()).unwrap();
        fifo.read_to_string(&mut text).unwrap();
        text
    });
    // What comes before the client does is dropped.
    while hears.try_recv().is_err() {
        out.write_all(b"back\n").unwrap();
    }
    out.write_all(b"last\n").unwrap();
    drop((out, child.stderr));
    assert!(process.drained(LONG));
    assert!(client.join().unwrap().ends_with("back\nlast\n"));
}

/// A program for `binary://`: a shell script.
fn logger_uri(dir: &Path, script: &str) -> String {
    let path = dir.join("logger");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("binary://{}?dir={}&flag", path.display(), dir.display())
}

#[test]
fn a_logger_is_started_as_containerd_does() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"echo "$# $1 $3$4 $CONTAINER_ID $CONTAINER_NAMESPACE $(env | wc -l)" > "$2/told"
        exec 5>&-; cat <&3 > "$2/out" & cat <&4 > "$2/err"; wait"#;
    let uri = logger_uri(dir.path(), script);
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    // The shell adds PWD of its own.
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("told"), "4 dir flag web tests 3\n");
    assert!(run(child, "echo out; echo err >&2").wait().unwrap().success());
    assert!(process.drained(LONG));
    assert_eq!((read("out").as_str(), read("err").as_str()), ("out\n", "err\n"));
    assert_eq!(process.dropped_bytes(), 0);
}

#[test]
fn the_death_of_a_logger_costs_output_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let uri = logger_uri(dir.path(), "exec 5>&-; head -c 6 <&3 > \"$2/out\"");
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    let (mut out, err) = (File::from(child.stdout), File::from(child.stderr));
    out.write_all(b"taken\n").unwrap();
    // More than the pipe holds: this returns only if it is read.
    out.write_all(&vec![b'x'; 1 << 20]).unwrap();
    (&err).write_all(b"gone").unwrap();
    drop((out, err));
    assert!(process.drained(LONG));
    assert_eq!(std::fs::read(dir.path().join("out")).unwrap(), b"taken\n");
    let dropped = process.dropped_bytes();
    assert!((1..=(1 << 20) + 4).contains(&dropped), "{dropped}");
}

#[test]
fn a_logger_that_goes_on_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap 'echo asked > \"$2/end\"; kill $!' TERM; exec 5>&-; sleep 1000 & wait; wait";
    let uri = logger_uri(dir.path(), script);
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    drop(child);
    process.close();
    wait_for(|| std::fs::read(dir.path().join("end")).is_ok_and(|text| text == b"asked\n"));
}

#[test]
fn a_logger_that_cant_be_started_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let io = start();
    for uri in [
        "binary:///does/not/exist".to_owned(),
        format!("binary://{}", dir.path().display()),
    ] {
        let error = io.open(&to(&uri), &NAME).unwrap_err();
        assert!(matches!(error, IoError::Logger { program, .. } if uri.ends_with(program.to_str().unwrap())));
    }
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
fn a_process_that_closes_stdin_leaves_its_client_without_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let stdin = fifo(dir.path(), "0");
    let io = start();
    let request = StdioRequest {
        stdin: &stdin,
        ..StdioRequest::default()
    };
    let (child, _process) = io.open(&request, &NAME).unwrap();
    let mut input = OpenOptions::new().write(true).open(&stdin).unwrap();
    drop(child);
    while input.write_all(b"into the void\n").is_ok() {}
}

#[test]
fn a_slow_client_slows_down_its_process_only() {
    let dir = tempfile::tempdir().unwrap();
    let stdout = fifo(dir.path(), "1");
    let (uri, path) = log_uri(dir.path(), 1 << 20, 2);
    let io = start();
    let client = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(&stdout)
        .unwrap();
    let (child, slow) = io.open(&to(&stdout), &NAME).unwrap();
    let mut program = run(child, "head -c 10000000 /dev/zero");
    let (child, other) = io.open(&to(&uri), &NAME).unwrap();
    assert!(run(child, "echo other").wait().unwrap().success());
    assert!(other.drained(LONG));
    assert_eq!(records(&path).len(), 1);
    assert!(program.try_wait().unwrap().is_none() && !slow.status.wait_drained(Duration::ZERO));
    // The process has ended when its client begins to read: everything is still there.
    nix::fcntl::fcntl(&client, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    let mut read = 0;
    let mut client = client;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match client.read(&mut buffer).unwrap() {
            0 => break,
            count => read += count,
        }
    }
    assert_eq!(read, 10_000_000);
    assert!(program.wait().unwrap().success() && slow.drained(LONG));
}

#[test]
fn a_console_is_joined_to_fifos_and_hung_up_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, stdout) = (fifo(dir.path(), "0"), fifo(dir.path(), "1"));
    let io = start();
    let request = StdioRequest {
        stdin: &stdin,
        terminal: true,
        ..to(&stdout)
    };
    let (_, process) = io.open(&request, &NAME).unwrap();
    let console = nix::pty::openpty(None, None).unwrap();
    // Whoever resizes the console has it too.
    let other = console.master.try_clone().unwrap();
    process.attach_console(console.master).unwrap();
    let path = stdout.clone();
    let client = std::thread::spawn(move || std::fs::read_to_string(path).unwrap());
    let mut input = OpenOptions::new().write(true).open(&stdin).unwrap();
    input.write_all(b"typed\n").unwrap();
    let mut line = String::new();
    let mut slave = BufReader::new(File::from(console.slave));
    slave.read_line(&mut line).unwrap();
    assert_eq!(line, "typed\n");
    slave.get_ref().write_all(b"shown").unwrap();
    drop(slave);
    assert!(process.drained(LONG));
    assert_eq!(client.join().unwrap(), "typed\r\nshown");
    drop(other);
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
