//! What RunTask and StartTask may change of a definition.
//!
//! Every member of the overrides works or is refused by name, and the result must hold to the rules of registration.

use std::collections::BTreeSet;

use longshore_protocol::ecs;

use super::task::Limits;
use super::{MAX_OVERRIDES_CHARS, Refusal, container, effective, unsupported};

/// Judges overrides of a definition.
///
/// # Errors
/// An `InvalidParameterException` in ECS's words.
pub fn check_overrides(
    definition: &ecs::TaskDefinition,
    overrides: &ecs::TaskOverride,
) -> Result<(), Refusal> {
    let given = overrides.container_overrides.as_deref().unwrap_or_default();
    let text = serde_json::to_string(given).map_err(|error| Refusal::parameter(error.to_string()))?;
    if text.chars().count() > MAX_OVERRIDES_CHARS {
        return Err(Refusal::parameter(format!(
            "Container Overrides length must be at most {MAX_OVERRIDES_CHARS}"
        )));
    }
    unsupported::in_overrides(overrides)?;
    let mut names = BTreeSet::new();
    for each in given {
        let name = each.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(Refusal::parameter(
                "Container override name should not be null or empty.",
            ));
        }
        if !names.insert(name) {
            return Err(Refusal::parameter(format!(
                "Container named {name} is overridden more than once. Give one override for each container."
            )));
        }
        check_container(each, name)?;
    }
    let effective = effective(definition, overrides)?;
    let limits = Limits {
        cpu: effective.task_cpu,
        memory: effective.task_memory,
    };
    limits
        .check(&effective.containers)
        .map_err(Refusal::into_parameter)
}

fn check_container(each: &ecs::ContainerOverride, name: &str) -> Result<(), Refusal> {
    let invalid =
        |what: String| Refusal::parameter(format!("Invalid override for container '{name}'. {what}"));
    if let Some(cpu) = each.cpu.filter(|cpu| *cpu < 0) {
        return Err(invalid(format!("The 'cpu' must not be negative, but is {cpu}.")));
    }
    container::check_no_nul("command", each.command.as_deref().unwrap_or_default()).map_err(invalid)?;
    container::check_environment(each.environment.as_deref().unwrap_or_default()).map_err(invalid)?;
    container::check_environment_files(each.environment_files.as_deref().unwrap_or_default())
        .map_err(invalid)?;
    container::check_requirements(each.resource_requirements.as_deref().unwrap_or_default()).map_err(invalid)
}
