//! A task that a node holds and nobody here knows, taken into the books.
//!
//! Invariants: it comes into the cluster and onto the instance of the node that holds it, and over no row that is there.
//! What it has, it has: its reservation is charged even where the instance has no more to give; nothing is placed there
//! then until enough is free again.

use longshore_protocol::ecs;
use longshore_protocol::poll::{HeldTask, TaskSpec};
use longshore_protocol::status::{DesiredStatus, ReportedStatus, StopCode, TaskStatus};

use super::cut::check_task;
use crate::api::reports;
use crate::app::ControlPlane;
use crate::definition::{self, Refusal};
use crate::error::ApiError;
use crate::scheduler::Demand;
use crate::store::instances::{self, Instance};
use crate::store::reservations::{self, Taken};
use crate::store::{assignments, system, tasks};
use crate::tasks::report::Report;
use crate::tasks::settle::settle;
use crate::tasks::{Container, Stop, Task, Times};

/// Why a task can't be taken in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// Not the cluster of the node that holds it.
    #[error("it is of another cluster, region or account than its node")]
    Foreign,
    /// Its definition makes no sense here.
    #[error("its definition can't be read: {0}")]
    Definition(String),
    /// Its state makes no sense here.
    #[error("its state can't be read: {0}")]
    State(String),
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self::Definition(refusal.message)
    }
}

/// A task as it will be in the books.
struct Found {
    task: Task,
    report: Report,
    demand: Demand,
    taken: Taken,
}

/// Takes a task in, in one transaction; the inner error says why it can't be.
///
/// # Errors
/// The store's.
pub(super) async fn take(
    plane: &ControlPlane,
    instance: &Instance,
    held: &HeldTask,
) -> Result<Result<(), Unfit>, ApiError> {
    let now = plane.clock.now_millis();
    let found = match read(plane, instance, held) {
        Ok(found) => found,
        Err(unfit) => return Ok(Err(unfit)),
    };
    let id = held.task_arn.id.as_str();
    let mut transaction = plane.store.write().await?;
    // Since it was looked for, it may have come, or the instance gone.
    let here = instances::get(&mut transaction, &instance.cluster, &instance.id).await?;
    let gone = here.is_none_or(|here| here.status == longshore_protocol::status::InstanceStatus::Inactive);
    let known = tasks::exists(&mut transaction, id).await?
        || system::tombstone(&mut transaction, id).await?.is_some();
    if gone || known {
        return Ok(Ok(()));
    }
    let amount = |value: u64| i64::try_from(value).unwrap_or(i64::MAX >> 1);
    let (cpu, memory) = (amount(found.demand.cpu), amount(found.demand.memory));
    let before = reservations::taken(&mut transaction, &instance.id).await?;
    let seq = reservations::charge(&mut transaction, &instance.id, cpu, memory).await?;
    reservations::take_anyway(&mut transaction, &instance.id, id, &found.taken).await?;
    let new = tasks::NewTask {
        task: &found.task,
        spec: &held.task,
        reserved_cpu: cpu,
        reserved_memory: memory,
    };
    tasks::add(&mut transaction, &new).await?;
    let order = (held.generation.max(1), found.task.desired);
    assignments::adopt(&mut transaction, &instance.id, &found.task.arn, seq, order).await?;
    let over = found.report.status == Some(ReportedStatus::Stopped);
    settle(&mut transaction, found.task, &found.report, now).await?;
    if over {
        assignments::remove(&mut transaction, &instance.node, id).await?;
    }
    let after = instances::get(&mut transaction, &instance.cluster, &instance.id).await?;
    transaction.commit().await?;
    tracing::warn!(instance = instance.id, task = %held.task_arn, "a task that was not known here was taken in from its node");
    let over_committed = after.is_some_and(|after| after.free_cpu < 0 || after.free_memory < 0);
    let shared = reservations::shared(&before, &found.taken);
    if !over && (over_committed || shared.is_some()) {
        tracing::error!(
            instance = instance.id,
            task = %held.task_arn,
            shared,
            "more is taken of the instance than it has; nothing more is placed on what is short"
        );
    }
    Ok(Ok(()))
}

