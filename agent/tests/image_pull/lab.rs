//! A containerd and a registry of a test's own; nothing of them is left when it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore_agent::clock::{Clock, SystemClock};
use longshore_agent::config::{ImageConfig, ImageLimits, ProxyConfig, PullBehavior, RegistryAuth};
use longshore_agent::containerd::Client;
use longshore_agent::http::{CertificateClock, Client as Http, Trust, client_config};
use longshore_agent::image::{ContainerdImages, ImageError, Images, Node, PullProgress, Reach};
use longshore_agent::model::{ContainerId, PulledImage};
use longshore_tests::programs;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::images::Image;
use crate::relay::Relay;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const NAMESPACE: &str = "test";
pub const SNAPSHOTTER: &str = "overlayfs";

/// The machine's clock, but nobody is made to wait for luck.
struct Impatient;

#[async_trait]
impl Clock for Impatient {
    fn now(&self) -> jiff::Timestamp {
        SystemClock.now()
    }
    fn since_boot(&self) -> Duration {
        SystemClock.since_boot()
    }
    async fn sleep(&self, duration: Duration) {
        SystemClock.sleep(duration).await;
    }
    fn random(&self, _: u64) -> u64 {
        // A pause of nothing would be a busy loop while something is away.
        20
    }
}

/// A program that ends with the test.
pub struct Program(Child);

impl Program {
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let name = command.get_program().to_owned();
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{}: {error}", name.display())),
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything a test needs.
pub struct Lab {
    pub client: Client,
    /// Between agent and registry.
    pub relay: Relay,
    http: Http,
    registry: Registry,
    containerd: Mutex<Option<Program>>,
    folder: tempfile::TempDir,
}

impl Lab {
    pub async fn start() -> Self {
        Self::within(tempfile::tempdir().unwrap()).await
    }

    /// One whose containerd has a disk of so many bytes.
    pub async fn on_a_disk_of(bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let size = format!("size={bytes}");
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("disk"), &root, Some("tmpfs"), flags, Some(&*size)).unwrap();
        Self::within(folder).await
    }

