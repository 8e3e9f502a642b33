//! From a task's definition and overrides to the task as it is to be.
//!
//! Overrides win member by member: `environment` merges by name, `command` and `environmentFiles` replace,
//! `resourceRequirements` replace by type.

use std::path::PathBuf;
use std::time::Duration;

use longshore_protocol::arn::{TaskArn, is_valid_name};
use longshore_protocol::ecs;
use longshore_protocol::poll::{AssignedContainer, TaskSpec};
use longshore_protocol::status::NetworkMode;

use crate::model::{
    LogOptions, MountPoint, PortMapping, Protocol, ResolvedContainer, ResolvedTask, Ulimit, Volume,
    VolumeSource,
};

use super::limits;

/// The most containers of a task, as the API has it.
const MAX_CONTAINERS: usize = 10;
/// A log file's size and number where the definition says nothing.
const LOG: LogOptions = LogOptions {
    max_size: 10 * 1024 * 1024,
    max_file: 3,
};

/// What the node allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// No container may have the host's powers.
    pub disable_privileged: bool,
}

/// A task that can't run here. None of it goes away by trying again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTask {
    /// A member is absent that must be there.
    #[error("{member} is missing")]
    Missing {
        /// Its path.
        member: String,
    },
    /// A member's value makes no sense.
    #[error("{member} is {value:?}: {why}")]
    Value {
        /// Its path.
        member: String,
        /// What it is.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A member that this agent does not obey.
    #[error("{member} is not supported by this agent: leave it out, or run a later agent")]
    Unsupported {
        /// Its path.
        member: String,
    },
}

fn invalid(member: impl Into<String>, value: impl ToString, why: &'static str) -> InvalidTask {
    InvalidTask::Value {
        member: member.into(),
        value: value.to_string(),
        why,
    }
}

fn required<'a>(value: Option<&'a String>, member: &str) -> Result<&'a str, InvalidTask> {
    match value.map(String::as_str) {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) | None => Err(InvalidTask::Missing {
            member: member.to_owned(),
        }),
    }
}

/// A count or size; 0 and absent are the same.
fn positive(value: Option<i32>, member: &str) -> Result<Option<u64>, InvalidTask> {
    match value {
        None | Some(0) => Ok(None),
        Some(value) => u64::try_from(value)
            .map(Some)
            .map_err(|_| invalid(member, value, "it can't be negative")),
    }
}

/// The task as it is to be.
///
/// # Errors
/// The first thing in it that this node can't do.
pub fn resolve(arn: &TaskArn, spec: &TaskSpec, rules: &Rules) -> Result<ResolvedTask, InvalidTask> {
    limits::overrides(&spec.overrides)?;
    if !(1..=MAX_CONTAINERS).contains(&spec.containers.len()) {
        return Err(invalid(
            "containerDefinitions",
            spec.containers.len(),
            "a task has 1 to 10 containers",
        ));
    }
    let volumes = spec.volumes.iter().map(volume).collect::<Result<Vec<_>, _>>()?;
    let mut containers: Vec<ResolvedContainer> = Vec::with_capacity(spec.containers.len());
    for assigned in &spec.containers {
        let container = container(assigned, spec, &volumes, rules)?;
        if containers.iter().any(|other| other.name == container.name) {
            return Err(invalid(
                "containerDefinitions.name",
                container.name,
                "two containers have this name",
            ));
        }
        containers.push(container);
    }
    let given = spec.overrides.container_overrides.as_deref().unwrap_or_default();
    for name in given.iter().filter_map(|each| each.name.as_deref()) {
        if !containers.iter().any(|container| container.name == name) {
            return Err(invalid(
                "overrides.containerOverrides.name",
                name,
                "the task has no such container",
            ));
        }
    }
    let memory = amount(spec.overrides.memory.as_deref(), spec.memory, "memory", "GB")?;
    for container in &containers {
        if let (Some(own), Some(whole)) = (container.memory, memory)
            && own > whole
        {
            let member = format!("containerDefinitions[{}].memory", container.name);
            return Err(invalid(member, own, "it is more than the task's memory"));
        }
    }
    Ok(ResolvedTask {
        arn: arn.clone(),
        cluster_arn: spec.cluster_arn.clone(),
        definition_arn: spec.task_definition_arn.clone(),
        created_at_millis: spec.created_at.as_millis(),
        group: spec.group.clone(),
        started_by: spec.started_by.clone(),
        network_mode: spec.network_mode,
        cpu: amount(spec.overrides.cpu.as_deref(), spec.cpu, "cpu", "vCPU")?,
        memory,
        containers,
        volumes,
    })
}

