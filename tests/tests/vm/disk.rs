//! A disk under the agent's data folder that fails, or hangs: the kernel's device mapper stands between the file system
//! and its device. Everything else of the machine has another disk.

use std::time::Duration;

use longshore_tests::vm::Machine;
use serde_json::{Value, json};

use crate::node::{LONG, Node};
use crate::plane::{Plane, Trust};

/// Of 512 bytes: 64 MiB.
const SECTORS: u32 = 131_072;
/// In seconds. Longer than systemd waits for a sign of life (`WatchdogSec`).
const HANGS: u64 = 150;
const SETTINGS: [&str; 3] = [
    "ECS_CONTAINER_STOP_TIMEOUT=60s",
    "LONGSHORE_METRICS_ADDRESS=127.0.0.1:9990",
    "LONGSHORE_ADMIN_SOCKET=/run/longshore/admin.sock",
];

/// A machine whose agent will have a disk of its own, with a file system of these features.
async fn machine(features: &str) -> Machine {
    let mut machine = Node::machine(&[]);
    machine.boot().await;
    let script = format!(
        "set -e
        truncate -s 64M /var/disk
        device=$(losetup --find --show /var/disk)
        echo $device >/root/device
        dmsetup create data --table \"0 {SECTORS} linear $device 0\"
        mke2fs -q -t ext4 {features} /dev/mapper/data
        install -d -m 700 /var/lib/longshore
        mount /dev/mapper/data /var/lib/longshore"
    );
    machine.ok(&script).await;
    machine
}

/// Has the disk be another: `error`, on which every read and write fails, or `linear $(cat /root/device) 0`, as it was.
async fn disk_is(node: &mut Node, target: &str) {
    let script = format!(
        "dmsetup suspend --noflush --nolockfs data && dmsetup load data --table \"0 {SECTORS} {target}\" && \
         dmsetup resume data"
    );
    node.machine.ok(&script).await;
}

/// Ends with `code` once there is a file `/end`, or when it is told to.
fn waiting(code: u32) -> Value {
    let script =
        format!("trap 'exit {code}' TERM; until [ -e /end ]; do sleep 1 & wait $!; done; exit {code}");
    json!({"command": ["sh", "-c", script]})
}

/// Tasks that run, and the processes of their containers.
struct Tasks {
    /// Goes on all the while.
    stays: (String, String),
    /// Ends by itself while the disk is away.
    ends: (String, String),
    /// Is told to stop while the disk is away.
    stops: (String, String),
}

impl Tasks {
    async fn run(node: &mut Node) -> Self {
        let mut tasks = Vec::new();
        for code in [5, 6, 7] {
            let task = node.run(&waiting(code), &json!({})).await;
            node.until(&task, "RUNNING").await;
            let pid = node.pid(&task).await;
            tasks.push((task, pid));
        }
        let [stays, ends, stops] = tasks.try_into().expect("three");
        Self { stays, ends, stops }
    }

    /// What happens while the disk is away; gives a task that came meanwhile.
    async fn go_on(&self, node: &mut Node) -> String {
        let late = node.run(&waiting(8), &json!({})).await;
        node.machine.step_is_over("another task is placed");
        node.machine
            .ok(&format!("touch /proc/{}/root/end", self.ends.1))
            .await;
        node.order_stop(&self.stops.0).await;
        for (_, pid) in [&self.ends, &self.stops] {
            node.machine.until(LONG, &format!("! kill -0 {pid}")).await;
        }
        node.machine.step_is_over("two containers end");
        let stays = format!("kill -0 {}", self.stays.1);
        node.machine.ok(&stays).await;
        assert_eq!(node.describe(&late).await["lastStatus"], "PENDING");
        assert_eq!(node.describe(&self.ends.0).await["lastStatus"], "RUNNING");
        late
    }

