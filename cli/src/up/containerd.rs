//! Which containerd runs the containers: the one that is named, the system's where it answers, or a private one.
//!
//! A private containerd lives in a session of its own and outlives `up` as long as tasks need it. Its process id and
//! socket lie in the folder, where the next `up` finds it again. One that dies is started again, and finds its containers
//! by their shims. Which containerd was taken is written down until all tasks are gone, since they can't move.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::children::{Child, Program, signal};
use super::folder::{self, Folder, check_socket};
use super::services::{Deaths, before_another};
use super::{UpError, mounts, namespace};
use crate::out;

/// The system's socket.
const SYSTEM_SOCKET: &str = "/run/containerd/containerd.sock";
/// How long a private containerd may take to answer at first.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long it may take to end before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// How often is looked whether it answers, or has ended.
const PAUSE: Duration = Duration::from_millis(50);
/// How often is looked whether one that runs for long has died.
const WATCH: Duration = Duration::from_millis(500);

/// The containerd in use.
#[derive(Debug)]
pub struct Containerd {
    socket: PathBuf,
    version: String,
    private: Option<Private>,
}

/// One of our own.
#[derive(Debug)]
struct Private {
    pid: u32,
    /// There if this `up` started it: then its end must be waited for.
    child: Option<Child>,
    deaths: Deaths,
}

impl Private {
    /// Starts one; it does not answer yet.
    fn start(folder: &Folder, socket: &Path) -> Result<Self, UpError> {
        folder.make("containerd")?;
        folder::write(&config_path(folder), 0o600, config(folder, socket).as_bytes())?;
        let program = Program {
            name: "containerd",
            path: super::preflight::find("containerd").unwrap_or_else(|| "containerd".into()),
            arguments: vec!["--config".into(), config_path(folder).into()],
            hidden: Vec::new(),
            log: folder.log("containerd"),
            outlives: true,
        };
        let child = program.start()?;
        let pid = child.pid().unwrap_or_default();
        folder::write(&pid_path(folder), 0o600, format!("{pid}\n").as_bytes())?;
        Ok(Self {
            pid,
            child: Some(child),
            deaths: Deaths::default(),
        })
    }

    /// One that an earlier `up` started, if it still runs.
    fn find(folder: &Folder) -> Option<Self> {
        let pid = running(&pid_path(folder), &config_path(folder))?;
        Some(Self {
            pid,
            child: None,
            deaths: Deaths::default(),
        })
    }

    /// Waits until it ends by itself, which nobody wants.
    async fn failure(&mut self, folder: &Folder) -> UpError {
        let Some(child) = &mut self.child else {
            while is_ours(self.pid, &config_path(folder)) {
                tokio::time::sleep(WATCH).await;
            }
            return UpError::Died {
                name: "containerd",
                pid: self.pid,
            };
        };
        child.failure().await
    }

