//! Tasks as the agent's intake makes them.

use std::collections::BTreeMap;

use longshore_agent::model::{LogOptions, ResolvedContainer, ResolvedTask};
use longshore_protocol::status::NetworkMode;

pub fn task(containers: Vec<ResolvedContainer>) -> ResolvedTask {
    let id = uuid::Uuid::new_v4().simple();
    ResolvedTask {
        arn: format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}")
            .parse()
            .unwrap(),
        cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/default"
            .parse()
            .unwrap(),
        definition_arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/web:3"
            .parse()
            .unwrap(),
        created_at_millis: 0,
        group: "family:web".to_owned(),
        started_by: None,
        network_mode: NetworkMode::None,
        cpu: None,
        memory: None,
        containers,
        volumes: Vec::new(),
        enable_execute_command: false,
    }
}

pub fn container(name: &str, command: &[&str]) -> ResolvedContainer {
    let uuid = uuid::Uuid::new_v4();
    ResolvedContainer {
        arn: format!(
            "arn:aws:ecs:us-east-1:000000000000:container/default/{}/{uuid}",
            uuid.simple()
        )
        .parse()
        .unwrap(),
        name: name.to_owned(),
        image: "registry.test/busybox:1".to_owned(),
        command: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        entry_point: None,
        environment: Vec::new(),
        environment_files: Vec::new(),
        cpu: 0,
        memory: None,
        memory_reservation: None,
        essential: true,
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
        docker_labels: BTreeMap::new(),
        log: LogOptions {
            max_size: 1 << 20,
            max_file: 3,
        },
        restart_policy: None,
    }
}
