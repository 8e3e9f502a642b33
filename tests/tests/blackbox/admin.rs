//! The admin socket where the settings put it, and what it is good for: an agent that can be asked while its disk hangs.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_tests::process::{Process, run};
use longshore_tests::{binaries, wait};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::system::{self, System, container, id_of, shell};

const FUSE: &str = "/dev/fuse";
const SETTING: &str = "LONGSHORE_ADMIN_SOCKET";
/// Ends with code 5 when it is told to.
const GRACEFUL: &str = "trap 'exit 5' TERM; echo begun; while :; do sleep 0.05; done";

/// A file system over a folder whose disk never answers: nobody serves it, so whoever looks something up in it waits.
struct HungDisk {
    at: PathBuf,
    /// While it is open, the kernel believes that somebody will serve.
    device: Option<File>,
}

impl HungDisk {
    fn over(folder: &Path) -> Self {
        let device = File::options().read(true).write(true).open(FUSE);
        let device = device.expect("FUSE is open to root");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let mounted = mount(
            Some("hung"),
            folder,
            Some("fuse"),
            MsFlags::empty(),
            Some(&*options),
        );
        mounted.expect("a mount");
        Self {
            at: folder.to_owned(),
            device: Some(device),
        }
    }
}

impl Drop for HungDisk {
    fn drop(&mut self) {
        // Those who wait get errors, then the folder is as it was.
        self.device = None;
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// Waits until the agent answers where its settings say. The control plane may take one that ended for connected.
async fn until_it_answers(system: &System) {
    let answers = || system.agent.ask("status", &[]).status.success().then_some(());
    wait::until_some("the agent answers", answers).await;
}

/// Starts the agent again with its socket in a folder that is not there yet.
async fn move_socket(system: &mut System) -> PathBuf {
    let socket = system.host.dir().join("run/longshore/admin.sock");
    system.agent.terminate().await;
    system.agent.set(SETTING, &socket.to_string_lossy());
    system.agent.start();
    until_it_answers(system).await;
    socket
}

async fn run_graceful(system: &System) -> String {
    let task = system
        .run_container(shell("app", &system.busybox, GRACEFUL).build())
        .await;
    system.until(&task, "RUNNING").await;
    system.agent.until_logs(&task, "app", "begun\n").await;
    task
}

/// What a command of the agent says, that must not wait for the disk.
async fn said_by(mut asking: Process) -> String {
    let status = asking.wait().await;
    let text = asking.output();
    assert!(status.success(), "{text}");
    text
}

async fn until_one_says(processes: &[Process], text: &str) {
    let says = |process: &Process| process.output().contains(text);
    wait::until_some(text, || processes.iter().any(says).then_some(())).await;
}

#[test]
fn status_and_tasks_answer_while_the_data_folder_hangs() {
    if !Path::new(FUSE).exists() {
        println!("skipped: this kernel has no FUSE, by which a disk is made to hang");
        return;
    }
    system::with(|mut system| async move {
        move_socket(&mut system).await;
        let task = run_graceful(&system).await;
        let agent = &system.agent;
        // Whoever waits for the disk can be killed only once it answers: what is told to wait goes after it.
        let mut waiting: Vec<Process> = Vec::new();
        let hung = HungDisk::over(&agent.data_dir());

        let inside = agent.data_dir().join("admin.sock");
        waiting.push(agent.begin("inside", &["status"], &[(SETTING, &inside)]));
        // More than the agent has threads for files, and more than it takes callers.
        let logs = (0..40).map(|number| format!("logs-{number}"));
        waiting.extend(logs.map(|name| agent.begin(&name, &["logs", id_of(&task)], &[])));
        until_one_says(&waiting, "24 logs are being read already").await;
        let status = said_by(agent.begin("status", &["status"], &[])).await;
        assert!(status.contains("connected since"), "{status}");
        let tasks = said_by(agent.begin("tasks", &["tasks"], &[])).await;
        assert!(tasks.contains(id_of(&task)), "{tasks}");
        until_one_says(&waiting[..1], "maybe since its disk hangs").await;

        drop(hung);
        drop(waiting);
        system.stop(&task).await;
        let told = system.until(&task, "STOPPED").await;
        assert_eq!(container(&told, "app").exit_code(), Some(5));
        assert_eq!(system.agent.logs(&task, "app"), "begun\n");
        system
    });
}

#[test]
fn an_agent_that_is_told_to_end_ends_while_the_data_folder_hangs() {
    if !Path::new(FUSE).exists() {
        println!("skipped: this kernel has no FUSE, by which a disk is made to hang");
        return;
    }
    system::with(|mut system| async move {
        let task = run_graceful(&system).await;
        let hung = HungDisk::over(&system.agent.data_dir());
        // Its socket, which it removes, lies there.
        system.agent.terminate().await;
        drop(hung);
        system.agent.start();
        system.stop(&task).await;
        let told = system.until(&task, "STOPPED").await;
        assert_eq!(container(&told, "app").exit_code(), Some(5));
        system
    });
}

#[test]
fn the_admin_socket_lies_where_the_settings_say() {
    system::with(|mut system| async move {
        let before = system.agent.data_dir().join("admin.sock");
        assert!(before.exists());
        let socket = move_socket(&mut system).await;
        assert!(!before.exists());
        assert_eq!(
            (mode(&socket), mode(socket.parent().expect("a folder"))),
            (0o600, 0o700)
        );
        let task = run_graceful(&system).await;
        let mut logs = Command::new(binaries::path("longshore"));
        let logs = run(logs.args(["logs", id_of(&task), "--socket"]).arg(&socket));
        assert_eq!(String::from_utf8_lossy(&logs.stdout), "begun\n", "{logs:?}");

        // What a dead agent left is replaced.
        system.agent.kill();
        assert!(socket.exists());
        system.agent.start();
        until_it_answers(&system).await;
        system.agent.terminate().await;
        assert!(!socket.exists());

        // What is somebody else's is not, and nothing is touched.
        let other = UnixListener::bind(&socket).expect("a free path");
        let refused = system.agent.ask("run", &[]);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(
            text.contains("is there already; name another path by LONGSHORE_ADMIN_SOCKET"),
            "{text}"
        );
        drop(other);

        // A path that no socket can have is a fault of the settings, to whoever reads them.
        system.agent.set(SETTING, "run/admin.sock");
        for verb in ["run", "status"] {
            let refused = system.agent.ask(verb, &[]);
            let text = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(153), "{text}");
            assert!(
                text.contains("LONGSHORE_ADMIN_SOCKET=run/admin.sock: must be an absolute path"),
                "{text}"
            );
        }
        system.agent.set(SETTING, &socket.to_string_lossy());
        system.agent.start();
        until_it_answers(&system).await;
        system.stop(&task).await;
        let told = system.until(&task, "STOPPED").await;
        assert_eq!(container(&told, "app").exit_code(), Some(5));
        system
    });
}
