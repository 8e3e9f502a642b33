//! The way up, step by step.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_protocol::sigv4::Credentials;
use longshore_protocol::{ecs, ssm};

use super::containerd::Containerd;
use super::folder::{self, check_socket};
use super::identity::Identity;
use super::services::{self, AgentSettings, Registration, Service};
use super::{System, UpError, agent_data_dir, leftovers, preflight};
use crate::admin::SOCKET;
use crate::api::Client;
use crate::args::Up;
use crate::commands::{ROLE, describe_instances};
use crate::env_file;
use crate::progress::Progress;
use crate::settings::{DEFAULT_REGION, ENV_FILE, Settings, UP_DIR};

/// How long the control plane may take to answer.
const CONTROL_PLANE_DEADLINE: Duration = Duration::from_secs(30);
/// How long the agent may take to connect.
const AGENT_DEADLINE: Duration = Duration::from_secs(60);
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(50);

impl System {
    /// Starts everything. What runs when it fails is for [`System::stop`].
    pub(super) async fn start(&mut self, options: &Up, progress: &Progress) -> Result<(), UpError> {
        let listen = preflight::check_address(options.listen, options.tls_self_signed)?;
        check_socket(agent_data_dir(self.folder.path()).join(SOCKET))?;
        leftovers::remember(&self.folder).await?;
        progress.say("looking for containerd");
        let containerd = Containerd::find(&self.folder, options.containerd_address.as_deref()).await?;
        let whose = if containerd.is_private() {
            "private"
        } else {
            "the system's"
        };
        progress.done(format_args!(
            "containerd       {} ({whose}, {})",
            containerd.version(),
            containerd.socket().display()
        ));
        let snapshotter = match containerd.is_private() {
            true => preflight::snapshotter(&self.folder)?,
            false => "overlayfs",
        };
        let socket = containerd.socket().to_owned();
        self.containerd = Some(containerd);

        let known = self.folder.join("control-plane/credentials").exists();
        let endpoint = self.start_control_plane(options, listen, progress).await?;
        let names = self.names.clone();
        let cluster = self.cluster.clone();
        let settings = AgentSettings {
            endpoint: &endpoint,
            cluster: &cluster,
            containerd: &socket,
            snapshotter,
            names: &names,
            ports: vec![listen.port()],
        };
        self.start_agent(&settings, options, known, progress).await?;
        if let Some(client) = &self.client {
            let text = env_text(client.settings(), self.folder.path());
            folder::write(&self.folder.join(ENV_FILE), 0o600, text.as_bytes())?;
        }
        if let Some(ready_file) = &options.ready_file {
            folder::write(ready_file, 0o644, b"")?;
        }
        self.ready = true;
        Ok(())
    }

    async fn start_control_plane(
        &mut self,
        options: &Up,
        listen: SocketAddr,
        progress: &Progress,
    ) -> Result<url::Url, UpError> {
        progress.say("starting the control plane");
        let program = services::control_plane(&self.folder, listen, options.tls_self_signed)?;
        let log = program.log.clone();
        let service = self.control_plane.insert(Service::start(program)?);
        let endpoint = endpoint(listen, options.tls_self_signed)?;
        let ca_bundle = options
            .tls_self_signed
            .then(|| services::certificate(&self.folder));
        let credentials_file = self.folder.join("control-plane/credentials");
        let answers = async {
            loop {
                tokio::time::sleep(PAUSE).await;
                if !credentials_file.exists() || ca_bundle.as_ref().is_some_and(|bundle| !bundle.exists()) {
                    continue;
                }
                let client = Client::new(settings(
                    &endpoint,
                    &credentials_file,
                    ca_bundle.clone(),
                    &self.cluster,
                )?)?;
                let request = ecs::CreateClusterRequest {
                    cluster_name: Some(self.cluster.clone()),
                    ..Default::default()
                };
                match client
                    .ecs::<_, ecs::CreateClusterResponse>("CreateCluster", &request)
                    .await
                {
                    Ok(_) => return Ok(client),
                    Err(error) if error.is_silence() => {}
                    Err(error) => return Err(UpError::from(error)),
                }
            }
        };
        let client = tokio::select! {
            failure = service.failure() => return Err(failure),
            answer = tokio::time::timeout(CONTROL_PLANE_DEADLINE, answers) => answer.map_err(|_| UpError::NotInTime {
                what: "the control plane's first answer",
                seconds: CONTROL_PLANE_DEADLINE.as_secs(),
                log,
            })??,
        };
        self.client = Some(client);
        progress.done(format_args!(
            "control plane    {}",
            endpoint.as_str().trim_end_matches('/')
        ));
        Ok(endpoint)
    }

