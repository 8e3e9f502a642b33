//! How many descriptors a shim may have: as many as it can get, and its children no more than it was given.
//!
//! containerd 2's unit sets no limit, and the usual 1024 is used up by some hundred containers in one shim. A container
//! whose configuration names no limit has what the OCI runtime has; many programs can't cope with more than usual.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limit that the shim was given, if it has another one now.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();

/// Takes as many descriptors as there may be. What can't be had is done without.
pub fn raise() {
    let given = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: given.maximum,
        maximum: given.maximum,
    };
    if given != most && setrlimit(Resource::Nofile, most).is_ok() {
        // It is called once.
        let _ = GIVEN.set(given);
    }
}

/// Has a program begin with the limit that the shim was given.
#[expect(
    unsafe_code,
    reason = "pre_exec is the only way to set a child's limit before it begins"
)]
pub fn give(command: &mut Command) {
    if let Some(&given) = GIVEN.get() {
        // SAFETY: a system call, and nothing else, happens between fork and exec.
        unsafe { command.pre_exec(move || Ok(setrlimit(Resource::Nofile, given)?)) };
    }
}

/// Sets it for a program that runs already.
pub fn give_to(pid: Pid) {
    if let Some(&given) = GIVEN.get() {
        // It may have ended.
        let _ = prlimit(Some(pid), Resource::Nofile, given);
    }
}
