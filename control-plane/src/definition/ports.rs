//! Port mappings: what the network mode allows, and that no port is taken twice.

use std::collections::BTreeSet;

use longshore_protocol::ecs;
use longshore_protocol::status::NetworkMode;

use super::Refusal;

/// A port mapping, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mapping {
    pub(crate) container_port: u16,
    /// `None`: the node chooses one.
    pub(crate) host_port: Option<u16>,
    pub(crate) udp: bool,
}

/// Reads a container's mappings. In host mode the host's port is the container's.
pub(crate) fn mappings(
    container: &ecs::ContainerDefinition,
    mode: NetworkMode,
) -> Result<Vec<Mapping>, Refusal> {
    let name = container.name.as_deref().unwrap_or_default();
    let port = |what: &str, number: i32, least: i32| {
        u16::try_from(number).ok().filter(|_| number >= least).ok_or_else(|| {
            Refusal::client(format!(
                "Invalid setting for container '{name}'. The '{what}' must be between {least} and 65535, but is {number}."
            ))
        })
    };
    let read = |mapping: &ecs::PortMapping| {
        let container_port = port("containerPort", mapping.container_port.unwrap_or(0), 1)?;
        let given = port("hostPort", mapping.host_port.unwrap_or(0), 0)?;
        let udp = match mapping.protocol.as_deref() {
            None | Some("" | "tcp") => false,
            Some("udp") => true,
            Some(_) => return Err(Refusal::parameter("protocol should be one of [tcp,udp]")),
        };
        let host_port = match (mode, given) {
            (NetworkMode::Host, 0) => Some(container_port),
            (_, 0) => None,
            (_, given) => Some(given),
        };
        Ok(Mapping {
            container_port,
            host_port,
            udp,
        })
    };
    container.port_mappings.iter().flatten().map(read).collect()
}

/// Judges one container's mappings.
pub(super) fn check_container(
    container: &ecs::ContainerDefinition,
    mode: NetworkMode,
) -> Result<(), Refusal> {
    let name = container.name.as_deref().unwrap_or_default();
    let mappings = mappings(container, mode)?;
    match mode {
        NetworkMode::None if !mappings.is_empty() => {
            return Err(Refusal::client(format!(
                "Invalid setting for container '{name}'. Port mappings are not supported when networkMode=none."
            )));
        }
        NetworkMode::Host
            if mappings
                .iter()
                .any(|each| each.host_port != Some(each.container_port)) =>
        {
            return Err(Refusal::client(
                "When networkMode=host, the host ports and container ports in port mappings must match.",
            ));
        }
        NetworkMode::None | NetworkMode::Host | NetworkMode::Bridge => {}
    }
    let mut seen = BTreeSet::new();
    for each in mappings {
        if !seen.insert((each.container_port, each.udp)) {
            return Err(Refusal::parameter(format!(
                "Container port {} is used in more than one port mapping for container {name}",
                each.container_port
            )));
        }
    }
    Ok(())
}

/// No host port of a protocol is given twice.
pub(super) fn check_together(
    containers: &[ecs::ContainerDefinition],
    mode: NetworkMode,
) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for container in containers {
        for each in mappings(container, mode)? {
            let Some(host_port) = each.host_port else { continue };
            if !seen.insert((host_port, each.udp)) {
                let protocol = if each.udp { "udp" } else { "tcp" };
                return Err(Refusal::client(format!(
                    "Host port {host_port}/{protocol} is used in more than one port mapping of the task definition."
                )));
            }
        }
    }
    Ok(())
}
