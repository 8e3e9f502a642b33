//! The programs that `up` keeps running, and what they are started with.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::children::{Child, Program};
use super::folder::{self, Folder};
use super::names::Names;
use super::{UpError, preflight};
use crate::admin::SOCKET;
use crate::out;

/// The pause before one that died is started again.
const PAUSE: Duration = Duration::from_secs(1);
/// More deaths than this within [`WINDOW`], and `up` gives up.
const MAX_DEATHS: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// How long a registration may take.
const REGISTER_DEADLINE: Duration = Duration::from_secs(60);
/// The ports that no task gets: what the agent keeps free where nobody says, and those in use by `up` itself.
const RESERVED_PORTS: [u16; 3] = [22, 51678, 51679];

/// The programs beside this one.
pub const CONTROL_PLANE: &str = "longshore-control-plane";
/// The agent.
pub const AGENT: &str = "longshore-agent";
/// What the agent starts beside each container.
pub const LOG_WRITER: &str = "longshore-log";

/// When a program died, lately.
#[derive(Debug, Default)]
pub struct Deaths(VecDeque<Instant>);

impl Deaths {
    /// Counts one more; whether these are too many.
    pub fn are_too_many(&mut self) -> bool {
        let now = Instant::now();
        self.0.push_back(now);
        self.0.retain(|death| now.duration_since(*death) < WINDOW);
        self.0.len() > MAX_DEATHS
    }
}

/// Says what died, and waits a little before it is started again.
pub async fn before_another(name: &str, failure: &UpError) {
    out::note(format_args!(
        "longshore: {failure}\nlongshore: starting {name} again"
    ));
    tokio::time::sleep(PAUSE).await;
}

/// A program that is started again when it dies.
#[derive(Debug)]
pub struct Service {
    program: Program,
    child: Child,
    deaths: Deaths,
}

impl Service {
    /// Starts it.
    ///
    /// # Errors
    /// [`UpError::Spawn`], [`UpError::File`].
    pub fn start(program: Program) -> Result<Self, UpError> {
        let child = program.start()?;
        Ok(Self {
            program,
            child,
            deaths: Deaths::default(),
        })
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.child.name()
    }

    /// Waits for its first death: for the time when it must not have one.
    pub async fn failure(&mut self) -> UpError {
        self.child.failure().await
    }

    /// Starts it again whenever it dies; comes back when it dies too often.
    pub async fn guard(&mut self) -> UpError {
        loop {
            let failure = self.child.failure().await;
            if self.deaths.are_too_many() {
                return failure;
            }
            before_another(self.child.name(), &failure).await;
            match self.program.start() {
                Ok(child) => self.child = child,
                Err(error) => return error,
            }
        }
    }

    /// SIGTERM, and SIGKILL after `grace`.
    pub async fn stop(&mut self, grace: Duration) {
        self.child.stop(grace).await;
    }
}

/// The control plane, its folder in ours.
///
/// # Errors
/// [`UpError::Sibling`], [`UpError::File`].
pub fn control_plane(folder: &Folder, listen: SocketAddr, tls: bool) -> Result<Program, UpError> {
    let mut arguments = vec![
        "serve".into(),
        "--data-dir".into(),
        folder.make("control-plane")?.into(),
    ];
    arguments.extend(["--listen".into(), listen.to_string().into()]);
    if tls {
        arguments.push("--tls-self-signed".into());
    }
    Ok(Program {
        name: CONTROL_PLANE,
        path: preflight::sibling(CONTROL_PLANE)?,
        arguments,
        hidden: Vec::new(),
        log: folder.log("control-plane"),
        outlives: false,
    })
}

/// The certificate that a control plane with `--tls-self-signed` makes.
#[must_use]
pub fn certificate(folder: &Folder) -> PathBuf {
    folder.join("control-plane/tls.crt")
}

/// The agent's settings: everything that must not be as a packaged agent has it.
#[derive(Debug)]
pub struct AgentSettings<'a> {
    /// Where the control plane is.
    pub endpoint: &'a url::Url,
    /// The cluster to join.
    pub cluster: &'a str,
    /// The containerd to use.
    pub containerd: &'a Path,
    /// Its snapshotter.
    pub snapshotter: &'a str,
    /// What it makes outside of the folder.
    pub names: &'a Names,
    /// Ports of `up`'s own.
    pub ports: Vec<u16>,
}

impl AgentSettings<'_> {
    /// Names and values, in the order of the file.
    fn values(&self, folder: &Folder) -> Vec<(&'static str, String)> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let data_dir = super::agent_data_dir(folder.path());
        let mut ports = RESERVED_PORTS.to_vec();
        ports.extend(&self.ports);
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        vec![
            ("ECS_CLUSTER", self.cluster.to_owned()),
            ("ECS_RESERVED_PORTS", format!("[{}]", ports.join(","))),
            (
                "LONGSHORE_ENDPOINT",
                self.endpoint.as_str().trim_end_matches('/').to_owned(),
            ),
            ("LONGSHORE_DATA_DIR", shown(&data_dir)),
            ("LONGSHORE_ADMIN_SOCKET", shown(&data_dir.join(SOCKET))),
            ("LONGSHORE_CONTAINERD_ADDRESS", shown(self.containerd)),
            ("LONGSHORE_CONTAINERD_NAMESPACE", self.names.namespace.clone()),
            ("LONGSHORE_SNAPSHOTTER", self.snapshotter.to_owned()),
            ("LONGSHORE_CGROUP_PARENT", self.names.cgroup_parent.clone()),
            ("LONGSHORE_BRIDGE", self.names.bridge.clone()),
            ("LONGSHORE_BRIDGE_SUBNET", self.names.subnet.clone()),
            ("LONGSHORE_IPAM_DIR", shown(&data_dir.join("ipam"))),
        ]
    }
}

