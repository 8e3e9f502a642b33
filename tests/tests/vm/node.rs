//! A machine that is a control plane and its node, with everything as a service; and tasks on it, by `longshore`.

use std::path::Path;
use std::time::Duration;

use longshore_tests::image;
use longshore_tests::vm::{Image, Machine, Programs};
use serde_json::{Value, json};

use crate::plane::{Plane, Trust};

/// Generous, as all patience here: what an emulated processor does in seconds, a loaded one does in minutes.
pub const LONG: Duration = Duration::from_secs(600);

/// The node.
pub struct Node {
    pub machine: Machine,
    /// Where the control plane is another machine's.
    pub plane: Option<Plane>,
    /// How many were registered.
    families: u32,
}

/// Writes an image for the node's registry, `127.0.0.1:5000/NAME:1`: busybox, with a layer for each folder.
fn add_image(programs: &Path, name: &str, folders: &[std::path::PathBuf]) {
    let work = tempfile::tempdir().unwrap();
    let made = image::busybox_with(work.path(), image::architecture(), &json!({}), folders);
    let images = programs.join("images");
    std::fs::create_dir_all(&images).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([made.layout, images.join(name)])
        .status();
    assert!(copied.unwrap().success());
}

impl Node {
    /// A machine that is off, with what a node needs on its second disk; `images` are more of them than `busybox`, each
    /// with a folder for its second layer.
    pub fn machine(images: &[(String, std::path::PathBuf)]) -> Machine {
        let programs = Programs::collect();
        let dir = programs.dir();
        add_image(dir, "busybox", &[]);
        for (name, folder) in images {
            add_image(dir, name, std::slice::from_ref(folder));
        }
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

    /// A node that is up and connected, with these settings of the agent (`NAME=VALUE`). The machine that it was was off.
    /// Its control plane and its operator are elsewhere, where processors are not emulated.
    pub async fn up(mut machine: Machine, settings: &[&str]) -> Self {
        machine.boot().await;
        Self::of(Plane::start().await, machine, Trust::Fingerprint, settings).await
    }

    /// As [`Node::up`], with the control plane as a service beside the agent.
    pub async fn with_plane(mut machine: Machine, settings: &[&str]) -> Self {
        machine.boot().await;
        let mut node = Self {
            machine,
            plane: None,
            families: 0,
        };
        node.install("", settings).await;
        node
    }

    /// A machine that is on and installed, and whose agent is told to register with a control plane elsewhere.
    pub async fn of(plane: Plane, mut machine: Machine, trust: Trust, settings: &[&str]) -> Self {
        machine.link().await;
        let registration = plane.registration(trust);
        let mut node = Self {
            machine,
            plane: Some(plane),
            families: 0,
        };
        node.install(&registration, settings).await;
        node.until_connected().await;
        node
    }

    /// As an operator installs it.
    async fn install(&mut self, registration: &str, settings: &[&str]) {
        let settings = settings.join(" ");
        let script = format!(
            "export REGISTER=$(cat <<'SCRIPT'\n{registration}\nSCRIPT\n)\n/opt/longshore/node-up {settings}"
        );
        let answer = self.machine.run_for(LONG, &script).await;
        if answer.status != 0 {
            panic!("{}\n{}", answer.output, self.machine.journal().await);
        }
        self.machine.step_is_over("installation of a node");
    }

    /// Waits until the control plane hears from the agent.
    pub async fn until_connected(&mut self) {
        let begun = tokio::time::Instant::now();
        loop {
            let nodes = self.ask("nodes").await;
            if nodes["containerInstances"][0]["agentConnected"] == true {
                return;
            }
            if begun.elapsed() > LONG {
                panic!("not connected: {nodes:#}\n{}", self.machine.journal().await);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// What `longshore` says to its operator, who sits where the control plane is.
    async fn longshore(&mut self, words: &str) -> Value {
        match self.try_longshore(words).await {
            Ok(answer) => answer,
            Err(why) => panic!("{why}\n{}", self.machine.journal().await),
        }
    }

    /// As [`Node::longshore`], for what may be asked twice: a call has half a minute, and a machine that others keep busy
    /// may need more.
    pub async fn ask(&mut self, words: &str) -> Value {
        let begun = tokio::time::Instant::now();
        loop {
            match self.try_longshore(words).await {
                Ok(answer) => return answer,
                Err(why) if begun.elapsed() > LONG => {
                    panic!("{why}\n{}", self.machine.journal().await);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    async fn try_longshore(&mut self, words: &str) -> Result<Value, String> {
        let output = match &self.plane {
            Some(plane) => {
                let words: Vec<_> = words.split(' ').chain(["--json"]).collect();
                plane.longshore(&words)?
            }
            None => {
                let script = format!(". /root/env; longshore {words} --json");
                self.machine.run(&script).await.output
            }
        };
        serde_json::from_str(&output).map_err(|error| format!("longshore {words}: {error}\n{output}"))
    }

    /// Runs a task with one container, and gives its id.
    pub async fn run(&mut self, container: &Value, task: &Value) -> String {
        self.run_with("", container, task).await
    }

    /// As [`Node::run`], of a task in which commands may be run, and waits until it runs.
    pub async fn run_open(&mut self, container: &Value) -> String {
        let task = self
            .run_with(" --enable-execute-command", container, &json!({}))
            .await;
        self.until(&task, "RUNNING").await;
        task
    }

    async fn run_with(&mut self, flag: &str, container: &Value, task: &Value) -> String {
        let mut container = container.clone();
        let fill = json!({"name": "app", "image": "127.0.0.1:5000/busybox:1", "memory": 64});
        for (name, value) in fill.as_object().unwrap() {
            container
                .as_object_mut()
                .unwrap()
                .entry(name)
                .or_insert(value.clone());
        }
        // By its family a task is found whose placement was not answered in time.
        let family = format!("vm-{}", self.families);
        self.families += 1;
        let mut definition = json!({"family": family, "containerDefinitions": [container]});
        definition
            .as_object_mut()
            .unwrap()
            .extend(task.as_object().unwrap().clone());
        let file = match &self.plane {
            Some(plane) => plane.file("task.json", &definition.to_string()),
            None => {
                let file = format!("cat >/root/task.json <<'JSON'\n{definition}\nJSON");
                self.machine.ok(&file).await;
                "/root/task.json".into()
            }
        };
        let run = format!("run -f {}{flag}", file.display());
        let task = match self.try_longshore(&run).await {
            Ok(answer) => answer["tasks"][0].clone(),
            Err(why) => {
                println!("{why}");
                match self.placed(&family).await {
                    Some(task) => task,
                    None => self.longshore(&run).await["tasks"][0].clone(),
                }
            }
        };
        let arn = task["taskArn"].as_str();
        let arn = arn.unwrap_or_else(|| panic!("nothing was placed: {task}"));
        arn.rsplit('/').next().unwrap().to_owned()
    }

    /// A task of this family.
    async fn placed(&mut self, family: &str) -> Option<Value> {
        let all = self.ask("ps --all").await;
        let of_family = |task: &&Value| {
            let definition = task["taskDefinitionArn"].as_str().unwrap_or_default();
            definition.contains(&format!("/{family}:"))
        };
        all["tasks"].as_array()?.iter().find(of_family).cloned()
    }

    pub async fn describe(&mut self, task: &str) -> Value {
        self.ask(&format!("describe {task}")).await["tasks"][0].clone()
    }

    /// Waits until a task has a status, and gives the task.
    pub async fn until(&mut self, task: &str, status: &str) -> Value {
        self.until_status(task, |seen| seen == status).await
    }

    /// Waits until a task runs, or has run.
    pub async fn until_begun(&mut self, task: &str) {
        let before = ["PROVISIONING", "PENDING", "ACTIVATING"];
        self.until_status(task, |seen| !before.contains(&seen)).await;
    }

    async fn until_status(&mut self, task: &str, is_awaited: impl Fn(&str) -> bool) -> Value {
        let begun = tokio::time::Instant::now();
        loop {
            let asked = tokio::time::Instant::now();
            let seen = self.describe(task).await;
            if is_awaited(seen["lastStatus"].as_str().unwrap_or_default()) {
                return seen;
            }
            if begun.elapsed() > LONG {
                panic!(
                    "{task} has another status: {seen:#}\n{}",
                    self.machine.journal().await
                );
            }
            // What is waited for needs the processors more than the question.
            tokio::time::sleep(asked.elapsed().max(Duration::from_millis(500))).await;
        }
    }

    /// Has a task stopped, and waits until it is.
    pub async fn stop(&mut self, task: &str) -> Value {
        self.order_stop(task).await;
        self.until(task, "STOPPED").await
    }

    /// Has a task stopped.
    pub async fn order_stop(&mut self, task: &str) {
        self.ask(&format!("stop {task}")).await;
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
                self.machine.journal().await
            );
        }
        answer.output.trim().to_owned()
    }

    /// Waits until nothing of any task is left on the machine but its log.
    pub async fn until_clean(&mut self) {
        self.machine.until(LONG, NOTHING_LEFT).await;
    }

    /// Waits until there is one of everything that a task on the bridge has, and no more.
    pub async fn until_only_one_task_has_anything(&mut self) {
        self.machine.until(LONG, ONE_TASK).await;
    }
}

/// Counts what there is, and fails unless there is one of each.
const ONE_TASK: &str = "ok=0; one() { echo \"$1: $2\"; [ \"$2\" = 1 ] || ok=1; }
    one addresses $(find /var/lib/longshore/ipam -type f -name '*.*.*.*' | wc -l)
    one namespaces $(find /var/lib/longshore/netns -type f | wc -l)
    one attachments $(find /var/lib/longshore/network -name attachment.json | wc -l)
    one 'mounted namespaces' $(mount | grep -c nsfs)
    one 'mounted root file systems' $(mount | grep -c rootfs)
    one bundles $(find /run/containerd/io.containerd.runtime.v2.task/longshore -mindepth 1 -maxdepth 1 | wc -l)
    one links $(ip -o link | grep -c veth)
    one cgroups $(find /sys/fs/cgroup/longshore -mindepth 2 -maxdepth 2 -type d | wc -l)
    one shims $(pgrep -c containerd-shim)
    one containers $(ctr -n longshore containers list -q | wc -l)
    one snapshots $(ctr -n longshore snapshots list | grep -c -- '-0 ')
    exit $ok";

/// Says what is left of tasks, and fails if anything is.
const NOTHING_LEFT: &str = "! { find /sys/fs/cgroup/longshore -mindepth 1 -type d; ctr -n longshore containers list -q; \
    ctr -n longshore snapshots list | grep -- '-0 '; mount | grep -e rootfs -e netns; \
    ip -o link | grep veth; iptables-save | grep -e CNI-DN- -e /32; ls /run/netns; \
    find /var/lib/longshore/{ipam,netns,network} -type f | grep -v -e lock -e last_reserved; \
    find /run/containerd/io.containerd.runtime.v2.task/longshore -mindepth 1 -maxdepth 1; \
    pgrep -a containerd-shim; } 2>/dev/null | grep .";
