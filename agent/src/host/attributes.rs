//! What the control plane places by: the platform, and what this agent can do.
//!
//! Only what is true today is listed; a capability is added here together with the code that keeps its promise.

use std::collections::BTreeMap;

const EXTERNAL: &str = "ecs.capability.external";
const PRIVILEGED: &str = "com.amazonaws.ecs.capability.privileged-container";

/// What containers can always be given. The `docker-remote-api` names are how ECS spells "basic container features"
/// and their later additions; the levels are those that the existing agents name.
const CAPABILITIES: &[&str] = &[
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.20",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.22",
    "com.amazonaws.ecs.capability.docker-remote-api.1.23",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.docker-remote-api.1.28",
    "com.amazonaws.ecs.capability.docker-remote-api.1.29",
    "com.amazonaws.ecs.capability.docker-remote-api.1.30",
    "com.amazonaws.ecs.capability.docker-remote-api.1.32",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "ecs.capability.container-ordering",
    "ecs.capability.container-restart-policy",
    "ecs.capability.increased-task-cpu-limit",
    "ecs.capability.task-cpu-mem-limit",
];

/// What a machine of this OCI architecture carries.
pub(super) fn of_machine(architecture: &str, disable_privileged: bool) -> BTreeMap<String, Option<String>> {
    let cpu = match architecture {
        "amd64" => "x86_64",
        "386" => "i386",
        other => other,
    };
    let valued = [
        ("ecs.os-type", "linux"),
        ("ecs.os-family", "LINUX"),
        ("ecs.cpu-architecture", cpu),
    ];
    let mut all: BTreeMap<_, _> = valued
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
        .collect();
    let privileged = (!disable_privileged).then_some(PRIVILEGED);
    let named = CAPABILITIES.iter().copied().chain([EXTERNAL]).chain(privileged);
    all.extend(named.map(|name| (name.to_owned(), None)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_the_names_of_the_api() {
        for (oci, api) in [
            ("amd64", "x86_64"),
            ("arm64", "arm64"),
            ("386", "i386"),
            ("arm", "arm"),
        ] {
            let all = of_machine(oci, false);
            assert_eq!(all["ecs.cpu-architecture"].as_deref(), Some(api));
        }
    }

    #[test]
    fn privileged_is_offered_unless_it_is_disabled() {
        assert!(of_machine("amd64", false).contains_key(PRIVILEGED));
        assert!(!of_machine("amd64", true).contains_key(PRIVILEGED));
    }
}
