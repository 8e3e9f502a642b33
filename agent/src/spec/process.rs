//! The first process: what it runs, with which environment, powers and limits.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType, Process,
};

use super::{APPARMOR_PROFILE, SpecError, SpecInput};
use crate::model::{ResolvedContainer, Ulimit};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Open files, soft and hard: what ECS's own machine images give. Without it a container would have containerd's, which
/// under systemd is unlimited, and programs that close every possible descriptor would take minutes to start.
const DEFAULT_NOFILE: (u64, u64) = (1024, 4096);

/// What Docker leaves to a container's root: enough to install packages, run daemons and bind low ports.
const DEFAULT_CAPABILITIES: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Every capability in the order of its number (`linux/capability.h`); Linux 5.9 had the last new one.
pub const CAPABILITIES: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

pub(super) fn process(input: &SpecInput<'_>) -> Result<Process, SpecError> {
    let container = input.container;
    let apparmor = input.host.apparmor && !container.privileged;
    let mut process = Process::default();
    process
        .set_terminal(Some(false))
        .set_args(Some(arguments(input)?))
        .set_env(Some(environment(input)?))
        .set_cwd(working_directory(input).into())
        .set_capabilities(Some(capabilities(container.privileged)?))
        .set_rlimits(Some(rlimits(container)?))
        .set_no_new_privileges(Some(false))
        .set_apparmor_profile(apparmor.then(|| APPARMOR_PROFILE.to_owned()))
        // Left out, a container would inherit the shim's, which distributions' units set near the lowest.
        .set_oom_score_adj(Some(0));
    Ok(process)
}

/// An entry point of the definition drops the image's CMD with its ENTRYPOINT, since that CMD was meant for that
/// ENTRYPOINT; a command alone takes only CMD's place. Empty lists count as absent, as in the API.
fn arguments(input: &SpecInput<'_>) -> Result<Vec<String>, SpecError> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let command = given(&input.container.command);
    let arguments = match given(&input.container.entry_point) {
        Some(entry_point) => [entry_point, command.unwrap_or_default()].concat(),
        None => [
            input.image.entrypoint.clone(),
            command.unwrap_or_else(|| input.image.cmd.clone()),
        ]
        .concat(),
    };
    if arguments.is_empty() {
        return Err(SpecError::NoCommand {
            image: input.container.image.clone(),
        });
    }
    if let Some(index) = arguments.iter().position(|argument| argument.contains('\0')) {
        return Err(SpecError::Argument { index });
    }
    Ok(arguments)
}

/// The definition over its files over the image over a PATH; each name once, where it was first said.
fn environment(input: &SpecInput<'_>) -> Result<Vec<String>, SpecError> {
    let mut merged: Vec<(&str, &str)> = vec![("PATH", DEFAULT_PATH)];
    let mut places: BTreeMap<&str, usize> = BTreeMap::from([("PATH", 0)]);
    let image = input
        .image
        .env
        .iter()
        .map(|line| line.split_once('=').unwrap_or((line, "")));
    // Of two lines of one name in files the first counts, so the last is laid down first.
    let files = input
        .environment_files
        .iter()
        .rev()
        .map(|(name, value)| (&**name, &**value));
    let definition = input
        .container
        .environment
        .iter()
        .map(|(name, value)| (&**name, &**value));
    for (name, value) in image.chain(files).chain(definition) {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(SpecError::Variable {
                name: name.to_owned(),
            });
        }
        match places.get(name) {
            Some(place) => merged[*place].1 = value,
            None => {
                places.insert(name, merged.len());
                merged.push((name, value));
            }
        }
    }
    Ok(merged
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect())
}

/// A relative WORKDIR of an image is meant from the root.
fn working_directory(input: &SpecInput<'_>) -> String {
    let named = input.container.working_directory.as_deref().unwrap_or_default();
    let chosen = if named.is_empty() {
        input.image.working_dir.as_str()
    } else {
        named
    };
    format!("/{}", chosen.trim_start_matches('/'))
}

/// Inheritable and ambient stay empty: what a non-root process may do must not grow by running a program.
fn capabilities(privileged: bool) -> Result<LinuxCapabilities, SpecError> {
    let set: Capabilities = match privileged {
        true => CAPABILITIES.into_iter().collect(),
        false => DEFAULT_CAPABILITIES.into_iter().collect(),
    };
    let none = Capabilities::default();
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(none.clone())
        .ambient(none)
        .build()?)
}

fn rlimits(container: &ResolvedContainer) -> Result<Vec<PosixRlimit>, SpecError> {
    let mut limits = vec![("nofile", PosixRlimitType::RlimitNofile, DEFAULT_NOFILE)];
    for ulimit in &container.ulimits {
        let kind = rlimit_type(&ulimit.name).ok_or_else(|| SpecError::UnknownUlimit {
            name: ulimit.name.clone(),
        })?;
        let range = range(ulimit)?;
        limits.retain(|(_, earlier, _)| *earlier != kind);
        limits.push((&ulimit.name, kind, range));
    }
    limits
        .into_iter()
        .map(|(_, kind, (soft, hard))| {
            Ok(PosixRlimitBuilder::default()
                .typ(kind)
                .soft(soft)
                .hard(hard)
                .build()?)
        })
        .collect()
}

/// The soft and hard limit; -1 is the kernel's "no limit".
fn range(ulimit: &Ulimit) -> Result<(u64, u64), SpecError> {
    let limit = |value: i64| match value {
        -1 => Some(u64::MAX),
        value => u64::try_from(value).ok(),
    };
    match (limit(ulimit.soft), limit(ulimit.hard)) {
        (Some(soft), Some(hard)) if soft <= hard => Ok((soft, hard)),
        _ => Err(SpecError::UlimitRange {
            name: ulimit.name.clone(),
            soft: ulimit.soft,
            hard: ulimit.hard,
        }),
    }
}

/// By the API's names.
fn rlimit_type(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}
