//! Tasks for tests.

use std::sync::Arc;

use longshore_protocol::arn::{ContainerArn, ResourceId, Scope, TaskArn};
use longshore_protocol::status::{DesiredStatus, NetworkMode};

use super::{
    Assignment, Attachment, Body, ImageConfig, LogOptions, PulledImage, ResolvedContainer, ResolvedTask,
};

/// The ARN of a task.
pub(crate) fn arn(number: u128) -> TaskArn {
    TaskArn {
        scope: Scope::new("us-east-1", "000000000000"),
        cluster: "default".to_owned(),
        id: ResourceId::from_random(uuid::Uuid::from_u128(number)),
    }
}

/// A container; essential unless said otherwise.
pub(crate) fn container(name: &str, essential: bool) -> ResolvedContainer {
    let TaskArn { scope, cluster, id } = arn(1);
    ResolvedContainer {
        arn: ContainerArn {
            scope,
            cluster,
            task: id,
            id: uuid::Uuid::from_u128(1),
        },
        name: name.to_owned(),
        image: "busybox".to_owned(),
        command: None,
        entry_point: None,
        environment: Vec::new(),
        environment_files: Vec::new(),
        cpu: 0,
        memory: None,
        memory_reservation: None,
        essential,
        user: None,
        working_directory: None,
        ulimits: Vec::new(),
        mount_points: Vec::new(),
        port_mappings: Vec::new(),
        depends_on: Vec::new(),
        start_timeout: None,
        stop_timeout: None,
        readonly_root_filesystem: false,
        privileged: false,
        gpu_ids: Vec::new(),
        docker_labels: Default::default(),
        log: LogOptions {
            max_size: 1,
            max_file: 1,
        },
        restart_policy: None,
    }
}

/// A task of these containers.
pub(crate) fn task(containers: Vec<ResolvedContainer>) -> ResolvedTask {
    let prefix = "arn:aws:ecs:us-east-1:000000000000";
    ResolvedTask {
        arn: arn(1),
        cluster_arn: format!("{prefix}:cluster/default").parse().unwrap(),
        definition_arn: format!("{prefix}:task-definition/f:1").parse().unwrap(),
        created_at_millis: 0,
        group: "family:f".to_owned(),
        started_by: None,
        network_mode: NetworkMode::Bridge,
        cpu: None,
        memory: None,
        containers,
        volumes: Vec::new(),
        enable_execute_command: false,
    }
}

/// An assignment of a task with one container for each of these, which say whether it is essential.
pub(crate) fn assignment(essential: &[bool]) -> Assignment {
    let containers = essential
        .iter()
        .zip('a'..)
        .map(|(essential, name)| container(&name.to_string(), *essential));
    Assignment {
        arn: arn(1),
        generation: 1,
        desired: DesiredStatus::Running,
        force: false,
        body: Body::Task(Arc::new(task(containers.collect()))),
    }
}

/// An image.
pub(crate) fn image(stop_signal: Option<&str>) -> PulledImage {
    PulledImage {
        reference: "busybox".to_owned(),
        name: "docker.io/library/busybox:latest".to_owned(),
        digest: "sha256:00".to_owned(),
        chain_id: "sha256:01".to_owned(),
        config: ImageConfig {
            stop_signal: stop_signal.map(str::to_owned),
            ..ImageConfig::default()
        },
        fallback: None,
    }
}

/// A network: a namespace where there is one.
pub(crate) fn attachment(namespace: bool) -> Attachment {
    Attachment {
        mode: NetworkMode::Bridge,
        namespace: namespace.then(|| "/run/netns/x".into()),
        addresses: Vec::new(),
        bindings: Vec::new(),
        files: Vec::new(),
    }
}
