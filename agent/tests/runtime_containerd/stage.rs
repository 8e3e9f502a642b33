//! One task on a real containerd, from its definition to its removal, in few words.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use longshore_agent::clock::SystemClock;
use longshore_agent::containerd::Client;
use longshore_agent::model::{
    BindMount, CgroupVersion, ContainerId, Exit, HostFacts, ResolvedContainer, ResolvedTask,
};
use longshore_agent::network::Attachment;
use longshore_agent::runtime::cgroup::Cgroups;
use longshore_agent::runtime::containerd::{ContainerdRuntime, Settings};
use longshore_agent::runtime::exits::Exits;
use longshore_agent::runtime::{CreateContainer, Observed, Runtime, RuntimeError, RuntimeEvent, Started};
use longshore_agent::spec::{self, SpecInput};
use longshore_protocol::status::NetworkMode;
use longshore_tests::binaries;
use tokio::sync::mpsc;

pub use crate::contract::container;
use crate::contract::task;
use crate::daemon::{Daemon, PATIENCE};

/// Whose containers these are.
const IDENTITY: &str = "mi-0123456789abcdef0";

pub struct Stage {
    pub daemon: Daemon,
    pub runtime: ContainerdRuntime,
    pub task: ResolvedTask,
    pub cgroups: Cgroups,
    pub user: String,
    pub mounts: Vec<BindMount>,
    pub log_options: Option<PathBuf>,
    settings: Settings,
}

impl Stage {
    /// A task of one container that runs `command`.
    pub fn new(command: &[&str]) -> Self {
        Self::with(
            Daemon::start(),
            command,
            binaries::shim(),
            PathBuf::from("/nonexistent"),
        )
    }

    pub fn with(daemon: Daemon, command: &[&str], shim: String, log_writer: PathBuf) -> Self {
        let exits = Exits::new(daemon.folder());
        exits.prepare().unwrap();
        let settings = Settings {
            namespace: daemon.namespace.clone(),
            snapshotter: "overlayfs".to_owned(),
            runtime: shim,
            oci_runtime: None,
            exits,
            exec_folder: daemon.folder().join("exec"),
            cgroup_parent: format!("/{}", daemon.namespace),
            log_writer,
            task_pids_limit: None,
            identity: IDENTITY.to_owned(),
        };
        let task = task(vec![container("main", command)]);
        Self {
            runtime: runtime(&daemon, &settings),
            cgroups: Cgroups::detect(&settings.cgroup_parent).unwrap(),
            task,
            user: String::new(),
            mounts: Vec::new(),
            log_options: None,
            settings,
            daemon,
        }
    }

    pub fn id(&self, index: u16) -> ContainerId {
        self.task.container_id(index)
    }

    pub fn container(&mut self) -> &mut ResolvedContainer {
        &mut self.task.containers[0]
    }

    /// Another runtime on the same containerd, such as an agent that was restarted has.
    pub fn another(&self) -> ContainerdRuntime {
        runtime(&self.daemon, &self.settings)
    }

    /// The same for another agent.
    pub fn stranger(&self) -> ContainerdRuntime {
        let settings = Settings {
            identity: "mi-fedcba9876543210f".to_owned(),
            ..self.settings.clone()
        };
        runtime(&self.daemon, &settings)
    }

    pub fn request(&self, index: u16) -> CreateContainer {
        let image = self.daemon.image();
        let id = self.id(index);
        let attachment = Attachment {
            mode: NetworkMode::None,
            namespace: None,
            addresses: Vec::new(),
            bindings: Vec::new(),
            files: Vec::new(),
        };
        let spec = spec::build(&SpecInput {
            task: &self.task,
            container: &self.task.containers[usize::from(index)],
            id: &id,
            image: &image.config,
            host: &host(self.cgroups.version()),
            attachment: &attachment,
            mounts: &self.mounts,
            environment_files: &[("SECRET".to_owned(), "hush".to_owned())],
            cgroup_parent: &self.settings.cgroup_parent,
        });
        CreateContainer {
            spec: spec.unwrap(),
            task: self.task.clone(),
            user: self.user.clone(),
            log_options: self.log_options.clone(),
            image,
            id,
        }
    }

