//! The power is cut while tasks run, start and stop, and while images come. The disk writes back: what nobody has synced
//! is gone, in whatever order.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::node::{LONG, Node};

/// Counts its starts in its own files, and serves the count. Goes on after a cut, since it has a restart policy.
fn web() -> Value {
    let script = "echo start >>/www/count; busybox sync; echo started $(cat /www/count | busybox wc -l) times; \
                  exec httpd -f -p 8080 -h /www";
    json!({
        "command": ["sh", "-c", script],
        "portMappings": [{"containerPort": 8080, "hostPort": 8080}],
        "restartPolicy": {"enabled": true, "restartAttemptPeriod": 60},
    })
}

fn plain() -> Value {
    json!({"command": ["sh", "-c", "trap 'exit 7' TERM; while true; do sleep 1000 & wait $!; done"]})
}

async fn until_started(node: &mut Node, times: usize) {
    let count = format!("busybox wget -q -O - http://127.0.0.1:8080/count | grep -c start | grep -x {times}");
    node.machine.until(LONG, &count).await;
}

/// An image whose second layer has files and their digests.
struct Checked {
    name: String,
    folder: PathBuf,
    /// Of the list of digests: an empty list would find nothing wrong.
    list: String,
}

impl Checked {
    fn make(dir: &tempfile::TempDir, name: &str) -> Self {
        let folder = dir.path().join(name);
        let files = folder.join("files");
        std::fs::create_dir_all(&files).unwrap();
        let mut list = String::new();
        for number in 0..200 {
            let mut content = vec![0; fastrand::usize(1..64 * 1024)];
            fastrand::fill(&mut content);
            std::fs::write(files.join(number.to_string()), &content).unwrap();
            let digest = longshore_protocol::sigv4::sha256_hex(&content);
            list.push_str(&format!("{digest}  {number}\n"));
        }
        std::fs::write(files.join("list"), &list).unwrap();
        Self {
            name: name.to_owned(),
            folder,
            list: longshore_protocol::sigv4::sha256_hex(list.as_bytes()),
        }
    }

    /// Ends with 0 if all files are as they were made.
    fn container(&self) -> Value {
        let script = format!(
            "cd /files && busybox sha256sum list && busybox sha256sum list | busybox grep -q ^{} && \
             busybox sha256sum -c list | busybox grep -v OK$; [ $? = 1 ] || exit 5; busybox sha256sum -c -s list",
            self.list
        );
        json!({"image": format!("127.0.0.1:5000/{}:1", self.name), "command": ["sh", "-c", script]})
    }

    /// Has a node pull it, and cuts its power so long after it is in containerd's list.
    async fn cut_after_pull(&self, node: &mut Node, later: Duration) -> String {
        let task = node.run(&self.container(), &json!({})).await;
        let recorded = format!("ctr -n longshore images list -q | grep {}:1", self.name);
        node.machine.until(LONG, &recorded).await;
        tokio::time::sleep(later).await;
        node.machine.step_is_over("a pull, and the cut");
        node.machine.cut_power();
        task
    }

    /// Whole where it is, or not there; then whole again once there is a registry.
    async fn is_whole_or_pulled_again(&self, node: &mut Node) {
        let alone = node.run(&self.container(), &json!({})).await;
        let alone = node.until(&alone, "STOPPED").await;
        let seen = &alone["containers"][0];
        let reason = seen["reason"].as_str().unwrap_or_default();
        let absent = seen["exitCode"].is_null() && reason.starts_with("CannotPullContainerError");
        assert!(seen["exitCode"] == 0 || absent, "{alone:#}");
        println!("{}: {}", self.name, if absent { "not there" } else { "whole" });
        node.machine.ok("systemctl start registry").await;
        let again = node.run(&self.container(), &json!({})).await;
        let again = node.until(&again, "STOPPED").await;
        assert_eq!(again["containers"][0]["exitCode"], 0, "{again:#}");
        node.machine.ok("systemctl stop registry").await;
    }
}

fn was_cut_off(task: &Value) {
    let seen = &task["containers"][0];
    let reason = seen["reason"].as_str().unwrap_or_default();
    assert!(seen["exitCode"].is_null(), "{task:#}");
    assert!(reason.starts_with("HostRebooted: "), "{task:#}");
}

