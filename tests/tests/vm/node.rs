//! A machine that is a control plane and its node, with everything as a service; and tasks on it, by `longshore`.

use std::time::Duration;

use longshore_tests::image;
use longshore_tests::vm::{Image, Machine, Programs};
use serde_json::{Value, json};

/// Generous, as all patience here: what an emulated processor does in seconds, a loaded one does in minutes.
pub const LONG: Duration = Duration::from_secs(300);

/// The node.
pub struct Node {
    pub machine: Machine,
}

impl Node {
    /// A machine that is off, with what a node needs on its second disk.
    pub fn machine() -> Machine {
        let programs = Programs::collect();
        let dir = programs.dir();
        let busybox = image::busybox(&dir.join("image"), image::architecture(), &json!({}));
        std::fs::rename(busybox.layout, dir.join("layout")).unwrap();
        std::fs::remove_dir_all(dir.join("image")).unwrap();
        let registry = json!({
            "version": 0.1, "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": "/var/lib/test-registry"}},
            "http": {"addr": "127.0.0.1:5000"},
        });
        std::fs::write(dir.join("registry.json"), registry.to_string()).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/vm/node-up");
        std::fs::copy(script, dir.join("node-up")).unwrap();
        Machine::new(&Image::build(), &programs)
    }

    /// A node that is up and connected, with these settings of the agent (`NAME=VALUE`).
    pub async fn up(settings: &[&str]) -> Self {
        let mut machine = Self::machine();
        machine.boot().await;
        let mut node = Self { machine };
        node.install(settings).await;
        node
    }

    /// As an operator installs it.
    pub async fn install(&mut self, settings: &[&str]) {
        let script = format!("/opt/longshore/node-up {}", settings.join(" "));
        let answer = self.machine.run_for(LONG, &script).await;
        if answer.status != 0 {
            panic!("{}\n{}", answer.output, self.journal().await);
        }
    }

    async fn journal(&mut self) -> String {
        let script = "journalctl --no-pager -n 80 -u longshore-agent -u longshore-control-plane -u registry";
        self.machine.run(script).await.output
    }

    async fn longshore(&mut self, words: &str) -> Value {
        let script = format!(". /root/env; longshore {words} --json");
        let answer = self.machine.run(&script).await;
        serde_json::from_str(&answer.output)
            .unwrap_or_else(|error| panic!("longshore {words}: {error}\n{}", answer.output))
    }

    /// Runs a task with one container, and gives its id.
    pub async fn run(&mut self, container: &Value, task: &Value) -> String {
        let mut container = container.clone();
        let fill = json!({"name": "app", "image": "127.0.0.1:5000/busybox:1", "memory": 64});
        for (name, value) in fill.as_object().unwrap() {
            container
                .as_object_mut()
                .unwrap()
                .entry(name)
                .or_insert(value.clone());
        }
        let mut definition = json!({"family": "vm", "containerDefinitions": [container]});
        definition
            .as_object_mut()
            .unwrap()
            .extend(task.as_object().unwrap().clone());
        let file = format!("cat >/root/task.json <<'JSON'\n{definition}\nJSON");
        self.machine.ok(&file).await;
        let answer = self.longshore("run -f /root/task.json").await;
        let arn = answer["tasks"][0]["taskArn"].as_str();
        let arn = arn.unwrap_or_else(|| panic!("nothing was placed: {answer}"));
        arn.rsplit('/').next().unwrap().to_owned()
    }

    pub async fn describe(&mut self, task: &str) -> Value {
        self.longshore(&format!("describe {task}")).await["tasks"][0].clone()
    }

    /// Waits until a task has a status, and gives the task.
    pub async fn until(&mut self, task: &str, status: &str) -> Value {
        let begun = tokio::time::Instant::now();
        loop {
            let seen = self.describe(task).await;
            if seen["lastStatus"] == status {
                return seen;
            }
            if begun.elapsed() > LONG {
                panic!("{task} is not {status}: {seen:#}\n{}", self.journal().await);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    pub async fn stop(&mut self, task: &str) -> Value {
        self.machine
            .ok(&format!(". /root/env; longshore stop {task}"))
            .await;
        self.until(task, "STOPPED").await
    }

    /// A file of a task's cgroup, or with `below` of its container's.
    pub async fn cgroup(&mut self, task: &str, below: &str, file: &str) -> String {
        self.machine
            .ok(&format!("cat /sys/fs/cgroup/longshore/{task}/{below}/{file}"))
            .await
    }

    /// The first process of a task's only container.
    pub async fn pid(&mut self, task: &str) -> String {
        let file = format!("/sys/fs/cgroup/longshore/{task}/{task}-0/cgroup.procs");
        let answer = self.machine.run(&format!("head -n 1 {file} | grep .")).await;
        if answer.status != 0 {
            panic!(
                "no process: {:#}\n{}",
                self.describe(task).await,
                self.journal().await
            );
        }
        answer.output.trim().to_owned()
    }

    /// Waits until nothing of any task is left on the machine but its log.
    pub async fn until_clean(&mut self) {
        let left = "! { find /sys/fs/cgroup/longshore -mindepth 1 -type d; ctr -n longshore containers list -q; \
                    ctr -n longshore snapshots list | grep -- '-0 '; mount | grep -e rootfs -e netns; \
                    ip -o link | grep veth; iptables-save | grep -e CNI-DN- -e /32; ls /run/netns; } 2>/dev/null | grep .";
        self.machine.until(LONG, left).await;
    }
}
