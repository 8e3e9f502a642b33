//! A host of the test's own, made of namespaces on this machine.
//!
//! Limits: one host at a time in a process, since the process collects every orphan of its host. nextest runs each test
//! in a process of its own.

mod reboot;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::run;

/// A host: what runs on it, and nothing else, is in its namespaces.
#[derive(Debug)]
pub struct Host {
    id: String,
    dir: tempfile::TempDir,
    /// What was mounted before anything ran: covered mounts of the machine are still listed.
    mounts: Vec<String>,
}

/// Makes a host and runs a test on it.
///
/// The namespaces are those of the calling thread and of what it starts, so the test runs on a runtime of this one
/// thread.
///
/// # Panics
/// When the host can't be made, when the test panics, and when the test leaves something of a task behind.
pub fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce(std::rc::Rc<Host>) -> F) {
    let host = std::rc::Rc::new(Host::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test(std::rc::Rc::clone(&host)));
    drop(runtime);
    drop(host);
}

impl Host {
    fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "black-box tests make namespaces and run containers: be root"
        );
        nix::sys::prctl::set_child_subreaper(true).expect("orphaned shims shall be ours");
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
        mount_run();
        run(Command::new("ip").args(["link", "set", "lo", "up"]));
        let dir = tempfile::Builder::new()
            .prefix("lst-")
            .tempdir()
            .expect("a folder");
        let name = dir
            .path()
            .file_name()
            .and_then(|name| name.to_str())
            .expect("an ASCII name");
        let id = name.trim_start_matches("lst-").to_ascii_lowercase();
        Self {
            id: format!("{id}{}", std::process::id()),
            dir,
            mounts: mounts(),
        }
    }

    /// Its folder; everything of the test is below it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its id: letters and digits, unlike any other host's.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The cgroup below which its tasks' cgroups are.
    #[must_use]
    pub fn cgroup_parent(&self) -> String {
        format!("/longshore-test-{}", self.id)
    }

    /// The containerd namespace of its agent.
    #[must_use]
    pub fn containerd_namespace(&self) -> String {
        format!("longshore-test-{}", self.id)
    }

    /// A loopback port that nobody has; the network namespace is this host's alone.
    #[must_use]
    pub fn free_port(&self) -> u16 {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        socket.local_addr().expect("an address").port()
    }

    /// A file of a container's cgroup, whatever the version: `controller` matters on v1 only.
    #[must_use]
    pub fn cgroup_file(&self, controller: &str, below: &str, file: &str) -> Option<String> {
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let root = if unified {
            "/sys/fs/cgroup".to_owned()
        } else {
            format!("/sys/fs/cgroup/{controller}")
        };
        let path = format!("{root}{}/{below}/{file}", self.cgroup_parent());
        std::fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    }

    /// What is left of tasks on this host: containers, shims, network namespaces, mounts, cgroups, links, firewall
    /// rules. Empty when all is well.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        left.extend(
            self.cgroups()
                .into_iter()
                .map(|path| format!("cgroup {}", path.display())),
        );
        let ours =
            |line: &&String| line.contains("/rootfs") || line.contains("nsfs") || line.contains("netns");
        let new = mounts().into_iter().filter(|line| !self.mounts.contains(line));
        left.extend(new.filter(|line| ours(&line)).map(|line| format!("mount {line}")));
        let links = run(Command::new("ip").args(["-o", "link"])).stdout;
        let links = String::from_utf8_lossy(&links).into_owned();
        left.extend(
            links
                .lines()
                .filter(|line| line.contains("veth"))
                .map(|line| format!("link {line}")),
        );
        let rules = Command::new("iptables-save")
            .output()
            .map(|output| output.stdout)
            .unwrap_or_default();
        let rules = String::from_utf8_lossy(&rules).into_owned();
        // Rules of single containers name their address, their port or their id; the plugins' base chains do not.
        let single = |line: &&str| {
            line.contains("--to-destination")
                || line.contains("CNI-DN-")
                || line.contains(" -s ") && line.contains("/32")
        };
        left.extend(rules.lines().filter(single).map(|line| format!("rule {line}")));
        left
    }

    /// The cgroups of tasks, in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let parent = self.cgroup_parent();
        let mut found = Vec::new();
        for root in cgroup_roots() {
            let below = PathBuf::from(format!("{}{parent}", root.display()));
            let children = std::fs::read_dir(below).into_iter().flatten().flatten();
            found.extend(
                children
                    .filter(|entry| entry.path().is_dir())
                    .map(|entry| entry.path()),
            );
        }
        found
    }

    fn remove_cgroups(&self) {
        for root in cgroup_roots() {
            let below = PathBuf::from(format!("{}{}", root.display(), self.cgroup_parent()));
            remove_tree(&below);
        }
    }
}

fn mount_run() {
    let (name, kind) = (Some("run"), Some("tmpfs"));
    mount(name, "/run", kind, MsFlags::empty(), Some("mode=755")).expect("an empty /run");
}

/// The mounts of this thread's namespace, a line each.
fn mounts() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("/proc is mounted");
    text.lines().map(str::to_owned).collect()
}

/// Where something is mounted below a folder, in the order of mounting.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let point = |line: &String| line.split(' ').nth(4).map(PathBuf::from);
    let points = mounts();
    let points = points.iter().filter_map(point);
    points.filter(|point| point.starts_with(folder)).collect()
}

fn cgroup_roots() -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    let mut roots: Vec<_> = hierarchies
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    roots.push(PathBuf::from("/sys/fs/cgroup"));
    roots
}

/// Removes a cgroup and those below it; what still holds a process stays.
fn remove_tree(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(path);
}

/// Ends every process that descends from this one: orphans come to us, since we are their subreaper.
fn kill_descendants() {
    for _ in 0..200 {
        let children = children_of(std::process::id());
        if children.is_empty() {
            return;
        }
        for pid in children {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), Some(nix::sys::wait::WaitPidFlag::WNOHANG));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn children_of(pid: u32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

impl Drop for Host {
    fn drop(&mut self) {
        kill_descendants();
        self.remove_cgroups();
        // The folder goes with this value, and a folder with a mount in it can't.
        for below in mounts_below(self.dir()).iter().rev() {
            let _ = umount2(below, MntFlags::MNT_DETACH);
        }
        let _ = Command::new("umount").args(["-R", "/run"]).output();
    }
}
