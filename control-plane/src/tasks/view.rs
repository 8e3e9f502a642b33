//! A task as the API shows it.

use longshore_protocol::status::{ReportedStatus, TaskStatus};
use longshore_protocol::{Timestamp, ecs};

use super::{Container, Task};
use crate::agents::{Link, Progress};

/// What is shown beside the stored task.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Whether the node is connected.
    pub link: Link,
    /// What its containers wait for, as the node last said.
    pub progress: Progress,
    /// Whether tags were asked for.
    pub tags: bool,
}

/// The API's shape of a task.
#[must_use]
pub fn show(task: &Task, around: &Surroundings) -> ecs::Task {
    let times = &task.times;
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    ecs::Task {
        attachments: Some(vec![]),
        attributes: Some(task.attributes.clone()),
        cluster_arn: Some(cluster_arn(task)),
        connectivity: Some(
            if around.link.connected {
                "CONNECTED"
            } else {
                "DISCONNECTED"
            }
            .to_owned(),
        ),
        connectivity_at: time(around.link.since),
        container_instance_arn: Some(task.instance.to_string()),
        containers: Some(
            task.containers
                .iter()
                .map(|each| container(task, each, around))
                .collect(),
        ),
        cpu: Some(task.cpu.clone()),
        created_at: time(Some(times.created)),
        desired_status: Some(task.desired.to_string()),
        enable_execute_command: Some(task.enable_execute_command),
        execution_stopped_at: time(times.execution_stopped),
        group: Some(task.group.clone()),
        health_status: Some("UNKNOWN".to_owned()),
        inference_accelerators: Some(vec![]),
        last_status: Some(task.last.to_string()),
        launch_type: Some("EXTERNAL".to_owned()),
        memory: Some(task.memory.clone()),
        overrides: Some(overrides(task)),
        pull_started_at: time(times.pull_started),
        pull_stopped_at: time(times.pull_stopped),
        started_at: time(times.started),
        started_by: task.started_by.clone(),
        stop_code: task.stop.as_ref().map(|stop| stop.code.to_string()),
        stopped_at: time(times.stopped),
        stopped_reason: task.stop.as_ref().map(|stop| stop.reason.clone()),
        stopping_at: time(times.stopping),
        tags: Some(if around.tags { task.tags.clone() } else { vec![] }),
        task_arn: Some(task.arn.to_string()),
        task_definition_arn: Some(task.definition.to_string()),
        version: Some(task.version),
        ..ecs::Task::default()
    }
}

fn cluster_arn(task: &Task) -> String {
    let cluster = longshore_protocol::arn::ClusterArn {
        scope: task.arn.scope.clone(),
        cluster: task.arn.cluster.clone(),
    };
    cluster.to_string()
}

fn container(task: &Task, container: &Container, around: &Surroundings) -> ecs::Container {
    let progress = match container.status {
        _ if task.last >= TaskStatus::Stopped => None,
        ReportedStatus::Pending => around.progress.of(&container.name),
        ReportedStatus::Running => around.progress.of_restarted(&container.name),
        ReportedStatus::Stopped => None,
    };
    ecs::Container {
        container_arn: Some(container.arn.to_string()),
        task_arn: Some(task.arn.to_string()),
        name: Some(container.name.clone()),
        image: Some(container.image.clone()),
        image_digest: container.image_digest.clone(),
        runtime_id: container.runtime_id.clone(),
        last_status: Some(container.status.to_string()),
        exit_code: container.exit_code,
        reason: container.reason.clone().or(progress),
        network_bindings: Some(container.network_bindings.clone()),
        network_interfaces: Some(vec![]),
        health_status: Some("UNKNOWN".to_owned()),
        cpu: Some(container.cpu.clone()),
        memory: container.memory.clone(),
        memory_reservation: container.memory_reservation.clone(),
        managed_agents: task
            .enable_execute_command
            .then(|| vec![exec_agent(task, container, around.link)]),
        gpu_ids: (!container.gpu_ids.is_empty()).then(|| container.gpu_ids.clone()),
    }
}

/// What stands for the agent's readiness to open sessions in a container: nothing of it is in the container.
fn exec_agent(task: &Task, container: &Container, link: Link) -> ecs::ManagedAgent {
    let (status, reason) = match container.status {
        _ if task.last >= TaskStatus::Stopped => ("STOPPED", None),
        ReportedStatus::Stopped => ("STOPPED", None),
        ReportedStatus::Pending => ("PENDING", Some("The container does not run yet.")),
        ReportedStatus::Running if link.cloned => {
            let text = "Two machines poll with the identity of the task's container instance.";
            ("PENDING", Some(text))
        }
        ReportedStatus::Running if !link.connected => {
            let text = "The agent of the task's container instance is not connected.";
            ("PENDING", Some(text))
        }
        ReportedStatus::Running => ("RUNNING", None),
    };
    let ran = container.status != ReportedStatus::Pending;
    ecs::ManagedAgent {
        name: Some("ExecuteCommandAgent".to_owned()),
        last_status: Some(status.to_owned()),
        reason: reason.map(str::to_owned),
        last_started_at: task.times.started.filter(|_| ran).map(Timestamp::from_millis),
    }
}

/// The overrides as given, and every container that has none by its name.
fn overrides(task: &Task) -> ecs::TaskOverride {
    let mut shown = task.overrides.clone();
    let given = shown.container_overrides.take().unwrap_or_default();
    let of = |container: &Container| {
        let found = given
            .iter()
            .find(|each| each.name.as_deref() == Some(container.name.as_str()));
        found.cloned().unwrap_or_else(|| ecs::ContainerOverride {
            name: Some(container.name.clone()),
            ..ecs::ContainerOverride::default()
        })
    };
    shown.container_overrides = Some(task.containers.iter().map(of).collect());
    shown.inference_accelerator_overrides.get_or_insert_default();
    shown
}
