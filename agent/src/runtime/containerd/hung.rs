//! Shims that do not answer any more: what they keep from ending ends without them.
//!
//! containerd knows a container's end by its shim alone. One that hangs (stopped, out of file descriptors, waiting for a
//! disk that is gone) would keep its task from ever being STOPPED, and its processes from being collected. So once
//! nothing is left in the container's cgroup, and the shim has not said a word for [`PATIENCE`], it is killed; containerd
//! takes down what it had, and tells of it as of any shim that died.
//!
//! Invariants: a shim is killed only after SIGKILL was due, or where nothing of its whole task runs any more; while the
//! container's cgroup is empty and containerd itself answers. A shim that says anything at all is left alone. The exit
//! status goes with it, and is never made up.
//!
//! Limits: the containers of a task share a shim, so those that still run end with it; nobody could have stopped them in
//! an orderly way either. Shims are found by their name and command line, as containerd starts them. A process that calls
//! itself by their name and hangs keeps a thread of those that look for them.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use longshore_protocol::arn::ResourceId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{ContainerdRuntime, cgroup};
use crate::blocking;
use crate::containerd::types::v1::Status;
use crate::model::ContainerId;

/// How long a shim may say nothing. containerd waits two seconds for each answer, so these are several.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// The bytes of a command line that are looked at. A shim's has a few paths; any process may call any memory its own.
const LINE: u64 = 16 << 10;
/// What the kernel keeps of a shim's name, which is `containerd-shim-` and more: 15 bytes.
const NAME: &str = "containerd-shim";

impl ContainerdRuntime {
    /// Kills the shim of a container of which nothing is left, if it hangs. What it was is told by events.
    pub(super) async fn end_hung_shim(&self, id: &ContainerId) {
        let begun = self.clock.since_boot();
        while self.is_silent(id).await {
            if self.clock.since_boot() >= begun + PATIENCE {
                self.kill_shim(id).await;
                return;
            }
            self.clock.sleep(PAUSE).await;
        }
    }

    /// The same, where no order to stop stands behind it: only if nothing of the whole task is left, whose containers
    /// would end with the shim.
    pub(super) async fn end_hung_shim_if_idle(&self, id: &ContainerId) {
        let task = id.task().as_str();
        if self.cgroups.pids(task).is_ok_and(|pids| pids.is_empty()) {
            self.end_hung_shim(id).await;
        }
    }

    /// Whether containerd has a task for which nobody answers, and nothing runs in it.
    async fn is_silent(&self, id: &ContainerId) -> bool {
        let empty = self.cgroups.pids(&cgroup(id)).is_ok_and(|pids| pids.is_empty());
        // If containerd is away, nobody can say whose silence it is.
        let process = self.process(&id.to_string()).await.ok().flatten();
        empty && process.is_some_and(|process| process.status() == Status::Unknown)
    }

    async fn kill_shim(&self, id: &ContainerId) {
        let (namespace, of) = (self.settings.namespace.clone(), id.clone());
        let killed = blocking::SHIMS.run(move || kill_shims(&namespace, &of)).await;
        let killed = killed.unwrap_or_default();
        match killed.is_empty() {
            true => tracing::error!(container = %id, "its shim does not answer, and is nowhere to be found"),
            false => {
                self.watch.hung(id.task());
                tracing::warn!(container = %id, shims = ?killed, "its shim did not answer, and was killed");
            }
        }
    }
}

/// Kills the shims of a container, and says which.
fn kill_shims(namespace: &str, id: &ContainerId) -> Vec<i32> {
    let shims = find_shims(Path::new("/proc"), namespace, id);
    let kill = |pid: &i32| {
        let process = Pid::from_raw(*pid)?;
        // Whoever has that number by the time of the signal is looked at again, by a handle that no other can take.
        let handle = pidfd_open(process, PidfdFlags::empty()).ok()?;
        let same = find_shims(Path::new("/proc"), namespace, id).contains(pid);
        (same && pidfd_send_signal(&handle, Signal::KILL).is_ok()).then_some(())
    };
    shims.into_iter().filter(|pid| kill(pid).is_some()).collect()
}

/// The shims that may serve a container: its own, or else that of its task.
fn find_shims(proc: &Path, namespace: &str, id: &ContainerId) -> Vec<i32> {
    let mut own = Vec::new();
    let mut tasks = Vec::new();
    for entry in std::fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if !is_named_so(&entry.path().join("comm")) {
            continue;
        }
        let line = command_line(&entry.path().join("cmdline"));
        match serves(&String::from_utf8_lossy(&line), namespace, id.task()) {
            Some(served) if served == *id => own.push(pid),
            Some(_) => tasks.push(pid),
            None => {}
        }
    }
    if own.is_empty() { tasks } else { own }
}

/// Whether a process may be a shim, by its name. That lies in the kernel: a process that hangs keeps nobody from reading it,
/// as it does with its command line, which lies in its memory.
fn is_named_so(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|name| name.trim_ascii_end() == NAME.as_bytes())
}

