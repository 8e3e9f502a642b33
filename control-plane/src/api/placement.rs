//! One task onto one instance: picked by the scheduler, taken by guarded statements, written with its assignment.
//!
//! Everything happens in the caller's transaction, under the write lock.

use std::collections::{BTreeSet, HashMap};

use longshore_protocol::arn::{ClusterArn, ContainerArn, ResourceId, TaskArn, TaskDefinitionArn};
use longshore_protocol::poll::{AssignedContainer, TaskSpec};
use longshore_protocol::status::{DesiredStatus, InstanceStatus, NetworkMode, TaskStatus};
use longshore_protocol::{Timestamp, ecs};

use super::register_instance::arn;
use super::{Call, container_instances};
use crate::agents;
use crate::definition::{self, Effective};
use crate::error::ApiError;
use crate::scheduler::{self, Candidate, Demand, GpuGrant, Placement};
use crate::store::instances::{self, Instance};
use crate::store::reservations::{self, Taken};
use crate::store::{Connection, assignments, tasks};
use crate::tasks::{Container, Task, Times};

/// A kind of task that was asked for.
pub(super) struct Order {
    pub(super) cluster: String,
    pub(super) definition: ecs::TaskDefinition,
    pub(super) overrides: ecs::TaskOverride,
    pub(super) demand: Demand,
    pub(super) group: String,
    pub(super) started_by: Option<String>,
    pub(super) tags: Vec<ecs::Tag>,
    pub(super) enable_execute_command: bool,
}

/// A task, or why there is none on each instance.
type Placed = Result<Task, Vec<ecs::Failure>>;

/// Instances and what they have to spare, as it stands under the write lock.
pub(super) struct Pool {
    instances: Vec<Instance>,
    candidates: Vec<Candidate>,
}

impl Pool {
    /// The instances of a cluster that take tasks.
    ///
    /// # Errors
    /// `InvalidParameterException` if there is none.
    pub(super) async fn of_cluster(
        connection: &mut Connection,
        call: &Call,
        cluster: &str,
    ) -> Result<Self, ApiError> {
        let mut all = instances::in_cluster(connection, cluster).await?;
        all.retain(|instance| instance.status == InstanceStatus::Active);
        if all.is_empty() {
            return Err(ApiError::invalid(
                "No Container Instances were found in your cluster.",
            ));
        }
        let taken = reservations::taken_in_cluster(connection, cluster).await?;
        let without_node = instances::without_node(connection, cluster).await?;
        Self::new(call, all, &taken, &without_node)
    }

    /// One instance only.
    pub(super) async fn of_one(
        connection: &mut Connection,
        call: &Call,
        instance: Instance,
    ) -> Result<Self, ApiError> {
        let taken = reservations::taken(connection, &instance.id).await?;
        let taken = HashMap::from([(instance.id.clone(), taken)]);
        let without_node = instances::without_node(connection, &instance.cluster).await?;
        Self::new(call, vec![instance], &taken, &without_node)
    }

    fn new(
        call: &Call,
        instances: Vec<Instance>,
        taken: &HashMap<String, Taken>,
        without_node: &BTreeSet<String>,
    ) -> Result<Self, ApiError> {
        let nothing = Taken::default();
        let candidates = instances.iter().map(|instance| {
            let taken = taken.get(&instance.id).unwrap_or(&nothing);
            let mut candidate = candidate(call, instance, taken)?;
            // Its last poll may have crossed the deregistration; nobody would fetch the task.
            candidate.connected &= !without_node.contains(&instance.id);
            Ok(candidate)
        });
        Ok(Self {
            candidates: candidates.collect::<Result<_, ApiError>>()?,
            instances,
        })
    }

