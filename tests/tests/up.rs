//! `longshore up`: a whole system by one word, and nothing left of it.

#![allow(clippy::expect_used, reason = "helpers of tests may fail like tests")]

use std::path::PathBuf;
use std::process::Command;

use longshore_protocol::sigv4::sha256_hex;
use longshore_tests::host::{Host, on_a_host};
use longshore_tests::process::Process;
use longshore_tests::registry::Registry;
use longshore_tests::{binaries, wait};
use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// `longshore up` in a folder of its own.
struct Up {
    process: Process,
    folder: PathBuf,
    ready_file: PathBuf,
}

fn up(host: &Host, name: &str, args: &[&str]) -> Up {
    up_at(host, name, host.free_port(), args)
}

fn up_at(host: &Host, name: &str, port: u16, args: &[&str]) -> Up {
    let folder = host.dir().join(name);
    let listen = format!("127.0.0.1:{port}");
    let mut command = Command::new(binaries::path("longshore"));
    command
        .arg("up")
        .arg("--data-dir")
        .arg(&folder)
        .args(["--listen", &listen]);
    let ready_file = ready_file(host, name, port);
    command.arg("--ready-file").arg(&ready_file).args(args);
    command.env("LONGSHORE_LOG", "debug");
    let process = Process::spawn(
        "longshore up",
        &mut command,
        &host.dir().join(format!("{name}.log")),
    );
    Up {
        process,
        folder,
        ready_file,
    }
}

fn ready_file(host: &Host, name: &str, port: u16) -> PathBuf {
    host.dir().join(format!("{name}-{port}-ready"))
}

impl Up {
    async fn until_ready(&mut self) {
        let ready = &self.ready_file;
        let process = &mut self.process;
        wait::until_some("the system is ready", || {
            assert!(
                process.is_running() || ready.exists(),
                "it ended: {}",
                process.output()
            );
            ready.exists().then_some(())
        })
        .await;
    }

    /// What of it is outside of its folder: cgroups, its bridge.
    fn outside(&self) -> Vec<String> {
        let id = sha256_hex(self.folder.as_os_str().as_encoded_bytes());
        let id = &id[..8];
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
        let roots = hierarchies
            .map(|entry| entry.path())
            .chain([PathBuf::from("/sys/fs/cgroup")]);
        let cgroups = roots
            .map(|root| root.join(format!("longshore-{id}")))
            .filter(|path| path.exists());
        let mut left: Vec<_> = cgroups.map(|path| path.display().to_string()).collect();
        let links = Command::new("ip")
            .args(["-o", "link"])
            .output()
            .expect("ip")
            .stdout;
        let links = String::from_utf8_lossy(&links).into_owned();
        left.extend(
            links
                .lines()
                .filter(|line| line.contains(&format!("ls-{id}")))
                .map(str::to_owned),
        );
        left
    }

    /// Runs a command of the CLI against it.
    fn longshore(&self, args: &[&str]) -> String {
        let mut command = Command::new(binaries::path("longshore"));
        command.args(args).arg("--env").arg(&self.folder);
        let output = command.output().expect("longshore");
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a task that goes on until it is told to stop, and waits until it runs. Its id.
    async fn run_a_task(&self, host: &Host, registry: &Registry) -> String {
        let image = registry.push_busybox(host, "busybox:1", &json!({}));
        let script = "trap 'exit 0' TERM; echo started; while :; do sleep 1 & wait $!; done";
        let definition = json!({"family": "lasting", "containerDefinitions": [
            {"name": "main", "image": image, "memory": 32, "command": ["sh", "-c", script]}]});
        let file = host.dir().join("lasting.json");
        std::fs::write(&file, definition.to_string()).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let answer: Value =
            serde_json::from_str(&self.longshore(&["run", "-f", file, "--json"])).expect("JSON");
        let arn = answer["tasks"][0]["taskArn"].as_str().expect("a task");
        let id = arn.rsplit('/').next().expect("an id").to_owned();
        self.until(&id, "RUNNING").await;
        id
    }

    fn task(&self, id: &str) -> Value {
        let answer: Value = serde_json::from_str(&self.longshore(&["describe", id, "--json"])).expect("JSON");
        answer["tasks"][0].clone()
    }

    async fn until(&self, id: &str, status: &str) {
        let what = format!("the task is {status}");
        wait::until_some(&what, || (self.task(id)["lastStatus"] == status).then_some(())).await;
    }

    /// The process id of its private containerd.
    fn containerd(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.folder.join("containerd/pid")).ok()?;
        text.trim().parse().ok()
    }

