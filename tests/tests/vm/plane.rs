//! A control plane on the test machine, over TLS, whose clock is right whatever the virtual machine's is; and its
//! operator.

use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_tests::process::Process;
use longshore_tests::vm::HOST;
use longshore_tests::{binaries, wait};

/// How a node comes to trust it.
#[derive(Clone, Copy, Debug)]
pub enum Trust {
    /// By an authority's certificate: what is not yet or no more valid is refused.
    Certificate,
    /// By the fingerprint of its own one, which stands for its time too.
    Fingerprint,
}

/// Kills itself when it is dropped.
pub struct Plane {
    dir: tempfile::TempDir,
    _process: Process,
    port: String,
}

impl Plane {
    /// Listens on this machine's loopback, which virtual ones reach.
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("lst-plane-").tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        make_certificate(&path("certificate"), &path("key"));
        let ready = path("ready");
        let mut command = Command::new(binaries::path("longshore-control-plane"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        command
            .arg(path("data"))
            .arg("--tls-cert")
            .arg(path("certificate"));
        command.arg("--tls-key").arg(path("key"));
        command.arg("--ready-file").arg(&ready);
        let process = Process::spawn("longshore-control-plane", &mut command, &path("log"));
        let port = wait::until_some("the control plane listens", || {
            let url = std::fs::read_to_string(&ready).ok()?;
            Some(url.trim().rsplit_once(':')?.1.trim_matches('/').to_owned())
        })
        .await;
        Self {
            dir,
            _process: process,
            port,
        }
    }

    /// What `longshore` prints, or why it failed.
    pub fn longshore(&self, words: &[&str]) -> Result<String, String> {
        let output = self.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// `longshore`, for its operator.
    pub fn command(&self, words: &[&str]) -> Command {
        let url = format!("https://127.0.0.1:{}", self.port);
        let credentials = std::fs::read_to_string(self.dir.path().join("data/credentials")).unwrap();
        let value = |name: &str| {
            let line = credentials.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once('=').unwrap().1.trim().to_owned()
        };
        let mut command = Command::new(binaries::path("longshore"));
        command.args(words);
        command
            .env("AWS_ENDPOINT_URL_ECS", &url)
            .env("AWS_ENDPOINT_URL_SSM", &url);
        command.env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", value("aws_access_key_id"));
        command.env("AWS_SECRET_ACCESS_KEY", value("aws_secret_access_key"));
        command.env("AWS_CA_BUNDLE", self.certificate());
        command
    }

    /// A file beside it, for its operator.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn certificate(&self) -> PathBuf {
        self.dir.path().join("certificate")
    }

    /// The script that registers a virtual machine's agent, once.
    pub fn registration(&self, trust: Trust) -> String {
        let endpoint = format!("https://{HOST}:{}", self.port);
        let line = self.longshore(&["activate", "--endpoint", &endpoint]).unwrap();
        let line = line
            .lines()
            .find(|line| line.contains("longshore-agent register"));
        // It is its own authority, so that the line pins it.
        let line = line.expect("a line").trim();
        let Trust::Certificate = trust else {
            return line.to_owned();
        };
        let (before, after) = line.split_once("--ca-fingerprint ").expect("the pin");
        let rest = after.split_once(' ').map_or("", |(_, rest)| rest);
        let pem = std::fs::read_to_string(self.certificate()).unwrap();
        format!(
            "cat >/etc/longshore/authority.pem <<'PEM'\n{pem}PEM\n{before} --ca-cert /etc/longshore/authority.pem {rest}"
        )
    }
}

/// For thirty years, and not a day longer.
fn make_certificate(certificate: &Path, key: &Path) {
    let names = ["127.0.0.1".to_owned(), HOST.to_owned()];
    let mut parameters = rcgen::CertificateParams::new(names).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2056, 1, 1);
    let pair = rcgen::KeyPair::generate().unwrap();
    let made = parameters.self_signed(&pair).unwrap();
    std::fs::write(key, pair.serialize_pem()).unwrap();
    std::fs::write(certificate, made.pem()).unwrap();
}
