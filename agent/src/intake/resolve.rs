//! From a task's definition and overrides to the task as it is to be.
//!
//! Overrides win member by member: `environment` merges by name, `command` and `environmentFiles` replace,
//! `resourceRequirements` replace by type.

use longshore_protocol::arn::{TaskArn, is_valid_name};
use longshore_protocol::ecs;
use longshore_protocol::poll::{AssignedContainer, TaskSpec};

use crate::model::{ResolvedContainer, ResolvedTask, Volume};

use super::parts::{
    amount, each, environment, environment_file, gpus, invalid, log, mount_point, port_mapping, positive,
    required, restart_policy, seconds, ulimit, volume,
};
use super::{depends, limits};

/// The most containers of a task, as the API has it.
const MAX_CONTAINERS: usize = 10;
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
    depends::give_edges(spec, &mut containers)?;
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
        enable_execute_command: spec.enable_execute_command,
    })
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
        ulimits: each(definition.ulimits.as_ref(), |limit| ulimit(limit, &path))?,
        mount_points: each(definition.mount_points.as_ref(), |point| {
            mount_point(point, volumes, &path)
        })?,
        port_mappings: each(definition.port_mappings.as_ref(), |mapping| {
            port_mapping(mapping, spec.network_mode, &path)
        })?,
        // The others have to be known first.
        depends_on: Vec::new(),
        start_timeout: seconds(definition.start_timeout, &at("startTimeout"))?
            .filter(|timeout| !timeout.is_zero()),
        stop_timeout: seconds(definition.stop_timeout, &at("stopTimeout"))?,
        readonly_root_filesystem: definition.readonly_root_filesystem.unwrap_or(false),
        privileged,
        gpu_ids: assigned.gpu_ids.clone(),
        docker_labels: definition.docker_labels.clone().unwrap_or_default(),
        log: log(definition.log_configuration.as_ref(), &path)?,
        restart_policy: restart_policy(definition.restart_policy.as_ref(), &path)?,
    })
}

#[cfg(test)]
pub(super) mod tests;
