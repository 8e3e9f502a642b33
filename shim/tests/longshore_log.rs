//! The program `longshore-log` on real pipes: as containerd starts it, on a disk that is full, under signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use longshore_protocol::json_file::{MAX_CHUNK, Record, Stream, WriterOptions, parse};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_longshore-log");
const MIB: u64 = 1024 * 1024;

struct Writer {
    child: Child,
    stdout: Option<PipeWriter>,
    stderr: Option<PipeWriter>,
    ready: PipeReader,
    dir: tempfile::TempDir,
}

impl Writer {
    fn start(max_size: u64, max_file: u32) -> Self {
        Self::start_with(max_size, max_file, "")
    }

    /// `before` is shell code that runs in the writer's process before it.
    fn start_with(max_size: u64, max_file: u32, before: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = write_options(dir.path(), max_size, max_file);
        let (stdout_end, stdout) = pipe().unwrap();
        let (stderr_end, stderr) = pipe().unwrap();
        let (ready, ready_end) = pipe().unwrap();
        // The pipes come in where Command can put them; the shell moves them to where containerd's shim does.
        let script = format!("exec 3<&0 4<&2 5>&1 0<&- 1>&- 2>&-; {before} exec \"$0\" options \"$1\"");
        let child = Command::new("sh")
            .args(["-c", &script, PROGRAM])
            .arg(file)
            .stdin(stdout_end)
            .stderr(stderr_end)
            .stdout(ready_end)
            .spawn()
            .unwrap();
        Self {
            child,
            stdout: Some(stdout),
            stderr: Some(stderr),
            ready,
            dir,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn out(&self, bytes: &[u8]) {
        self.stdout.as_ref().unwrap().write_all(bytes).unwrap();
    }

    fn err(&self, bytes: &[u8]) {
        self.stderr.as_ref().unwrap().write_all(bytes).unwrap();
    }

    /// Waits until the file has so many records.
    fn wait_for(&self, count: usize) {
        while records(&self.path()).len() < count {
            std::thread::yield_now();
        }
    }

    /// Closes what is still open, waits for the end, and gives back the folder.
    fn end(mut self) -> tempfile::TempDir {
        (self.stdout, self.stderr) = (None, None);
        assert!(self.child.wait().unwrap().success());
        self.dir
    }
}

fn write_options(dir: &Path, max_size: u64, max_file: u32) -> PathBuf {
    let options = WriterOptions {
        path: dir.join("log"),
        max_size,
        max_file,
    };
    let file = dir.join("options.json");
    std::fs::write(&file, serde_json::to_vec(&options).unwrap()).unwrap();
    file
}

/// The whole records of a file; it may be written to meanwhile.
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
fn both_streams_stand_in_one_file_with_the_time() {
    let mut writer = Writer::start(MIB, 3);
    writer.ready.read_to_end(&mut Vec::new()).unwrap();
    let before = jiff::Timestamp::now();
    writer.out(b"to stdout\n");
    writer.wait_for(1);
    writer.err(b"to \xffstderr");
    let dir = writer.end();
    let records = records(&dir.path().join("log"));
    let seen: Vec<_> = records
        .iter()
        .map(|record| (record.stream, record.log.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (Stream::Stdout, "to stdout\n"),
            (Stream::Stderr, "to \u{fffd}stderr")
        ]
    );
    for record in records {
        assert_eq!(record.time.len(), "2026-01-02T03:04:05.123456789Z".len());
        let time: jiff::Timestamp = record.time.parse().unwrap();
        assert!(before <= time && time <= jiff::Timestamp::now());
    }
}

#[test]
fn stderr_goes_on_when_stdout_is_closed() {
    let mut writer = Writer::start(MIB, 3);
    writer.out(b"last words");
    writer.stdout = None;
    writer.wait_for(1);
    for n in 0..100 {
        writer.err(format!("{n}\n").as_bytes());
    }
    let dir = writer.end();
    let records = records(&dir.path().join("log"));
    assert_eq!(text(&records, Stream::Stdout), "last words");
    assert_eq!(text(&records, Stream::Stderr).lines().count(), 100);
}

#[test]
fn a_line_of_ten_megabytes_comes_back_whole() {
    let writer = Writer::start(100 * MIB, 3);
    let line = format!("{}\n", "0123456789abcde€".repeat(10 * 1024 * 1024 / 18));
    writer.out(line.as_bytes());
    let dir = writer.end();
    let records = records(&dir.path().join("log"));
    assert!(records.iter().all(|record| record.log.len() <= MAX_CHUNK));
    let (last, others) = records.split_last().unwrap();
    assert!(last.log.ends_with('\n') && others.iter().all(|record| !record.log.contains('\n')));
    assert!(text(&records, Stream::Stdout) == line, "the line has changed");
}

#[test]
fn it_rotates_and_loses_nothing_within_its_files() {
    let writer = Writer::start(64 * 1024, 1000);
    let lines: Vec<String> = (0..50_000).map(|n| format!("line {n}\n")).collect();
    writer.out(lines.concat().as_bytes());
    let dir = writer.end();
    let mut paths: Vec<_> = (1..)
        .map(|n| dir.path().join(format!("log.{n}")))
        .take_while(|path| path.exists())
        .collect();
    assert!(paths.len() > 10);
    paths.reverse();
    paths.push(dir.path().join("log"));
    let records: Vec<_> = paths.iter().flat_map(|path| records(path)).collect();
    assert!(
        text(&records, Stream::Stdout) == lines.concat(),
        "lines are missing or moved"
    );
    assert!(
        paths
            .iter()
            .all(|path| std::fs::metadata(path).unwrap().len() <= 64 * 1024)
    );
}

#[test]
fn signals_do_not_end_it() {
    let mut writer = Writer::start(MIB, 3);
    writer.ready.read_to_end(&mut Vec::new()).unwrap();
    let pid = Pid::from_raw(writer.child.id().try_into().unwrap());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        kill(pid, signal).unwrap();
    }
    writer.out(b"still here\n");
    let dir = writer.end();
    assert_eq!(records(&dir.path().join("log"))[0].log, "still here\n");
}

#[test]
fn it_outlives_who_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_options(dir.path(), MIB, 3);
    let (end, stdout) = pipe().unwrap();
    let (mut ready, ready_end) = pipe().unwrap();
    let script = "setsid sh -c 'exec 3<&0 4</dev/null 5>&1 1>&-; exec \"$0\" options \"$1\"' \"$0\" \"$1\" <&0 & exit 0";
    let starter = Command::new("bash")
        .args(["-c", script, PROGRAM])
        .arg(file)
        .stdin(end)
        .stdout(ready_end)
        .status()
        .unwrap();
    assert!(starter.success());
    ready.read_to_end(&mut Vec::new()).unwrap();
    (&stdout).write_all(b"orphan\n").unwrap();
    while records(&dir.path().join("log")).is_empty() {
        std::thread::yield_now();
    }
    drop(stdout);
}

