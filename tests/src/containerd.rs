//! A private containerd.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::Host;
use crate::process::{Process, run};
use crate::programs;
use crate::wait;

/// A containerd with its own root, state and socket.
#[derive(Debug)]
pub struct Containerd {
    process: Process,
    dir: PathBuf,
}

impl Containerd {
    /// Starts one ([`programs::containerd`]), and waits until it answers.
    ///
    /// # Panics
    /// When it can't be started.
    pub async fn start(host: &Host) -> Self {
        let dir = host.dir().join("containerd");
        std::fs::create_dir_all(&dir).expect("a folder");
        let config = format!(
            "version = 2\nroot = '{0}/root'\nstate = '/run/containerd-test'\ndisabled_plugins = [\
             'io.containerd.grpc.v1.cri', 'io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.zfs', \
             'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.aufs']\n\
             [grpc]\naddress = '{0}/containerd.sock'\n[ttrpc]\naddress = '{0}/containerd.sock.ttrpc'\n",
            dir.display()
        );
        std::fs::write(dir.join("config.toml"), config).expect("a configuration");
        let process = Self::spawn(&dir);
        let containerd = Self { process, dir };
        containerd.until_ready().await;
        containerd
    }

    fn spawn(dir: &Path) -> Process {
        let mut command = programs::containerd();
        command
            .args(["--log-level", "warn", "--config"])
            .arg(dir.join("config.toml"));
        Process::spawn("containerd", &mut command, &dir.join("log"))
    }

    async fn until_ready(&self) {
        wait::until_some("containerd answers", || {
            let output = Command::new("ctr")
                .arg("-a")
                .arg(self.socket())
                .arg("version")
                .output()
                .ok()?;
            output.status.success().then_some(())
        })
        .await;
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    /// Kills it with SIGKILL; [`Containerd::restart`] starts it again. Shims go on.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Kills it with SIGKILL and starts it again. Shims go on.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = Self::spawn(&self.dir);
        self.until_ready().await;
    }

    /// What it logged, and its shims with it.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// What `ctr` says in a namespace.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctr(&self, namespace: &str, args: &[&str]) -> String {
        let mut command = Command::new("ctr");
        command
            .arg("-a")
            .arg(self.socket())
            .args(["-n", namespace])
            .args(args);
        String::from_utf8_lossy(&run(&mut command).stdout)
            .trim()
            .to_owned()
    }
}
