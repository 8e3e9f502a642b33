//! runc, crun, or whatever else has their command line: one program run for each thing that is done.
//!
//! Invariants: every run has a deadline; what went wrong is said in the runtime's own words, from its log.

mod console;
mod exec_fifo;
mod options;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::task::Options;
use crate::bundle::Config;
use crate::io::ChildStdio;
use crate::limits;
use crate::reaper::{Reaper, RunError};

pub use console::{Console, ConsoleError};
use exec_fifo::ExecFifo;
pub use exec_fifo::FifoError;
pub use options::{OptionsError, options};

/// Where state is kept if nobody says otherwise: as containerd's own shim has it.
const ROOT: &str = "/run/containerd/runc";
/// How long `create`, `start` and `exec` may take: hooks run in them, on a slow disk maybe.
const LONG: Duration = Duration::from_secs(120);
/// How long all else may take.
const SHORT: Duration = Duration::from_secs(30);
/// How much of an error is passed on.
const MAX_TEXT: usize = 8 * 1024;

/// How the OCI runtime is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    program: PathBuf,
    /// Where it keeps its state, the namespace included.
    root: PathBuf,
    systemd_cgroup: bool,
    no_pivot_root: bool,
    no_new_keyring: bool,
}

/// Which container a call is about.
#[derive(Clone, Copy, Debug)]
pub struct On<'a> {
    /// Its bundle, where files that pass between shim and runtime are.
    pub bundle: &'a Path,
    /// Its id.
    pub id: &'a str,
}

/// A call of the runtime that failed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// It did not run to its end.
    #[error("OCI runtime {operation} of {id} failed")]
    Run {
        /// What it should do.
        operation: &'static str,
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: RunError,
    },
    /// It refused.
    #[error("OCI runtime {operation} failed: {text}")]
    Refused {
        /// What it should do.
        operation: &'static str,
        /// What it says.
        text: String,
    },
    /// A file between shim and runtime.
    #[error("OCI runtime {operation}: {path}")]
    File {
        /// What it should do.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A container that runc had made did not begin to run.
    #[error("can't start {id}")]
    Fifo {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: FifoError,
    },
}

impl Runtime {
    /// The runtime of a container: annotations, then options, then runc.
    #[must_use]
    pub fn new(namespace: &str, config: &Config, options: &Options) -> Self {
        let or = |annotation: Option<&Path>, option: &str, default: &str| -> PathBuf {
            let option = if option.is_empty() { default } else { option };
            annotation.map_or_else(|| option.into(), Path::to_owned)
        };
        Self {
            program: or(config.runtime(), &options.binary_name, "runc"),
            root: or(config.runtime_root(), &options.root, ROOT).join(namespace),
            systemd_cgroup: options.systemd_cgroup,
            no_pivot_root: options.no_pivot_root,
            no_new_keyring: options.no_new_keyring,
        }
    }

    /// Makes a container with its first process, which waits to be started; that process's pid.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn create(
        &self,
        reaper: &Reaper,
        on: On<'_>,
        stdio: ChildStdio,
        console: Option<&Console>,
    ) -> Result<i32, RuntimeError> {
        let mut call = Call::new(self, "create", on);
        let pid_file = on.bundle.join("init.pid");
        call.arg("--bundle", on.bundle).arg("--pid-file", &pid_file);
        call.flag(self.no_pivot_root, "--no-pivot")
            .flag(self.no_new_keyring, "--no-new-keyring");
        if let Some(console) = console {
            call.arg("--console-socket", console.path());
        }
        call.stdio(stdio).run(reaper, LONG)?;
        read_pid("create", &pid_file)
    }

    /// Runs one more process in a container; its pid. `process` is OCI's, in JSON.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn exec(
        &self,
        reaper: &Reaper,
        on: On<'_>,
        process: &[u8],
        stdio: ChildStdio,
        console: Option<&Console>,
    ) -> Result<i32, RuntimeError> {
        let mut call = Call::new(self, "exec", on);
        let spec = call.file("process", process)?;
        let pid_file = call.name("pid");
        call.arg("--process", &spec)
            .arg("--pid-file", &pid_file)
            .flag(true, "--detach");
        if let Some(console) = console {
            call.arg("--console-socket", console.path());
        }
        let pid = call
            .stdio(stdio)
            .run(reaper, LONG)
            .and_then(|()| read_pid("exec", &pid_file));
        let _ = std::fs::remove_file(pid_file);
        pid
    }

    /// Lets a container's first process run: without the runtime's program, if the process is given and it is known how.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn start(&self, reaper: &Reaper, on: On<'_>, process: Option<i32>) -> Result<(), RuntimeError> {
        // Another program may do more in its start.
        let is_runc = self.program.file_name().is_some_and(|name| name == "runc");
        let process = process.filter(|_| is_runc).and_then(|pid| reaper.handle(pid));
        let fifo = |process| ExecFifo::open(&self.root.join(on.id)).map(|fifo| (fifo, process));
        let Some((fifo, process)) = process.and_then(fifo) else {
            return Call::new(self, "start", on).run(reaper, LONG);
        };
        fifo.wait(&process, LONG).map_err(|source| RuntimeError::Fifo {
            id: on.id.to_owned(),
            source,
        })
    }

    /// Forgets a container. With `force` its processes are killed, and one that isn't there is no error.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn delete(&self, reaper: &Reaper, on: On<'_>, force: bool) -> Result<(), RuntimeError> {
        Call::new(self, "delete", on)
            .flag(force, "--force")
            .run(reaper, SHORT)
    }

    /// Freezes a container.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn pause(&self, reaper: &Reaper, on: On<'_>) -> Result<(), RuntimeError> {
        Call::new(self, "pause", on).run(reaper, SHORT)
    }

    /// Lets a frozen container go on.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn resume(&self, reaper: &Reaper, on: On<'_>) -> Result<(), RuntimeError> {
        Call::new(self, "resume", on).run(reaper, SHORT)
    }

    /// Changes a container's limits. `resources` is OCI's, in JSON.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn update(&self, reaper: &Reaper, on: On<'_>, resources: &[u8]) -> Result<(), RuntimeError> {
        let mut call = Call::new(self, "update", on);
        let file = call.file("resources", resources)?;
        call.arg("--resources", &file).run(reaper, SHORT)
    }
}

