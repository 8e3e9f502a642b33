//! The definition as DescribeTaskDefinition shows it: what was given, and ECS's own defaults.

use longshore_protocol::ecs;
use longshore_protocol::status::NetworkMode;

use super::{attributes, ports, task::Limits};

/// What a definition of these modes can run as; ECS says so whatever was required of it.
const COMPATIBILITIES: [&str; 2] = ["EXTERNAL", "EC2"];

pub(super) fn shown(
    request: &ecs::RegisterTaskDefinitionRequest,
    mode: NetworkMode,
    limits: Limits,
) -> ecs::TaskDefinition {
    let containers: Vec<_> = request
        .container_definitions
        .iter()
        .flatten()
        .map(|container| filled(container, mode))
        .collect();
    ecs::TaskDefinition {
        family: request.family.clone(),
        network_mode: Some(mode.as_str().to_owned()),
        volumes: Some(request.volumes.clone().unwrap_or_default()),
        requires_attributes: Some(attributes::required(&containers, limits.cpu, limits.memory)),
        placement_constraints: Some(Vec::new()),
        compatibilities: Some(COMPATIBILITIES.map(str::to_owned).to_vec()),
        requires_compatibilities: request.requires_compatibilities.clone(),
        cpu: limits.cpu.map(|units| units.to_string()),
        memory: limits.memory.map(|mib| mib.to_string()),
        container_definitions: Some(containers),
        ..Default::default()
    }
}

fn filled(container: &ecs::ContainerDefinition, mode: NetworkMode) -> ecs::ContainerDefinition {
    let mut filled = container.clone();
    filled.cpu = Some(container.cpu.unwrap_or(0));
    filled.essential = Some(container.essential.unwrap_or(true));
    filled.environment.get_or_insert_default();
    filled.mount_points.get_or_insert_default();
    filled.volumes_from.get_or_insert_default();
    filled.system_controls.get_or_insert_default();
    let mappings = filled.port_mappings.get_or_insert_default();
    // The mappings were read without fault at the check.
    let read = ports::mappings(container, mode).unwrap_or_default();
    for (shown, read) in mappings.iter_mut().zip(read) {
        shown.host_port = Some(read.host_port.unwrap_or(0).into());
        shown.protocol = Some(if read.udp { "udp" } else { "tcp" }.to_owned());
    }
    filled
}