/// Task-level cpu or memory: units or MiB, or a number of `vCPU` or `GB`, each of which is 1024 of them.
fn amount(
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
fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !digits || (whole.is_empty() && fraction.is_empty()) || whole.len() > 9 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    Some(whole * 1000 + fraction)
}

fn container(
    assigned: &AssignedContainer,
    spec: &TaskSpec,
    volumes: &[Volume],
    rules: &Rules,
) -> Result<ResolvedContainer, InvalidTask> {
    let definition = &assigned.definition;
    let name = required(definition.name.as_ref(), "containerDefinitions.name")?;
    if !is_valid_name(name) {
        return Err(invalid(
            "containerDefinitions.name",
            name,
            "only letters, digits, - and _ are allowed",
        ));
    }
    let path = format!("containerDefinitions[{name}].");
    let at = |member: &str| format!("{path}{member}");
    limits::container(definition, &path)?;
    let nothing = ecs::ContainerOverride::default();
    let over = spec.container_override(name).unwrap_or(&nothing);
    let privileged = definition.privileged.unwrap_or(false);
    if privileged && rules.disable_privileged {
        return Err(invalid(
            at("privileged"),
            true,
            "this node does not run privileged containers",
        ));
    }
    gpus(definition, over, &assigned.gpu_ids, &path)?;
    let files = over
        .environment_files
        .as_ref()
        .or(definition.environment_files.as_ref());
    let stop_timeout = definition.stop_timeout.map(|seconds| {
        let seconds =
            u64::try_from(seconds).map_err(|_| invalid(at("stopTimeout"), seconds, "it can't be negative"));
        seconds.map(Duration::from_secs)
    });
    Ok(ResolvedContainer {
        arn: assigned.container_arn.clone(),
        name: name.to_owned(),
        image: required(definition.image.as_ref(), &at("image"))?.to_owned(),
        command: over.command.clone().or_else(|| definition.command.clone()),
        entry_point: definition.entry_point.clone(),
        environment: environment(definition, over, &path)?,
        environment_files: each(files, |file| environment_file(file, &path))?,
        cpu: positive(over.cpu.or(definition.cpu), &at("cpu"))?.unwrap_or(0),
        memory: positive(over.memory.or(definition.memory), &at("memory"))?,
        memory_reservation: positive(
            over.memory_reservation.or(definition.memory_reservation),
            &at("memoryReservation"),
        )?,
        essential: definition.essential.unwrap_or(true),
        user: definition.user.clone().filter(|user| !user.is_empty()),
        working_directory: definition
            .working_directory
            .clone()
            .filter(|folder| !folder.is_empty()),
        ulimits: each(definition.ulimits.as_ref(), |ulimit| self::ulimit(ulimit, &path))?,
        mount_points: each(definition.mount_points.as_ref(), |point| {
            mount_point(point, volumes, &path)
        })?,
        port_mappings: each(definition.port_mappings.as_ref(), |mapping| {
            port_mapping(mapping, spec.network_mode, &path)
        })?,
        stop_timeout: stop_timeout.transpose()?,
        readonly_root_filesystem: definition.readonly_root_filesystem.unwrap_or(false),
        privileged,
        gpu_ids: assigned.gpu_ids.clone(),
        docker_labels: definition.docker_labels.clone().unwrap_or_default(),
        log: log(definition.log_configuration.as_ref(), &path)?,
    })
}

fn each<T, U>(
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
fn gpus(
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
                    member: format!("{member} of type {kind}"),
                });
            }
        }
    }
    if wanted != ids.len() {
        return Err(invalid(member, wanted, "another number of GPUs was assigned"));
    }
    Ok(())
}

fn environment(
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

fn environment_file(file: &ecs::EnvironmentFile, path: &str) -> Result<PathBuf, InvalidTask> {
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

fn ulimit(ulimit: &ecs::Ulimit, path: &str) -> Result<Ulimit, InvalidTask> {
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

fn mount_point(point: &ecs::MountPoint, volumes: &[Volume], path: &str) -> Result<MountPoint, InvalidTask> {
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

fn port_mapping(
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

fn volume(volume: &ecs::Volume) -> Result<Volume, InvalidTask> {
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

fn log(configuration: Option<&ecs::LogConfiguration>, path: &str) -> Result<LogOptions, InvalidTask> {
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
                    member: member(&format!("options.{other}")),
                });
            }
        }
    }
    Ok(log)
}

/// A size as Docker spells it: a number, and `k`, `m` or `g` for powers of 1024, in bytes.
fn size(text: &str) -> Option<u64> {
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