#[test]
fn a_full_disk_drops_and_counts_and_holds_nothing_up() {
    // A limit on the size of files is a full disk that a test may have: writes are cut short, then fail.
    let mut writer = Writer::start_with(10 * MIB, 1, "ulimit -S -f 16;");
    writer.ready.read_to_end(&mut Vec::new()).unwrap();
    let lines: Vec<String> = (0..5000).map(|n| format!("line {n}\n")).collect();
    // More than pipe and file can hold: this ends only if the writer reads on.
    writer.out(lines.concat().repeat(10).as_bytes());
    let limit = Command::new("prlimit")
        .args(["--fsize=unlimited:", "--pid", &writer.child.id().to_string()])
        .status()
        .unwrap();
    assert!(limit.success());
    writer.err(b"room again\n");
    let dir = writer.end();
    let records = records(&dir.path().join("log"));
    let own = |record: &&Record| record.log.starts_with("longshore-log: ");
    let notes: Vec<_> = records
        .iter()
        .filter(own)
        .map(|record| record.log.as_str())
        .collect();
    assert!(
        notes[0].contains("output is dropped from here on: File too large"),
        "{notes:?}"
    );
    let dropped: usize = notes
        .iter()
        .filter_map(|note| {
            note.strip_prefix("longshore-log: ")?
                .split_once(" records of output are missing here")
        })
        .map(|(count, _)| count.parse::<usize>().unwrap())
        .sum();
    assert_eq!(
        dropped + records.len() - notes.len(),
        50_000 + 1,
        "every line is there or counted"
    );
    assert_eq!(records.last().unwrap().log, "room again\n");
}

fn fail(args: &[&str]) -> String {
    let Output { status, stderr, .. } = Command::new(PROGRAM)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

#[test]
fn bad_options_are_said_and_have_an_exit_code() {
    assert!(fail(&[]).starts_with("longshore-log: usage: "));
    assert!(fail(&["options", "/does/not/exist"]).contains("can't read the options file /does/not/exist"));
    let dir = tempfile::tempdir().unwrap();
    let file = write_options(dir.path(), 0, 3);
    assert_eq!(
        fail(&["options", file.to_str().unwrap()]),
        "longshore-log: maxSize is 0: it must be 1 byte or more\n"
    );
    let file = write_options(dir.path(), 1, 3);
    assert!(fail(&["options", file.to_str().unwrap()]).contains("can't take over file descriptor 3"));
}
