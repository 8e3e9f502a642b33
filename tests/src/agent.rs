//! The agent, as `longshore-agent` runs on a node.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::containerd::Containerd;
use crate::control_plane::ControlPlane;
use crate::host::Host;
use crate::process::{Process, run};
use crate::{binaries, wait};

/// An agent on a host.
#[derive(Debug)]
pub struct Agent {
    process: Option<Process>,
    dir: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
    /// The machine id that it sees, where that is another one than this machine's.
    machine_id: Option<PathBuf>,
}

/// Nothing where the default is to be tested, which is to find Longshore's shim.
fn runtime() -> String {
    let shim = binaries::shim();
    match shim == binaries::STOCK_SHIM {
        true => shim,
        false => String::new(),
    }
}

/// A program on a machine with this id and a `/run` of its own.
fn elsewhere(machine_id: &Path, program: &Command) -> Command {
    let script = "mount -t tmpfs run /run && mount --bind \"$0\" /etc/machine-id && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(machine_id);
    command.arg(program.get_program()).args(program.get_args());
    command
}

impl Agent {
    /// Writes the settings of an agent on `host`: the kit's own, and `more`, which win.
    ///
    /// # Panics
    /// When they can't be written.
    #[must_use]
    pub fn configure(host: &Host, containerd: &Containerd, more: &[(&str, &str)]) -> Self {
        let dir = host.dir().join("agent");
        std::fs::create_dir_all(&dir).expect("a folder");
        let defaults = [
            ("LONGSHORE_DATA_DIR", dir.join("data").display().to_string()),
            (
                "LONGSHORE_CONTAINERD_ADDRESS",
                containerd.socket().display().to_string(),
            ),
            ("LONGSHORE_CONTAINERD_NAMESPACE", host.containerd_namespace()),
            ("LONGSHORE_CGROUP_PARENT", host.cgroup_parent()),
            ("LONGSHORE_RUNTIME", runtime()),
            ("LONGSHORE_BRIDGE", "lst0".to_owned()),
            ("LONGSHORE_BRIDGE_SUBNET", "10.211.0.0/24".to_owned()),
            ("LONGSHORE_CDI_DIRS", dir.join("cdi").display().to_string()),
            // A shell or `sleep` as a first process is deaf to SIGTERM: most tests would wait for this.
            ("ECS_CONTAINER_STOP_TIMEOUT", "1s".to_owned()),
        ];
        let mut lines = String::new();
        for (name, value) in &defaults {
            if !more.iter().any(|(other, _)| other == name) {
                lines.push_str(&format!("{name}={value}\n"));
            }
        }
        for (name, value) in more {
            lines.push_str(&format!("{name}={value}\n"));
        }
        std::fs::write(dir.join("ecs.config"), lines).expect("settings");
        Self {
            process: None,
            dir,
            environment: Vec::new(),
            machine_id: None,
        }
    }

    /// A copy of its disk in another machine: with another machine id, another `/run`, and nothing of what runs.
    ///
    /// # Panics
    /// When it can't be copied.
    #[must_use]
    pub fn copied(&self, host: &Host) -> Self {
        let dir = host.dir().join("copy");
        run(Command::new("cp").arg("-a").arg(&self.dir).arg(&dir));
        std::fs::remove_file(dir.join("log")).expect("the log of the other");
        let machine_id = dir.join("machine-id");
        std::fs::write(&machine_id, "0123456789abcdef0123456789abcdef\n").expect("a machine id");
        let copy = Self {
            process: None,
            dir,
            environment: self.environment.clone(),
            machine_id: Some(machine_id),
        };
        copy.set("LONGSHORE_DATA_DIR", &copy.data_dir().display().to_string());
        for (name, of_the_other) in [
            ("LONGSHORE_CONTAINERD_NAMESPACE", host.containerd_namespace()),
            ("LONGSHORE_CGROUP_PARENT", host.cgroup_parent()),
        ] {
            copy.set(name, &format!("{of_the_other}-copy"));
        }
        copy.set("LONGSHORE_BRIDGE", "lst1");
        copy.set("LONGSHORE_BRIDGE_SUBNET", "10.212.0.0/24");
        copy
    }

    /// The folder of CDI specs that this agent searches beside the usual ones.
    #[must_use]
    pub fn cdi_dir(&self) -> PathBuf {
        self.dir.join("cdi")
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(binaries::path("longshore-agent"));
        command.arg(verb).arg("--config").arg(self.dir.join("ecs.config"));
        command
    }

    /// Registers it by an activation.
    ///
    /// # Panics
    /// When that fails.
    pub fn register(&self, plane: &ControlPlane, activation: (&str, &str)) {
        let (id, code) = activation;
        let mut command = self.command("register");
        command.args(["--endpoint", &plane.url(), "--cluster", "default"]);
        run(command.args(["--activation-id", id, "--activation-code", code]));
    }

    /// Starts it.
    pub fn start(&mut self) {
        let mut command = self.command("run");
        if let Some(id) = &self.machine_id {
            command = elsewhere(id, &command);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::spawn("longshore-agent", &mut command, &self.log()));
    }

    /// Gives it a variable, for its next start.
    pub fn set_variable(&mut self, name: &'static str, value: PathBuf) {
        self.environment.push((name, value));
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// What it logged, all runs together.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it was not started.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.as_ref().expect("it was started").pid()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it with SIGTERM and waits.
    ///
    /// # Panics
    /// When it doesn't end.
    pub async fn terminate(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::SIGTERM);
            process.wait().await;
        }
    }

    /// Runs one of its other commands, such as `tasks --json`.
    ///
    /// # Panics
    /// When it can't be run.
    #[must_use]
    pub fn ask(&self, verb: &str, args: &[&str]) -> Output {
        self.command(verb)
            .args(args)
            .output()
            .expect("the agent's program")
    }

    /// Starts one of its other commands, with these settings instead of its own, and does not wait for its end. `name` is what
    /// its output is kept by.
    #[must_use]
    pub fn begin(&self, name: &str, words: &[&str], settings: &[(&str, &Path)]) -> Process {
        let mut command = self.command(words[0]);
        command.args(&words[1..]).envs(settings.iter().copied());
        let log = self.dir.join(format!("{name}.log"));
        Process::spawn(name, &mut command, &log)
    }

    /// What a container printed so far: its standard output, then its standard error.
    #[must_use]
    pub fn logs(&self, task: &str, container: &str) -> String {
        let output = self.ask("logs", &[task, "-c", container]);
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        format!("{out}{err}")
    }

    /// Waits until a container has printed `text`, and answers with all that it printed.
    pub async fn until_logs(&self, task: &str, container: &str, text: &str) -> String {
        wait::until_some(&format!("{container} prints {text:?}"), || {
            let logs = self.logs(task, container);
            logs.contains(text).then_some(logs)
        })
        .await
    }

    /// Changes a setting, for its next start. An empty value is the default.
    ///
    /// # Panics
    /// When the file of its settings can't be changed.
    pub fn set(&self, name: &str, value: &str) {
        let text = std::fs::read_to_string(self.config()).expect("settings");
        let prefix = format!("{name}=");
        let others = text.lines().filter(|line| !line.starts_with(&prefix));
        let text: String = others.map(|line| format!("{line}\n")).collect();
        std::fs::write(self.config(), format!("{text}{prefix}{value}\n")).expect("settings");
    }

    /// The file of its settings.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        Path::new(&self.dir).join("ecs.config")
    }
}
