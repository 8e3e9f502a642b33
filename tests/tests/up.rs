//! `longshore up`: a whole system by one word, and nothing left of it.

#![allow(clippy::expect_used, reason = "helpers of tests may fail like tests")]

use std::path::PathBuf;
use std::process::Command;

use longshore_protocol::sigv4::sha256_hex;
use longshore_tests::host::{Host, on_a_host};
use longshore_tests::process::Process;
use longshore_tests::{binaries, wait};
use nix::sys::signal::Signal;

/// `longshore up` in a folder of its own.
struct Up {
    process: Process,
    folder: PathBuf,
}

fn up(host: &Host, name: &str, args: &[&str]) -> Up {
    let folder = host.dir().join(name);
    let listen = format!("127.0.0.1:{}", host.free_port());
    let mut command = Command::new(binaries::path("longshore"));
    command
        .arg("up")
        .arg("--data-dir")
        .arg(&folder)
        .args(["--listen", &listen]);
    command
        .arg("--ready-file")
        .arg(host.dir().join(format!("{name}-ready")))
        .args(args);
    let process = Process::spawn(
        "longshore up",
        &mut command,
        &host.dir().join(format!("{name}.log")),
    );
    Up { process, folder }
}

impl Up {
    async fn until_ready(&mut self, host: &Host) {
        let name = self
            .folder
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name")
            .to_owned();
        let ready = host.dir().join(format!("{name}-ready"));
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
        up.until_ready(&host).await;
        let env = std::fs::read_to_string(up.folder.join("env")).expect("the env file");
        for name in [
            "AWS_ENDPOINT_URL_ECS",
            "AWS_ENDPOINT_URL_SSM",
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "LONGSHORE_CLUSTER",
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
        first.until_ready(&host).await;
        let mut second = up(&host, "one", &[]);
        assert!(!second.process.wait().await.success());
        let log = std::fs::read_to_string(host.dir().join("one.log")).expect("the log");
        assert!(log.contains("already"), "{log}");
        assert!(first.process.is_running());
        first.process.signal(Signal::SIGTERM);
        assert!(first.process.wait().await.success());
    });
}
