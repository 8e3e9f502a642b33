//! What must be there before anything is started.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::UpError;
use super::folder::Folder;

/// Where CNI plugins lie, in distributions and by hand.
const PLUGIN_DIRS: [&str; 3] = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
/// Where programs lie, beside PATH: some sudo settings leave out the folders for root.
const PROGRAM_DIRS: [&str; 5] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Refuses to start without root.
///
/// # Errors
/// [`UpError::NotRoot`].
pub fn check_root() -> Result<(), UpError> {
    match nix::unistd::geteuid().is_root() {
        true => Ok(()),
        false => Err(UpError::NotRoot),
    }
}

/// A program, where PATH or the usual folders have it.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(PROGRAM_DIRS.map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Names what the distribution has and this machine lacks.
///
/// # Errors
/// [`UpError::Missing`], with all of it at once.
pub fn check_programs(private_containerd_allowed: bool, sample: bool) -> Result<(), UpError> {
    let system_containerd = Path::new("/run/containerd/containerd.sock").exists();
    let plugin = PLUGIN_DIRS
        .iter()
        .any(|folder| Path::new(folder).join("bridge").is_file());
    let wanted = [
        (
            "containerd",
            "containerd",
            !private_containerd_allowed || system_containerd || find("containerd").is_some(),
        ),
        ("runc", "runc", find("runc").or_else(|| find("crun")).is_some()),
        ("CNI plugins", "containernetworking-plugins", plugin),
        ("iptables", "iptables", find("iptables").is_some()),
        (
            "docker-registry",
            "docker-registry",
            !sample || find("docker-registry").is_some(),
        ),
        (
            "a static busybox",
            "busybox-static",
            !sample || find("busybox").is_some(),
        ),
    ];
    let missing: Vec<_> = wanted.iter().filter(|(_, _, there)| !there).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(UpError::Missing {
        programs: missing.iter().map(|(program, _, _)| *program).collect(),
        packages: missing.iter().map(|(_, package, _)| *package).collect(),
    })
}

/// A program of ours, beside this one.
///
/// # Errors
/// [`UpError::Sibling`].
pub fn sibling(name: &str) -> Result<PathBuf, UpError> {
    let own = std::env::current_exe().map_err(UpError::file("/proc/self/exe"))?;
    let path = own.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(UpError::Sibling { path }),
    }
}

/// How a shell starts this program: by its name if it is the one that PATH has, else by its path.
#[must_use]
pub fn own_name() -> PathBuf {
    let name = PathBuf::from("longshore");
    let Ok(own) = std::env::current_exe() else {
        return name;
    };
    let in_path = find("longshore").and_then(|path| path.canonicalize().ok());
    if in_path.as_ref() == Some(&own) { name } else { own }
}

/// Finds out whether the address is free, and which port a port 0 means.
///
/// # Errors
/// [`UpError::Listen`], [`UpError::Plaintext`].
pub fn check_address(address: SocketAddr, tls: bool) -> Result<SocketAddr, UpError> {
    if !tls && !address.ip().is_loopback() {
        return Err(UpError::Plaintext { address });
    }
    let listener = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    listener.map_err(|source| UpError::Listen { address, source })
}

/// The snapshotter for a private containerd: overlayfs, unless the folder's file system can't carry it (an overlay on
/// an overlay, say).
///
/// # Errors
/// [`UpError::File`].
pub fn snapshotter(folder: &Folder) -> Result<&'static str, UpError> {
    let probe = folder.make("probe")?;
    for name in ["probe/lower", "probe/upper", "probe/work", "probe/merged"] {
        folder.make(name)?;
    }
    // The folder's own path may hold commas and colons, which options can't.
    let options = "lowerdir=lower,upperdir=upper,workdir=work";
    let merged = probe.join("merged");
    let here = std::env::current_dir();
    std::env::set_current_dir(&probe).map_err(UpError::file(&probe))?;
    let mounted = mount(
        Some("overlay"),
        &merged,
        Some("overlay"),
        MsFlags::empty(),
        Some(options),
    );
    if let Ok(here) = here {
        std::env::set_current_dir(&here).map_err(UpError::file(here))?;
    }
    if mounted.is_ok() {
        umount2(&merged, MntFlags::MNT_DETACH).map_err(|error| UpError::file(&merged)(error.into()))?;
    }
    std::fs::remove_dir_all(&probe).map_err(UpError::file(&probe))?;
    Ok(if mounted.is_ok() { "overlayfs" } else { "native" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_and_port_0_finds_one() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = check_address(taken.local_addr().unwrap(), false).unwrap_err();
        assert!(error.to_string().contains("--listen"), "{error}");
        assert_ne!(
            check_address("127.0.0.1:0".parse().unwrap(), false)
                .unwrap()
                .port(),
            0
        );
    }

    #[test]
    fn plain_text_stays_on_the_machine() {
        let everywhere = "0.0.0.0:0".parse().unwrap();
        assert!(matches!(
            check_address(everywhere, false),
            Err(UpError::Plaintext { .. })
        ));
        assert!(check_address(everywhere, true).is_ok());
    }

    #[test]
    fn programs_are_found() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-here"), None);
    }
}
