//! What the shim weighs and how fast it is, beside containerd's own in the same run.
//!
//! `make bench` runs it on release binaries. Whatever is compared is taken in turn, so that noise hits both, and with a
//! pause before, since containerd cleans up after a shim for a while. Memory is that of the shim alone: PSS counts pages
//! that several share by their part. Words choose among `memory`, `members`, `start`, `output` and `short`.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark asks the system for the time and prints what it found"
)]

#[path = "../tests/shim/kit.rs"]
#[allow(dead_code, reason = "the benchmark needs a part of what the tests do")]
mod kit;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kit::{SHIM, rootfs, until};
use longshore_tests::containerd::Containerd;
use longshore_tests::host::{Host, on_a_host};
use longshore_tests::process::run;

const SHIMS: usize = 20;
/// How often each is started: what else the machine does moves one start by more than the shims differ.
const ROUNDS: usize = 60;
const SHORT: usize = 1000;
const MEMBERS: usize = 200;
const GIGABYTE: u64 = 1 << 30;
/// How much a container writes where output is measured, and how often each target is.
const OUTPUT: u64 = GIGABYTE / 4;
const PAIRS: usize = 7;
/// How long shims are left alone before they are weighed: threads that have nothing to do go after a second.
const REST: Duration = Duration::from_secs(3);
/// containerd's own.
const STOCK: &str = "io.containerd.runc.v2";

struct Bench {
    host: Rc<Host>,
    containerd: Containerd,
    rootfs: PathBuf,
}

/// What it took to take a container's output.
struct Taken {
    /// Seconds from the call until the container has ended.
    wall: f64,
    /// Seconds of processor time of the shim for each GiB.
    processor: f64,
}

impl Taken {
    fn rate(&self) -> f64 {
        OUTPUT as f64 / (1 << 20) as f64 / self.wall
    }
}

/// Something that is measured.
type Part = fn(&Bench);

fn main() {
    on_a_host(|host| async move {
        let containerd = Containerd::start(&host).await;
        let folder = host.dir().join("rootfs");
        rootfs(&folder);
        let bench = Bench {
            host,
            containerd,
            rootfs: folder,
        };
        let size = std::fs::metadata(SHIM).expect("a binary").len();
        println!("binary: {} KiB", size / 1024);
        let words: Vec<_> = std::env::args()
            .skip(1)
            .filter(|word| !word.starts_with('-'))
            .collect();
        let parts: [(&str, Part); 5] = [
            ("memory", Bench::memory),
            ("members", Bench::members),
            ("start", Bench::start),
            ("output", Bench::output),
            ("short", Bench::short),
        ];
        for (name, part) in parts {
            if words.is_empty() || words.iter().any(|word| word == name) {
                part(&bench);
            }
        }
    });
}

impl Bench {
    fn ctr(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(self.containerd.socket());
        command
            .args(["-n", &self.host.containerd_namespace()])
            .args(words);
        command
    }

    fn run(&self, runtime: &str, flags: &[&str], id: &str, script: &str) {
        let cgroup = format!("{}/{id}", self.host.cgroup_parent());
        let mut words = vec!["run", "-d", "--runtime", runtime, "--cgroup", &cgroup];
        words.extend(flags);
        words.extend([
            "--rootfs",
            self.rootfs.to_str().expect("UTF-8"),
            id,
            "/bin/sh",
            "-c",
            script,
        ]);
        run(&mut self.ctr(&words));
    }

    fn remove(&self, id: &str) {
        // A status that is not 0 is that of the task, which was killed.
        let _ = self.ctr(&["task", "rm", "-f", id]).output();
        run(&mut self.ctr(&["container", "rm", id]));
    }

