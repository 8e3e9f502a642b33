//! Rules of `dependsOn`: every edge leads to another container, can come true, and none leads back.
//!
//! In ECS's own words where they are known.

use longshore_protocol::ecs;

use super::Refusal;

/// Judges the edges of all containers.
pub(super) fn check(containers: &[ecs::ContainerDefinition]) -> Result<(), Refusal> {
    for container in containers {
        for edge in container.depends_on.iter().flatten() {
            check_edge(container, edge, containers)?;
        }
    }
    match in_a_cycle(containers) {
        Some(name) => Err(Refusal::client(format!(
            "Container dependencies should not have a cycle, but container '{name}' waits for itself by others."
        ))),
        None => Ok(()),
    }
}

fn name(container: &ecs::ContainerDefinition) -> &str {
    container.name.as_deref().unwrap_or_default()
}

fn check_edge(
    container: &ecs::ContainerDefinition,
    edge: &ecs::ContainerDependency,
    containers: &[ecs::ContainerDefinition],
) -> Result<(), Refusal> {
    let own = name(container);
    let wanted = edge.container_name.as_deref().unwrap_or_default();
    let Some(other) = containers.iter().find(|other| name(other) == wanted) else {
        return Err(Refusal::client(format!(
            "Cannot depend on container + '{wanted}' because it does not exist"
        )));
    };
    if own == wanted {
        return Err(Refusal::client(format!(
            "Container dependencies should not have a cycle, but container '{own}' depends on itself."
        )));
    }
    let essential = other.essential.unwrap_or(true);
    match edge.condition.as_deref().unwrap_or_default() {
        "COMPLETE" | "SUCCESS" if essential => Err(Refusal::client(
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
        )),
        "HEALTHY" if other.health_check.is_none() => Err(Refusal::client(format!(
            "Invalid setting for container '{own}'. It depends on container '{wanted}' with condition HEALTHY, which \
             needs a 'healthCheck' of container '{wanted}'."
        ))),
        "START" | "COMPLETE" | "SUCCESS" | "HEALTHY" => Ok(()),
        other => Err(Refusal::client(format!(
            "The 'dependsOn' condition of container '{own}' should be one of [{}], but is {other:?}.",
            ecs::CONTAINER_CONDITION.join(",")
        ))),
    }
}

/// A container that waits for itself by others, by name.
fn in_a_cycle(containers: &[ecs::ContainerDefinition]) -> Option<&str> {
    // Whoever waits only for settled ones is settled; those in a cycle never are.
    let mut settled: Vec<&str> = Vec::with_capacity(containers.len());
    for _ in containers {
        for container in containers {
            let mut edges = container.depends_on.iter().flatten();
            let free =
                edges.all(|edge| settled.contains(&edge.container_name.as_deref().unwrap_or_default()));
            if free && !settled.contains(&name(container)) {
                settled.push(name(container));
            }
        }
    }
    let left = containers
        .iter()
        .find(|container| !settled.contains(&name(container)));
    left.map(name)
}