    async fn start_agent(
        &mut self,
        settings: &AgentSettings<'_>,
        options: &Up,
        known: bool,
        progress: &Progress,
    ) -> Result<(), UpError> {
        let Some(client) = &self.client else { return Ok(()) };
        let program = services::agent(&self.folder, settings)?;
        let certificate = options
            .tls_self_signed
            .then(|| services::certificate(&self.folder));
        let identity = self.folder.join("agent/identity.json");
        if !known {
            // A control plane that was made anew knows nobody.
            folder::remove(&identity)?;
        }
        let trusted = certificate.as_deref().map(read_text).transpose()?;
        let old = Identity::read(&identity)?;
        if let Some(endpoint) = Identity::to_register(old.as_ref(), settings.endpoint, trusted.as_deref()) {
            progress.say("registering this machine");
            let activation = activation(client).await?;
            let id = activation.activation_id.unwrap_or_default();
            let code = activation.activation_code.unwrap_or_default();
            let joins = Registration {
                endpoint: &endpoint,
                cluster: settings.cluster,
                activation: (&id, &code),
                ca_certificate: certificate.as_deref(),
            };
            services::register(&program, &joins).await?;
        }
        progress.say("starting the agent");
        let log = program.log.clone();
        let service = self.agent.insert(Service::start(program)?);
        let connected = async {
            loop {
                let own = Identity::read(&identity)?.and_then(|identity| identity.container_instance);
                let instances = describe_instances(client, settings.cluster).await?;
                let is_own = |each: &&ecs::ContainerInstance| each.container_instance_arn == own;
                if instances
                    .iter()
                    .find(is_own)
                    .is_some_and(|each| each.agent_connected == Some(true))
                {
                    return Ok::<_, UpError>(own.unwrap_or_default());
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let instance = tokio::select! {
            failure = service.failure() => return Err(failure),
            answer = tokio::time::timeout(AGENT_DEADLINE, connected) => answer.map_err(|_| UpError::NotInTime {
                what: "the agent's connection",
                seconds: AGENT_DEADLINE.as_secs(),
                log,
            })??,
        };
        progress.done(format_args!(
            "node             {}",
            crate::input::task_id(&instance)
        ));
        Ok(())
    }
}

async fn activation(client: &Client) -> Result<ssm::CreateActivationResult, UpError> {
    let request = ssm::CreateActivationRequest {
        iam_role: Some(ROLE.to_owned()),
        description: Some("longshore up".to_owned()),
        ..Default::default()
    };
    Ok(client.ssm("CreateActivation", &request).await?)
}

/// Where this machine reaches the control plane.
fn endpoint(listen: SocketAddr, tls: bool) -> Result<url::Url, UpError> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let scheme = if tls { "https" } else { "http" };
    let text = format!("{scheme}://{}", SocketAddr::new(ip, listen.port()));
    text.parse().map_err(|error: url::ParseError| UpError::Listen {
        address: listen,
        source: std::io::Error::other(error),
    })
}

fn settings(
    endpoint: &url::Url,
    credentials_file: &Path,
    ca_bundle: Option<PathBuf>,
    cluster: &str,
) -> Result<Settings, UpError> {
    let text = std::fs::read_to_string(credentials_file).map_err(UpError::file(credentials_file))?;
    Ok(Settings {
        ecs: endpoint.clone(),
        ssm: endpoint.clone(),
        region: DEFAULT_REGION.to_owned(),
        credentials: credentials(&text).ok_or_else(|| UpError::Damaged {
            path: credentials_file.to_owned(),
            why: "there is no aws_access_key_id and aws_secret_access_key in it".to_owned(),
        })?,
        cluster: cluster.to_owned(),
        ca_bundle,
        up_dir: None,
    })
}

/// The first key of a file in the form of AWS's shared credentials.
fn credentials(text: &str) -> Option<Credentials> {
    let value = |name: &str| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let found = pairs
            .map(|(name, value)| (name.trim(), value.trim()))
            .find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_owned())
    };
    Some(Credentials {
        access_key_id: value("aws_access_key_id")?,
        secret_access_key: value("aws_secret_access_key")?,
        session_token: None,
    })
}