    /// The shims that run on this host.
    fn shims(&self) -> Vec<i32> {
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.contains("containerd-shim-") && line.contains(&self.host.containerd_namespace())
        })
        .collect()
    }

    fn memory(&self) {
        println!("{SHIMS} shims of one container each, at rest:");
        for runtime in [STOCK, SHIM] {
            for number in 0..SHIMS {
                self.run(runtime, &[], &format!("m{number}"), "exec sleep 1000");
            }
            std::thread::sleep(REST);
            let shims = self.shims();
            assert_eq!(shims.len(), SHIMS);
            let of = |field: &str| shims.iter().map(|pid| rollup(*pid, field)).sum::<u64>() / SHIMS as u64;
            let busy = |shims: &[i32]| shims.iter().map(|pid| wakeups(*pid)).sum::<u64>();
            let before = busy(&shims);
            std::thread::sleep(REST);
            println!(
                "  {}: PSS {} KiB, RSS {} KiB, {} wake-ups a second of all",
                name(runtime),
                of("Pss:"),
                of("Rss:"),
                (busy(&shims) - before) / REST.as_secs()
            );
            for number in 0..SHIMS {
                self.remove(&format!("m{number}"));
            }
            until("the shims have ended", || self.shims().is_empty());
        }
    }

    fn members(&self) {
        println!("one shim of {MEMBERS} containers:");
        for runtime in [STOCK, SHIM] {
            let group = ["--annotation", "io.containerd.runc.v2.group=g"];
            let mut first = 0;
            for number in 0..MEMBERS {
                self.run(runtime, &group, &format!("g{number}"), "exec sleep 1000");
                if number == 0 {
                    std::thread::sleep(REST);
                    first = rollup(self.shims()[0], "Pss:");
                }
            }
            std::thread::sleep(REST);
            let shims = self.shims();
            assert_eq!(shims.len(), 1, "one shim has them all");
            let all = rollup(shims[0], "Pss:");
            for number in 0..MEMBERS {
                self.remove(&format!("g{number}"));
            }
            let each = all.saturating_sub(first) / (MEMBERS as u64 - 1);
            println!(
                "  {}: PSS {first} KiB with one, {all} KiB with all, {each} KiB for each more",
                name(runtime)
            );
            until("the shim has ended", || self.shims().is_empty());
        }
    }

    fn start(&self) {
        println!("ctr run -d, and ctr task rm -f (n = {ROUNDS}, min / median / max ms):");
        let mut times = [(STOCK, Vec::new(), Vec::new()), (SHIM, Vec::new(), Vec::new())];
        for round in 0..=ROUNDS {
            for (runtime, starts, ends) in &mut times {
                let id = format!("s{round}");
                until("nobody is left", || self.shims().is_empty());
                std::thread::sleep(Duration::from_millis(200));
                let begin = Instant::now();
                self.run(runtime, &[], &id, "exec sleep 1000");
                let started = begin.elapsed();
                let begin = Instant::now();
                let _ = self.ctr(&["task", "rm", "-f", &id]).output();
                // The first round warms both.
                if round > 0 {
                    starts.push(started);
                    ends.push(begin.elapsed());
                }
                run(&mut self.ctr(&["container", "rm", &id]));
            }
        }
        let [(_, stock, _), (_, ours, _)] = &times;
        let rounds = stock.iter().zip(ours);
        let ratios = rounds.map(|(stock, ours)| ours.as_secs_f64() / stock.as_secs_f64());
        let ratios = quartiles(ratios.collect());
        let mut medians = Vec::new();
        for (runtime, starts, ends) in &mut times {
            println!("  {}: {}, {}", name(runtime), spread(starts), spread(ends));
            medians.push(starts[ROUNDS / 2].as_secs_f64());
        }
        let of_medians = medians[1] / medians[0];
        println!("  run -d: ratio of medians {of_medians:.2}, of a round {ratios}");
    }

    /// Ours beside the stock one's `file://`, in turn and many times: what else the machine does hits both of a pair.
    fn output(&self) {
        println!(
            "{} MiB of output, lines of 80 bytes, {PAIRS} times in turn (medians and quartiles; CPU is the shim's):",
            OUTPUT >> 20
        );
        let file = self.host.dir().join("output");
        let options = self.host.dir().join("options.json");
        let log = self.host.dir().join("output.log");
        let json = format!(
            r#"{{"path": "{}", "maxSize": 10485760, "maxFile": 3}}"#,
            log.display()
        );
        std::fs::write(&options, json).expect("written");
        let plain = format!("file://{}", file.display());
        let json_file = format!("longshore-log://{}", options.display());
        let kinds = [
            (STOCK, &plain, "to a file"),
            (SHIM, &plain, "to a file"),
            (SHIM, &json_file, "to a json-file log, rotated"),
        ];
        let mut rounds = Vec::new();
        for round in 0..=PAIRS {
            let taken = kinds.map(|(runtime, to, _)| {
                let taken = self.written(runtime, to);
                let _ = std::fs::remove_file(&file);
                taken
            });
            // The first round warms the caches.
            if round > 0 {
                rounds.push(taken);
            }
        }
        for (kind, (runtime, _, what)) in kinds.iter().enumerate() {
            let of = |value: &dyn Fn(&[Taken; 3]) -> f64| quartiles(rounds.iter().map(value).collect());
            println!(
                "  {} {what}: {} MiB/s, {} CPU s/GiB, ratio {}",
                name(runtime),
                of(&|round| round[kind].rate()),
                of(&|round| round[kind].processor),
                of(&|round| round[kind].rate() / round[0].rate()),
            );
        }
    }

    /// Has a container write, and measures how long that takes and what its shim does for it.
    fn written(&self, runtime: &str, to: &str) -> Taken {
        let script = format!(
            "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678 | head -c {OUTPUT}"
        );
        until("nobody is left", || self.shims().is_empty());
        let begin = Instant::now();
        self.run(runtime, &["--log-uri", to], "o", &script);
        let shim = self.shims()[0];
        // Asking containerd again and again would take the time that is measured.
        until("it has ended", || !has_children(shim));
        self.stopped("o");
        let wall = begin.elapsed().as_secs_f64();
        let processor = processor(shim) * GIGABYTE as f64 / OUTPUT as f64;
        self.remove("o");
        Taken { wall, processor }
    }

    fn stopped(&self, id: &str) {
        until("it has stopped", || {
            let list = run(&mut self.ctr(&["task", "ls"])).stdout;
            let list = String::from_utf8_lossy(&list).into_owned();
            list.lines()
                .any(|line| line.starts_with(id) && line.contains("STOPPED"))
        });
    }

    fn short(&self) {
        println!("{SHORT} short containers in one shim, one after another:");
        let group = ["--annotation", "io.containerd.runc.v2.group=g"];
        self.run(SHIM, &group, "first", "exec sleep 100000");
        let pid = self.shims()[0];
        for number in 0..SHORT {
            if number % (SHORT / 4) == SHORT / 20 {
                std::thread::sleep(REST);
                println!("  after {number}: {}", weight(pid));
            }
            let id = format!("n{number}");
            self.run(SHIM, &group, &id, "true");
            self.remove(&id);
        }
        std::thread::sleep(REST);
        println!("  after {SHORT}: {}", weight(pid));
        self.remove("first");
    }
}

