//! A real registry on loopback: the distribution's `docker-registry`.

use std::process::Command;

use serde_json::json;

use crate::host::Host;
use crate::image::{self, Image};
use crate::process::{Process, run};
use crate::wait;

/// A user and password.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    /// The user.
    pub user: &'static str,
    /// The password.
    pub password: &'static str,
    /// The line of an htpasswd file for them.
    pub htpasswd: &'static str,
}

/// The login of registries that want one.
pub const LOGIN: Login = Login {
    user: "dock",
    password: "worker",
    htpasswd: "dock:$2b$04$upbifgXQx8nJEUr6hV/Ayu2AYrkywo4m2wBsMZ2gBcNOYXuMiNZuW",
};

/// A registry.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    address: String,
    login: Option<Login>,
}

impl Registry {
    /// Starts one that anybody may use.
    pub async fn start(host: &Host) -> Self {
        Self::start_with(host, None).await
    }

    /// Starts one that wants a login.
    pub async fn start_with_login(host: &Host) -> Self {
        Self::start_with(host, Some(LOGIN)).await
    }

    async fn start_with(host: &Host, login: Option<Login>) -> Self {
        let dir = host.dir().join(if login.is_some() {
            "registry-private"
        } else {
            "registry"
        });
        std::fs::create_dir_all(&dir).expect("a folder");
        let address = format!("127.0.0.1:{}", host.free_port());
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": dir.join("storage")}, "delete": {"enabled": true}},
            "http": {"addr": address},
        });
        if let Some(login) = login {
            std::fs::write(dir.join("htpasswd"), format!("{}\n", login.htpasswd)).expect("a file");
            config["auth"] = json!({"htpasswd": {"realm": "test", "path": dir.join("htpasswd")}});
        }
        std::fs::write(dir.join("config.json"), config.to_string()).expect("a configuration");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(dir.join("config.json"));
        let process = Process::spawn("docker-registry", &mut command, &dir.join("log"));
        let registry = Self {
            process,
            address,
            login,
        };
        wait::until_some("the registry answers", || {
            std::net::TcpStream::connect(&registry.address).ok()
        })
        .await;
        registry
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts an image there and answers with its reference.
    ///
    /// # Panics
    /// When that fails.
    pub fn push(&self, image: &Image, name: &str) -> String {
        let reference = format!("{}/{name}", self.address);
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
        if let Some(login) = self.login {
            command.arg(format!("--dest-creds={}:{}", login.user, login.password));
        }
        command
            .arg(format!("oci:{}", image.layout.display()))
            .arg(format!("docker://{reference}"));
        run(&mut command);
        reference
    }

    /// Makes a busybox image with this configuration, puts it there and answers with its reference.
    pub fn push_busybox(&self, host: &Host, name: &str, config: &serde_json::Value) -> String {
        let dir = host.dir().join("images").join(name.replace([':', '/'], "-"));
        self.push(&image::busybox(&dir, image::architecture(), config), name)
    }

    /// Ends it, as a registry that is down.
    pub fn stop(&mut self) {
        self.process.kill();
    }
}