    /// Makes and starts a container of the task.
    pub async fn run(&self, index: u16) -> Result<Started, RuntimeError> {
        self.runtime.prepare_task(&self.task).await?;
        self.runtime.create(self.request(index)).await?;
        self.runtime.start(&self.id(index)).await
    }

    /// Runs the one container to its end.
    pub async fn run_to_end(&self) -> Exit {
        let mut events = self.runtime.events().await.unwrap();
        self.run(0).await.unwrap();
        self.exited(&mut events, 0).await;
        self.runtime.reap(&self.id(0)).await.unwrap()
    }

    /// Waits for the event that a container has ended.
    pub async fn exited(&self, events: &mut mpsc::Receiver<RuntimeEvent>, index: u16) {
        let wanted = RuntimeEvent::Exited(self.id(index));
        let wait = async { while events.recv().await.expect("the stream is open") != wanted {} };
        let log = || self.daemon.log();
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("no exit: {}", log()));
    }

    pub async fn observed(&self) -> Observed {
        let mut list = self.runtime.list().await.unwrap();
        assert_eq!(list.len(), 1, "{list:?}");
        list.remove(0)
    }

    /// What a file of a container's cgroup says, by its names on v1 and v2.
    pub fn limit(&self, path: &str, v1: (&str, &str), v2: &str) -> String {
        let parent = self.cgroups.parent();
        let file = match self.cgroups.version() {
            CgroupVersion::V1 => format!("/sys/fs/cgroup/{}{parent}/{path}/{}", v1.0, v1.1),
            CgroupVersion::V2 => format!("/sys/fs/cgroup{parent}/{path}/{v2}"),
        };
        std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{file}: {error}"))
            .trim()
            .to_owned()
    }

    /// Removes everything and proves that nothing is left.
    pub async fn clear(&self) {
        for index in 0..u16::try_from(self.task.containers.len()).unwrap() {
            self.runtime.remove(&self.id(index)).await.unwrap();
            self.runtime.remove(&self.id(index)).await.unwrap();
        }
        self.runtime.remove_task(&self.task.arn.id).await.unwrap();
        assert!(self.runtime.list().await.unwrap().is_empty());
        assert!(self.cgroups.pids("").unwrap().is_empty());
        let left = std::process::Command::new("find")
            .args(["/sys/fs/cgroup", "-name", self.task.arn.id.as_str()])
            .output();
        assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "");
        eventually("the shims end", || self.daemon.shims().is_empty()).await;
        assert_eq!(self.daemon.mounts(), Vec::<String>::new());
        let snapshots = self.daemon.ctr(&["snapshots", "ls"]);
        let snapshots = String::from_utf8_lossy(&snapshots.stdout).into_owned();
        assert!(!snapshots.contains(self.task.arn.id.as_str()), "{snapshots}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Failing tests leave groups that have processes; those die with their shims below.
        let killed = self.cgroups.kill("");
        for _ in 0..200 {
            if killed.is_err() || self.cgroups.remove_parent().is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Whether a container's shell has set its trap: before, a first process does not even get the signal. The OCI runtime,
/// which it is until it becomes the shell, catches it too.
pub fn catches_sigterm(pid: u32) -> bool {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    if !read("cmdline").starts_with("sh\0") {
        return false;
    }
    let status = read("status");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    u64::from_str_radix(caught.unwrap().trim(), 16).unwrap() & (1 << 14) != 0
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("it never came that {what}"));
}

fn runtime(daemon: &Daemon, settings: &Settings) -> ContainerdRuntime {
    let client = Client::new(&daemon.socket(), &settings.namespace).unwrap();
    ContainerdRuntime::new(client, settings.clone(), Arc::new(SystemClock)).unwrap()
}

fn host(cgroup: CgroupVersion) -> HostFacts {
    HostFacts {
        cpu_units: 1024,
        memory_mib: 1024,
        architecture: if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        }
        .to_owned(),
        variant: String::new(),
        hostname: "test".to_owned(),
        boot_id: "boot".to_owned(),
        fingerprint: "fingerprint".to_owned(),
        cgroup,
        apparmor: false,
        seccomp: true,
        gpus: Vec::new(),
        attributes: BTreeMap::new(),
    }
}