    async fn ends_well(&mut self) {
        assert!(self.process.wait().await.success(), "{}", self.process.output());
    }
}

#[test]
fn the_sample_runs_and_everything_ends() {
    on_a_host(|host| async move {
        let mut up = up(&host, "sample", &["--sample", "--clean"]);
        let status = up.process.wait().await;
        assert!(status.success(), "{}", up.process.output());
        let said = up.process.output();
        assert!(said.contains("PENDING") && said.contains("RUNNING"), "{said}");
        assert_eq!(up.outside(), Vec::<String>::new());
        assert!(!up.folder.exists(), "--clean leaves nothing");
        assert_eq!(host.leftovers(), Vec::<String>::new());
    });
}

#[test]
fn ctrl_c_stops_the_tasks_and_leaves_only_the_folder() {
    on_a_host(|host| async move {
        let mut up = up(&host, "plain", &[]);
        up.until_ready().await;
        let env = std::fs::read_to_string(up.folder.join("env")).expect("the env file");
        for name in [
            "AWS_ENDPOINT_URL_ECS",
            "AWS_ENDPOINT_URL_SSM",
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "LONGSHORE_CLUSTER",
            "LONGSHORE_UP_DIR",
        ] {
            assert!(env.contains(&format!("export {name}=")), "{env}");
        }
        assert!(up.longshore(&["nodes"]).contains("ACTIVE"));
        up.process.signal(Signal::SIGINT);
        assert!(up.process.wait().await.success(), "{}", up.process.output());
        assert_eq!(up.outside(), Vec::<String>::new());
        assert!(up.folder.exists());
    });
}

#[test]
fn a_second_one_in_the_same_folder_says_so() {
    on_a_host(|host| async move {
        let mut first = up(&host, "one", &[]);
        first.until_ready().await;
        let mut second = up(&host, "one", &[]);
        assert!(!second.process.wait().await.success());
        let log = std::fs::read_to_string(host.dir().join("one.log")).expect("the log");
        assert!(log.contains("already"), "{log}");
        assert!(first.process.is_running());
        first.process.signal(Signal::SIGTERM);
        assert!(first.process.wait().await.success());
    });
}

#[test]
fn a_private_containerd_that_dies_is_started_again() {
    on_a_host(|host| async move {
        let registry = Registry::start(&host).await;
        let mut up = up(&host, "c", &[]);
        up.until_ready().await;
        let task = up.run_a_task(&host, &registry).await;
        let old = up.containerd().expect("a private containerd");
        kill(Pid::from_raw(old), Signal::SIGKILL).expect("it runs");
        wait::until_some("another containerd runs", || {
            up.containerd().filter(|pid| *pid != old)
        })
        .await;
        let second = up.run_a_task(&host, &registry).await;
        assert_ne!(second, task);
        assert_eq!(up.task(&task)["lastStatus"], "RUNNING");
        // Dead once more, it is needed to end: one signal is enough all the same.
        let old = up.containerd().expect("a private containerd");
        kill(Pid::from_raw(old), Signal::SIGKILL).expect("it runs");
        up.process.signal(Signal::SIGTERM);
        up.ends_well().await;
        assert_eq!(up.outside(), Vec::<String>::new());
        assert_eq!(host.leftovers(), Vec::<String>::new());
    });
}

