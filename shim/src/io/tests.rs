use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
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
    let request = StdioRequest {
        stdout: &uri,
        ..StdioRequest::default()
    };
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
    let request = StdioRequest {
        stdout: &uri,
        ..StdioRequest::default()
    };
    let (child, process) = io.open(&request, &NAME).unwrap();
    let mut out = File::from(child.stdout);
    for n in 1..=3 {
        out.write_all(b"a line\n").unwrap();
        wait_for(|| records(&path).len() == n);
    }
    assert!(!process.drained(Duration::ZERO));
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
    let request = StdioRequest {
        stdout: &stdout,
        ..StdioRequest::default()
    };
    let (child, process) = io.open(&request, &NAME).unwrap();
    assert!(run(child, "echo early").wait().unwrap().success());
    assert!(!process.drained(Duration::ZERO));
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
    let request = StdioRequest {
        stdout: &stdout,
        ..StdioRequest::default()
    };
    let (child, process) = io.open(&request, &NAME).unwrap();
    drop(client);
    // More than pipe and FIFO hold: this returns only if it is read.
    let mut out = File::from(child.stdout);
    out.write_all(&vec![b'x'; 1 << 20]).unwrap();
    wait_for(|| process.dropped_bytes() == 1 << 20);
    let path = stdout.clone();
    let client = std::thread::spawn(move || std::fs::read_to_string(path).unwrap());
    while !client.is_finished() {
        // What comes before the client does is dropped.
        if out.write_all(b"back\n").is_err() || process.dropped_bytes() < (1 << 20) {
            unreachable!("it takes everything");
        }
        if process_has_reader(&stdout) {
            break;
        }
    }
    out.write_all(b"last\n").unwrap();
    drop((out, child.stderr));
    assert!(process.drained(LONG));
    assert!(client.join().unwrap().ends_with("last\n"));
}

/// Whether somebody has this FIFO open to read.
fn process_has_reader(path: &str) -> bool {
    OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .is_ok()
}
