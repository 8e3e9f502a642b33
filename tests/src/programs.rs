//! Programs of the machine that tests run, or put into images.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The containerd that tests run: the system's, or what `LONGSHORE_TEST_CONTAINERD` names, with the shims beside it.
///
/// # Panics
/// When the folder of that one can't be in a search path.
#[must_use]
pub fn containerd() -> Command {
    let Some(program) = std::env::var_os("LONGSHORE_TEST_CONTAINERD").map(PathBuf::from) else {
        return Command::new("containerd");
    };
    // containerd looks for its shims on the search path first, where those of the system's are.
    let folders = program.parent().map(PathBuf::from).into_iter().chain(folders());
    let path = std::env::join_paths(folders).expect("folders that a search path can have");
    let mut command = Command::new(program);
    command.env("PATH", path);
    command
}

/// A busybox that needs no library: what `STATIC_BUSYBOX` names, or the first in the search path.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn busybox() -> PathBuf {
    let named = std::env::var_os("STATIC_BUSYBOX").map(PathBuf::from);
    let common = folders().into_iter().map(|folder| folder.join("busybox"));
    named
        .into_iter()
        .chain(common)
        .find(|path| is_static(path))
        .expect("no static busybox is in PATH: packaging/install-dependencies test brings one")
}

/// A program of the machine, wherever system programs lie.
///
/// # Panics
/// When it isn't there.
#[must_use]
pub fn find(name: &str) -> PathBuf {
    let mut paths = folders().into_iter().map(|folder| folder.join(name));
    paths
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: packaging/install-dependencies test brings it"))
}

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's search path often lacks the last ones.
    let more = ["/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
    std::env::split_paths(&path)
        .chain(more.map(PathBuf::from))
        .collect()
}

/// Whether it is a program that names no loader. The name stands between its headers and everything else.
fn is_static(path: &Path) -> bool {
    let program = std::fs::read(path).unwrap_or_default();
    let head = program.get(..4096).unwrap_or(&program);
    head.starts_with(b"\x7fELF") && !head.windows(4).any(|bytes| bytes == b"/ld-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_not_static() {
        // What cargo builds for a test is linked with the C library.
        assert!(!is_static(&std::env::current_exe().unwrap()));
        assert!(!is_static(Path::new("/etc/passwd")));
        assert!(!is_static(Path::new("/nonexistent")));
        assert!(is_static(&busybox()));
    }
}
