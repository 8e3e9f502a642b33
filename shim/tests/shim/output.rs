//! Output: all of it where it goes, and never the container's trouble (invariants 4, 9 and 10).

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_protocol::json_file::{MAX_CHUNK, Record, Stream, WriterOptions, parse};
use longshore_shim::api::task::Empty;
use longshore_tests::process::run;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::kit::{Container, Shims, exec_request, on_a_host, until};

const MIB: u64 = 1024 * 1024;

impl Shims {
    /// A container with a log of its own, and that log.
    fn logged(&self, id: &str, script: &str, max_size: u64) -> (Container, PathBuf) {
        let folder = self.host.dir().join("logs").join(id);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut container = self.container(id, script);
        let path = folder.join("log");
        container.log_to(&path, max_size);
        (container, path)
    }
}

impl Container {
    fn log_to(&mut self, path: &Path, max_size: u64) {
        let options = WriterOptions {
            path: path.into(),
            max_size,
            max_file: 3,
        };
        let file = self.bundle.join("log-options.json");
        std::fs::write(&file, serde_json::to_vec(&options).expect("JSON")).expect("written");
        self.request.stdout = format!("longshore-log://{}", file.display());
    }

    /// A shell script that reads the output, as `binary://`.
    fn with_logger(mut self, script: &str) -> (Self, PathBuf) {
        use std::os::unix::fs::PermissionsExt as _;
        let program = self.bundle.join("logger");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("its own");
        self.request.stdout = format!("binary://{}?dir={}", program.display(), self.bundle.display());
        let folder = self.bundle.clone();
        (self, folder)
    }
}

/// The whole records of a file; it may be written to meanwhile.
fn records(path: &Path) -> Vec<Record> {
    let file = std::fs::read(path).unwrap_or_default();
    let lines = file.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| line.ends_with(b"\n"))
        .map(|line| parse(line).expect("a record"))
        .collect()
}

fn text(records: &[Record], stream: Stream) -> String {
    let of_stream = records.iter().filter(|record| record.stream == stream);
    of_stream.map(|record| record.log.as_str()).collect()
}

/// 16 MiB of lines, as a file `/lines` in the containers' root; the lines.
fn numbered(shims: &Shims) -> String {
    let lines: String = (0..16 * MIB / 256).map(|n| format!("{n:0255}\n")).collect();
    std::fs::write(shims.host.dir().join("rootfs/lines"), &lines).expect("written");
    lines
}

#[test]
fn a_gigabyte_at_full_speed_is_all_there() {
    on_a_host(|shims| {
        let lines = numbered(&shims);
        let script = "i=0; while [ $i -lt 64 ]; do cat /lines; i=$((i+1)); done; exit 3";
        let (container, output) = shims.container("c", script).with_output();
        let mut shim = shims.running(&container);
        assert_eq!(shim.finish("c"), 3);
        shim.end();
        let mut output = std::io::BufReader::new(std::fs::File::open(output).unwrap());
        let mut read = vec![0; lines.len()];
        for _ in 0..64 {
            output.read_exact(&mut read).unwrap();
            assert!(read == lines.as_bytes(), "output has changed");
        }
        assert_eq!(output.read(&mut read).unwrap(), 0);
    });
}

#[test]
fn a_log_keeps_the_newest_of_output_at_full_speed() {
    on_a_host(|shims| {
        let lines = numbered(&shims);
        // Less than above: without optimizations records take their time.
        let script = "i=0; while [ $i -lt 8 ]; do cat /lines; i=$((i+1)); done; echo end; exit 3";
        let (container, log) = shims.logged("c", script, 10 * MIB);
        let mut shim = shims.running(&container);
        assert_eq!(shim.finish("c"), 3);
        shim.end();
        let files = ["log.2", "log.1", "log"].map(|name| log.with_file_name(name));
        for file in &files {
            assert!(std::fs::metadata(file).unwrap().len() <= 10 * MIB);
        }
        let records: Vec<_> = files.iter().flat_map(|file| records(file)).collect();
        assert!(records.len() > 40_000);
        let all = lines.repeat(2) + "end\n";
        assert!(
            all.ends_with(&text(&records, Stream::Stdout)),
            "the newest lines are missing or moved"
        );
    });
}

#[test]
fn a_line_of_ten_megabytes_is_there_in_pieces() {
    on_a_host(|shims| {
        let script = "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo next";
        let (container, log) = shims.logged("c", script, 100 * MIB);
        let mut shim = shims.running(&container);
        assert_eq!(shim.finish("c"), 0);
        shim.end();
        let records = records(&log);
        assert!(records.iter().all(|record| record.log.len() <= MAX_CHUNK));
        let text = text(&records, Stream::Stdout);
        let (line, next) = text.split_once('\n').unwrap();
        assert_eq!((line.len(), next), (10_000_000, "next\n"));
        assert!(line.bytes().all(|byte| byte == b'x'));
    });
}

#[test]
fn a_container_that_closes_its_stdout_goes_on() {
    on_a_host(|shims| {
        let go = shims.host.dir().join("rootfs/tmp/go");
        let script = "printf last; exec >&-; until [ -e /tmp/go ]; do sleep 0.05; done; echo err >&2; exit 3";
        let (container, log) = shims.logged("c", script, MIB);
        let mut shim = shims.running(&container);
        // The unfinished line is written because its stream has ended.
        until("the last word is there", || {
            text(&records(&log), Stream::Stdout) == "last"
        });
        std::fs::write(go, "").unwrap();
        assert_eq!(shim.finish("c"), 3);
        assert_eq!(text(&records(&log), Stream::Stderr), "err\n");
        shim.end();
    });
}

