//! What a container sees of file systems: the kernel's, its network's files, its volumes.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder};

use super::{SpecError, SpecInput};

/// Destination, type (and source: the kernel does not read it), options.
type Fixed = (&'static str, &'static str, &'static [&'static str]);

/// The kernel's file systems; a mount that comes later hides what is below it.
const KERNEL: [Fixed; 5] = [
    ("/proc", "proc", &["nosuid", "noexec", "nodev"]),
    (
        "/dev",
        "tmpfs",
        &["nosuid", "strictatime", "mode=755", "size=65536k"],
    ),
    (
        "/dev/pts",
        "devpts",
        &[
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ],
    ),
    (
        "/dev/shm",
        "tmpfs",
        &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    ),
    ("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
];

/// What shows the host's devices and cgroups: read-only unless privileged.
const HOST: [Fixed; 2] = [
    ("/sys", "sysfs", &["nosuid", "noexec", "nodev"]),
    (
        "/sys/fs/cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime"],
    ),
];

pub(super) fn mounts(input: &SpecInput<'_>) -> Result<Vec<Mount>, SpecError> {
    let mut mounts = Vec::new();
    for (destination, kind, options) in KERNEL {
        mounts.push(kernel_mount(destination, kind, options.to_vec())?);
    }
    for (destination, kind, options) in HOST {
        let access = if input.container.privileged { "rw" } else { "ro" };
        mounts.push(kernel_mount(destination, kind, [options, &[access]].concat())?);
    }
    for (source, destination) in &input.attachment.files {
        // With a root that can't be written to, neither can the host's disk be filled through these.
        let read_only = input.container.readonly_root_filesystem;
        mounts.push(bind(source, destination, read_only)?);
    }
    // Parents first, or they would hide their children. The sort is stable, so of the rest the order stays.
    let mut volumes = input.mounts.to_vec();
    volumes.sort_by_key(|mount| mount.destination.components().count());
    for volume in &volumes {
        // A volume over /dev/shm or /etc/hosts takes that one's place.
        mounts.retain(|mount| mount.destination() != &volume.destination);
        mounts.push(bind(&volume.source, &volume.destination, volume.read_only)?);
    }
    Ok(mounts)
}

fn kernel_mount(destination: &str, kind: &str, options: Vec<&str>) -> Result<Mount, SpecError> {
    Ok(MountBuilder::default()
        .destination(destination)
        .typ(kind)
        .source(kind)
        .options(options.into_iter().map(str::to_owned).collect::<Vec<_>>())
        .build()?)
}

/// Private, so that what is mounted inside stays inside; `rro` makes what is mounted below read-only too, which `ro`
/// alone does not.
fn bind(source: &Path, destination: &Path, read_only: bool) -> Result<Mount, SpecError> {
    let clean = destination
        .components()
        .all(|component| matches!(component, Component::RootDir | Component::Normal(_)));
    if !destination.is_absolute() || !clean || destination == Path::new("/") {
        return Err(SpecError::MountPath {
            path: destination.to_owned(),
        });
    }
    let access: &[&str] = if read_only { &["ro", "rro"] } else { &["rw"] };
    let options = ["rbind", "rprivate"].iter().chain(access);
    Ok(MountBuilder::default()
        .destination(destination)
        .typ("bind")
        .source(PathBuf::from(source))
        .options(options.map(|option| (*option).to_owned()).collect::<Vec<_>>())
        .build()?)
}