/// The beginning of a command line. Processes come and go while one looks: of one that has gone there is none.
fn command_line(path: &Path) -> Vec<u8> {
    let mut line = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LINE).read_to_end(&mut line));
    match read {
        Ok(_) => line,
        Err(_) => Vec::new(),
    }
}

/// The container of this task that a shim was started for, by its command line. A call to `delete` is no shim; `start`
/// may be one, since Longshore's goes on in the process that was called so.
fn serves(line: &str, namespace: &str, task: &ResourceId) -> Option<ContainerId> {
    let mut words = line.trim_end_matches('\0').split('\0');
    let program = Path::new(words.next()?).file_name()?.to_str()?;
    if !program.starts_with("containerd-shim-") {
        return None;
    }
    let (mut found, mut given) = (None, None);
    while let Some(word) = words.next() {
        match word.trim_start_matches('-') {
            "namespace" if word.starts_with('-') => given = words.next(),
            "id" if word.starts_with('-') => found = words.next()?.parse::<ContainerId>().ok(),
            "delete" if !word.starts_with('-') => return None,
            _ => {}
        }
    }
    found.filter(|found| given == Some(namespace) && found.task() == task)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210";

    fn line(words: &str) -> String {
        words.replace(' ', "\0") + "\0"
    }

    #[test]
    fn shims_are_told_by_what_containerd_starts_them_with() {
        let task = TASK.parse().unwrap();
        let serves = |words: &str| serves(&line(words), "longshore", &task).map(|id| id.index());
        let runc = "/usr/bin/containerd-shim-runc-v2 -namespace longshore";
        let address = "-address /run/containerd/containerd.sock";
        assert_eq!(serves(&format!("{runc} -id {TASK}-3 {address}")), Some(3));
        let ours = "/opt/containerd-shim-longshore-v1 --namespace longshore --id";
        assert_eq!(
            serves(&format!("{ours} {TASK}-0 -address /run/c.sock start")),
            Some(0)
        );
        for other in [
            format!("{runc} -id {OTHER}-3 {address}"),
            format!("{runc} -id something {address}"),
            format!("/usr/bin/containerd-shim-runc-v2 -namespace moby -id {TASK}-3 {address}"),
            format!("{runc} -id {TASK}-3 {address} -bundle /b delete"),
            format!("/bin/sleep -namespace longshore -id {TASK}-3"),
            format!("{runc} -id"),
            String::new(),
        ] {
            assert_eq!(serves(&other), None, "{other}");
        }
    }

    #[test]
    fn a_containers_own_shim_goes_before_that_of_its_task() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, words: String| {
            std::fs::create_dir(proc.path().join(pid)).unwrap();
            std::fs::write(proc.path().join(pid).join("cmdline"), line(&words)).unwrap();
            // The kernel keeps 15 letters of a name.
            let name: String = words.chars().take(15).collect();
            std::fs::write(proc.path().join(pid).join("comm"), name + "\n").unwrap();
        };
        let shim = |id: &str| format!("containerd-shim-runc-v2 -namespace n -id {TASK}-{id} -address /a");
        process("10", shim("0"));
        process("11", "sleep 1000".to_owned());
        std::fs::create_dir(proc.path().join("self")).unwrap();
        let find = |index: u16| {
            let id = ContainerId::new(TASK.parse().unwrap(), index);
            find_shims(proc.path(), "n", &id)
        };
        assert_eq!((find(0), find(1)), (vec![10], vec![10]), "they share one");
        process("12", shim("1"));
        assert_eq!((find(0), find(1)), (vec![10], vec![12]));
    }

    /// A FIFO that nobody writes is the memory of a process that hangs.
    #[test]
    fn of_what_is_no_shim_the_command_line_is_not_waited_for() {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join("10");
        std::fs::create_dir(&process).unwrap();
        std::fs::write(process.join("comm"), "sleep\n").unwrap();
        nix::unistd::mkfifo(&process.join("cmdline"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (found, finds) = std::sync::mpsc::channel();
        let folder = proc.path().to_owned();
        std::thread::spawn(move || {
            let id = ContainerId::new(TASK.parse().unwrap(), 0);
            found.send(find_shims(&folder, "n", &id))
        });
        assert_eq!(finds.recv_timeout(Duration::from_secs(10)), Ok(Vec::new()));
    }

    #[tokio::test]
    async fn who_looks_at_the_processes_of_containers_holds_up_no_end_of_a_shim() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = super::super::alone::runtime(folder.path(), TASK);
        let _hanging = blocking::PROCESSES.fill().await;
        let id = ContainerId::new(TASK.parse().unwrap(), 0);
        let killed = tokio::time::timeout(Duration::from_secs(10), runtime.kill_shim(&id));
        assert!(killed.await.is_ok());
    }

    #[test]
    fn a_command_line_without_end_is_read_to_a_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert_eq!(u64::try_from(command_line(file.path()).len()).unwrap(), LINE);
    }
}
