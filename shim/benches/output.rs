//! How fast output is taken: `cargo bench -p longshore-shim --bench output [MEBIBYTES]`.
//!
//! `cat` writes a file of log lines to a process's stdout; what is timed is from its start until everything is where
//! it goes, and the processor time that this program took for it. The pipe alone, read and thrown away by this program, is
//! what nothing can be faster than.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark"
)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use longshore_protocol::json_file::WriterOptions;
use longshore_shim::io::{Io, ProcessName, StdioRequest};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

const MIB: usize = 1024 * 1024;
const ROUNDS: usize = 5;
const PLAIN: &str = "GET /index.html 200 ";

fn main() {
    let size = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(256)
        * MIB;
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    for (line, text) in [
        (20, PLAIN),
        (100, PLAIN),
        (1000, PLAIN),
        (200, r#"{"level":"info","path":"/index.html","status":200} "#),
        (100, "alle Vögel sind schon da "),
    ] {
        write_lines(&input, size, line, text);
        let mut table: Vec<(&str, Vec<[f64; 2]>)> = Vec::new();
        for _ in 0..ROUNDS {
            let mut put = |name, took: [Duration; 2]| {
                let rate = took.map(|took| size as f64 / MIB as f64 / took.as_secs_f64());
                match table.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, rates)) => rates.push(rate),
                    None => table.push((name, vec![rate])),
                }
            };
            put("pipe alone", pipe(&input));
            put(
                "file://",
                through(&input, &format!("file://{}/raw", dir.path().display())),
            );
            put("longshore-log://", through(&input, &log_uri(dir.path())));
            std::fs::remove_file(dir.path().join("raw")).unwrap();
        }
        println!(
            "lines of {line} bytes; MiB/s, slowest, median and fastest of {ROUNDS}; MiB per processor second, median:"
        );
        for (name, rates) in table {
            let sorted = |n: usize| {
                let mut rates: Vec<_> = rates.iter().map(|rates| rates[n]).collect();
                rates.sort_by(f64::total_cmp);
                rates
            };
            let (wall, cpu) = (sorted(0), sorted(1));
            let (slowest, median, fastest) = (wall[0], wall[ROUNDS / 2], wall[ROUNDS - 1]);
            println!(
                "  {name:20} {slowest:6.0} {median:6.0} {fastest:6.0} {:8.0}",
                cpu[ROUNDS / 2]
            );
        }
    }
}

/// How much time passes, and how much of the processor this program takes, while something is done.
fn timed(act: impl FnOnce()) -> [Duration; 2] {
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let micros = (usage.user_time() + usage.system_time()).num_microseconds();
        Duration::from_micros(micros.try_into().unwrap())
    };
    let (start, before) = (Instant::now(), cpu());
    act();
    [start.elapsed(), cpu() - before]
}

fn write_lines(path: &Path, size: usize, line: usize, words: &str) {
    let mut text = Vec::with_capacity(MIB + line);
    let mut n = 0_u64;
    while text.len() < MIB {
        let number = format!("{n:08} ");
        text.extend_from_slice(number.as_bytes());
        text.extend(words.as_bytes().iter().cycle().take(line - number.len() - 1));
        text.push(b'\n');
        n += 1;
    }
    let mut file = File::create(path).unwrap();
    for _ in 0..size / MIB {
        file.write_all(&text[..MIB]).unwrap();
    }
}

fn log_uri(dir: &Path) -> String {
    let options = WriterOptions {
        path: dir.join("log"),
        max_size: 10 * MIB as u64,
        max_file: 3,
    };
    let path = dir.join("options.json");
    std::fs::write(&path, serde_json::to_vec(&options).unwrap()).unwrap();
    format!("longshore-log://{}", path.display())
}

fn pipe(input: &Path) -> [Duration; 2] {
    let (mut reader, writer) = std::io::pipe().unwrap();
    timed(|| {
        let mut cat = Command::new("cat").arg(input).stdout(writer).spawn().unwrap();
        let mut buffer = vec![0; 64 * 1024];
        while reader.read(&mut buffer).unwrap() > 0 {}
        cat.wait().unwrap();
    })
}

fn through(input: &Path, uri: &str) -> [Duration; 2] {
    let io = Io::start(jiff::Timestamp::now).unwrap();
    let request = StdioRequest {
        stdout: uri,
        ..StdioRequest::default()
    };
    let name = ProcessName {
        namespace: "bench",
        container: "bench",
    };
    let (child, process) = io.open(&request, &name).unwrap();
    timed(|| {
        let mut cat = Command::new("cat")
            .arg(input)
            .stdin(Stdio::null())
            .stdout(child.stdout)
            .stderr(child.stderr)
            .spawn()
            .unwrap();
        cat.wait().unwrap();
        assert!(process.drained(Duration::from_secs(60)));
    })
}
