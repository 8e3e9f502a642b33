//! Rules of a definition's task level: size, family, network mode, volumes, cpu and memory.

use std::collections::BTreeSet;

use longshore_protocol::arn::is_valid_name;
use longshore_protocol::ecs;
use longshore_protocol::status::NetworkMode;

use super::{MAX_CONTAINERS, MAX_DEFINITION_BYTES, Refusal, amounts};

pub(super) fn check_size(request: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Refusal> {
    let length = serde_json::to_vec(request)
        .map_err(|error| Refusal::client(error.to_string()))?
        .len();
    if length > MAX_DEFINITION_BYTES {
        return Err(Refusal::client(format!(
            "Actual length: '{length}'. Max allowed length is '{MAX_DEFINITION_BYTES}' bytes."
        )));
    }
    Ok(())
}

pub(super) fn check_family(family: Option<&str>) -> Result<(), Refusal> {
    match family.unwrap_or_default() {
        "" => Err(Refusal::client("Family can not be blank.")),
        family if family.len() > 255 => Err(Refusal::client("Family must have at most 255 characters.")),
        family if !is_valid_name(family) => Err(Refusal::client("Family contains invalid characters.")),
        _ => Ok(()),
    }
}

pub(super) fn containers(
    request: &ecs::RegisterTaskDefinitionRequest,
) -> Result<&[ecs::ContainerDefinition], Refusal> {
    match request.container_definitions.as_deref().unwrap_or_default() {
        [] => Err(Refusal::client("Container list cannot be empty.")),
        many if many.len() > MAX_CONTAINERS => Err(Refusal::client(format!(
            "Too many containers. A task definition can have at most {MAX_CONTAINERS}."
        ))),
        some => Ok(some),
    }
}

/// EXTERNAL must be among them; EC2 may stand beside it, since what runs here runs there too.
pub(super) fn check_compatibilities(required: &[String]) -> Result<(), Refusal> {
    if let Some(other) = required
        .iter()
        .find(|each| !matches!(each.as_str(), "EXTERNAL" | "EC2"))
    {
        return Err(Refusal::client(format!(
            "requiresCompatibilities '{other}' isn't supported: tasks run as EXTERNAL here."
        )));
    }
    if required.is_empty() || required.iter().any(|each| each == "EXTERNAL") {
        return Ok(());
    }
    Err(Refusal::client(
        "requiresCompatibilities must contain EXTERNAL: that is how tasks run here.",
    ))
}

pub(super) fn network_mode(text: Option<&str>) -> Result<NetworkMode, Refusal> {
    match text {
        // An empty text is what some clients send for "not set".
        None | Some("") => Ok(NetworkMode::Bridge),
        Some("awsvpc") => Err(Refusal::client(
            "networkMode 'awsvpc' is not supported with EXTERNAL compatibility. Use bridge, host or none.",
        )),
        Some(text) => text
            .parse()
            .map_err(|_| Refusal::parameter("networkMode should be one of [bridge,host,none]")),
    }
}

pub(super) fn check_volumes(volumes: &[ecs::Volume]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    for volume in volumes {
        let name = volume.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(Refusal::client("Volume.name should not be null or empty."));
        }
        if !is_valid_name(name) {
            return Err(Refusal::client(format!(
                "Volume name '{name}' contains invalid characters."
            )));
        }
        if !names.insert(name) {
            return Err(Refusal::client(format!(
                "Volume name '{name}' is used more than once."
            )));
        }
        let path = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
        match path.unwrap_or_default() {
            "" => {
                return Err(Refusal::client(format!(
                    "Volume '{name}' has no host.sourcePath: volumes without a path of the host aren't supported yet."
                )));
            }
            path => check_path(path, &format!("host.sourcePath of volume '{name}'"))?,
        }
    }
    Ok(())
}

/// An absolute path without NUL.
pub(super) fn check_path(path: &str, what: &str) -> Result<(), Refusal> {
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(());
    }
    Err(Refusal::client(format!(
        "{what} must be an absolute path, but is {path:?}."
    )))
}

/// What the task as a whole may use, where it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// CPU units.
    pub(super) cpu: Option<u64>,
    /// MiB.
    pub(super) memory: Option<u64>,
}

impl Limits {
    /// An empty text means: not set.
    pub(super) fn parse(cpu: Option<&str>, memory: Option<&str>) -> Result<Self, Refusal> {
        let given = |text: &&str| !text.is_empty();
        Ok(Self {
            cpu: cpu.filter(given).map(amounts::task_cpu).transpose()?,
            memory: memory.filter(given).map(amounts::task_memory).transpose()?,
        })
    }

    /// Whether the containers have the memory that they need and fit into the task.
    pub(super) fn check(self, containers: &[ecs::ContainerDefinition]) -> Result<(), Refusal> {
        for container in containers {
            self.check_memory_of(container)?;
        }
        let sum = |amount: fn(&ecs::ContainerDefinition) -> Option<i32>| -> u64 {
            let amounts = containers.iter().filter_map(amount);
            amounts.map(|each| u64::try_from(each).unwrap_or_default()).sum()
        };
        if self.cpu.is_some_and(|cpu| sum(|each| each.cpu) > cpu) {
            return Err(Refusal::client(
                "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
            ));
        }
        if self
            .memory
            .is_some_and(|memory| sum(|each| each.memory_reservation.or(each.memory)) > memory)
        {
            return Err(Refusal::client(
                "The sum of all container 'memory' values cannot be greater than the value of the task 'memory'.",
            ));
        }
        Ok(())
    }

    fn check_memory_of(self, container: &ecs::ContainerDefinition) -> Result<(), Refusal> {
        let name = container.name.as_deref().unwrap_or_default();
        let invalid = |what: &str| Refusal::client(format!("Invalid setting for container '{name}'. {what}"));
        let floor = i32::try_from(super::MIN_MEMORY).unwrap_or(i32::MAX);
        for (what, amount) in [
            ("memory", container.memory),
            ("memoryReservation", container.memory_reservation),
        ] {
            if amount.is_some_and(|mib| mib < floor) {
                return Err(invalid(&format!("The '{what}' must be at least {floor} MiB.")));
            }
        }
        match (container.memory, container.memory_reservation) {
            (None, None) if self.memory.is_none() => Err(invalid(
                "At least one of 'memory' or 'memoryReservation' must be specified.",
            )),
            (Some(hard), Some(soft)) if soft > hard => Err(invalid(
                "The 'memoryReservation' must not be greater than the 'memory'.",
            )),
            (Some(hard), _)
                if self
                    .memory
                    .is_some_and(|task| u64::try_from(hard).unwrap_or(0) > task) =>
            {
                Err(invalid(
                    "The 'memory' must not be greater than the task 'memory'.",
                ))
            }
            _ => Ok(()),
        }
    }
}