    async fn within(folder: tempfile::TempDir) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests unpack layers and need root"
        );
        let root = folder.path();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            root.join("root"),
            root.join("state"),
            root.join("c.sock"),
            root.join("c.sock.ttrpc")
        );
        std::fs::write(root.join("config.toml"), config).unwrap();
        let containerd = launch(root);
        let registry = Registry::start(root, "open", "").await;
        let http = http();
        let relay = Relay::start(registry.host.clone(), http.clone()).await;
        let client = Client::new(&root.join("c.sock"), NAMESPACE).unwrap();
        until("containerd answers", async || {
            client.list_leases(Vec::new()).await.is_ok()
        })
        .await;
        Self {
            client,
            relay,
            http,
            registry,
            containerd: Mutex::new(Some(containerd)),
            folder,
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills containerd, and starts it again when `meanwhile` is over.
    pub async fn without_containerd(&self, meanwhile: impl Future<Output = ()>) {
        self.containerd.lock().unwrap().take();
        meanwhile.await;
        *self.containerd.lock().unwrap() = Some(launch(self.folder.path()));
    }

    /// Another registry over the same images, that wants a login; `auth` is that part of its configuration.
    pub async fn locked_registry(&self, auth: &str) -> Registry {
        Registry::start(self.folder.path(), "locked", auth).await
    }

    /// Puts an image into the registry.
    pub async fn push(&self, name: &str, image: &Image) {
        image.push(&self.http, &self.registry.host, name).await;
    }

    /// Where the registry keeps a blob.
    pub fn stored(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.folder.path().join("blobs/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Not blocking: what it asks may be served by the same thread.
    pub async fn ctr(&self, arguments: &[&str]) -> String {
        let output = tokio::process::Command::new("ctr")
            .arg("-a")
            .arg(self.folder.path().join("c.sock"))
            .args(["-n", NAMESPACE])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("ctr comes with containerd");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "ctr {arguments:?}: {output:?}");
        text
    }

    pub fn images(&self, behavior: PullBehavior) -> ContainerdImages {
        self.images_with(behavior, &[])
    }

    /// Pulls may take so long.
    pub fn images_for(&self, pull_timeout: Duration) -> ContainerdImages {
        self.build(PullBehavior::Default, &[], pull_timeout)
    }

    pub fn images_with(&self, behavior: PullBehavior, logins: &[(&str, &str, &str)]) -> ContainerdImages {
        self.build(behavior, logins, PATIENCE)
    }

    fn build(
        &self,
        behavior: PullBehavior,
        logins: &[(&str, &str, &str)],
        pull_timeout: Duration,
    ) -> ContainerdImages {
        let login = |user: &str, password: &str| RegistryAuth {
            username: user.to_owned(),
            password: password.to_owned(),
        };
        let config = ImageConfig {
            pull_behavior: behavior,
            auth: logins
                .iter()
                .map(|(host, user, password)| ((*host).to_owned(), login(user, password)))
                .collect::<BTreeMap<_, _>>(),
            registry_config_dir: self.folder.path().join("certs.d"),
            pull_timeout,
            inactivity_timeout: Duration::from_secs(2),
            limits: ImageLimits {
                layer: 24 << 20,
                image: 32 << 20,
                ratio: 100,
                ratio_from: 1 << 20,
            },
        };
        let node = Node {
            snapshotter: SNAPSHOTTER.to_owned(),
            instance: "mi-0123".to_owned(),
            architecture: "amd64".to_owned(),
            variant: String::new(),
        };
        let reach = Reach {
            http: self.http.clone(),
            proxy: ProxyConfig::default(),
            time: Arc::new(CertificateClock::new(Arc::new(SystemClock))),
        };
        ContainerdImages::new(self.client.clone(), reach, &config, Arc::new(Impatient), node)
    }

    /// How an image is called when it is pulled by way of the relay.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.relay.host)
    }

    pub async fn has_snapshot(&self, chain_id: &str) -> bool {
        self.ctr(&["snapshots", "ls"]).await.contains(chain_id)
    }

    /// The ids of the leases that begin like this.
    pub async fn leases(&self, beginning: &str) -> Vec<String> {
        let leases = self.client.list_leases(Vec::new()).await.unwrap();
        let ids = leases.into_iter().map(|(id, _)| id);
        ids.filter(|id| id.starts_with(beginning)).collect()
    }

    /// Has containerd collect what nobody refers to.
    pub async fn collect(&self) {
        let id = "collect";
        self.client.ensure_lease(id, Default::default()).await.unwrap();
        self.client.delete_lease(id, true).await.unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Nothing is mounted there, unless it has a disk of its own.
        let root = self.folder.path().join("root");
        let _: nix::Result<()> = nix::mount::umount2(&root, nix::mount::MntFlags::MNT_DETACH);
    }
}

fn launch(root: &Path) -> Program {
    let mut command = programs::containerd();
    command.arg("--config").arg(root.join("config.toml"));
    Program::start(&mut command, &root.join("containerd.log"))
}

/// A registry on loopback.
pub struct Registry {
    pub host: String,
    _program: Program,
}

impl Registry {
    async fn start(root: &Path, name: &str, auth: &str) -> Self {
        // The port is free for as long as nobody else is as quick; then the registry ends, and another is tried.
        for _ in 0..10 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let host = listener.local_addr().unwrap().to_string();
            drop(listener);
            let config = format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: \"{host}\"}}\n{auth}",
                root.join("blobs").display()
            );
            let path = root.join(format!("{name}.yml"));
            std::fs::write(&path, config).unwrap();
            let mut command = Command::new("docker-registry");
            command.arg("serve").arg(&path);
            let mut program = Program::start(&mut command, &root.join(format!("{name}.log")));
            loop {
                if tokio::net::TcpStream::connect(&host).await.is_ok() {
                    return Self {
                        host,
                        _program: program,
                    };
                }
                if program.0.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let log = std::fs::read_to_string(root.join(format!("{name}.log")));
        panic!("docker-registry does not start: {log:?}");
    }
}

pub fn http() -> Http {
    let time = Arc::new(CertificateClock::new(Arc::new(SystemClock)));
    Http::new(client_config(&Trust::System, time).unwrap())
}

pub fn holder(index: u16) -> ContainerId {
    format!("0123456789abcdef0123456789abcdef-{index}")
        .parse()
        .unwrap()
}

/// Asks for an image as a container would.
pub async fn ensure(
    images: &ContainerdImages,
    reference: &str,
    index: u16,
) -> Result<PulledImage, ImageError> {
    let (progress, _) = watch::channel(PullProgress::default());
    images
        .ensure(reference, &holder(index), progress, CancellationToken::new())
        .await
}

/// Waits for what must come.
pub async fn until(what: &str, mut came: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::timeout(PATIENCE, async {
        while !came().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    patience
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