#[tokio::test]
async fn a_cut_costs_what_ran_its_run_and_nothing_else_with_nobody_to_ask() {
    let dir = tempfile::tempdir().unwrap();
    let image = Checked::make(&dir, "checked");
    let images = [(image.name.clone(), image.folder.clone())];
    let settings = [
        "LONGSHORE_RESUME_ON_BOOT=restart-policy",
        "ECS_CONTAINER_STOP_TIMEOUT=2s",
    ];
    let mut node = Node::up(Node::machine(&images), &settings).await;
    let served = node.run(&web(), &json!({"networkMode": "bridge"})).await;
    let cut_off = node.run(&plain(), &json!({})).await;
    node.until(&served, "RUNNING").await;
    node.until(&cut_off, "RUNNING").await;
    until_started(&mut node, 1).await;
    node.machine.ok("sync").await;
    node.machine.step_is_over("two tasks run");
    image.cut_after_pull(&mut node, Duration::from_secs(1)).await;
    node.machine.boot().await;
    until_started(&mut node, 2).await;
    // Nobody is there to be asked.
    node.machine.ok("! ip route get 10.0.2.2").await;
    assert_eq!(
        node.machine.ok("! systemctl is-active registry").await,
        "inactive"
    );
    node.machine
        .until(LONG, &format!("longshore logs {served} | grep 'started 2'"))
        .await;
    node.machine.step_is_over("one task runs again");

    node.machine.link().await;
    was_cut_off(&node.until(&cut_off, "STOPPED").await);
    node.until_connected().await;
    node.machine.step_is_over("the other one is told as stopped");
    image.is_whole_or_pulled_again(&mut node).await;
    node.machine.step_is_over("the image is whole or pulled again");
    assert_eq!(node.describe(&served).await["lastStatus"], "RUNNING");
    until_started(&mut node, 2).await;
    node.stop(&served).await;
    node.until_clean().await;
    node.machine.step_is_over("nothing is left");
}

/// After each the node has what it had before, and what was cut off is told and taken away.
#[tokio::test]
#[ignore = "takes half an hour: make vm-long"]
async fn nothing_of_the_old_boots_piles_up_over_twenty_cuts() {
    let dir = tempfile::tempdir().unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::seed(seed);
    let images: Vec<_> = (0..5)
        .map(|number| Checked::make(&dir, &format!("checked-{number}")))
        .collect();
    let folders: Vec<_> = images
        .iter()
        .map(|image| (image.name.clone(), image.folder.clone()))
        .collect();
    let mut node = Node::with_plane(Node::machine(&folders), &["ECS_CONTAINER_STOP_TIMEOUT=2s"]).await;
    let served = node.run(&web(), &json!({"networkMode": "bridge"})).await;
    node.until(&served, "RUNNING").await;
    until_started(&mut node, 1).await;
    for cut in 1..=20_usize {
        let mut tasks = disturb(&mut node).await;
        // Each fourth in or after a pull, the others at any moment.
        let image = (cut % 4 == 0).then(|| &images[cut / 4 - 1]);
        match image {
            Some(image) => {
                node.machine.ok("systemctl start registry").await;
                let later = Duration::from_millis(fastrand::u64(0..2000));
                tasks.push(image.cut_after_pull(&mut node, later).await);
            }
            None => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(0..8000))).await;
                node.machine.step_is_over(&format!("before cut {cut}"));
                node.machine.cut_power();
            }
        }
        node.machine.boot().await;
        until_started(&mut node, cut + 1).await;
        node.until_connected().await;
        for task in &tasks {
            node.order_stop(task).await;
        }
        for task in &tasks {
            let stopped = node.until(task, "STOPPED").await;
            println!("cut {cut}: {task} {}", stopped["containers"][0]);
        }
        if let Some(image) = image {
            image.is_whole_or_pulled_again(&mut node).await;
        }
        node.until_only_one_task_has_anything().await;
        node.machine.step_is_over(&format!("after cut {cut}"));
    }
    assert_eq!(node.describe(&served).await["lastStatus"], "RUNNING");
    node.stop(&served).await;
    node.until_clean().await;
}

/// Gives the node something to do, and does not wait until it is done.
async fn disturb(node: &mut Node) -> Vec<String> {
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let container = match fastrand::bool() {
            true => plain(),
            false => json!({"command": ["sh", "-c", "sleep 2; exit 3"]}),
        };
        tasks.push(node.run(&container, &json!({"networkMode": "bridge"})).await);
    }
    if fastrand::bool() {
        // On a slow machine it may be over before it was looked at.
        node.until_begun(&tasks[0]).await;
        node.order_stop(&tasks[0]).await;
    }
    tasks
}
