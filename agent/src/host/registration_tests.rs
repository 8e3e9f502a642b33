use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{ImageConfig, NetworkConfig, PullBehavior, ResourceConfig};
use crate::model::{CgroupVersion, Gpu};

/// Settings that no file or environment touched.
pub(in crate::host) fn config() -> Config {
    Config {
        cluster: "default".into(),
        endpoint: None,
        data_dir: PathBuf::new(),
        containerd_address: PathBuf::new(),
        containerd_namespace: String::new(),
        snapshotter: String::new(),
        runtime: String::new(),
        cgroup_parent: String::new(),
        log_writer: PathBuf::new(),
        network: NetworkConfig {
            bridge: String::new(),
            subnet: ([172, 29, 0, 0].into(), 16),
            ipam_dir: PathBuf::new(),
            plugin_dirs: Vec::new(),
            dynamic_ports: None,
        },
        image: ImageConfig {
            pull_behavior: PullBehavior::Default,
            auth: BTreeMap::new(),
            registry_config_dir: PathBuf::new(),
            pull_timeout: Duration::ZERO,
            inactivity_timeout: Duration::ZERO,
        },
        resources: ResourceConfig {
            reserved_ports: vec![22, 51678],
            reserved_ports_udp: Vec::new(),
            reserved_memory: 256,
            attributes: BTreeMap::from([("stack".into(), "prod".into())]),
            tags: BTreeMap::new(),
            cdi_dirs: Vec::new(),
        },
        stop_timeout: Duration::ZERO,
        start_timeout: Duration::ZERO,
        create_timeout: Duration::ZERO,
        cleanup_wait: Duration::ZERO,
        disable_privileged: false,
        task_pids_limit: None,
    }
}

fn facts() -> HostFacts {
    HostFacts {
        cpu_units: 2048,
        memory_mib: 4000,
        architecture: "amd64".into(),
        variant: String::new(),
        hostname: "box".into(),
        boot_id: String::new(),
        fingerprint: String::new(),
        cgroup: CgroupVersion::V2,
        apparmor: false,
        seccomp: true,
        gpus: vec![Gpu {
            id: "GPU-1".into(),
            cdi_device: "nvidia.com/gpu=0".into(),
        }],
        attributes: BTreeMap::from([
            ("ecs.os-type".into(), Some("linux".into())),
            ("ecs.capability.external".into(), None),
        ]),
    }
}

#[test]
fn a_machine_is_registered_with_what_tasks_can_have() {
    let made = registration(&facts(), &config()).unwrap();
    let find = |name: &str| {
        let resource = made
            .resources
            .iter()
            .find(|resource| resource.name.as_deref() == Some(name));
        resource.unwrap().clone()
    };
    assert_eq!(find("CPU").integer_value, Some(2048));
    assert_eq!(find("MEMORY").integer_value, Some(3744));
    assert_eq!(find("PORTS").string_set_value.unwrap(), ["22", "51678"]);
    assert_eq!(find("PORTS_UDP").string_set_value.unwrap(), Vec::<String>::new());
    assert_eq!(made.devices[0].id.as_deref(), Some("GPU-1"));
    assert_eq!(made.devices[0].r#type.as_deref(), Some("GPU"));
    assert_eq!(made.attributes.len(), 2);
    assert_eq!(made.custom_attributes[0].value.as_deref(), Some("prod"));
}

#[test]
fn more_reserved_memory_than_there_is_is_a_named_error() {
    let mut config = config();
    config.resources.reserved_memory = 4000;
    registration(&facts(), &config).unwrap();
    config.resources.reserved_memory = 4001;
    let why = registration(&facts(), &config).unwrap_err().to_string();
    assert!(
        why.contains("ECS_RESERVED_MEMORY is 4001 MiB of 4000 MiB"),
        "{why}"
    );
}
