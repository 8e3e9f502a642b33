//! `start`: sees to it that a container has a shim, a new one or its group's, and tells its address.

use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::ForkResult;
use rustix::process::Pid;

use crate::api::task::Options;
use crate::api::{Any, Message as _};
use crate::bundle::{BundleError, Config, write_address};
use crate::command::Arguments;
use crate::runtime::options;
use crate::sockets::{self, Found, SocketError};

/// The most that options may have.
const MAX_OPTIONS: u64 = 1 << 20;

/// A shim that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The bundle is at fault.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The socket is.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The system is.
    #[error("can't {what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// Who one is after [`start`].
#[derive(Debug)]
pub enum Started {
    /// The command: it prints the shim's address, and ends.
    Command(String),
    /// The shim, with the socket that it listens at, and containerd.
    Shim(UnixListener, Option<Pid>),
}

/// Sees to it that a container has a shim. If it needs a new one, the process forks, and returns twice. Call it while
/// there is no other thread.
///
/// # Errors
/// [`StartError`]; no shim was left behind then.
pub fn start(arguments: &Arguments) -> Result<Started, StartError> {
    let bundle = bundle(arguments)?;
    let config = Config::read(&bundle)?;
    let group = config.group(&arguments.id);
    let folder = Path::new(sockets::FOLDER);
    let path = sockets::path(folder, &arguments.address, &arguments.namespace, group);
    let address = sockets::address(&path);
    // A shim that hangs shows here, while others can have the lock, which is that of all groups.
    sockets::announce(&path, &arguments.id)?;
    let lock = sockets::lock(folder, sockets::LOCK)?;
    if let Found::Free(listener) = sockets::find(&path, &arguments.id)? {
        let containerd = rustix::process::getppid();
        let child = match fork() {
            Ok(ForkResult::Child) => {
                // The lock is the command's; it is free only once both have let go.
                drop(lock);
                return Ok(Started::Shim(listener, containerd));
            }
            Ok(ForkResult::Parent { child }) => child.as_raw(),
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                return Err(system("start the shim")(error));
            }
        };
        if let Err(error) = settle(child, &bundle, &address) {
            // Nobody would ever call it.
            let _ = std::fs::remove_file(&path);
            kill(child);
            return Err(error);
        }
    } else {
        note_address(&bundle, &address)?;
    }
    Ok(Started::Command(address))
}

/// What a new shim needs from outside.
fn settle(shim: i32, bundle: &Path, address: &str) -> Result<(), StartError> {
    if let Some(cgroup) = shim_cgroup() {
        join(&cgroup, shim).map_err(system("put the shim into its cgroup"))?;
    }
    note_address(bundle, address)
}

fn note_address(bundle: &Path, address: &str) -> Result<(), StartError> {
    write_address(bundle, address).map_err(system("write the shim's address into the bundle"))
}

fn kill(child: i32) {
    use rustix::process::{Signal, kill_process};
    // It is our child and nobody waits for it: the number is its own.
    let _ = Pid::from_raw(child).map(|child| kill_process(child, Signal::KILL));
}

/// Forks. The shim is the same program, so that executing it anew would only take its time: 2 ms, with containerd waiting.
#[expect(unsafe_code, reason = "fork is safe in a process of one thread only")]
fn fork() -> std::io::Result<ForkResult> {
    // SAFETY: there is no other thread, so that no lock can be held in the child for ever.
    Ok(unsafe { nix::unistd::fork() }?)
}

/// The bundle of a command line.
///
/// # Errors
/// [`StartError::System`] if there is no working directory.
pub fn bundle(arguments: &Arguments) -> Result<PathBuf, StartError> {
    match &arguments.bundle {
        Some(bundle) => Ok(bundle.clone()),
        None => std::env::current_dir().map_err(system("find the bundle, which is the working directory")),
    }
}

/// The cgroup that options name for the shim. They come on stdin; what can't be read there is said when the container is
/// created with them.
fn shim_cgroup() -> Option<String> {
    let mut bytes = Vec::new();
    let stdin = std::io::stdin();
    stdin.lock().take(MAX_OPTIONS).read_to_end(&mut bytes).ok()?;
    let any = Any::decode(bytes.as_slice()).ok()?;
    let options: Options = options(Some(&any)).ok()?;
    Some(options.shim_cgroup).filter(|cgroup| !cgroup.is_empty())
}

/// Puts a process into a cgroup, in every hierarchy.
fn join(cgroup: &str, pid: i32) -> std::io::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies: Vec<PathBuf> = if root.join("cgroup.procs").exists() {
        vec![root.to_owned()]
    } else {
        let folders = std::fs::read_dir(root)?.flatten().map(|entry| entry.path());
        folders
            .filter(|path| path.join("cgroup.procs").exists())
            .collect()
    };
    for hierarchy in hierarchies {
        let folder = hierarchy.join(cgroup.trim_start_matches('/'));
        std::fs::create_dir_all(&folder)?;
        let joined = std::fs::write(folder.join("cgroup.procs"), pid.to_string());
        // A new cpuset of version 1 has no processors, and takes nobody.
        if let Err(error) = joined
            && !hierarchy.ends_with("cpuset")
        {
            return Err(error);
        }
    }
    Ok(())
}
