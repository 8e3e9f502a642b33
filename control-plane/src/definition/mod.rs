//! What a task definition may say, what it means, and what a call may override of it.
//!
//! Pure: nothing here reads a clock, a store or a socket. [`register`] turns a request into what
//! DescribeTaskDefinition shows; [`check_overrides`] judges what RunTask and StartTask change of it; [`effective()`]
//! gives the values that hold for one task.
//!
//! Invariants: a member that isn't carried out is refused by name, never ignored. A definition that was taken can be
//! laid on a node without a further question of form. Given values are kept as they were, since Terraform compares
//! what it reads back; only ECS's own defaults are filled in.
//!
//! Limits: environment files are local ones (`file:///…`), volumes are paths of the host, the log driver is
//! `json-file`, resource requirements are GPUs.

mod amounts;
mod attributes;
mod container;
mod depends;
mod effective;
mod fill;
mod overrides;
mod ports;
mod restart_policy;
mod tags;
mod task;
mod unsupported;

use longshore_protocol::ecs;

pub use effective::{Effective, effective};
pub use overrides::check_overrides;
pub use tags::{MAX_TAGS, check_tags};

pub(crate) use attributes::EXTERNAL as EXTERNAL_ATTRIBUTE;
pub(crate) use ports::mappings as port_mappings;

/// The most bytes of a definition, written as JSON.
pub const MAX_DEFINITION_BYTES: usize = 64 * 1024;
/// The most containers of a definition.
pub const MAX_CONTAINERS: usize = 10;
/// The most characters of a task's container overrides, written as JSON.
pub const MAX_OVERRIDES_CHARS: usize = 8192;
/// The least memory of a container or task, in MiB.
pub const MIN_MEMORY: u64 = 6;

/// Why a request isn't taken: an ECS error code, and a text that says what to change. Trying again never helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// `ClientException` or `InvalidParameterException`.
    pub code: &'static str,
    /// The text, in ECS's own words where they are known.
    pub message: String,
}

impl Refusal {
    pub(crate) fn client(message: impl Into<String>) -> Self {
        Self {
            code: "ClientException",
            message: message.into(),
        }
    }

    pub(crate) fn parameter(message: impl Into<String>) -> Self {
        Self {
            code: "InvalidParameterException",
            message: message.into(),
        }
    }

    /// The same refusal, of a call that names its parameters' faults `InvalidParameterException`.
    fn into_parameter(self) -> Self {
        Self::parameter(self.message)
    }
}

/// A definition that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// What DescribeTaskDefinition shows, but for what the store adds: ARN, revision, status, times, registrant.
    pub task_definition: ecs::TaskDefinition,
    /// Its tags, which ECS answers beside the definition and never inside it.
    pub tags: Vec<ecs::Tag>,
}

/// Judges a definition and fills in ECS's defaults.
///
/// # Errors
/// The first [`Refusal`], in the order: size, family, members that don't work yet, task level, volumes, each container
/// by itself, containers among themselves, tags.
pub fn register(request: &ecs::RegisterTaskDefinitionRequest) -> Result<Definition, Refusal> {
    task::check_size(request)?;
    task::check_family(request.family.as_deref())?;
    let containers = task::containers(request)?;
    unsupported::in_request(request)?;
    task::check_compatibilities(request.requires_compatibilities.as_deref().unwrap_or_default())?;
    let network_mode = task::network_mode(request.network_mode.as_deref())?;
    let limits = task::Limits::parse(request.cpu.as_deref(), request.memory.as_deref())?;
    let volumes = request.volumes.as_deref().unwrap_or_default();
    task::check_volumes(volumes)?;
    for container in containers {
        container::check(container, volumes)?;
        ports::check_container(container, network_mode)?;
    }
    container::check_together(containers)?;
    depends::check(containers)?;
    ports::check_together(containers, network_mode)?;
    limits.check(containers)?;
    let tags = request.tags.clone().unwrap_or_default();
    check_tags(&tags)?;
    Ok(Definition {
        task_definition: fill::shown(request, network_mode, limits),
        tags,
    })
}

#[cfg(test)]
mod tests;
