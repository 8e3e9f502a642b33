//! The parts of a container's definition, each read and judged by itself.

use std::path::PathBuf;
use std::time::Duration;

use longshore_protocol::ecs;
use longshore_protocol::status::NetworkMode;

use crate::model::{
    LogOptions, MountPoint, PortMapping, Protocol, RestartPolicy, Ulimit, Volume, VolumeSource,
};

use super::{InvalidTask, limits};

/// A log file's size and number where the definition says nothing.
const LOG: LogOptions = LogOptions {
    max_size: 10 * 1024 * 1024,
    max_file: 3,
};

/// How many characters of a wrong name or value are repeated.
const SHOWN: usize = 300;

/// Where a restart policy says nothing, and what it may say, as ECS has it.
const ATTEMPT_PERIOD: i32 = 300;
const ATTEMPT_PERIODS: std::ops::RangeInclusive<i32> = 60..=1800;

/// As much of a name or a value as is worth telling: it is stored, and goes into a report.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

pub(super) fn invalid(member: impl Into<String>, value: impl ToString, why: &'static str) -> InvalidTask {
    InvalidTask::Value {
        member: shown(&member.into()),
        value: shown(&value.to_string()),
        why,
    }
}

pub(super) fn required<'a>(value: Option<&'a String>, member: &str) -> Result<&'a str, InvalidTask> {
    match value.map(String::as_str) {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) | None => Err(InvalidTask::Missing {
            member: shown(member),
        }),
    }
}

/// A count or size; 0 and absent are the same.
pub(super) fn positive(value: Option<i32>, member: &str) -> Result<Option<u64>, InvalidTask> {
    match value {
        None | Some(0) => Ok(None),
        Some(value) => u64::try_from(value)
            .map(Some)
            .map_err(|_| invalid(member, value, "it can't be negative")),
    }
}

/// A time in whole seconds.
pub(super) fn seconds(value: Option<i32>, member: &str) -> Result<Option<Duration>, InvalidTask> {
    let seconds = |value| {
        u64::try_from(value)
            .map(Duration::from_secs)
            .map_err(|_| invalid(member, value, "it can't be negative"))
    };
    value.map(seconds).transpose()
}

/// Task-level cpu or memory: units or MiB, or a number of `vCPU` or `GB`, each of which is 1024 of them.
pub(super) fn amount(
    over: Option<&str>,
    defined: Option<u64>,
    name: &'static str,
    unit: &str,
) -> Result<Option<u64>, InvalidTask> {
    let Some(text) = over.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(defined.filter(|value| *value > 0));
    };
    let lower = text.to_ascii_lowercase();
    let value = match lower.strip_suffix(&unit.to_ascii_lowercase()) {
        Some(number) => thousandths(number.trim()).map(|thousandths| thousandths * 1024 / 1000),
        None => text.parse().ok(),
    };
    match value {
        Some(value) if value > 0 => Ok(Some(value)),
        Some(_) | None => {
            let member = format!("overrides.{name}");
            Err(invalid(
                member,
                text,
                "it is no number of units or MiB, nor one of vCPU or GB",
            ))
        }
    }
}

/// A decimal number such as `.25` or `1.5`, in thousandths.
pub(super) fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !digits || (whole.is_empty() && fraction.is_empty()) || whole.len() > 9 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    Some(whole * 1000 + fraction)
}

/// A policy that is not enabled is none.
pub(super) fn restart_policy(
    policy: Option<&ecs::ContainerRestartPolicy>,
    path: &str,
) -> Result<Option<RestartPolicy>, InvalidTask> {
    let Some(policy) = policy.filter(|policy| policy.enabled == Some(true)) else {
        return Ok(None);
    };
    let seconds = policy.restart_attempt_period.unwrap_or(ATTEMPT_PERIOD);
    let member = format!("{path}restartPolicy.restartAttemptPeriod");
    let period = u64::try_from(seconds)
        .ok()
        .filter(|_| ATTEMPT_PERIODS.contains(&seconds));
    let period = period.ok_or_else(|| invalid(member, seconds, "it must be from 60 to 1800 seconds"))?;
    Ok(Some(RestartPolicy {
        ignored_exit_codes: policy.ignored_exit_codes.clone().unwrap_or_default(),
        attempt_period: Duration::from_secs(period),
    }))
}