    /// Its version, once it answers.
    async fn version(&mut self, folder: &Folder, socket: &Path) -> Result<String, UpError> {
        let answers = async {
            loop {
                if let Ok(version) = namespace::version(socket).await {
                    return version;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            failure = self.failure(folder) => Err(failure),
            answer = tokio::time::timeout(START_DEADLINE, answers) => answer.map_err(|_| UpError::NotInTime {
                what: "containerd's first answer",
                seconds: START_DEADLINE.as_secs(),
                log: folder.log("containerd"),
            }),
        }
    }

    async fn stop(&mut self, folder: &Folder) {
        match &mut self.child {
            Some(child) => child.stop(STOP_GRACE).await,
            None => stop_stranger(self.pid, &config_path(folder)).await,
        }
    }
}

/// Whether a containerd holds tasks of this folder, or may: that of an `up` that runs, was killed, or kept its tasks.
#[must_use]
pub fn is_needed(folder: &Folder) -> bool {
    choice_path(folder).exists()
}

impl Containerd {
    /// Finds one, or starts one.
    ///
    /// # Errors
    /// [`UpError`]: the one that is named does not answer, or a private one does not start.
    pub async fn find(folder: &Folder, named: Option<&Path>) -> Result<Self, UpError> {
        let choice = choice_path(folder);
        let own = check_socket(folder.join("containerd/containerd.sock"))?;
        let chosen = std::fs::read_to_string(&choice)
            .ok()
            .map(|text| PathBuf::from(text.trim_end()));
        let system = Path::new(SYSTEM_SOCKET);
        let chosen_before = chosen.clone();
        let socket = match (named, chosen) {
            (Some(named), _) => named.to_owned(),
            (None, Some(chosen)) if chosen == own => own.clone(),
            (None, Some(chosen)) if namespace::version(&chosen).await.is_ok() => chosen,
            _ if namespace::version(system).await.is_ok() => system.to_owned(),
            _ => own.clone(),
        };
        if let Some(chosen) = chosen_before.filter(|chosen| *chosen != socket) {
            // Its tasks can't be brought along.
            out::note(format_args!(
                "the containerd that this folder used before, {}, is not used: another was named, or it does not answer",
                chosen.display()
            ));
        }
        let found = match socket == own {
            true => Self::private(folder, own).await?,
            false => Self {
                version: namespace::version(&socket).await?,
                socket,
                private: None,
            },
        };
        folder::write(&choice, 0o600, format!("{}\n", found.socket.display()).as_bytes())?;
        Ok(found)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its version, such as `1.6.20`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it is one of our own.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }

    async fn private(folder: &Folder, socket: PathBuf) -> Result<Self, UpError> {
        let found = Private::find(folder);
        if let Some(mut private) = found {
            match private.version(folder, &socket).await {
                Ok(version) => {
                    let private = Some(private);
                    return Ok(Self {
                        socket,
                        version,
                        private,
                    });
                }
                // It hangs, or has died meanwhile. Two can't share a folder.
                Err(_) => private.stop(folder).await,
            }
        }
        let mut private = Private::start(folder, &socket)?;
        match private.version(folder, &socket).await {
            Ok(version) => Ok(Self {
                socket,
                version,
                private: Some(private),
            }),
            Err(error) => {
                private.stop(folder).await;
                Err(error)
            }
        }
    }

    /// Starts a private one again whenever it dies; comes back when it dies too often. The system's is its own
    /// service manager's.
    pub async fn guard(&mut self, folder: &Folder) -> UpError {
        let Some(private) = &mut self.private else {
            return std::future::pending().await;
        };
        loop {
            let failure = private.failure(folder).await;
            if private.deaths.are_too_many() {
                return failure;
            }
            before_another("containerd", &failure).await;
            match Private::start(folder, &self.socket) {
                Ok(new) => (private.pid, private.child) = (new.pid, new.child),
                Err(error) => return error,
            }
        }
    }

    /// No task needs it any more: a private one is stopped, and the choice is open again.
    ///
    /// # Errors
    /// [`UpError::File`], [`UpError::Leftovers`].
    pub async fn release(self, folder: &Folder) -> Result<(), UpError> {
        if let Some(mut private) = self.private {
            private.stop(folder).await;
            folder::remove(&pid_path(folder))?;
            folder::remove(&self.socket)?;
            folder::remove(&folder.join("containerd/containerd.sock.ttrpc"))?;
            mounts::remove_below(&folder.join("containerd"))?;
        }
        folder::remove(&choice_path(folder))
    }
}

/// One that an earlier `up` started: somebody else's child.
async fn stop_stranger(pid: u32, config: &Path) {
    signal(pid, Signal::SIGTERM);
    let gone = async {
        while is_ours(pid, config) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(STOP_GRACE, gone).await.is_err() {
        signal(pid, Signal::SIGKILL);
    }
}

fn config_path(folder: &Folder) -> PathBuf {
    folder.join("containerd/config.toml")
}

fn pid_path(folder: &Folder) -> PathBuf {
    folder.join("containerd/pid")
}

/// Where it is written down which containerd was taken.
fn choice_path(folder: &Folder) -> PathBuf {
    folder.join("containerd-address")
}

/// The process of a pid file, if it is still the containerd with our configuration.
fn running(pid_file: &Path, config: &Path) -> Option<u32> {
    let pid = std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    is_ours(pid, config).then_some(pid)
}

/// Process ids are used again: the command line tells.
fn is_ours(pid: u32, config: &Path) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let config = config.as_os_str().as_encoded_bytes();
    command
        .split(|byte| *byte == 0)
        .any(|argument| argument == config)
}

/// Everything that containerd would put elsewhere is put into the folder; what only Kubernetes needs is off.
fn config(folder: &Folder, socket: &Path) -> String {
    let quote = |path: &Path| toml_string(&path.to_string_lossy());
    format!(
        "version = 2\n\
         root = {root}\n\
         state = {state}\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \
         \"io.containerd.cri.v1.runtime\", \"io.containerd.nri.v1.nri\"]\n\
         [grpc]\n\
         address = {socket}\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\n\
         path = {opt}\n",
        root = quote(&folder.join("containerd/root")),
        state = quote(&folder.join("containerd/state")),
        socket = quote(socket),
        opt = quote(&folder.join("containerd/opt")),
    )
}

/// A basic string of TOML.
fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ours_by_its_command_line() {
        let own = std::env::args_os().next().unwrap();
        assert!(is_ours(std::process::id(), Path::new(&own)));
        assert!(!is_ours(std::process::id(), Path::new("/none/config.toml")));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(running(&folder.path().join("pid"), Path::new(&own)), None);
    }

    #[test]
    fn the_configuration_keeps_everything_in_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::take(&parent.path().join("a \"b\"")).unwrap();
        let text = config(&folder, &folder.join("containerd/containerd.sock"));
        let inside = folder.path().to_string_lossy().replace('"', "\\\"");
        assert_eq!(text.matches(&inside).count(), 4, "{text}");
    }
}
