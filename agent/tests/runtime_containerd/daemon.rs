//! A containerd of a test's own, with one image in it, of which nothing is left when the test ends.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use longshore_agent::model::{ImageConfig, PulledImage};
use longshore_tests::programs;
use serde_json::{Value, json};

const IMAGE: &str = "registry.test/busybox:1";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
const GROUP: &str = "root:x:0:\napp:x:1001:\nextra:x:2000:app\n";
const APPLETS: [&str; 10] = [
    "sh", "sleep", "cat", "tail", "id", "grep", "true", "unshare", "stty", "setsid",
];

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running containerd.
pub struct Daemon {
    folder: tempfile::TempDir,
    process: Child,
    /// Of its own, since runc keeps the containers of all containerds of a machine by namespace.
    pub namespace: String,
    chain_id: String,
}

impl Daemon {
    pub fn start() -> Self {
        Self::configured("")
    }

    /// One that counts the calls it gets, at the address that it gives back.
    pub fn counting() -> (Self, std::net::SocketAddr) {
        // Free a moment ago, which is as good as it gets: containerd can't tell which port it took.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        (
            Self::configured(&format!("[metrics]\naddress = \"{address}\"\n")),
            address,
        )
    }

    fn configured(more: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests run containers and need root"
        );
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n{more}",
            root.join("root"),
            root.join("state"),
            root.join("c.sock"),
            root.join("c.sock.ttrpc")
        );
        std::fs::write(root.join("config.toml"), config).unwrap();
        let process = launch(root);
        let mut daemon = Self {
            namespace: format!("test-{}", uuid::Uuid::new_v4().simple()),
            chain_id: String::new(),
            process,
            folder,
        };
        daemon.wait();
        daemon.chain_id = daemon.import();
        daemon
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("c.sock")
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again on what it left.
    pub fn restart(&mut self) {
        self.process = launch(self.folder.path());
        self.wait();
    }

    /// Starts it again on a database that is empty, after it was killed.
    pub fn restart_with_nothing(&mut self) {
        let database = "root/io.containerd.metadata.v1.bolt/meta.db";
        std::fs::remove_file(self.folder.path().join(database)).unwrap();
        self.restart();
    }

    pub fn image(&self) -> PulledImage {
        PulledImage {
            reference: IMAGE.to_owned(),
            name: IMAGE.to_owned(),
            digest: String::new(),
            chain_id: self.chain_id.clone(),
            config: ImageConfig::default(),
            fallback: None,
        }
    }

    pub fn ctr(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("ctr");
        command
            .arg("-a")
            .arg(self.socket())
            .args(["-n", &self.namespace])
            .args(arguments);
        command
            .stdin(Stdio::null())
            .output()
            .expect("ctr comes with containerd")
    }

    /// The shims that serve it.
    pub fn shims(&self) -> Vec<i32> {
        let address = self.socket().display().to_string();
        let mut shims = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("containerd-shim") && line.split('\0').any(|word| word == address) {
                shims.extend(entry.file_name().to_string_lossy().parse::<i32>().ok());
            }
        }
        shims
    }

    /// What is mounted below its folder.
    pub fn mounts(&self) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let folder = self.folder.path().display().to_string();
        let place = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
        table
            .lines()
            .map(place)
            .filter(|place| place.starts_with(&folder))
            .collect()
    }

    fn wait(&self) {
        let until = std::time::Duration::from_millis(50);
        for _ in 0..(PATIENCE.as_millis() / until.as_millis()) {
            if self.ctr(&["version"]).status.success() {
                return;
            }
            std::thread::sleep(until);
        }
        panic!("containerd does not answer: {}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Puts a busybox image into it and says the chain id of its one layer.
    fn import(&self) -> String {
        let folder = self.folder.path();
        let root = folder.join("image/root");
        for name in ["bin", "etc", "tmp", "home/app"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy(programs::busybox(), root.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        std::fs::write(root.join("etc/passwd"), PASSWD).unwrap();
        std::fs::write(root.join("etc/group"), GROUP).unwrap();
        let layer = archive(&root, &folder.join("image/layer.tar"));

        let layout = folder.join("image/layout");
        std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        let blob = |kind: &str, bytes: &[u8]| {
            let hash = hex(digest(&SHA256, bytes).as_ref());
            std::fs::write(layout.join("blobs/sha256").join(&hash), bytes).unwrap();
            json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{hash}"), "size": bytes.len() })
        };
        let layer = blob("layer.v1.tar", &layer);
        let chain_id = layer["digest"].as_str().unwrap().to_owned();
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        });
        let config = blob("config.v1+json", config.to_string().as_bytes());
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
        let mut manifest: Value = blob("manifest.v1+json", manifest.to_string().as_bytes());
        manifest["annotations"] = json!({ "io.containerd.image.name": IMAGE });
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let archive_path = folder.join("image/image.tar");
        archive(&layout, &archive_path);
        let imported = self.ctr(&["image", "import", archive_path.to_str().unwrap()]);
        assert!(imported.status.success(), "{imported:?}");
        chain_id
    }
}

impl Drop for Daemon {
    /// Whatever the test did: no process, mount or cgroup of it stays.
    fn drop(&mut self) {
        let _: Result<(), std::io::Error> = self.process.kill();
        let _: Result<_, std::io::Error> = self.process.wait();
        for shim in self.shims() {
            let _: nix::Result<()> = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(shim),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        for mount in self.mounts().iter().rev() {
            let _: nix::Result<()> = nix::mount::umount2(mount.as_str(), nix::mount::MntFlags::MNT_DETACH);
        }
        let _: Result<(), std::io::Error> =
            std::fs::remove_dir_all(Path::new("/run/containerd/runc").join(&self.namespace));
    }
}

fn launch(folder: &Path) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    programs::containerd()
        .arg("-c")
        .arg(folder.join("config.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("containerd is installed")
}

/// Packs a folder and gives back the bytes.
fn archive(folder: &Path, file: &Path) -> Vec<u8> {
    let packed = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .arg("-cf")
        .arg(file)
        .arg(".")
        .status()
        .unwrap();
    assert!(packed.success());
    std::fs::read(file).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
