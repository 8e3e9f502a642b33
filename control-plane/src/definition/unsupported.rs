//! Members that say something and aren't carried out: refused by name.
//!
//! The shapes are walked as JSON against lists of what works, so that a member which a newer service model brings is
//! refused until somebody writes it down here. A member that says only what holds anyway (null, false, an empty text,
//! list or structure) is let through: consoles and Terraform send many of those.

use longshore_protocol::ecs;
use serde_json::Value;

use super::Refusal;

const DEFINITION: &[&str] = &[
    "family",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "tags",
];
const CONTAINER: &[&str] = &[
    "name",
    "image",
    "command",
    "entryPoint",
    "environment",
    "environmentFiles",
    "cpu",
    "memory",
    "memoryReservation",
    "essential",
    "user",
    "workingDirectory",
    "ulimits",
    "mountPoints",
    "portMappings",
    "dependsOn",
    "startTimeout",
    "stopTimeout",
    "restartPolicy",
    "readonlyRootFilesystem",
    "privileged",
    "resourceRequirements",
    "dockerLabels",
    "logConfiguration",
];
const PORT_MAPPING: &[&str] = &["containerPort", "hostPort", "protocol"];
const DEPENDENCY: &[&str] = &["containerName", "condition"];
const LOG_CONFIGURATION: &[&str] = &["logDriver", "options"];
const VOLUME: &[&str] = &["name", "host"];
const TASK_OVERRIDE: &[&str] = &["containerOverrides", "cpu", "memory"];
const CONTAINER_OVERRIDE: &[&str] = &[
    "name",
    "command",
    "environment",
    "environmentFiles",
    "cpu",
    "memory",
    "memoryReservation",
    "resourceRequirements",
];

/// Refuses a definition for the first such member.
pub(super) fn in_request(request: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Refusal> {
    refuse_others(request, DEFINITION, "", "the task definition")?;
    for container in request.container_definitions.iter().flatten() {
        in_container(container)?;
    }
    for volume in request.volumes.iter().flatten() {
        let whose = format!("volume '{}'", volume.name.as_deref().unwrap_or_default());
        refuse_others(volume, VOLUME, "", &whose)?;
    }
    Ok(())
}

fn in_container(container: &ecs::ContainerDefinition) -> Result<(), Refusal> {
    let whose = format!("container '{}'", container.name.as_deref().unwrap_or_default());
    let mut judged = container.clone();
    // Tags of images aren't resolved to digests by the control plane: that is what "disabled" asks for.
    if judged.version_consistency.as_deref() == Some("disabled") {
        judged.version_consistency = None;
    }
    refuse_others(&judged, CONTAINER, "", &whose)?;
    for mapping in container.port_mappings.iter().flatten() {
        refuse_others(mapping, PORT_MAPPING, "portMappings.", &whose)?;
    }
    for edge in container.depends_on.iter().flatten() {
        refuse_others(edge, DEPENDENCY, "dependsOn.", &whose)?;
    }
    if let Some(log) = &container.log_configuration {
        refuse_others(log, LOG_CONFIGURATION, "logConfiguration.", &whose)?;
    }
    Ok(())
}

/// Refuses overrides for the first such member.
pub(super) fn in_overrides(overrides: &ecs::TaskOverride) -> Result<(), Refusal> {
    refuse_others(overrides, TASK_OVERRIDE, "", "the task override").map_err(Refusal::into_parameter)?;
    for each in overrides.container_overrides.iter().flatten() {
        let whose = format!(
            "the override of container '{}'",
            each.name.as_deref().unwrap_or_default()
        );
        refuse_others(each, CONTAINER_OVERRIDE, "", &whose).map_err(Refusal::into_parameter)?;
    }
    Ok(())
}

fn refuse_others<T: serde::Serialize>(
    shape: &T,
    works: &[&str],
    prefix: &str,
    whose: &str,
) -> Result<(), Refusal> {
    let json = serde_json::to_value(shape).map_err(|error| Refusal::client(error.to_string()))?;
    for (member, value) in json.as_object().into_iter().flatten() {
        if works.contains(&member.as_str()) {
            continue;
        }
        if let Some(below) = what_it_says(value) {
            return Err(Refusal::client(format!(
                "'{prefix}{member}{below}' of {whose} isn't supported yet. Leave it out and try again."
            )));
        }
    }
    Ok(())
}

/// The path, below a value, of the first thing that says something; `None` where nothing does.
fn what_it_says(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) | Value::Number(_) => Some(String::new()),
        Value::String(text) => (!text.is_empty()).then(String::new),
        Value::Array(items) => (!items.is_empty()).then(String::new),
        Value::Object(members) => members
            .iter()
            .find_map(|(name, value)| Some(format!(".{name}{}", what_it_says(value)?))),
    }
}