#[test]
fn tasks_that_are_kept_are_found_again_and_clean_spares_them() {
    on_a_host(|host| async move {
        let registry = Registry::start(&host).await;
        let mut first = up(&host, "k", &["--keep-tasks"]);
        first.until_ready().await;
        let task = first.run_a_task(&host, &registry).await;
        let before = first.task(&task);
        first.process.signal(Signal::SIGTERM);
        first.ends_well().await;
        assert!(!first.outside().is_empty(), "the task lives on");

        // One that can't start has no business with the tasks of another.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let mut refused = up_at(&host, "k", port, &["--clean"]);
        assert!(!refused.process.wait().await.success());
        assert!(
            refused.folder.join("names.json").exists(),
            "{}",
            refused.process.output()
        );

        let mut second = up(&host, "k", &["--clean"]);
        second.until_ready().await;
        let after = second.task(&task);
        assert_eq!(after["lastStatus"], "RUNNING");
        assert_eq!(after["startedAt"], before["startedAt"]);
        assert_eq!(second.longshore(&["logs", &task]), "started\n");
        second.process.signal(Signal::SIGTERM);
        second.ends_well().await;
        assert_eq!(second.outside(), Vec::<String>::new());
        assert!(!second.folder.exists());
        assert_eq!(host.leftovers(), Vec::<String>::new());
    });
}

#[test]
fn a_killed_one_takes_its_programs_along_and_the_next_finds_the_tasks() {
    on_a_host(|host| async move {
        let registry = Registry::start(&host).await;
        let mut first = up(&host, "d", &[]);
        first.until_ready().await;
        let task = first.run_a_task(&host, &registry).await;
        first.process.kill();
        let config = first.folder.join("agent.config");
        let config = config.to_str().expect("UTF-8");
        wait::until_some("the agent has ended", || (!runs_with(config)).then_some(())).await;

        let mut second = up(&host, "d", &[]);
        second.until_ready().await;
        assert_eq!(second.task(&task)["lastStatus"], "RUNNING");
        second.process.signal(Signal::SIGTERM);
        second.ends_well().await;
        assert_eq!(second.outside(), Vec::<String>::new());
        assert_eq!(host.leftovers(), Vec::<String>::new());
    });
}

/// Whether a process has this argument.
fn runs_with(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| {
        line.split(|byte| *byte == 0)
            .any(|word| word == argument.as_bytes())
    })
}

#[test]
fn a_ready_file_of_an_earlier_one_goes_before_anything_starts() {
    on_a_host(|host| async move {
        // A folder can't be removed as a file: that shows when it is tried.
        let port = host.free_port();
        let ready_file = ready_file(&host, "r", port);
        std::fs::create_dir(&ready_file).expect("a folder");
        let mut up = up_at(&host, "r", port, &[]);
        assert!(!up.process.wait().await.success());
        assert!(up.process.output().contains(&*ready_file.to_string_lossy()));
        assert!(
            !up.folder.join("control-plane").exists(),
            "{}",
            up.process.output()
        );
    });
}

#[test]
fn logs_that_can_not_be_written_stop_nothing() {
    on_a_host(|host| async move {
        let registry = Registry::start(&host).await;
        let logs = host.dir().join("l/log");
        std::fs::create_dir_all(&logs).expect("a folder");
        let small = Some("size=256k");
        mount(Some("logs"), &logs, Some("tmpfs"), MsFlags::empty(), small).expect("a small file system");
        let mut up = up(&host, "l", &[]);
        up.until_ready().await;
        std::fs::write(logs.join("full"), [0; 256 * 1024]).expect_err("it is full now");
        let task = up.run_a_task(&host, &registry).await;
        up.longshore(&["stop", &task]);
        up.until(&task, "STOPPED").await;
        for name in ["agent.log", "control-plane.log"] {
            let log = std::fs::metadata(logs.join(name)).expect("a log").len();
            assert_eq!(log % 4096, 0, "{name} ends with its last page");
        }
        up.process.signal(Signal::SIGTERM);
        up.ends_well().await;
        let said = up.process.output();
        assert!(!said.contains("again"), "{said}");
        umount(&logs).expect("nobody is in there");
    });
}
