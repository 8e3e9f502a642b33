//! The values that hold for one task: its definition with a call's overrides laid over it.
//!
//! Field by field: `environment` merges by name, `resourceRequirements` by type, everything else is replaced whole.

use longshore_protocol::ecs;

use super::task::Limits;
use super::{Refusal, amounts};

/// A task's amounts and containers, overrides applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Task-level CPU units, where they are given.
    pub task_cpu: Option<u64>,
    /// Task-level MiB, where they are given.
    pub task_memory: Option<u64>,
    /// The containers, in the definition's order.
    pub containers: Vec<ecs::ContainerDefinition>,
}

impl Effective {
    /// CPU units that the task takes of an instance, and that DescribeTasks shows: the task's own, else the sum of its
    /// containers'.
    #[must_use]
    pub fn cpu(&self) -> u64 {
        let sum = || self.containers.iter().map(|each| amount(each.cpu)).sum();
        self.task_cpu.unwrap_or_else(sum)
    }

    /// MiB that the task takes of an instance, and that DescribeTasks shows: the task's own, else the sum of what its
    /// containers reserve (`memoryReservation`, else `memory`).
    #[must_use]
    pub fn memory(&self) -> u64 {
        let reserved = |each: &ecs::ContainerDefinition| amount(each.memory_reservation.or(each.memory));
        let sum = || self.containers.iter().map(reserved).sum();
        self.task_memory.unwrap_or_else(sum)
    }

    /// How many GPUs a container of this task asks for.
    #[must_use]
    pub fn gpus(container: &ecs::ContainerDefinition) -> u32 {
        let asks = |each: &&ecs::ResourceRequirement| each.r#type.as_deref() == Some("GPU");
        let found = container.resource_requirements.iter().flatten().find(asks);
        found
            .and_then(|each| amounts::gpus(each.value.as_deref()?))
            .unwrap_or(0)
    }
}

fn amount(value: Option<i32>) -> u64 {
    value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
}

/// Lays overrides over a definition.
///
/// # Errors
/// A task-level amount that can't be read, or an override of a container that isn't there; after [`check_overrides`]
/// there is none.
///
/// [`check_overrides`]: super::check_overrides
pub fn effective(
    definition: &ecs::TaskDefinition,
    overrides: &ecs::TaskOverride,
) -> Result<Effective, Refusal> {
    let limits = Limits::parse(
        overrides.cpu.as_deref().or(definition.cpu.as_deref()),
        overrides.memory.as_deref().or(definition.memory.as_deref()),
    )
    .map_err(Refusal::into_parameter)?;
    let mut containers = definition.container_definitions.clone().unwrap_or_default();
    for each in overrides.container_overrides.iter().flatten() {
        let found = containers
            .iter_mut()
            .find(|container| container.name == each.name);
        let Some(container) = found else {
            return Err(unknown_container(each));
        };
        lay_over(container, each);
    }
    Ok(Effective {
        task_cpu: limits.cpu,
        task_memory: limits.memory,
        containers,
    })
}

pub(super) fn unknown_container(each: &ecs::ContainerOverride) -> Refusal {
    Refusal::parameter(format!(
        "Override for container named {} is not a container in the TaskDefinition.",
        each.name.as_deref().unwrap_or_default()
    ))
}

fn lay_over(container: &mut ecs::ContainerDefinition, over: &ecs::ContainerOverride) {
    replace(&mut container.command, &over.command);
    replace(&mut container.environment_files, &over.environment_files);
    replace(&mut container.cpu, &over.cpu);
    replace(&mut container.memory, &over.memory);
    replace(&mut container.memory_reservation, &over.memory_reservation);
    if let Some(pairs) = &over.environment {
        let environment = container.environment.get_or_insert_default();
        merge(environment, pairs, |pair| pair.name.as_deref());
    }
    if let Some(requirements) = &over.resource_requirements {
        let own = container.resource_requirements.get_or_insert_default();
        merge(own, requirements, |requirement| requirement.r#type.as_deref());
    }
}

fn replace<T: Clone>(own: &mut Option<T>, over: &Option<T>) {
    if over.is_some() {
        own.clone_from(over);
    }
}

/// What has the same key is replaced where it stands; the rest is added at the end.
fn merge<T: Clone>(own: &mut Vec<T>, over: &[T], key: fn(&T) -> Option<&str>) {
    for each in over {
        match own.iter_mut().find(|known| key(known) == key(each)) {
            Some(known) => known.clone_from(each),
            None => own.push(each.clone()),
        }
    }
}
