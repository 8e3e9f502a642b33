//! Reading the machine. Everything below `root` is a file, so that a test can be a machine.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::utsname::uname;
use nix::unistd::{SysconfVar, gethostname, sysconf};

use super::{Gpus, HostError, attributes, fingerprint};
use crate::config::Config;
use crate::model::{CgroupVersion, HostFacts};

/// CPU units of one logical CPU.
const UNITS_PER_CPU: u64 = 1024;

/// Reads what this machine has.
///
/// # Errors
/// If the kernel's files say too little to register with.
pub fn read(config: &Config) -> Result<HostFacts, HostError> {
    read_at(Path::new("/"), config)
}

fn read_at(root: &Path, config: &Config) -> Result<HostFacts, HostError> {
    let system = |what| {
        move |error: nix::Error| HostError::System {
            what,
            source: error.into(),
        }
    };
    let cpus = sysconf(SysconfVar::_NPROCESSORS_ONLN)
        .map_err(system("the number of CPUs"))?
        .and_then(|cpus| u64::try_from(cpus).ok())
        .filter(|cpus| *cpus > 0)
        .ok_or_else(|| system("the number of CPUs")(nix::Error::ENOSYS))?;
    let name = uname().map_err(system("the kernel's name"))?;
    let machine = name.machine().to_string_lossy();
    let hostname = gethostname().map_err(system("the host name"))?;
    let (architecture, variant) = platform(std::env::consts::ARCH, &machine);
    let gpus = Gpus::new(&config.resources).list();
    Ok(HostFacts {
        cpu_units: cpus * UNITS_PER_CPU,
        memory_mib: memory_mib(root)?,
        attributes: attributes::of_machine(architecture, config.disable_privileged),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
        hostname: hostname.to_string_lossy().into_owned(),
        boot_id: boot_id(root)?,
        fingerprint: fingerprint::read(root)?,
        cgroup: cgroup(root),
        apparmor: apparmor(root),
        seccomp: root.join("proc/sys/kernel/seccomp/actions_avail").exists(),
        gpus,
    })
}

/// Architecture and variant as OCI has them. The programs here are built for `arch`, whatever the kernel could run
/// beside it: a 32-bit Raspberry Pi OS has a 64-bit kernel, and a 32-bit runc.
fn platform(arch: &'static str, machine: &str) -> (&'static str, &'static str) {
    match arch {
        "x86_64" => ("amd64", ""),
        "x86" => ("386", ""),
        "aarch64" => ("arm64", ""),
        "arm" if machine.starts_with("armv5") => ("arm", "v5"),
        "arm" if machine.starts_with("armv6") => ("arm", "v6"),
        "arm" => ("arm", "v7"),
        "powerpc64" => ("ppc64le", ""),
        other => (other, ""),
    }
}

fn text(path: PathBuf) -> Result<(PathBuf, String), HostError> {
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(HostError::Unreadable { path, source }),
    }
}

fn memory_mib(root: &Path) -> Result<u64, HostError> {
    let (path, text) = text(root.join("proc/meminfo"))?;
    let what = "MemTotal";
    text.lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map(|kib| kib / 1024)
        .ok_or(HostError::Malformed { path, what })
}

fn boot_id(root: &Path) -> Result<String, HostError> {
    let (path, text) = text(root.join("proc/sys/kernel/random/boot_id"))?;
    let what = "this boot's id";
    match text.trim() {
        "" => Err(HostError::Malformed { path, what }),
        id => Ok(id.to_owned()),
    }
}

/// Only a machine whose whole hierarchy is the unified one has this file here: a hybrid one keeps it elsewhere.
fn cgroup(root: &Path) -> CgroupVersion {
    if root.join("sys/fs/cgroup/cgroup.controllers").exists() {
        CgroupVersion::V2
    } else {
        CgroupVersion::V1
    }
}

fn apparmor(root: &Path) -> bool {
    let enabled = fs::read_to_string(root.join("sys/module/apparmor/parameters/enabled"));
    enabled.is_ok_and(|text| text.trim() == "Y") && root.join("sys/kernel/security/apparmor").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn memory_is_whole_mebibytes_of_memtotal() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            "proc/meminfo",
            "MemTotal:        2047 kB\nMemFree: 1 kB\n",
        );
        assert_eq!(memory_mib(root.path()).unwrap(), 1);
        write(root.path(), "proc/meminfo", "MemFree: 1 kB\n");
        let error = memory_mib(root.path()).unwrap_err().to_string();
        assert!(error.ends_with("does not say MemTotal"), "{error}");
    }

    #[test]
    fn a_hybrid_machine_is_version_1() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "sys/fs/cgroup/unified/cgroup.controllers", "");
        assert_eq!(cgroup(root.path()), CgroupVersion::V1);
        write(root.path(), "sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        assert_eq!(cgroup(root.path()), CgroupVersion::V2);
    }

    #[test]
    fn apparmor_needs_module_and_interface() {
        let root = tempfile::tempdir().unwrap();
        assert!(!apparmor(root.path()));
        write(root.path(), "sys/module/apparmor/parameters/enabled", "Y\n");
        assert!(!apparmor(root.path()));
        write(root.path(), "sys/kernel/security/apparmor/profiles", "");
        assert!(apparmor(root.path()));
        write(root.path(), "sys/module/apparmor/parameters/enabled", "N\n");
        assert!(!apparmor(root.path()));
    }

    #[test]
    fn platforms_are_named_as_images_name_them() {
        assert_eq!(platform("x86_64", "x86_64"), ("amd64", ""));
        assert_eq!(platform("aarch64", "aarch64"), ("arm64", ""));
        assert_eq!(platform("arm", "armv6l"), ("arm", "v6"));
        assert_eq!(platform("arm", "aarch64"), ("arm", "v7"));
    }

    #[test]
    fn a_machine_is_read_the_same_each_time_and_says_what_it_lacks() {
        let root = tempfile::tempdir().unwrap();
        let config = crate::host::registration::tests::config(&[]);
        let read = || read_at(root.path(), &config);
        let why = read().unwrap_err().to_string();
        assert!(why.contains("proc/meminfo"), "{why}");
        write(root.path(), "proc/meminfo", "MemTotal: 4194304 kB\n");
        write(root.path(), "proc/sys/kernel/random/boot_id", "a-boot\n");
        assert!(matches!(read(), Err(HostError::NoIdentity)));
        write(
            root.path(),
            "etc/machine-id",
            "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
        );
        let facts = read().unwrap();
        assert_eq!((facts.memory_mib, facts.boot_id.as_str()), (4096, "a-boot"));
        assert!(facts.cpu_units >= UNITS_PER_CPU && facts.cpu_units.is_multiple_of(UNITS_PER_CPU));
        assert!(!facts.hostname.is_empty() && !facts.seccomp);
        assert_eq!(read().unwrap(), facts);
    }
}