pub(super) fn each<T, U>(
    list: Option<&Vec<T>>,
    convert: impl Fn(&T) -> Result<U, InvalidTask>,
) -> Result<Vec<U>, InvalidTask> {
    list.map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(convert)
        .collect()
}

/// The GPUs were chosen by the control plane; their number must be what was asked for.
pub(super) fn gpus(
    definition: &ecs::ContainerDefinition,
    over: &ecs::ContainerOverride,
    ids: &[String],
    path: &str,
) -> Result<(), InvalidTask> {
    let member = format!("{path}resourceRequirements");
    let requirements = |list: &Option<Vec<ecs::ResourceRequirement>>| list.clone().unwrap_or_default();
    let replaced = requirements(&over.resource_requirements);
    let kept = requirements(&definition.resource_requirements);
    let kept = kept
        .into_iter()
        .filter(|old| !replaced.iter().any(|new| new.r#type == old.r#type));
    let mut wanted = 0;
    for requirement in kept.chain(replaced.iter().cloned()) {
        let value = requirement.value.unwrap_or_default();
        match requirement.r#type.as_deref() {
            Some("GPU") => {
                let count: usize = value
                    .parse()
                    .map_err(|_| invalid(&*member, &value, "it is no number of GPUs"))?;
                wanted += count;
            }
            other => {
                let kind = other.unwrap_or_default();
                return Err(InvalidTask::Unsupported {
                    member: format!("{member} of type {}", shown(kind)),
                });
            }
        }
    }
    if wanted != ids.len() {
        return Err(invalid(member, wanted, "another number of GPUs was assigned"));
    }
    Ok(())
}

pub(super) fn environment(
    definition: &ecs::ContainerDefinition,
    over: &ecs::ContainerOverride,
    path: &str,
) -> Result<Vec<(String, String)>, InvalidTask> {
    let mut merged: Vec<(String, String)> = Vec::new();
    let lists = [&definition.environment, &over.environment];
    for pair in lists.into_iter().flatten().flatten() {
        let name = required(pair.name.as_ref(), &format!("{path}environment.name"))?;
        let value = pair.value.clone().unwrap_or_default();
        if name.contains(['=', '\0']) || value.contains('\0') {
            return Err(invalid(
                format!("{path}environment"),
                name,
                "it can't hold = or a zero byte",
            ));
        }
        match merged.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => merged.push((name.to_owned(), value)),
        }
    }
    Ok(merged)
}

pub(super) fn environment_file(file: &ecs::EnvironmentFile, path: &str) -> Result<PathBuf, InvalidTask> {
    let member = format!("{path}environmentFiles.value");
    let value = required(file.value.as_ref(), &member)?;
    match value.strip_prefix("file://").map(PathBuf::from) {
        Some(local) if local.is_absolute() => Ok(local),
        Some(_) | None => Err(invalid(
            member,
            value,
            "only file:///PATH is supported by this agent",
        )),
    }
}

pub(super) fn ulimit(ulimit: &ecs::Ulimit, path: &str) -> Result<Ulimit, InvalidTask> {
    let member = |name: &str| format!("{path}ulimits.{name}");
    let limit = |value: Option<i32>, name: &str| {
        value
            .map(i64::from)
            .ok_or_else(|| InvalidTask::Missing { member: member(name) })
    };
    Ok(Ulimit {
        name: required(ulimit.name.as_ref(), &member("name"))?.to_owned(),
        soft: limit(ulimit.soft_limit, "softLimit")?,
        hard: limit(ulimit.hard_limit, "hardLimit")?,
    })
}

