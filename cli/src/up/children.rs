//! Programs that `up` starts: their output goes to a log, and they get SIGTERM when `up` dies, however it dies.
//!
//! Invariant: they are started by the program's only thread, since the kernel ties their life to that of the thread.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::{Child as Process, Command};

use super::UpError;

/// The most bytes of a log that are searched for its last line.
const TAIL_BYTES: u64 = 8 * 1024;

/// What to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// What people call it.
    pub name: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables of our environment that it must not see.
    pub hidden: Vec<String>,
    /// Where its output goes; appended to.
    pub log: PathBuf,
    /// Whether it lives on when `up` ends, in a session of its own.
    pub outlives: bool,
}

/// One that runs.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    log: PathBuf,
    /// How long the log was before it.
    log_before: u64,
    process: Process,
}

impl Program {
    /// Starts it.
    ///
    /// # Errors
    /// [`UpError::File`] for the log, [`UpError::Spawn`].
    pub fn start(&self) -> Result<Child, UpError> {
        let log = open_log(&self.log).map_err(UpError::file(&self.log))?;
        let log_before = log.metadata().map_err(UpError::file(&self.log))?.len();
        let output = log.try_clone().map_err(UpError::file(&self.log))?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log);
        for name in &self.hidden {
            command.env_remove(name);
        }
        lifetime::bind(&mut command, self.outlives);
        let process = command.spawn().map_err(|source| UpError::Spawn {
            name: self.name,
            source,
        })?;
        Ok(Child {
            name: self.name,
            log: self.log.clone(),
            log_before,
            process,
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`Program::start`]; [`UpError::Ended`] if it doesn't end with 0, [`UpError::NotInTime`] if it doesn't end.
    pub async fn run(&self, deadline: Duration) -> Result<(), UpError> {
        let mut child = self.start()?;
        let ended = tokio::time::timeout(deadline, child.process.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(child.ended(status)),
            Err(_) => {
                child.stop(Duration::from_secs(5)).await;
                Err(UpError::NotInTime {
                    what: self.name,
                    seconds: deadline.as_secs(),
                    log: self.log.clone(),
                })
            }
        }
    }
}

impl Child {
    /// Its process id; `None` once it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Waits until it ends by itself, which nobody wants.
    pub async fn failure(&mut self) -> UpError {
        let status = self.process.wait().await;
        self.ended(status)
    }

    /// SIGTERM, and SIGKILL if it hasn't ended after `grace`.
    pub async fn stop(&mut self, grace: Duration) {
        if let Some(pid) = self.pid() {
            signal(pid, Signal::SIGTERM);
        }
        if tokio::time::timeout(grace, self.process.wait()).await.is_err() {
            // It may have ended this very moment.
            let _ = self.process.kill().await;
        }
    }

    fn ended(&self, status: io::Result<std::process::ExitStatus>) -> UpError {
        UpError::Ended {
            name: self.name,
            status: status.map_or_else(|error| error.to_string(), |status| status.to_string()),
            log: self.log.clone(),
            last_words: last_line(&self.log, self.log_before),
        }
    }
}

/// Sends a signal; one who is gone needs none.
pub fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// The last line of a log behind an offset, where programs say why they end; nothing if there is none.
fn last_line(path: &Path, from: u64) -> Option<String> {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES).max(from)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| error.to_string());
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map(str::to_owned)
}

/// What happens between fork and exec.
mod lifetime {
    use nix::sys::signal::Signal;
    use tokio::process::Command;

    /// Ties the child's life to ours, or gives it a session of its own. In both cases Ctrl-C at our terminal isn't its
    /// business: `up` stops it in its turn.
    #[expect(
        unsafe_code,
        reason = "the standard library has no safe way to call prctl or setsid in the child"
    )]
    pub(super) fn bind(command: &mut Command, outlives: bool) {
        let parent = nix::unistd::getpid();
        if !outlives {
            command.process_group(0);
        }
        // SAFETY: between fork and exec the closure only makes the system calls setsid, prctl and getppid and builds
        // an io::Error from an errno: nothing allocates, takes a lock or touches memory that other threads share.
        unsafe {
            command.pre_exec(move || {
                if outlives {
                    nix::unistd::setsid()?;
                    return Ok(());
                }
                nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
                // We may have died before the line above.
                match nix::unistd::getppid() == parent {
                    true => Ok(()),
                    false => Err(std::io::Error::from_raw_os_error(nix::errno::Errno::ESRCH as i32)),
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Program {
        Program {
            name: "a shell",
            path: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            hidden: vec!["PATH".into()],
            log: folder.join("log/sh.log"),
            outlives: false,
        }
    }

    #[tokio::test]
    async fn a_program_that_fails_has_the_last_word() {
        let folder = tempfile::tempdir().unwrap();
        let run = async |script: &str| {
            let program = shell(folder.path(), script);
            program
                .run(Duration::from_secs(30))
                .await
                .unwrap_err()
                .to_string()
        };
        let error = run("echo first; echo 'sh: no bread'; echo; exit 3").await;
        assert!(error.contains("(exit status: 3): sh: no bread. "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        // What an earlier one said is not its own.
        let error = run("exit 4").await;
        assert!(error.contains("(exit status: 4). "), "{error}");
    }

    #[tokio::test]
    async fn one_that_ignores_sigterm_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell(
            folder.path(),
            "trap '' TERM; echo ready; while :; do /bin/sleep 0.01; done",
        )
        .start()
        .unwrap();
        let log = folder.path().join("log/sh.log");
        while std::fs::read_to_string(&log).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.stop(Duration::from_millis(50)).await;
        assert_eq!(child.pid(), None);
    }

    #[tokio::test]
    async fn a_child_is_bound_to_its_parent_and_its_own_group() {
        let folder = tempfile::tempdir().unwrap();
        let script = "read _ _ _ _ group _ < /proc/self/stat; [ $group = $$ ] && [ -z \"$FORBIDDEN\" ]";
        shell(folder.path(), script)
            .run(Duration::from_secs(30))
            .await
            .unwrap();
    }
}
