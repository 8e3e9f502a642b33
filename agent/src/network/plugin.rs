//! Running CNI plugins, as the CNI specification has it: `CNI_*` variables, the configuration on standard input, a
//! result or an error as JSON on standard output.
//!
//! A plugin runs in a process group of its own that is killed when its deadline passes or the caller goes away, the
//! programs that it started included. If the agent itself is killed, the plugin goes on: its standard error is the
//! locked file of its container ([`super::lock`]), so whoever comes next waits for it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::shape;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::NetworkError;
use super::lock::Lock;
use crate::blocking;
use crate::clock::Clock;
use crate::model::ContainerId;

/// A plugin takes some 50 ms, or 10 s and more while others hold the firewall's lock on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// The most of a result that is read; one of these plugins' has about 1 KiB.
const MAX_RESULT: u64 = 1 << 20;
/// The most objects and lists in it; one has about twenty.
const MAX_RESULT_NODES: usize = 1000;
/// The most characters of a plugin's words in an error.
const MAX_WORDS: usize = 1000;
/// Plugins call `iptables`, which a service's PATH may lack.
const MORE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a plugin is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Attach.
    Add,
    /// Take it back.
    Del,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
        }
    }
}

/// One call of a plugin.
pub(super) struct Call<'a> {
    /// What to do.
    pub verb: Verb,
    /// For whom.
    pub container: &'a ContainerId,
    /// Its namespace; `None` if it is gone.
    pub namespace: Option<&'a Path>,
    /// The interface inside.
    pub interface: &'static str,
    /// The container's lock, which also takes what the plugin writes to standard error.
    pub lock: &'a Lock,
}

impl Call<'_> {
    /// The error that `program` made of this call.
    pub(super) fn failed(&self, program: &str, why: String) -> NetworkError {
        NetworkError::Plugin {
            command: self.verb.as_str(),
            container: self.container.clone(),
            plugin: program.to_owned(),
            why: why.chars().take(MAX_WORDS).collect(),
        }
    }
}

/// Finds and runs plugins.
pub(super) struct Plugins {
    pub dirs: Vec<PathBuf>,
    pub clock: Arc<dyn Clock>,
}

/// The error that a plugin prints.
#[derive(Deserialize)]
struct PluginError {
    code: u64,
    msg: String,
    #[serde(default)]
    details: String,
}

/// Kills the whole process group when dropped before it was told that the plugin has ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // ESRCH: they have all ended, which is what was wanted.
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Plugins {
    /// Runs the plugin that `config` names as its `type`; answers with its result, `Null` where it gives none.
    pub(super) async fn call(&self, call: &Call<'_>, config: &Value) -> Result<Value, NetworkError> {
        let plugin = config["type"].as_str().unwrap_or_default();
        let error = |why: String| call.failed(plugin, why);
        let program = self.find(plugin).await.map_err(error)?;
        let input = serde_json::to_vec(config).map_err(|cause| error(cause.to_string()))?;
        let (success, output) = self
            .run(&program, call, &input)
            .await
            .map_err(|cause| error(format!("{}: {cause}", program.display())))?;
        answer(success, &output).map_err(error)
    }

    async fn find(&self, plugin: &str) -> Result<PathBuf, String> {
        let candidates: Vec<_> = self.dirs.iter().map(|dir| dir.join(plugin)).collect();
        let look = move || candidates.into_iter().find(|path| path.is_file());
        let found = blocking::DISK.run(look).await;
        found.map_err(|cause| cause.to_string())?.ok_or_else(|| {
            let dirs = self.search_path();
            format!(
                "no such plugin in {dirs}: install containernetworking-plugins or set LONGSHORE_CNI_BIN_DIRS"
            )
        })
    }

    fn search_path(&self) -> String {
        let dirs: Vec<_> = self
            .dirs
            .iter()
            .map(|dir| dir.to_string_lossy().into_owned())
            .collect();
        dirs.join(":")
    }

    async fn run(&self, program: &Path, call: &Call<'_>, input: &[u8]) -> io::Result<(bool, Vec<u8>)> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("CNI_COMMAND", call.verb.as_str())
            .env("CNI_CONTAINERID", call.container.to_string())
            .env("CNI_NETNS", call.namespace.unwrap_or(Path::new("")))
            .env("CNI_IFNAME", call.interface)
            .env("CNI_PATH", self.search_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(call.lock.try_clone()?));
        self.drive(command, input).await
    }

    /// Runs a program to its end or the deadline; answers with whether it succeeded and what it wrote to those of its
    /// outputs that are piped. The caller has given it the lock.
    pub(super) async fn drive(&self, mut command: Command, input: &[u8]) -> io::Result<(bool, Vec<u8>)> {
        let path = match std::env::var("PATH") {
            Ok(path) => format!("{path}:{MORE_PATH}"),
            Err(_) => MORE_PATH.to_owned(),
        };
        command.env("PATH", path).process_group(0).kill_on_drop(true);
        let run = async {
            // The program is on a disk, too.
            let (mut group, mut child) = blocking::DISK.io(move || begin(command)).await?;
            let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A plugin that ends without reading says why on its standard output.
                    let _broken = stdin.write_all(input).await;
                }
            };
            let ((), output, errors) = tokio::join!(write, read(stdout), read(stderr));
            let status = child.wait().await?;
            group.0 = None;
            Ok((status.success(), [output?, errors?].concat()))
        };
        tokio::select! {
            done = run => done,
            () = self.clock.sleep(DEADLINE) => {
                let late = format!("no answer after {} s; it was killed", DEADLINE.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, late))
            }
        }
    }
}

/// What a plugin's output says, by whether it succeeded: its result, `Null` where it gives none; or what is wrong.
pub(super) fn answer(success: bool, output: &[u8]) -> Result<Value, String> {
    if success && output.is_empty() {
        return Ok(Value::Null);
    }
    if success {
        shape::check(output, MAX_RESULT_NODES)
            .map_err(|why| format!("its result is not worth reading: {why}"))?;
        return serde_json::from_slice(output).map_err(|cause| format!("its result is not JSON: {cause}"));
    }
    Err(match serde_json::from_slice::<PluginError>(output) {
        Ok(PluginError { code, msg, details }) if details.is_empty() => format!("{msg} (code {code})"),
        Ok(PluginError { code, msg, details }) => format!("{msg}: {details} (code {code})"),
        Err(_) => format!(
            "it failed with no words but {:?}",
            String::from_utf8_lossy(output)
        ),
    })
}

/// Starts a program in a group of its own. If nobody waits for it by then, it is killed.
fn begin(mut command: Command) -> io::Result<(Group, Child)> {
    let child = command.spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    Ok((Group(pid.map(Pid::from_raw)), child))
}

async fn read(output: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        output.take(MAX_RESULT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "plugin_tests.rs"]
mod tests;
