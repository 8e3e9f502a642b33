//! The control plane, as `longshore-control-plane serve` runs it.

use std::path::PathBuf;
use std::process::Command;

use crate::host::Host;
use crate::process::{Process, run};
use crate::{binaries, wait};

/// The region that tests sign for: not the default one, so that a wrong default is seen.
pub const REGION: &str = "eu-north-1";

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    process: Process,
    dir: PathBuf,
    address: String,
    /// The operator's access key id.
    pub access_key_id: String,
    /// The operator's secret access key.
    pub secret_access_key: String,
}

impl ControlPlane {
    /// Starts one on plain HTTP.
    ///
    /// # Panics
    /// When it can't be started.
    pub async fn start(host: &Host) -> Self {
        let dir = host.dir().join("control-plane");
        std::fs::create_dir_all(&dir).expect("a folder");
        let address = format!("127.0.0.1:{}", host.free_port());
        let process = Self::spawn(&dir, &address);
        let mut plane = Self {
            process,
            dir,
            address,
            access_key_id: String::new(),
            secret_access_key: String::new(),
        };
        plane.until_ready().await;
        let text = std::fs::read_to_string(plane.dir.join("data/credentials")).expect("credentials");
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .expect("both keys");
            line.split_once('=').expect("NAME = VALUE").1.trim().to_owned()
        };
        plane.access_key_id = value("aws_access_key_id");
        plane.secret_access_key = value("aws_secret_access_key");
        plane
    }

    fn spawn(dir: &std::path::Path, address: &str) -> Process {
        let mut command = Command::new(binaries::path("longshore-control-plane"));
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(dir.join("data"))
            .args(["--listen", address, "--region", REGION]);
        Process::spawn("longshore-control-plane", &mut command, &dir.join("log"))
    }

    async fn until_ready(&self) {
        wait::until_some("the control plane listens", || {
            std::net::TcpStream::connect(&self.address).ok()
        })
        .await;
    }

    /// The file of its store.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.dir.join("data/control-plane.db")
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// What it logged, all runs together.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same address and data.
    pub async fn start_again(&mut self) {
        self.process.kill();
        self.process = Self::spawn(&self.dir, &self.address);
        self.until_ready().await;
    }

    /// Copies its data while it is away, and starts it again.
    ///
    /// # Panics
    /// When that fails.
    pub async fn back_up(&mut self) {
        self.process.kill();
        let (data, backup) = (self.dir.join("data"), self.dir.join("backup"));
        run(Command::new("cp").arg("-a").arg(data).arg(backup));
        self.start_again().await;
    }

    /// Kills it, and starts it with what [`Self::back_up`] has copied.
    ///
    /// # Panics
    /// When that fails.
    pub async fn restore(&mut self) {
        self.process.kill();
        let (data, backup) = (self.dir.join("data"), self.dir.join("backup"));
        std::fs::remove_dir_all(&data).expect("its data");
        run(Command::new("cp").arg("-a").arg(backup).arg(data));
        self.start_again().await;
    }

    /// What `aws` and other clients need in their environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_ECS", self.url()),
            ("AWS_ENDPOINT_URL_SSM", self.url()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ]
    }
}
