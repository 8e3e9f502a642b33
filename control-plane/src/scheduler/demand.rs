//! What a task takes of an instance.

use std::collections::BTreeSet;

use longshore_protocol::ecs;
use longshore_protocol::status::NetworkMode;

use crate::definition::{EXTERNAL_ATTRIBUTE, Effective, Refusal, effective, port_mappings};

/// What one task takes of an instance until it is STOPPED, and what the instance must be able to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// CPU units.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
    /// TCP ports of the host. Ports that the node chooses take nothing here.
    pub tcp_ports: BTreeSet<u16>,
    /// UDP ports of the host.
    pub udp_ports: BTreeSet<u16>,
    /// The containers that ask for GPUs, in the definition's order.
    pub gpus: Vec<GpuDemand>,
    /// Names that the instance must have registered, with a value where one is asked for.
    pub attributes: Vec<(String, Option<String>)>,
}

/// The GPUs that a container asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuDemand {
    /// The container's name.
    pub container: String,
    /// How many; at least 1.
    pub count: u32,
}

impl Demand {
    /// What a task of this definition takes with these overrides.
    ///
    /// # Errors
    /// Values that can't be read; none after `register` and `check_overrides`.
    pub fn of(definition: &ecs::TaskDefinition, overrides: &ecs::TaskOverride) -> Result<Self, Refusal> {
        let task = effective(definition, overrides)?;
        let mode = definition.network_mode.as_deref();
        let mode = mode
            .and_then(|mode| mode.parse().ok())
            .unwrap_or(NetworkMode::Bridge);
        let mut demand = Self {
            cpu: task.cpu(),
            memory: task.memory(),
            attributes: required_attributes(definition),
            ..Self::default()
        };
        for container in &task.containers {
            for mapping in port_mappings(container, mode)? {
                let ports = if mapping.udp {
                    &mut demand.udp_ports
                } else {
                    &mut demand.tcp_ports
                };
                ports.extend(mapping.host_port);
            }
            let count = Effective::gpus(container);
            if count > 0 {
                let container = container.name.clone().unwrap_or_default();
                demand.gpus.push(GpuDemand { container, count });
            }
        }
        Ok(demand)
    }

    /// How many GPUs the task takes in all.
    #[must_use]
    pub fn gpu_count(&self) -> u64 {
        self.gpus.iter().map(|each| u64::from(each.count)).sum()
    }
}

fn required_attributes(definition: &ecs::TaskDefinition) -> Vec<(String, Option<String>)> {
    let own = definition.requires_attributes.iter().flatten();
    own.filter_map(|each| Some((each.name.clone()?, each.value.clone())))
        .chain([(EXTERNAL_ATTRIBUTE.to_owned(), None)])
        .collect()
}