    /// Places one task on one of the instances, and takes from them what it gets.
    pub(super) async fn place(
        &mut self,
        connection: &mut Connection,
        call: &Call,
        order: &Order,
    ) -> Result<Placed, ApiError> {
        let random = call.plane.chance.uuid().as_u64_pair().1;
        let placement = match scheduler::place(&order.demand, &self.candidates, random) {
            Ok(placement) => placement,
            Err(failures) => return Ok(Err(failures.into_iter().map(Into::into).collect())),
        };
        let chosen = self.candidates.iter_mut().zip(&self.instances);
        let mut chosen = chosen.filter(|(candidate, _)| candidate.arn == placement.instance);
        let (candidate, instance) = chosen.next().ok_or_else(ApiError::server)?;
        let task = commit(connection, call, order, instance, &placement).await?;
        take(candidate, &order.demand, &placement);
        Ok(Ok(task))
    }
}

/// What an instance has to spare.
fn candidate(call: &Call, instance: &Instance, taken: &Taken) -> Result<Candidate, ApiError> {
    let registration = &instance.registration;
    let ports = |name: &str, by_tasks: &[u16]| {
        container_instances::ports(&registration.resources, name).map(|mut own| {
            own.extend(by_tasks);
            own
        })
    };
    let mut free_gpus = container_instances::gpus(&registration.resources);
    free_gpus.retain(|id| !taken.gpus.contains(id));
    let attributes = registration.attributes.iter();
    let link = call.plane.hub.link(&instance.id);
    Ok(Candidate {
        arn: arn(call, &instance.cluster, &instance.id)?.to_string(),
        status: instance.status,
        connected: link.connected,
        cloned: link.cloned,
        free_cpu: instance.free_cpu,
        free_memory: instance.free_memory,
        taken_tcp_ports: ports("PORTS", &taken.tcp)?,
        taken_udp_ports: ports("PORTS_UDP", &taken.udp)?,
        free_gpus,
        attributes: attributes
            .filter_map(|each| Some((each.name.clone()?, each.value.clone())))
            .collect(),
    })
}

/// What a task took, for the next task of the same call.
fn take(candidate: &mut Candidate, demand: &Demand, placement: &Placement) {
    candidate.free_cpu -= amount(demand.cpu);
    candidate.free_memory -= amount(demand.memory);
    candidate.taken_tcp_ports.extend(&demand.tcp_ports);
    candidate.taken_udp_ports.extend(&demand.udp_ports);
    for id in placement.gpus.iter().flat_map(|grant| &grant.gpu_ids) {
        candidate.free_gpus.remove(id);
    }
}

