//! What a definition needs an instance to be able to do: `requiresAttributes`.

use longshore_protocol::ecs;

use super::restart_policy;

/// Any container: the API level that the existing agents name for their basics.
const BASICS: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.18";
const PRIVILEGED: &str = "com.amazonaws.ecs.capability.privileged-container";
const LOGGING_DRIVER: &str = "com.amazonaws.ecs.capability.logging-driver.";
const ORDERING: &str = "ecs.capability.container-ordering";
const RESTARTS: &str = "ecs.capability.container-restart-policy";
const TASK_LIMITS: &str = "ecs.capability.task-cpu-mem-limit";
const LARGE_TASK_CPU: &str = "ecs.capability.increased-task-cpu-limit";
/// The most CPU units of a task that instances could take before they said [`LARGE_TASK_CPU`].
const SMALL_TASK_CPU: u64 = 10_240;

/// What every instance carries that takes EXTERNAL tasks; never shown in a definition.
pub(crate) const EXTERNAL: &str = "ecs.capability.external";

/// The names, sorted, without values.
pub(super) fn required(
    containers: &[ecs::ContainerDefinition],
    cpu: Option<u64>,
    memory: Option<u64>,
) -> Vec<ecs::Attribute> {
    let mut names = vec![BASICS.to_owned()];
    for container in containers {
        if container.privileged == Some(true) {
            names.push(PRIVILEGED.to_owned());
        }
        if container
            .depends_on
            .as_ref()
            .is_some_and(|edges| !edges.is_empty())
        {
            names.push(ORDERING.to_owned());
        }
        if restart_policy::is_enabled(container) {
            names.push(RESTARTS.to_owned());
        }
        let log = container.log_configuration.as_ref();
        if let Some(driver) = log.and_then(|log| log.log_driver.as_deref()) {
            names.push(format!("{LOGGING_DRIVER}{driver}"));
        }
    }
    if cpu.is_some() || memory.is_some() {
        names.push(TASK_LIMITS.to_owned());
    }
    if cpu.is_some_and(|cpu| cpu > SMALL_TASK_CPU) {
        names.push(LARGE_TASK_CPU.to_owned());
    }
    names.sort();
    names.dedup();
    let named = |name| ecs::Attribute {
        name: Some(name),
        ..Default::default()
    };
    names.into_iter().map(named).collect()
}
