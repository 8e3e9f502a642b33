//! Something to describe, for tests.

use std::collections::BTreeMap;

use super::*;
use crate::model::{CgroupVersion, LogOptions};

const TASK: &str = "0123456789abcdef0123456789abcdef";

pub(super) struct Fixture {
    pub(super) task: ResolvedTask,
    pub(super) image: ImageConfig,
    pub(super) host: HostFacts,
    pub(super) attachment: Attachment,
    pub(super) mounts: Vec<BindMount>,
    pub(super) environment_files: Vec<(String, String)>,
}

fn container() -> ResolvedContainer {
    ResolvedContainer {
        arn: format!(
            "arn:aws:ecs:us-east-1:000000000000:container/default/{TASK}/01234567-89ab-4def-8123-456789abcdef"
        )
        .parse()
        .unwrap(),
        name: "web".to_owned(),
        image: "registry.example/web:1".to_owned(),
        command: None,
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
        stop_timeout: None,
        readonly_root_filesystem: false,
        privileged: false,
        gpu_ids: Vec::new(),
        docker_labels: BTreeMap::new(),
        log: LogOptions {
            max_size: 1 << 20,
            max_file: 3,
        },
    }
}

pub(super) fn fixture() -> Fixture {
    Fixture {
        task: ResolvedTask {
            arn: format!("arn:aws:ecs:us-east-1:000000000000:task/default/{TASK}")
                .parse()
                .unwrap(),
            cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/default"
                .parse()
                .unwrap(),
            definition_arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1"
                .parse()
                .unwrap(),
            created_at_millis: 0,
            group: "family:web".to_owned(),
            started_by: None,
            network_mode: NetworkMode::None,
            cpu: None,
            memory: None,
            containers: vec![container()],
            volumes: Vec::new(),
        },
        image: ImageConfig {
            cmd: vec!["/bin/sh".to_owned()],
            ..ImageConfig::default()
        },
        host: HostFacts {
            cpu_units: 2048,
            memory_mib: 4096,
            architecture: "amd64".to_owned(),
            variant: String::new(),
            hostname: "edge-1".to_owned(),
            boot_id: "b".to_owned(),
            fingerprint: "f".to_owned(),
            cgroup: CgroupVersion::V1,
            apparmor: false,
            seccomp: true,
            gpus: Vec::new(),
            attributes: BTreeMap::new(),
        },
        attachment: Attachment {
            mode: NetworkMode::None,
            namespace: None,
            addresses: Vec::new(),
            bindings: Vec::new(),
            files: Vec::new(),
        },
        mounts: Vec::new(),
        environment_files: Vec::new(),
    }
}

impl Fixture {
    pub(super) fn container(&mut self) -> &mut ResolvedContainer {
        &mut self.task.containers[0]
    }

    pub(super) fn build(&self) -> Result<Spec, SpecError> {
        build(&SpecInput {
            task: &self.task,
            container: &self.task.containers[0],
            id: &self.task.container_id(0),
            image: &self.image,
            host: &self.host,
            attachment: &self.attachment,
            mounts: &self.mounts,
            environment_files: &self.environment_files,
            cgroup_parent: "/longshore",
        })
    }

    pub(super) fn args(&self) -> Vec<String> {
        self.build()
            .unwrap()
            .process()
            .clone()
            .unwrap()
            .args()
            .clone()
            .unwrap()
    }

    pub(super) fn env(&self) -> Vec<String> {
        self.build()
            .unwrap()
            .process()
            .clone()
            .unwrap()
            .env()
            .clone()
            .unwrap()
    }
}
