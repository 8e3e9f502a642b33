use std::collections::BTreeMap;

use super::*;
use crate::model::{CgroupVersion, Gpu};

/// What a machine with these settings has.
pub(in crate::host) fn config(settings: &[(&str, &str)]) -> Config {
    let owned = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(None, owned).unwrap().0
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
    let settings = [
        ("ECS_RESERVED_PORTS", "[22,51678]"),
        ("ECS_RESERVED_MEMORY", "256"),
        ("ECS_INSTANCE_ATTRIBUTES", r#"{"stack":"prod"}"#),
    ];
    let made = registration(&facts(), &config(&settings)).unwrap();
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
    let with = |reserved| config(&[("ECS_RESERVED_MEMORY", reserved)]);
    registration(&facts(), &with("4000")).unwrap();
    let why = registration(&facts(), &with("4001")).unwrap_err().to_string();
    assert!(
        why.contains("ECS_RESERVED_MEMORY is 4001 MiB of 4000 MiB"),
        "{why}"
    );
}