#[test]
fn a_full_disk_holds_nothing_up_and_the_gap_is_said() {
    on_a_host(|shims| {
        let disk = shims.host.dir().join("disk");
        std::fs::create_dir(&disk).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(&disk));
        let tmp = shims.host.dir().join("rootfs/tmp");
        let script =
            "seq 1 100000; echo > /tmp/full; until [ -e /tmp/go ]; do sleep 0.05; done; echo room; exit 3";
        let mut container = shims.container("c", script);
        let log = disk.join("log");
        container.log_to(&log, 100 * MIB);
        let ballast = disk.join("ballast");
        std::fs::write(&ballast, vec![0; 15 << 19]).unwrap();
        let mut shim = shims.running(&container);
        let begins = |record: &Record| {
            record
                .log
                .contains("output is dropped from here on: No space left")
        };
        until("the gap begins", || records(&log).iter().any(begins));
        // What is still in the pipe when all is written, 256 KiB that become 14 times as much, has room in the ballast's
        // place.
        until("all is written", || tmp.join("full").exists());
        std::fs::remove_file(ballast).unwrap();
        std::fs::write(tmp.join("go"), "").unwrap();
        assert_eq!(shim.finish("c"), 3);
        shim.end();
        let records = records(&log);
        let (own, theirs): (Vec<_>, Vec<_>) = records
            .iter()
            .partition(|record| record.log.starts_with("longshore-log: "));
        let dropped: usize = own
            .iter()
            .filter_map(|record| {
                record
                    .log
                    .strip_prefix("longshore-log: ")?
                    .split_once(" records of output")
            })
            .map(|(count, _)| count.parse::<usize>().unwrap())
            .sum();
        assert_eq!(dropped + theirs.len(), 100_001, "every line is there or counted");
        assert_eq!(theirs.last().unwrap().log, "room\n");
        run(Command::new("umount").arg(&disk));
    });
}

#[test]
fn a_logger_that_dies_takes_nothing_along() {
    on_a_host(|shims| {
        let script = "echo first; until [ -e /tmp/go ]; do sleep 0.05; done; \
                      yes 0123456789 | head -n 100000 && echo still here > /tmp/still; exit 3";
        let container = shims.container("c", script);
        let logger = "echo $$ > \"$2/pid\"; exec 5>&-; cat <&3 > \"$2/out\"";
        let (container, folder) = container.with_logger(logger);
        let mut shim = shims.running(&container);
        let out = folder.join("out");
        until("the logger reads", || {
            std::fs::read(&out).is_ok_and(|text| text == b"first\n")
        });
        let children =
            |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let logger: i32 = std::fs::read_to_string(folder.join("pid"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let cat: i32 = children(logger).trim().parse().unwrap();
        for pid in [logger, cat] {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        std::fs::write(shims.host.dir().join("rootfs/tmp/go"), "").unwrap();
        assert_eq!(shim.finish("c"), 3);
        let still = std::fs::read(shims.host.dir().join("rootfs/tmp/still")).unwrap();
        assert_eq!(still, b"still here\n", "SIGPIPE came");
        shim.end();
        let gone = Path::new("/proc").join(logger.to_string());
        until("the logger is reaped", || !gone.exists());
    });
}

#[test]
fn a_logger_reads_to_the_end_and_is_waited_for() {
    on_a_host(|shims| {
        let logger = "exec 5>&-; cat <&3 > \"$2/out\" & cat <&4 > \"$2/err\"; wait; echo done > \"$2/done\"";
        let container = shims.container("c", "seq 1 10000; echo err >&2; exit 3");
        let (container, folder) = container.with_logger(logger);
        let mut shim = shims.running(&container);
        assert_eq!(shim.finish("c"), 3);
        // Delete has answered, so the logger has ended: no waiting.
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("out").lines().count(), 10_000);
        assert_eq!((read("err").as_str(), read("done").as_str()), ("err\n", "done\n"));
        shim.end();
    });
}

#[test]
fn a_terminals_output_is_logged() {
    on_a_host(|shims| {
        let (mut container, log) = shims.logged("c", "[ -t 1 ] && echo a terminal; exit 3", MIB);
        container.config["process"]["terminal"] = true.into();
        let mounts = container.config["mounts"].as_array_mut().unwrap();
        let options = json!(["newinstance", "ptmxmode=0666", "mode=0620"]);
        mounts.extend([
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}),
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options}),
        ]);
        container.request.terminal = true;
        let mut shim = shims.running(&container);
        assert_eq!(shim.finish("c"), 3);
        assert_eq!(text(&records(&log), Stream::Stdout), "a terminal\r\n");
        shim.end();
    });
}

#[test]
fn a_daemon_that_an_exec_has_left_lives_on() {
    on_a_host(|shims| {
        let container = shims.container("c", "exec sleep 1000");
        let log = shims.host.dir().join("exec-log");
        let mut shim = shims.running(&container);
        let script = "(trap '' HUP; until [ -e /tmp/go ]; do sleep 0.05; done; \
                      echo late && echo later && echo alive > /tmp/alive) & echo exec";
        let mut request = exec_request("c", "e", script);
        request.stdout = format!("file://{}", log.display());
        shim.call::<Empty>("Exec", &request).unwrap();
        shim.begin("c", "e").unwrap();
        assert_eq!(shim.wait("c", "e"), 0);
        shim.delete("c", "e").unwrap();
        std::fs::write(shims.host.dir().join("rootfs/tmp/go"), "").unwrap();
        let alive = shims.host.dir().join("rootfs/tmp/alive");
        until("the daemon has written", || {
            std::fs::read(&alive).is_ok_and(|text| text == b"alive\n")
        });
        assert_eq!(std::fs::read_to_string(log).unwrap(), "exec\n");
        shim.kill_and_end("c");
    });
}