/// What a shell sources. The last line takes away what would be sent along with our key, or win over it.
fn env_text(settings: &Settings, folder: &Path) -> String {
    let endpoint = settings.ecs.as_str().trim_end_matches('/').to_owned();
    let mut values = vec![
        ("AWS_ENDPOINT_URL_ECS", endpoint.clone()),
        ("AWS_ENDPOINT_URL_SSM", endpoint),
        ("AWS_REGION", settings.region.clone()),
        // AWS CLI 1 and boto3 know this name only.
        ("AWS_DEFAULT_REGION", settings.region.clone()),
        ("AWS_ACCESS_KEY_ID", settings.credentials.access_key_id.clone()),
        (
            "AWS_SECRET_ACCESS_KEY",
            settings.credentials.secret_access_key.clone(),
        ),
        ("LONGSHORE_CLUSTER", settings.cluster.clone()),
        (UP_DIR, folder.to_string_lossy().into_owned()),
    ];
    if let Some(bundle) = &settings.ca_bundle {
        values.push(("AWS_CA_BUNDLE", bundle.to_string_lossy().into_owned()));
    }
    format!(
        "{}unset AWS_SESSION_TOKEN AWS_PROFILE\n",
        env_file::write(&values)
    )
}

fn read_text(path: &Path) -> Result<String, UpError> {
    std::fs::read_to_string(path).map_err(UpError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_env_file_can_be_read_by_us_and_by_a_shell() {
        let endpoint = endpoint("0.0.0.0:8474".parse().unwrap(), true).unwrap();
        assert_eq!(endpoint.as_str(), "https://127.0.0.1:8474/");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        std::fs::write(
            &file,
            "[default]\naws_access_key_id = AK\naws_secret_access_key=s=/+\n",
        )
        .unwrap();
        let written = settings(&endpoint, &file, Some("/a b/tls.crt".into()), "default").unwrap();
        std::fs::write(folder.path().join(ENV_FILE), env_text(&written, folder.path())).unwrap();
        let read = Settings::of_folder(folder.path()).unwrap();
        assert_eq!(
            (&read.ecs, &read.ssm, &read.region),
            (&written.ecs, &written.ssm, &written.region)
        );
        assert_eq!(read.credentials, written.credentials);
        assert_eq!(read.ca_bundle, written.ca_bundle);
        let script = format!(
            ". {}/env && printf %s \"$AWS_SECRET_ACCESS_KEY$AWS_CA_BUNDLE\"",
            folder.path().display()
        );
        let output = std::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "s=/+/a b/tls.crt");
    }

    #[test]
    fn endpoints_are_where_this_machine_reaches_them() {
        let of = |listen: &str, tls| endpoint(listen.parse().unwrap(), tls).unwrap().to_string();
        assert_eq!(of("127.0.0.1:8474", false), "http://127.0.0.1:8474/");
        assert_eq!(of("[::]:1", true), "https://[::1]:1/");
        assert_eq!(of("10.0.0.1:1", true), "https://10.0.0.1:1/");
    }
}