/// Where a program is. Else it would be executed in each folder of `PATH` in turn, while this thread waits.
fn found(program: &Path) -> PathBuf {
    let is_program = |path: &PathBuf| {
        let metadata = std::fs::metadata(path);
        path.is_absolute() && metadata.is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0)
    };
    let path = std::env::var_os("PATH").filter(|_| program.components().count() == 1);
    let found = path.and_then(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(program))
            .find(is_program)
    });
    found.unwrap_or_else(|| program.to_owned())
}

fn read_pid(operation: &'static str, path: &Path) -> Result<i32, RuntimeError> {
    let text = std::fs::read_to_string(path);
    let pid = text.and_then(|text| text.trim().parse().map_err(std::io::Error::other));
    pid.map_err(|source| RuntimeError::File {
        operation,
        path: path.to_owned(),
        source,
    })
}

/// A call that is being put together.
struct Call<'a> {
    operation: &'static str,
    on: On<'a>,
    command: Command,
    /// In the bundle, each call's own: several run side by side.
    prefix: String,
    log: PathBuf,
    files: Vec<PathBuf>,
}

/// Numbers calls, for the names of their files.
static CALLS: AtomicU64 = AtomicU64::new(0);

impl<'a> Call<'a> {
    fn new(runtime: &Runtime, operation: &'static str, on: On<'a>) -> Self {
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{operation}-{}-{number}", std::process::id());
        let log = on.bundle.join(format!("{prefix}.log"));
        let mut command = Command::new(found(&runtime.program));
        // runc would tell the service manager about the container.
        command.env_remove("NOTIFY_SOCKET").current_dir("/");
        limits::give(&mut command);
        command.arg("--root").arg(&runtime.root);
        // Without its folder for the log the runtime would do nothing; a container is also forgotten whose bundle has gone.
        if on.bundle.is_dir() {
            command.arg("--log").arg(&log).args(["--log-format", "json"]);
        }
        if runtime.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command.arg(operation);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            operation,
            on,
            command,
            prefix,
            log,
            files: Vec::new(),
        }
    }

    fn name(&self, end: &str) -> PathBuf {
        self.on.bundle.join(format!("{}.{end}", self.prefix))
    }

    fn arg(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.command.arg(name).arg(value);
        self
    }

    fn flag(&mut self, set: bool, name: &str) -> &mut Self {
        if set {
            self.command.arg(name);
        }
        self
    }

    fn stdio(&mut self, stdio: ChildStdio) -> &mut Self {
        let pass = |fd: OwnedFd| Stdio::from(fd);
        self.command
            .stdin(pass(stdio.stdin))
            .stdout(pass(stdio.stdout))
            .stderr(pass(stdio.stderr));
        self
    }

    /// A file for the runtime to read.
    fn file(&mut self, end: &str, content: &[u8]) -> Result<PathBuf, RuntimeError> {
        let path = self.name(end);
        self.files.push(path.clone());
        std::fs::write(&path, content).map_err(|source| RuntimeError::File {
            operation: self.operation,
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    fn run(&mut self, reaper: &Reaper, within: Duration) -> Result<(), RuntimeError> {
        self.command.arg(self.on.id);
        let status = reaper.run(&mut self.command, within);
        let result = match status {
            Ok(0) => Ok(()),
            Ok(status) => Err(RuntimeError::Refused {
                operation: self.operation,
                text: last_error(&self.log).unwrap_or_else(|| format!("exit status {status}")),
            }),
            Err(source) => Err(RuntimeError::Run {
                operation: self.operation,
                id: self.on.id.to_owned(),
                source,
            }),
        };
        // Our ends of the container's pipes go with the command's: else they would never end.
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        result
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        for file in self.files.iter().chain([&self.log]) {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// A line of the runtime's log.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

/// The last error in the runtime's log.
fn last_error(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let lines = text
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut message = lines
        .filter(|line| line.level == "error" || line.level == "fatal")
        .map(|line| line.msg)
        .next()?;
    let end = message.floor_char_boundary(MAX_TEXT);
    message.truncate(end);
    Some(message)
}

#[cfg(test)]
mod tests;
