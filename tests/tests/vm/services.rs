//! The units of `systemd/`, as an operator installs them.

use serde_json::json;

use crate::node::{LONG, Node};
use crate::sessions;

/// Says a number each second, and on a signal ends with 7.
fn counter() -> serde_json::Value {
    let script = "trap 'exit 7' TERM; i=0; while true; do echo line $i; i=$((i+1)); sleep 1 & wait $!; done";
    json!({"command": ["sh", "-c", script], "memory": 64, "memoryReservation": 32, "cpu": 256})
}

#[tokio::test]
#[ignore = "takes two minutes: make vm-long"]
async fn tasks_outlive_restarts_of_every_service() {
    let mut node = Node::with_plane(Node::machine(&[]), &["ECS_CONTAINER_STOP_TIMEOUT=20s"]).await;
    let task = node
        .run(&counter(), &json!({"cpu": "512", "memory": "128"}))
        .await;
    node.until(&task, "RUNNING").await;
    limits_are_in_the_cgroup(&mut node, &task).await;
    let pid = node.pid(&task).await;

    for disturbance in [
        "systemctl restart containerd",
        "systemctl kill --kill-whom=main --signal=KILL containerd",
        "systemctl restart longshore-agent",
        "systemctl kill --kill-whom=main --signal=KILL longshore-agent",
        "systemctl kill --kill-whom=main --signal=KILL longshore-control-plane",
        // An upgrade of the packages: other files under the same names.
        "install -m 755 /opt/longshore/bin/* /usr/bin/ && systemctl restart longshore-agent longshore-control-plane",
    ] {
        node.machine.ok(disturbance).await;
        let services = "systemctl is-active containerd longshore-agent longshore-control-plane";
        node.machine.until(LONG, services).await;
        assert_eq!(node.pid(&task).await, pid, "after {disturbance}");
        let connected = ". /root/env; longshore nodes | grep connected";
        node.machine.until(LONG, connected).await;
        // What comes after is obeyed as before.
        let short = node
            .run(&json!({"command": ["sh", "-c", "exit 3"]}), &json!({}))
            .await;
        let stopped = node.until(&short, "STOPPED").await;
        assert_eq!(
            stopped["containers"][0]["exitCode"], 3,
            "after {disturbance}: {stopped:#}"
        );
    }
    assert_eq!(node.describe(&task).await["lastStatus"], "RUNNING");
    no_line_is_missing(&mut node, &task).await;
    let stopped = node.stop(&task).await;
    assert_eq!(stopped["containers"][0]["exitCode"], 7, "{stopped:#}");
    node.until_clean().await;
}

async fn limits_are_in_the_cgroup(node: &mut Node, task: &str) {
    let container = format!("{task}-0");
    let mebibytes = |count: u64| (count * 1024 * 1024).to_string();
    for (below, file, expected) in [
        ("", "cpu.max", "50000 100000".to_owned()),
        ("", "memory.max", mebibytes(128)),
        (&*container, "memory.max", mebibytes(64)),
        (&*container, "memory.low", mebibytes(32)),
        // What runc makes of 256 shares: 1 + (256 - 2) * 9999 / 262142.
        (&*container, "cpu.weight", "10".to_owned()),
    ] {
        assert_eq!(node.cgroup(task, below, file).await, expected, "{below} {file}");
    }
}

