//! Something to describe, for tests.

use std::collections::BTreeMap;

use super::*;
use crate::model::{CgroupVersion, sample};

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
        image: "registry.example/web:1".to_owned(),
        ..sample::container("web", true)
    }
}

pub(super) fn fixture() -> Fixture {
    Fixture {
        task: ResolvedTask {
            network_mode: NetworkMode::None,
            ..sample::task(vec![container()])
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
