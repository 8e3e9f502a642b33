//! The machine as RegisterContainerInstance has it.

use longshore_protocol::ecs;

use super::HostError;
use crate::config::Config;
use crate::model::HostFacts;

/// What an instance is registered with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// `totalResources`: CPU (units), MEMORY (MiB, less what is reserved), PORTS and PORTS_UDP (those that no task gets).
    pub resources: Vec<ecs::Resource>,
    /// `platformDevices`: the GPUs.
    pub devices: Vec<ecs::PlatformDevice>,
    /// `attributes` of the machine and the agent.
    pub attributes: Vec<ecs::Attribute>,
    /// `attributes` that the operator set (`ECS_INSTANCE_ATTRIBUTES`). They go with the first registration only: what
    /// was changed through the API since then stays.
    pub custom_attributes: Vec<ecs::Attribute>,
}

/// Makes the registration.
///
/// # Errors
/// [`HostError::ReservedMemory`] if more memory is reserved than there is.
pub fn registration(facts: &HostFacts, config: &Config) -> Result<Registration, HostError> {
    let resources = &config.resources;
    let memory =
        facts
            .memory_mib
            .checked_sub(resources.reserved_memory)
            .ok_or(HostError::ReservedMemory {
                reserved: resources.reserved_memory,
                total: facts.memory_mib,
            })?;
    let gpu = |id: &str| ecs::PlatformDevice {
        id: Some(id.to_owned()),
        r#type: Some("GPU".to_owned()),
    };
    Ok(Registration {
        resources: vec![
            integer("CPU", facts.cpu_units),
            integer("MEMORY", memory),
            set("PORTS", &resources.reserved_ports),
            set("PORTS_UDP", &resources.reserved_ports_udp),
        ],
        devices: facts.gpus.iter().map(|device| gpu(&device.id)).collect(),
        attributes: facts
            .attributes
            .iter()
            .map(|(name, value)| attribute(name, value.as_deref()))
            .collect(),
        custom_attributes: resources
            .attributes
            .iter()
            .map(|(name, value)| attribute(name, Some(value)))
            .collect(),
    })
}

fn integer(name: &str, value: u64) -> ecs::Resource {
    ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        // The API has 32 bits: 2 PiB of memory, 2 million cores.
        integer_value: Some(i32::try_from(value).unwrap_or(i32::MAX)),
        ..Default::default()
    }
}

fn set(name: &str, ports: &[u16]) -> ecs::Resource {
    ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        string_set_value: Some(ports.iter().map(u16::to_string).collect()),
        ..Default::default()
    }
}

fn attribute(name: &str, value: Option<&str>) -> ecs::Attribute {
    ecs::Attribute {
        name: Some(name.to_owned()),
        value: value.map(str::to_owned),
        ..Default::default()
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
pub(super) mod tests;
