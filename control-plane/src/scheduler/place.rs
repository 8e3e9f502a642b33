//! Which of the candidates takes the task, or why none does.

use std::collections::{BTreeMap, BTreeSet};

use longshore_protocol::ecs;
use longshore_protocol::status::InstanceStatus;

use super::Demand;

/// An instance and what it has to spare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its ARN.
    pub arn: String,
    /// Whether it takes tasks at all.
    pub status: InstanceStatus,
    /// Whether its agent polls, or did a moment ago.
    pub connected: bool,
    /// Whether two machines poll as this one.
    pub cloned: bool,
    /// CPU units that no task has. Below 0 where the machine came back smaller than its tasks.
    pub free_cpu: i64,
    /// MiB that no task has.
    pub free_memory: i64,
    /// TCP ports that are reserved by the machine or taken by tasks.
    pub taken_tcp_ports: BTreeSet<u16>,
    /// UDP ports, likewise.
    pub taken_udp_ports: BTreeSet<u16>,
    /// The ids of the GPUs that no task has.
    pub free_gpus: BTreeSet<String>,
    /// What it registered.
    pub attributes: BTreeMap<String, Option<String>>,
}

/// Where a task goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The instance's ARN.
    pub instance: String,
    /// The GPUs of the containers that asked for some, in the definition's order.
    pub gpus: Vec<GpuGrant>,
}

/// The GPUs of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuGrant {
    /// The container's name.
    pub container: String,
    /// The ids of its GPUs.
    pub gpu_ids: Vec<String>,
}

/// Why an instance doesn't take a task; the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is not ACTIVE: draining, or deregistered.
    Inactive,
    /// Its agent isn't connected.
    Agent,
    /// Not enough CPU units left.
    Cpu,
    /// Not enough memory left.
    Memory,
    /// A port is taken.
    Ports,
    /// Not enough GPUs left.
    Gpu,
    /// It can't do something that the definition needs.
    Attribute,
}

impl Reason {
    /// The reason as the API has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::Agent => "AGENT",
            Self::Cpu => "RESOURCE:CPU",
            Self::Memory => "RESOURCE:MEMORY",
            Self::Ports => "RESOURCE:PORTS",
            Self::Gpu => "RESOURCE:GPU",
            Self::Attribute => "ATTRIBUTE",
        }
    }
}

/// An instance that doesn't take the task, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The instance's ARN.
    pub arn: String,
    /// The first reason found, in the order of [`Reason`].
    pub reason: Reason,
    /// In words: what is needed and what there is.
    pub detail: String,
}

impl From<Failure> for ecs::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            arn: Some(failure.arn),
            reason: Some(failure.reason.as_str().to_owned()),
            detail: Some(failure.detail),
        }
    }
}

/// Picks an instance, random among those that fit: `random` is any number, and the same one picks the same instance
/// whatever the order of the candidates.
///
/// # Errors
/// One [`Failure`] for each candidate, in their order; none where there is no candidate.
pub fn place(demand: &Demand, candidates: &[Candidate], random: u64) -> Result<Placement, Vec<Failure>> {
    let mut fitting = Vec::new();
    let mut failures = Vec::new();
    for candidate in candidates {
        match obstacle(demand, candidate) {
            None => fitting.push(candidate),
            Some((reason, detail)) => failures.push(Failure {
                arn: candidate.arn.clone(),
                reason,
                detail,
            }),
        }
    }
    fitting.sort_by(|a, b| a.arn.cmp(&b.arn));
    let count = fitting.len().max(1) as u64;
    let chosen = usize::try_from(random % count).unwrap_or(0);
    match fitting.get(chosen) {
        Some(candidate) => Ok(Placement {
            instance: candidate.arn.clone(),
            gpus: grant(demand, &candidate.free_gpus),
        }),
        None => Err(failures),
    }
}

/// The first reason why a candidate doesn't take the task.
fn obstacle(demand: &Demand, candidate: &Candidate) -> Option<(Reason, String)> {
    if candidate.status != InstanceStatus::Active {
        return Some((Reason::Inactive, format!("The instance is {}.", candidate.status)));
    }
    if !candidate.connected {
        return Some((Reason::Agent, "The instance's agent is not connected.".to_owned()));
    }
    if candidate.cloned {
        let detail = "Two machines poll with the identity of this instance: one of them has to be shut down.";
        return Some((Reason::Agent, detail.to_owned()));
    }
    let lacks = |free: i64, needed: u64| i64::try_from(needed).map_or(true, |needed| needed > free);
    if lacks(candidate.free_cpu, demand.cpu) {
        let detail = format!(
            "{} CPU units are needed, {} are left.",
            demand.cpu,
            candidate.free_cpu.max(0)
        );
        return Some((Reason::Cpu, detail));
    }
    if lacks(candidate.free_memory, demand.memory) {
        let detail = format!(
            "{} MiB are needed, {} are left.",
            demand.memory,
            candidate.free_memory.max(0)
        );
        return Some((Reason::Memory, detail));
    }
    let taken_tcp = demand
        .tcp_ports
        .intersection(&candidate.taken_tcp_ports)
        .map(|port| (port, "tcp"));
    let taken_udp = demand
        .udp_ports
        .intersection(&candidate.taken_udp_ports)
        .map(|port| (port, "udp"));
    if let Some((port, protocol)) = taken_tcp.chain(taken_udp).next() {
        return Some((Reason::Ports, format!("Port {port}/{protocol} is taken.")));
    }
    let (needed, free) = (demand.gpu_count(), candidate.free_gpus.len() as u64);
    if needed > free {
        return Some((Reason::Gpu, format!("{needed} GPUs are needed, {free} are left.")));
    }
    demand
        .attributes
        .iter()
        .find(|attribute| !has(candidate, attribute))
        .map(|(name, _)| {
            (
                Reason::Attribute,
                format!("The instance lacks the attribute {name}."),
            )
        })
}

fn has(candidate: &Candidate, (name, value): &(String, Option<String>)) -> bool {
    match candidate.attributes.get(name) {
        None => false,
        Some(own) => value.is_none() || own == value,
    }
}

/// Deals the GPUs out, in the order of their ids.
fn grant(demand: &Demand, free: &BTreeSet<String>) -> Vec<GpuGrant> {
    let mut ids = free.iter();
    let mut deal = |count: u32| ids.by_ref().take(count as usize).cloned().collect();
    let containers = demand.gpus.iter();
    containers
        .map(|each| GpuGrant {
            container: each.container.clone(),
            gpu_ids: deal(each.count),
        })
        .collect()
}