fn name(runtime: &str) -> &str {
    Path::new(runtime)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(runtime)
}

fn weight(pid: i32) -> String {
    let descriptors = kit::descriptors(pid);
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
        .expect("it runs")
        .count();
    let (pss, rss) = (rollup(pid, "Pss:"), rollup(pid, "Rss:"));
    format!("PSS {pss} KiB, RSS {rss} KiB, {descriptors} descriptors, {threads} threads")
}

/// A sum over all of a process's memory, in KiB.
fn rollup(pid: i32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .expect("the line");
    line.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a number")
}

fn has_children(pid: i32) -> bool {
    let parent = pid.to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let parents = |stat: &str| Some(stat.rsplit_once(')')?.1.split_whitespace().nth(1)? == parent);
    stats.into_iter().any(|stat| parents(&stat).unwrap_or(false))
}

/// Seconds of processor time of a process without its children.
fn processor(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
    // The 14th and 15th of the line are user and system time, in hundredths of a second.
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    ticks as f64 / 100.0
}

/// How often a process's threads have gone to sleep so far.
fn wakeups(pid: i32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .expect("it runs")
        .flatten();
    let of = |path: PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok())
            .unwrap_or_default()
    };
    tasks.map(|task| of(task.path())).sum()
}

/// The median, and the quartiles around it.
fn quartiles(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[(values.len() - 1) * part / 4];
    format!("{:.2} ({:.2} to {:.2})", at(2), at(1), at(3))
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |index: usize| times[index].as_secs_f64() * 1000.0;
    format!(
        "{:.1} / {:.1} / {:.1}",
        at(0),
        at(times.len() / 2),
        at(times.len() - 1)
    )
}