pub(super) fn mount_point(
    point: &ecs::MountPoint,
    volumes: &[Volume],
    path: &str,
) -> Result<MountPoint, InvalidTask> {
    let member = |name: &str| format!("{path}mountPoints.{name}");
    let source = required(point.source_volume.as_ref(), &member("sourceVolume"))?;
    if !volumes.iter().any(|volume| volume.name == source) {
        return Err(invalid(
            member("sourceVolume"),
            source,
            "the task has no such volume",
        ));
    }
    let inside = required(point.container_path.as_ref(), &member("containerPath"))?;
    if !inside.starts_with('/') {
        return Err(invalid(member("containerPath"), inside, "it is to be absolute"));
    }
    Ok(MountPoint {
        source_volume: source.to_owned(),
        container_path: PathBuf::from(inside),
        read_only: point.read_only.unwrap_or(false),
    })
}

pub(super) fn port_mapping(
    mapping: &ecs::PortMapping,
    mode: NetworkMode,
    path: &str,
) -> Result<PortMapping, InvalidTask> {
    limits::port(mapping, path)?;
    let member = |name: &str| format!("{path}portMappings.{name}");
    let port = |value: i32, name: &str| {
        u16::try_from(value).map_err(|_| invalid(member(name), value, "a port is 0 to 65535"))
    };
    let Some(container_port) = mapping.container_port.filter(|port| *port != 0) else {
        return Err(InvalidTask::Missing {
            member: member("containerPort"),
        });
    };
    let container_port = port(container_port, "containerPort")?;
    let host_port = match mapping.host_port {
        None | Some(0) => None,
        Some(value) => Some(port(value, "hostPort")?),
    };
    if mode == NetworkMode::Host && host_port.is_some_and(|port| port != container_port) {
        let value = host_port.unwrap_or_default();
        return Err(invalid(
            member("hostPort"),
            value,
            "on the host's network it is the container's port",
        ));
    }
    let protocol = match mapping.protocol.as_deref() {
        None | Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some(other) => return Err(invalid(member("protocol"), other, "it is tcp or udp")),
    };
    Ok(PortMapping {
        container_port,
        host_port,
        protocol,
    })
}

pub(super) fn volume(volume: &ecs::Volume) -> Result<Volume, InvalidTask> {
    let name = required(volume.name.as_ref(), "volumes.name")?;
    limits::volume(volume, &format!("volumes[{name}]."))?;
    let source = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
    let source = match source {
        None | Some("") => VolumeSource::Task,
        Some(path) if path.starts_with('/') => VolumeSource::Host(PathBuf::from(path)),
        Some(path) => {
            let member = format!("volumes[{name}].host.sourcePath");
            return Err(invalid(member, path, "it is to be absolute"));
        }
    };
    Ok(Volume {
        name: name.to_owned(),
        source,
    })
}

pub(super) fn log(
    configuration: Option<&ecs::LogConfiguration>,
    path: &str,
) -> Result<LogOptions, InvalidTask> {
    let Some(configuration) = configuration else {
        return Ok(LOG);
    };
    let member = |name: &str| format!("{path}logConfiguration.{name}");
    match configuration.log_driver.as_deref() {
        Some("json-file") => {}
        other => {
            let driver = other.unwrap_or_default();
            return Err(invalid(member("logDriver"), driver, "this agent has json-file"));
        }
    }
    let mut log = LOG;
    for (key, value) in configuration.options.iter().flatten() {
        match key.as_str() {
            "max-size" => {
                log.max_size = size(value)
                    .ok_or_else(|| invalid(member("options.max-size"), value, "it is a size such as 10m"))?;
            }
            "max-file" => {
                let count = value.parse().ok().filter(|count| *count >= 1);
                log.max_file = count.ok_or_else(|| {
                    invalid(member("options.max-file"), value, "it is a number of at least 1")
                })?;
            }
            other => {
                return Err(InvalidTask::Unsupported {
                    member: member(&format!("options.{}", shown(other))),
                });
            }
        }
    }
    Ok(log)
}

/// A size as Docker spells it: a number, and `k`, `m` or `g` for powers of 1024, in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, unit) = match lower.as_bytes().last()? {
        b'k' => (lower.strip_suffix('k')?, 1024),
        b'm' => (lower.strip_suffix('m')?, 1024 * 1024),
        b'g' => (lower.strip_suffix('g')?, 1024 * 1024 * 1024),
        _ => (lower, 1),
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(unit).filter(|size| *size > 0)
}
