//! How long a start takes, beside `ctr run -d` of the same image. It prints; what is fast depends on the machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use longshore_agent::clock::{Clock, SystemClock};
use longshore_agent::runtime::Runtime;

use longshore_tests::binaries;

use crate::daemon::Daemon;
use crate::stage::{Stage, container};

const ROUNDS: u16 = 20;

/// All calls that a containerd has had.
fn calls(metrics: SocketAddr) -> u64 {
    sum(metrics, |line| line.starts_with("grpc_server_started_total"))
}

/// The sum of those of its figures whose line is wanted.
pub fn sum(metrics: SocketAddr, is_wanted: impl Fn(&str) -> bool) -> u64 {
    let mut stream = TcpStream::connect(metrics).unwrap();
    stream.write_all(b"GET /v1/metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines()
        .filter(|line| is_wanted(line))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_costs_fewer_calls_than_ctr_takes() {
    let (daemon, metrics) = Daemon::counting();
    let stage = Stage::with(
        daemon,
        &["sleep", "1000"],
        binaries::shim(),
        "/nonexistent".into(),
    );
    let before = calls(metrics);
    stage.run(0).await.unwrap();
    let ours = calls(metrics) - before;
    // PrepareSnapshot and CreateContainer; GetContainer and SnapshotMounts at once, CreateTask, StartTask. With a shim that
    // writes no exit records UpdateContainer too, which notes that the start is asked for.
    let notes = u64::from(binaries::shim() == binaries::STOCK_SHIM);
    assert_eq!(ours, 6 + notes);

    let before = calls(metrics);
    let image = stage.daemon.image().name;
    let run = stage.daemon.ctr(&["run", "-d", &image, "ctr", "sleep", "1000"]);
    assert!(run.status.success(), "{run:?}");
    let theirs = calls(metrics) - before;
    assert!(ours < theirs, "{ours} calls, ctr took {theirs}");
    stage.daemon.ctr(&["task", "rm", "-f", "ctr"]);
    stage.daemon.ctr(&["container", "rm", "ctr"]);
    stage.clear().await;
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it alone with --ignored --nocapture"]
async fn a_start_beside_ctr() {
    let mut stage = Stage::new(&["sleep", "1000"]);
    let clock = SystemClock;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // A task of its own each, so that each start brings its shim, as ctr's does.
        let mut task = stage.task.clone();
        task.arn.id = longshore_protocol::arn::ResourceId::from_random(uuid::Uuid::new_v4());
        task.containers = vec![container("main", &["sleep", "1000"])];
        stage.task = task;
        stage.runtime.prepare_task(&stage.task).await.unwrap();
        let request = stage.request(0);
        let begin = clock.since_boot();
        stage.runtime.create(request).await.unwrap();
        stage.runtime.start(&stage.id(0)).await.unwrap();
        ours.push(clock.since_boot() - begin);

        let name = format!("ctr-{round}");
        let begin = clock.since_boot();
        let image = stage.daemon.image().name;
        let run = stage.daemon.ctr(&["run", "-d", &image, &name, "sleep", "1000"]);
        theirs.push(clock.since_boot() - begin);
        assert!(run.status.success(), "{run:?}");

        stage.runtime.remove(&stage.id(0)).await.unwrap();
        stage.runtime.remove_task(&stage.task.arn.id).await.unwrap();
        stage.daemon.ctr(&["task", "rm", "-f", &name]);
        stage.daemon.ctr(&["container", "rm", &name]);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "create + start {ours:?}, ctr run -d {theirs:?}, ratio {:.2} (median of {ROUNDS})",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}