    /// What comes of all that once the disk is back.
    async fn are_told(&self, node: &mut Node, late: &str) {
        for ((task, _), code) in [(&self.ends, 6), (&self.stops, 7)] {
            let stopped = node.until(task, "STOPPED").await;
            assert_eq!(stopped["containers"][0]["exitCode"], code, "{stopped:#}");
        }
        node.until(late, "RUNNING").await;
        assert_eq!(node.pid(&self.stays.0).await, self.stays.1);
        for (task, code) in [(late, 8), (&*self.stays.0, 5)] {
            let stopped = node.stop(task).await;
            assert_eq!(stopped["containers"][0]["exitCode"], code, "{stopped:#}");
        }
        node.until_clean().await;
    }
}

async fn agent(node: &mut Node) -> String {
    let main = "systemctl show --property MainPID --property NRestarts longshore-agent";
    node.machine.ok(main).await
}

/// Waits until the control plane's operator and a monitor on the machine are told what is wrong.
async fn until_it_says(node: &mut Node, is_awaited: impl Fn(&str) -> bool) {
    let begun = tokio::time::Instant::now();
    loop {
        let nodes = node.ask("nodes").await;
        let reason = nodes["containerInstances"][0]["statusReason"].as_str();
        if reason.is_some_and(&is_awaited) {
            break;
        }
        assert!(begun.elapsed() < LONG, "{nodes:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    until_healthy(node, 0).await;
}

/// For how many seconds, as the agent says.
fn hangs_for(why: &str) -> Option<u64> {
    let (_, after) = why.split_once("agent.db: a write has not come back for ")?;
    after.split(' ').next()?.parse().ok()
}

async fn until_healthy(node: &mut Node, healthy: u8) {
    let metric = format!(
        "busybox wget -q -O - http://127.0.0.1:9990/metrics | grep '^longshore_node_healthy {healthy}'"
    );
    node.machine.until(LONG, &metric).await;
}

/// Without a journal, so that the file system goes on by itself as soon as its disk does.
#[tokio::test]
#[ignore = "takes three minutes: make vm-long"]
async fn a_disk_that_fails_stops_nothing_and_all_is_told_once_it_works_again() {
    let machine = machine("-O ^has_journal").await;
    let mut node = Node::of(Plane::start().await, machine, Trust::Fingerprint, &SETTINGS).await;
    let tasks = Tasks::run(&mut node).await;
    let before = agent(&mut node).await;
    until_healthy(&mut node, 1).await;

    disk_is(&mut node, "error").await;
    let late = tasks.go_on(&mut node).await;
    until_it_says(&mut node, |why| why.contains("agent.db can't be written")).await;
    let said = "longshore-agent status | grep \"agent.db can't be written\"";
    println!("{}", node.machine.until(LONG, said).await);
    node.machine.step_is_over("the disk fails");

    disk_is(&mut node, "linear $(cat /root/device) 0").await;
    tasks.are_told(&mut node, &late).await;
    until_healthy(&mut node, 1).await;
    assert_eq!(agent(&mut node).await, before);
    node.machine.step_is_over("the disk works again");
}

#[tokio::test]
#[ignore = "takes five minutes: make vm-long"]
async fn a_disk_that_hangs_stops_nothing_and_all_is_told_once_it_answers_again() {
    let machine = machine("").await;
    let mut node = Node::of(Plane::start().await, machine, Trust::Fingerprint, &SETTINGS).await;
    let tasks = Tasks::run(&mut node).await;
    let before = agent(&mut node).await;

    node.machine.ok("dmsetup suspend --noflush --nolockfs data").await;
    let late = tasks.go_on(&mut node).await;
    until_it_says(&mut node, |why| {
        hangs_for(why).is_some_and(|seconds| seconds >= HANGS)
    })
    .await;
    node.machine.ok(&format!("kill -0 {}", tasks.stays.1)).await;
    for said in [
        "longshore-agent status | grep 'trouble .*agent.db: a write has not come back for'",
        &format!("longshore-agent tasks | grep '{}.* RUNNING'", tasks.stays.0),
    ] {
        println!("{}", node.machine.ok(said).await);
    }
    node.machine.step_is_over("the disk hangs");

    node.machine.ok("dmsetup resume data").await;
    tasks.are_told(&mut node, &late).await;
    until_healthy(&mut node, 1).await;
    assert_eq!(agent(&mut node).await, before);
    node.machine.step_is_over("the disk answers again");
}
