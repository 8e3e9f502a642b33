//! Namespaces, limits, devices and what of `/proc` and `/sys` is hidden.

use longshore_protocol::status::NetworkMode;
use oci_spec::runtime::{
    Linux, LinuxCpuBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources,
};

use super::{SpecError, SpecInput, seccomp, task_cgroup};
use crate::model::CgroupVersion;

/// The kernel takes no fewer shares.
const LEAST_SHARES: u64 = 2;

/// MiB; with less a container can't even be set up.
const LEAST_MEMORY: u64 = 4;

/// What of the host shows through `/proc` and `/sys` and is nobody's business inside.
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What of the host could be changed through `/proc`.
const READONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Character devices that can be read and written: major, minor (`None`: all), of null, zero, full, random, urandom,
/// tty, ptmx and the pseudo terminals.
const CHARACTER_DEVICES: [(i64, Option<i64>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

pub(super) fn linux(input: &SpecInput<'_>) -> Result<Linux, SpecError> {
    let task = task_cgroup(input.cgroup_parent, input.id.task().as_str());
    let privileged = input.container.privileged;
    let hidden =
        |paths: &[&str]| (!privileged).then(|| paths.iter().map(|path| (*path).to_owned()).collect());
    let filtered = !privileged && input.host.seccomp;
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(input)?))
        .set_cgroups_path(Some(format!("{task}/{}", input.id).into()))
        .set_resources(Some(resources(input)?))
        .set_masked_paths(hidden(&MASKED_PATHS))
        .set_readonly_paths(hidden(&READONLY_PATHS));
    if filtered {
        linux.set_seccomp(Some(seccomp::profile(&input.host.architecture)?));
    }
    Ok(linux)
}

fn namespaces(input: &SpecInput<'_>) -> Result<Vec<LinuxNamespace>, SpecError> {
    let mut kinds = vec![
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
    ];
    if input.host.cgroup == CgroupVersion::V2 {
        kinds.push(LinuxNamespaceType::Cgroup);
    }
    let mut namespaces = kinds
        .into_iter()
        .map(|kind| LinuxNamespaceBuilder::default().typ(kind).build())
        .collect::<Result<Vec<_>, _>>()?;
    let network = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
    match (input.attachment.mode, &input.attachment.namespace) {
        (NetworkMode::Host, _) => {}
        (NetworkMode::Bridge, None) => return Err(SpecError::NoNamespace(input.id.clone())),
        (NetworkMode::None, None) => namespaces.push(network.build()?),
        (NetworkMode::Bridge | NetworkMode::None, Some(path)) => {
            namespaces.push(network.path(path.clone()).build()?);
        }
    }
    Ok(namespaces)
}

fn resources(input: &SpecInput<'_>) -> Result<LinuxResources, SpecError> {
    let container = input.container;
    let mut memory = LinuxMemoryBuilder::default();
    // Swap is left alone: with a limit of its own it would be granted on machines whose owner gave containers none.
    if let Some(limit) = container.memory {
        memory = memory.limit(bytes(limit));
    }
    if let Some(reservation) = container.memory_reservation {
        memory = memory.reservation(bytes(reservation));
    }
    let cpu = LinuxCpuBuilder::default().shares(container.cpu.max(LEAST_SHARES));
    let mut resources = LinuxResources::default();
    resources
        .set_memory(Some(memory.build()?))
        .set_cpu(Some(cpu.build()?))
        .set_devices(Some(devices(container.privileged)?));
    Ok(resources)
}

/// MiB as bytes, at least what a container needs.
fn bytes(mib: u64) -> i64 {
    i64::try_from(mib.max(LEAST_MEMORY).saturating_mul(1 << 20)).unwrap_or(i64::MAX)
}

/// Everything may be made (a file alone gives no access), little may be opened.
fn devices(privileged: bool) -> Result<Vec<LinuxDeviceCgroup>, SpecError> {
    let rule = LinuxDeviceCgroupBuilder::default;
    if privileged {
        return Ok(vec![rule().allow(true).access("rwm").build()?]);
    }
    let mut rules = vec![
        rule().allow(false).access("rwm").build()?,
        rule().allow(true).typ(LinuxDeviceType::C).access("m").build()?,
        rule().allow(true).typ(LinuxDeviceType::B).access("m").build()?,
    ];
    for (major, minor) in CHARACTER_DEVICES {
        let rule = rule()
            .allow(true)
            .typ(LinuxDeviceType::C)
            .major(major)
            .access("rwm");
        rules.push(match minor {
            Some(minor) => rule.minor(minor).build()?,
            None => rule.build()?,
        });
    }
    Ok(rules)
}