/// Brings a task that is known up to what its node says of it, in one transaction; the inner error says why it can't be.
/// An end is left to its report, which comes until it is taken.
///
/// # Errors
/// The store's.
pub(super) async fn catch_up(
    plane: &ControlPlane,
    instance: &Instance,
    held: &HeldTask,
) -> Result<Result<(), Unfit>, ApiError> {
    let report = match reports::read((*held.state).clone()) {
        Ok(report) => report,
        Err(error) => return Ok(Err(Unfit::State(error.message))),
    };
    let arn = &held.task_arn;
    let mut transaction = plane.store.write().await?;
    let task = tasks::get(&mut transaction, &arn.cluster, arn.id.as_str()).await?;
    let own = task.filter(|task| task.instance.id.as_str() == instance.id);
    if let Some(task) = own.filter(|_| report.status != Some(ReportedStatus::Stopped)) {
        settle(&mut transaction, task, &report, plane.clock.now_millis()).await?;
        transaction.commit().await?;
        tracing::info!(instance = instance.id, task = %arn, "a task is further on its node than was known here");
    }
    Ok(Ok(()))
}

/// What it was made from, as far as its node holds it.
fn definition_of(spec: &TaskSpec) -> ecs::TaskDefinition {
    let containers = spec.containers.iter().map(|each| each.definition.clone());
    ecs::TaskDefinition {
        family: Some(spec.task_definition_arn.family.clone()),
        revision: Some(spec.task_definition_arn.revision),
        network_mode: Some(spec.network_mode.to_string()),
        cpu: spec.cpu.map(|units| units.to_string()),
        memory: spec.memory.map(|mib| mib.to_string()),
        container_definitions: Some(containers.collect()),
        volumes: Some(spec.volumes.clone()),
        ..ecs::TaskDefinition::default()
    }
}

/// Whether it is the node's own, and one that this control plane can keep.
fn check(plane: &ControlPlane, instance: &Instance, held: &HeldTask) -> Result<(), Unfit> {
    let (spec, arn) = (&held.task, &held.task_arn);
    let own = arn.scope == plane.scope && arn.cluster == instance.cluster;
    let same = spec.cluster_arn.scope == arn.scope && spec.cluster_arn.cluster == arn.cluster;
    if !own || !same || spec.task_definition_arn.scope != arn.scope {
        return Err(Unfit::Foreign);
    }
    check_task(spec).map_err(|error| Unfit::Definition(error.to_string()))?;
    if spec.containers.is_empty() || spec.containers.len() > 10 {
        return Err(Unfit::Definition("it has not 1 to 10 containers".to_owned()));
    }
    Ok(())
}

fn read(plane: &ControlPlane, instance: &Instance, held: &HeldTask) -> Result<Found, Unfit> {
    check(plane, instance, held)?;
    let (spec, arn) = (&held.task, &held.task_arn);
    let definition = definition_of(spec);
    let demand = Demand::of(&definition, &spec.overrides)?;
    let effective = definition::effective(&definition, &spec.overrides)?;
    let report = reports::read((*held.state).clone()).map_err(|error| Unfit::State(error.message))?;
    let containers = spec.containers.iter().zip(&effective.containers);
    let mut task = Task {
        arn: arn.clone(),
        instance: longshore_protocol::arn::ContainerInstanceArn {
            scope: arn.scope.clone(),
            cluster: arn.cluster.clone(),
            id: instance.id.parse().map_err(|_| Unfit::Foreign)?,
        },
        definition: spec.task_definition_arn.clone(),
        group: spec.group.clone(),
        started_by: spec.started_by.clone(),
        cpu: effective.cpu().to_string(),
        memory: effective.memory().to_string(),
        attributes: Vec::new(),
        overrides: spec.overrides.clone(),
        tags: Vec::new(),
        enable_execute_command: spec.enable_execute_command,
        containers: containers
            .map(|(assigned, definition)| {
                Container::placed(
                    assigned.container_arn.clone(),
                    definition,
                    assigned.gpu_ids.clone(),
                )
            })
            .collect(),
        desired: DesiredStatus::Running,
        last: TaskStatus::Pending,
        version: 1,
        stop: None,
        times: Times {
            created: spec.created_at.as_millis(),
            ..Times::default()
        },
    };
    if held.desired_status == DesiredStatus::Stopped && report.status != Some(ReportedStatus::Stopped) {
        let stop = Stop {
            code: StopCode::UserInitiated,
            reason: "Task stopped by user".to_owned(),
        };
        task.order_stop(stop, plane.clock.now_millis());
    }
    let gpus: std::collections::BTreeSet<_> = spec.containers.iter().flat_map(|each| &each.gpu_ids).collect();
    Ok(Found {
        taken: Taken {
            tcp: demand.tcp_ports.iter().copied().collect(),
            udp: demand.udp_ports.iter().copied().collect(),
            gpus: gpus.into_iter().cloned().collect(),
        },
        task,
        report,
        demand,
    })
}