async fn no_line_is_missing(node: &mut Node, task: &str) {
    let log = node.machine.ok(&format!("longshore logs {task}")).await;
    let numbers: Vec<u64> = log
        .lines()
        .map(|line| line.trim_start_matches("line ").parse().expect(line))
        .collect();
    let expected: Vec<u64> = (0..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
    assert!(numbers.len() > 5, "{log}");
}

#[tokio::test]
async fn ends_are_told_whatever_a_container_does_to_its_cgroup() {
    let mut node = Node::up(Node::machine(&[]), &["ECS_CONTAINER_STOP_TIMEOUT=1s"]).await;
    the_kernel_is_asked_to_empty_a_cgroup_at_once(&mut node).await;
    node.machine.step_is_over("a cgroup is emptied at once");
    a_container_without_memory_is_told_as_such(&mut node).await;
    node.machine.step_is_over("a container without memory");
    threads_of_their_own_group_do_not_outlive_their_container(&mut node).await;
    node.machine.step_is_over("threads of their own group");
    sessions::end_with_all_that_is_in_their_cgroup(&mut node).await;
    node.machine.step_is_over("sessions");
    node.until_clean().await;
}

async fn a_container_without_memory_is_told_as_such(node: &mut Node) {
    let hog = "exec dd if=/dev/zero of=/dev/null bs=200M count=1";
    let task = node
        .run(&json!({"command": ["sh", "-c", hog], "memory": 32}), &json!({}))
        .await;
    let stopped = node.until(&task, "STOPPED").await;
    let container = &stopped["containers"][0];
    assert_eq!(container["exitCode"], 137, "{stopped:#}");
    let reason = container["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("OutOfMemoryError"), "{stopped:#}");
}

/// By `cgroup.kill`, not process by process: one that forks faster than it is looked for would get away. Another's process
/// in the cgroup is not in the container's PID namespace, so that nobody else ends it.
async fn the_kernel_is_asked_to_empty_a_cgroup_at_once(node: &mut Node) {
    let script = "until [ -e /go ]; do sleep 1; done; exit 6";
    let task = node
        .run(&json!({"command": ["sh", "-c", script]}), &json!({}))
        .await;
    node.until(&task, "RUNNING").await;
    let pid = node.pid(&task).await;
    let stray = format!(
        "systemd-run --quiet --collect --unit stray sleep 100000; pid=$(systemctl show --value --property MainPID stray); \
         echo $pid >/sys/fs/cgroup/longshore/{task}/{task}-0/cgroup.procs && echo $pid"
    );
    let stray = node.machine.ok(&stray).await;
    let tracing = "/sys/kernel/tracing";
    let watch = format!(
        "mountpoint -q {tracing} || mount -t tracefs tracefs {tracing}; cd {tracing} && \
         echo 'p:emptied cgroup_kill_write' >kprobe_events && echo 1 >events/kprobes/emptied/enable"
    );
    node.machine.ok(&watch).await;
    node.machine.ok(&format!("touch /proc/{pid}/root/go")).await;
    let stopped = node.until(&task, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 6, "{stopped:#}");
    node.machine.ok(&format!("! kill -0 {stray}")).await;
    let seen = node.machine.ok(&format!("cat {tracing}/trace")).await;
    let lines: Vec<_> = seen.lines().filter(|line| line.contains("emptied:")).collect();
    assert!(!lines.is_empty(), "{seen}");
    println!("cgroup.kill: {lines:#?}");
}

/// Of a threaded group the kernel lists no processes; they are in the list of the group above.
async fn threads_of_their_own_group_do_not_outlive_their_container(node: &mut Node) {
    let script = "cd /sys/fs/cgroup && busybox mkdir sub && echo threaded >sub/cgroup.type && echo $$ >sub/cgroup.threads \
                  && sleep 1000 & exec sleep 1000";
    let container = json!({"command": ["sh", "-c", script], "privileged": true});
    let task = node.run(&container, &json!({})).await;
    node.until(&task, "RUNNING").await;
    let threaded = format!("grep threaded /sys/fs/cgroup/longshore/{task}/{task}-0/sub/cgroup.type");
    node.machine.until(LONG, &threaded).await;
    let stopped = node.stop(&task).await;
    assert_eq!(stopped["containers"][0]["exitCode"], 137, "{stopped:#}");
}

/// What is elsewhere shown with runc.
#[tokio::test]
#[ignore = "takes five minutes: make vm-long"]
async fn crun_makes_containers_as_well() {
    let settings = ["LONGSHORE_OCI_RUNTIME=crun", "ECS_CONTAINER_STOP_TIMEOUT=20s"];
    let mut node = Node::up(Node::machine(&[]), &settings).await;
    let task = node
        .run(&counter(), &json!({"cpu": "512", "memory": "128"}))
        .await;
    node.until(&task, "RUNNING").await;
    let made = format!("crun --root /run/containerd/runc/longshore list | grep {task}");
    node.machine.ok(&made).await;
    limits_are_in_the_cgroup(&mut node, &task).await;
    let pid = node.pid(&task).await;
    node.machine
        .ok("systemctl restart containerd longshore-agent")
        .await;
    a_container_without_memory_is_told_as_such(&mut node).await;
    threads_of_their_own_group_do_not_outlive_their_container(&mut node).await;
    the_kernel_is_asked_to_empty_a_cgroup_at_once(&mut node).await;
    assert_eq!(node.pid(&task).await, pid);
    no_line_is_missing(&mut node, &task).await;
    let stopped = node.stop(&task).await;
    assert_eq!(stopped["containers"][0]["exitCode"], 7, "{stopped:#}");
    node.until_clean().await;
}
