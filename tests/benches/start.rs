//! How long a task takes to run, beside `ctr run -d` of the same image; what an idle agent weighs.
//!
//! `make bench` runs it on release binaries. Each pair is taken in turn, so that noise hits both; the figure to quote is
//! the ratio of the medians. A process says that it runs by writing a file in a folder of the host; the file's time of
//! change is the kernel's own (to a tick, 4 ms at most).

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

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use aws_sdk_ecs::types::{HostVolumeProperties, MountPoint, NetworkMode, Volume};
use longshore_tests::process::run;
use longshore_tests::wait;
use system::{System, shell};

const ROUNDS: usize = 20;

fn main() {
    println!("binaries:");
    for name in [
        "longshore-agent",
        "longshore-control-plane",
        "longshore-log",
        "longshore",
    ] {
        let size = std::fs::metadata(longshore_tests::binaries::path(name))
            .expect("a binary")
            .len();
        println!("  {name}: {:.1} MiB", mebibytes(size));
    }
    for behavior in ["prefer-cached", "default"] {
        let settings: &'static [(&str, &str)] = match behavior {
            "default" => &[("ECS_IMAGE_PULL_BEHAVIOR", "default")],
            _ => &[("ECS_IMAGE_PULL_BEHAVIOR", "prefer-cached")],
        };
        system::with_settings(settings, move |system| async move {
            measure(&system, behavior).await;
            system
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes to be read by people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

/// The time at which `file` was written.
async fn written(file: &Path) -> SystemTime {
    wait::until_some("the process runs", || {
        std::fs::metadata(file).and_then(|file| file.modified()).ok()
    })
    .await
}

async fn measure(system: &System, behavior: &str) {
    let folder = system.host.dir().join("started");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("now");
    system
        .containerd
        .ctr("bench", &["images", "pull", "--plain-http", &system.busybox]);
    let definition = define(system, &folder).await;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let by_ctr = by_ctr(system, &folder, round).await;
        let _ = std::fs::remove_file(&file);
        let by_us = by_run_task(system, &definition, &file).await;
        let _ = std::fs::remove_file(&file);
        // The first round warms both.
        if round > 0 {
            theirs.push(by_ctr);
            ours.push(by_us);
        }
    }
    let ratio = median(&mut ours).as_secs_f64() / median(&mut theirs).as_secs_f64();
    println!(
        "start, image cached, network none, pull behaviour {behavior} (n = {ROUNDS}, min / median / max ms):"
    );
    println!("  ctr run -d: {}", spread(&mut theirs));
    println!(
        "  RunTask:    {}   ratio of medians {ratio:.2}",
        spread(&mut ours)
    );
    println!(
        "agent, nothing running: RSS {:.1} MiB",
        resident(system.agent.pid())
    );
}

async fn define(system: &System, folder: &Path) -> String {
    let volume = HostVolumeProperties::builder()
        .source_path(folder.to_str().expect("UTF-8"))
        .build();
    let mount = MountPoint::builder()
        .source_volume("started")
        .container_path("/data")
        .build();
    let container = shell("bench", &system.busybox, "echo > /data/now; exec sleep 1000")
        .mount_points(mount)
        .build();
    let request = system
        .ecs
        .register_task_definition()
        .family("bench")
        .network_mode(NetworkMode::None);
    let request = request.container_definitions(container);
    system
        .define_with(request.volumes(Volume::builder().name("started").host(volume).build()))
        .await
}

async fn by_ctr(system: &System, folder: &Path, round: usize) -> Duration {
    let id = format!("bench-{round}");
    let mount = format!("type=bind,src={},dst=/data,options=rbind:rw", folder.display());
    let mut command = Command::new("ctr");
    command
        .arg("-a")
        .arg(system.containerd.socket())
        .args(["-n", "bench", "run", "-d", "--mount", &mount]);
    command.args([
        &system.busybox,
        &id,
        "/bin/sh",
        "-c",
        "echo > /data/now; exec sleep 1000",
    ]);
    let begin = SystemTime::now();
    run(&mut command);
    let took = written(&folder.join("now"))
        .await
        .duration_since(begin)
        .unwrap_or_default();
    system.containerd.ctr("bench", &["task", "rm", "-f", &id]);
    system.containerd.ctr("bench", &["containers", "rm", &id]);
    took
}

async fn by_run_task(system: &System, definition: &str, file: &Path) -> Duration {
    let begin = SystemTime::now();
    let task = system.run(definition).await;
    let took = written(file).await.duration_since(begin).unwrap_or_default();
    system.until(&task, "RUNNING").await;
    system
        .ecs
        .stop_task()
        .task(&task)
        .send()
        .await
        .expect("an answer");
    system.until(&task, "STOPPED").await;
    took
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn spread(times: &mut [Duration]) -> String {
    let middle = median(times).as_secs_f64() * 1000.0;
    let (least, most) = (
        times[0].as_secs_f64() * 1000.0,
        times[times.len() - 1].as_secs_f64() * 1000.0,
    );
    format!("{least:.1} / {middle:.1} / {most:.1}")
}

/// Resident memory in MiB.
fn resident(pid: i32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("the line");
    let kibibytes: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number");
    mebibytes(kibibytes * 1024)
}