fn amount(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Takes what the task needs and writes task and assignment.
async fn commit(
    connection: &mut Connection,
    call: &Call,
    order: &Order,
    instance: &Instance,
    placement: &Placement,
) -> Result<Task, ApiError> {
    let (task, spec) = make(call, order, instance, placement)?;
    agents::check_task(&spec)
        .map_err(|error| ApiError::invalid(format!("The task is too large for its node: {error}.")))?;
    let (cpu, memory) = (amount(order.demand.cpu), amount(order.demand.memory));
    let seq = reservations::reserve(connection, &instance.id, cpu, memory)
        .await?
        .ok_or_else(|| {
            tracing::error!(
                instance = instance.id,
                "what was free under the write lock was not there to be taken"
            );
            ApiError::server()
        })?;
    let taken = Taken {
        tcp: order.demand.tcp_ports.iter().copied().collect(),
        udp: order.demand.udp_ports.iter().copied().collect(),
        gpus: placement
            .gpus
            .iter()
            .flat_map(|grant| grant.gpu_ids.clone())
            .collect(),
    };
    let id = task.arn.id.as_str();
    reservations::take(connection, &instance.id, id, &taken).await?;
    let new = tasks::NewTask {
        task: &task,
        spec: &spec,
        reserved_cpu: cpu,
        reserved_memory: memory,
    };
    tasks::add(connection, &new).await?;
    assignments::add(connection, &instance.id, &task.arn, seq).await?;
    Ok(task)
}

/// The task as we keep it, and as its node is told of it.
fn make(
    call: &Call,
    order: &Order,
    instance: &Instance,
    placement: &Placement,
) -> Result<(Task, TaskSpec), ApiError> {
    let scope = call.plane.scope.clone();
    let now = call.now();
    let definition = &order.definition;
    let effective = definition::effective(definition, &order.overrides)?;
    let task_arn = TaskArn {
        scope: scope.clone(),
        cluster: order.cluster.clone(),
        id: ResourceId::from_random(call.plane.chance.uuid()),
    };
    let definition_arn = TaskDefinitionArn {
        scope,
        family: definition.family.clone().unwrap_or_default(),
        revision: definition.revision.unwrap_or_default(),
    };
    let containers: Vec<_> = effective
        .containers
        .iter()
        .map(|each| container(call, &task_arn, each, &placement.gpus))
        .collect();
    let task = Task {
        arn: task_arn,
        instance: arn(call, &instance.cluster, &instance.id)?,
        definition: definition_arn,
        group: order.group.clone(),
        started_by: order.started_by.clone(),
        cpu: effective.cpu().to_string(),
        memory: effective.memory().to_string(),
        attributes: shown_attributes(instance),
        overrides: order.overrides.clone(),
        tags: order.tags.clone(),
        enable_execute_command: order.enable_execute_command,
        containers,
        desired: DesiredStatus::Running,
        last: TaskStatus::Pending,
        version: 1,
        stop: None,
        times: Times {
            created: now,
            ..Times::default()
        },
    };
    let spec = spec(&task, order);
    Ok((task, spec))
}

/// A task as its node is told of it: the definition's containers, and what was chosen for them.
fn spec(task: &Task, order: &Order) -> TaskSpec {
    let definition = &order.definition;
    let containers = task
        .containers
        .iter()
        .zip(definition.container_definitions.iter().flatten());
    let assigned = containers.map(|(container, definition)| AssignedContainer {
        container_arn: container.arn.clone(),
        definition: definition.clone(),
        gpu_ids: container.gpu_ids.clone(),
    });
    TaskSpec {
        cluster_arn: ClusterArn {
            scope: task.arn.scope.clone(),
            cluster: task.arn.cluster.clone(),
        },
        task_definition_arn: task.definition.clone(),
        created_at: Timestamp::from_millis(task.times.created),
        group: task.group.clone(),
        started_by: task.started_by.clone(),
        network_mode: network_mode(definition),
        cpu: own_amount(definition.cpu.as_deref()),
        memory: own_amount(definition.memory.as_deref()),
        containers: assigned.collect(),
        volumes: definition.volumes.clone().unwrap_or_default(),
        overrides: task.overrides.clone(),
        enable_execute_command: task.enable_execute_command,
    }
}

fn container(
    call: &Call,
    task: &TaskArn,
    effective: &ecs::ContainerDefinition,
    grants: &[GpuGrant],
) -> Container {
    let name = effective.name.clone().unwrap_or_default();
    let granted = grants.iter().find(|grant| grant.container == name);
    debug_assert_eq!(
        granted.map_or(0, |grant| grant.gpu_ids.len()),
        Effective::gpus(effective) as usize
    );
    let arn = ContainerArn {
        scope: task.scope.clone(),
        cluster: task.cluster.clone(),
        task: task.id.clone(),
        id: call.plane.chance.uuid(),
    };
    let gpu_ids = granted.map(|grant| grant.gpu_ids.clone()).unwrap_or_default();
    Container::placed(arn, effective, gpu_ids)
}

fn network_mode(definition: &ecs::TaskDefinition) -> NetworkMode {
    let word = definition.network_mode.as_deref();
    word.and_then(|mode| mode.parse().ok())
        .unwrap_or(NetworkMode::Bridge)
}

/// A task-level amount, which registration brought into plain units.
fn own_amount(text: Option<&str>) -> Option<u64> {
    text.and_then(|text| text.parse().ok())
}

fn shown_attributes(instance: &Instance) -> Vec<ecs::Attribute> {
    let attributes = instance.registration.attributes.iter();
    attributes
        .filter(|each| each.name.as_deref() == Some("ecs.cpu-architecture"))
        .cloned()
        .collect()
}