/// Writes the agent's settings, and gives the program with a subcommand.
///
/// # Errors
/// [`UpError::Sibling`], [`UpError::File`].
pub fn agent(folder: &Folder, settings: &AgentSettings<'_>) -> Result<Program, UpError> {
    folder.make("agent")?;
    let values = settings.values(folder);
    let config = folder.join("agent.config");
    folder::write(&config, 0o600, config_file(&values).as_bytes())?;
    // The environment would win over the file, and these names would reach for a packaged agent's things.
    let others = ["ECS_BACKEND_HOST", "ECS_DATADIR"];
    let hidden = values
        .iter()
        .map(|(name, _)| *name)
        .chain(others)
        .map(str::to_owned)
        .collect();
    Ok(Program {
        name: AGENT,
        path: preflight::sibling(AGENT)?,
        arguments: vec!["run".into(), "--config".into(), config.into()],
        hidden,
        log: folder.log("agent"),
        outlives: false,
    })
}

fn config_file(values: &[(&str, String)]) -> String {
    let lines = values.iter().map(|(name, value)| {
        // As the agent reads it: nothing is special between single quotes, but a single quote can't stand there.
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"'\"\\#;".contains(&byte);
        match value.bytes().all(plain) || value.contains('\'') {
            true => format!("{name}={value}\n"),
            false => format!("{name}='{value}'\n"),
        }
    });
    format!(
        "# Made by `longshore up`; written anew at every start.\n{}",
        lines.collect::<String>()
    )
}

/// How a machine becomes a node.
#[derive(Debug)]
pub struct Registration<'a> {
    /// The control plane; for a machine that has an identity already, as it was then.
    pub endpoint: &'a str,
    /// The cluster to join.
    pub cluster: &'a str,
    /// Id and code.
    pub activation: (&'a str, &'a str),
    /// The certificate to trust.
    pub ca_certificate: Option<&'a Path>,
}

/// Registers the agent of this machine by an activation.
///
/// # Errors
/// [`UpError::Ended`], [`UpError::NotInTime`].
pub async fn register(agent: &Program, registration: &Registration<'_>) -> Result<(), UpError> {
    let mut program = agent.clone();
    program.name = "longshore-agent register";
    if let Some(first) = program.arguments.first_mut() {
        *first = "register".into();
    }
    for (option, value) in [
        ("--endpoint", registration.endpoint),
        ("--cluster", registration.cluster),
        ("--activation-id", registration.activation.0),
        ("--activation-code", registration.activation.1),
    ] {
        program.arguments.extend([option.into(), value.into()]);
    }
    if let Some(certificate) = registration.ca_certificate {
        program.arguments.extend(["--ca-cert".into(), certificate.into()]);
    }
    program.run(REGISTER_DEADLINE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_s_settings_keep_it_away_from_a_packaged_one() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::take(parent.path()).unwrap();
        let names = folder.names().unwrap();
        let settings = AgentSettings {
            endpoint: &"http://127.0.0.1:8474/".parse().unwrap(),
            cluster: "default",
            containerd: Path::new("/run/containerd/containerd.sock"),
            snapshotter: "overlayfs",
            names: &names,
            ports: vec![8474],
        };
        let text = config_file(&settings.values(&folder));
        assert!(
            text.contains("\nLONGSHORE_ENDPOINT=http://127.0.0.1:8474\n"),
            "{text}"
        );
        let socket = crate::up::agent_data_dir(folder.path()).join("admin.sock");
        assert!(
            text.contains(&format!("\nLONGSHORE_ADMIN_SOCKET={}\n", socket.display())),
            "{text}"
        );
        assert!(
            text.contains("\nECS_RESERVED_PORTS=[22,51678,51679,8474]\n"),
            "{text}"
        );
        assert!(
            text.contains(&format!("\nLONGSHORE_CONTAINERD_NAMESPACE={}\n", names.namespace)),
            "{text}"
        );
    }

    #[test]
    fn a_value_with_blanks_is_quoted() {
        let text = config_file(&[("A", "/a b#c".into()), ("B", "it's".into())]);
        assert!(text.ends_with("\nA='/a b#c'\nB=it's\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_dies_too_often_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program {
            name: "false",
            path: "/bin/false".into(),
            arguments: Vec::new(),
            hidden: Vec::new(),
            log: folder.path().join("log"),
            outlives: false,
        };
        let failure = Service::start(program).unwrap().guard().await;
        assert!(
            matches!(failure, UpError::Ended { name: "false", .. }),
            "{failure}"
        );
    }
}
