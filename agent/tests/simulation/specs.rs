//! Tasks for simulated nodes, and their names.

use longshore_agent::model::ContainerId;
use longshore_protocol::arn::{ContainerArn, ResourceId, Scope, TaskArn};
use longshore_protocol::ecs;
use longshore_protocol::poll::{AssignedContainer, TaskSpec};
use longshore_protocol::status::NetworkMode;

pub fn scope() -> Scope {
    Scope::new("us-east-1", "000000000000")
}

pub fn resource_id(number: u128) -> ResourceId {
    ResourceId::from_random(uuid::Uuid::from_u128(number))
}

pub fn task_arn(number: u128) -> TaskArn {
    TaskArn {
        scope: scope(),
        cluster: "default".to_owned(),
        id: resource_id(number),
    }
}

pub fn container_id(arn: &TaskArn, index: u16) -> ContainerId {
    ContainerId::new(arn.id.clone(), index)
}

/// A container that does what `command` says.
pub fn container(name: &str, command: &str) -> ecs::ContainerDefinition {
    ecs::ContainerDefinition {
        name: Some(name.to_owned()),
        image: Some("busybox".to_owned()),
        command: Some(command.split(' ').map(str::to_owned).collect()),
        ..Default::default()
    }
}

/// A task of these containers, with no network.
pub fn task(definitions: Vec<ecs::ContainerDefinition>) -> TaskSpec {
    let containers = definitions
        .into_iter()
        .zip(1..)
        .map(|(definition, number)| AssignedContainer {
            container_arn: ContainerArn {
                scope: scope(),
                cluster: "default".to_owned(),
                task: resource_id(0),
                id: uuid::Uuid::from_u128(number),
            },
            definition,
            gpu_ids: Vec::new(),
        });
    TaskSpec {
        cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/default"
            .parse()
            .unwrap(),
        task_definition_arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/f:1"
            .parse()
            .unwrap(),
        created_at: longshore_protocol::Timestamp::from_millis(1_750_000_000_000),
        group: "family:f".to_owned(),
        started_by: None,
        network_mode: NetworkMode::None,
        cpu: None,
        memory: None,
        containers: containers.collect(),
        volumes: Vec::new(),
        overrides: ecs::TaskOverride::default(),
        enable_execute_command: false,
    }
}

/// A task of one container.
pub fn one(command: &str) -> TaskSpec {
    task(vec![container("app", command)])
}

/// A port of the host.
pub fn with_port(mut spec: TaskSpec, container_port: i32, host_port: Option<i32>) -> TaskSpec {
    spec.network_mode = NetworkMode::Bridge;
    spec.containers[0].definition.port_mappings = Some(vec![ecs::PortMapping {
        container_port: Some(container_port),
        host_port,
        ..Default::default()
    }]);
    spec
}
