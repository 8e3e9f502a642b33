//! The names of the settings, and what an unknown one may have meant.

/// The settings of the existing agent that this one obeys.
pub const ECS: &[&str] = &[
    "ECS_BACKEND_HOST",
    "ECS_CLUSTER",
    "ECS_CONTAINER_CREATE_TIMEOUT",
    "ECS_CONTAINER_INSTANCE_TAGS",
    "ECS_CONTAINER_START_TIMEOUT",
    "ECS_CONTAINER_STOP_TIMEOUT",
    "ECS_DATADIR",
    "ECS_DISABLE_PRIVILEGED",
    "ECS_DYNAMIC_HOST_PORT_RANGE",
    "ECS_ENABLE_PROMETHEUS_METRICS",
    "ECS_ENGINE_AUTH_DATA",
    "ECS_ENGINE_AUTH_TYPE",
    "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION",
    "ECS_EXTERNAL",
    "ECS_IMAGE_PULL_BEHAVIOR",
    "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT",
    "ECS_IMAGE_PULL_TIMEOUT",
    "ECS_INSTANCE_ATTRIBUTES",
    "ECS_LOGLEVEL",
    "ECS_RESERVED_MEMORY",
    "ECS_RESERVED_PORTS",
    "ECS_RESERVED_PORTS_UDP",
    "ECS_TASK_PIDS_LIMIT",
];

/// The settings of the existing agent that mean nothing here, or nothing yet.
pub const ECS_NOT_SUPPORTED: &[&str] = &[
    "ECS_AGENT_CONFIG_FILE_PATH",
    "ECS_APPARMOR_CAPABLE",
    "ECS_AUDIT_LOGFILE",
    "ECS_AUDIT_LOGFILE_DISABLED",
    "ECS_AVAILABLE_LOGGING_DRIVERS",
    "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES",
    "ECS_AWSVPC_BLOCK_IMDS",
    "ECS_CGROUP_CPU_PERIOD",
    "ECS_CGROUP_PATH",
    "ECS_CHECKPOINT",
    "ECS_CNI_PLUGINS_PATH",
    "ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM",
    "ECS_DETAILED_OS_FAMILY",
    "ECS_DISABLE_DOCKER_HEALTH_CHECK",
    "ECS_DISABLE_IMAGE_CLEANUP",
    "ECS_DISABLE_METRICS",
    "ECS_DISABLE_TASK_METADATA_AZ",
    "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE",
    "ECS_ENABLE_CONTAINER_METADATA",
    "ECS_ENABLE_FIRELENS_ASYNC",
    "ECS_ENABLE_GPU_SUPPORT",
    "ECS_ENABLE_HIGH_DENSITY_ENI",
    "ECS_ENABLE_INF_SUPPORT",
    "ECS_ENABLE_RUNTIME_STATS",
    "ECS_ENABLE_SPOT_INSTANCE_DRAINING",
    "ECS_ENABLE_TASK_CPU_MEM_LIMIT",
    "ECS_ENABLE_TASK_ENI",
    "ECS_ENABLE_TASK_IAM_ROLE",
    "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST",
    "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP",
    "ECS_EXCLUDE_IPV6_PORTBINDING",
    "ECS_EXCLUDE_UNTRACKED_IMAGE",
    "ECS_HOST_DATA_DIR",
    "ECS_IMAGE_CLEANUP_INTERVAL",
    "ECS_IMAGE_MINIMUM_CLEANUP_AGE",
    "ECS_INSTANCE_IP_COMPATIBILITY",
    "ECS_LOGFILE",
    "ECS_LOGLEVEL_ON_INSTANCE",
    "ECS_LOG_DRIVER",
    "ECS_LOG_MAX_FILE_SIZE_MB",
    "ECS_LOG_MAX_ROLL_COUNT",
    "ECS_LOG_OPTS",
    "ECS_LOG_OUTPUT_FORMAT",
    "ECS_LOG_ROLLOVER_TYPE",
    "ECS_MANIFEST_PULL_TIMEOUT",
    "ECS_NUM_IMAGES_DELETE_PER_CYCLE",
    "ECS_NVIDIA_RUNTIME",
    "ECS_OFFHOST_INTROSPECTION_INTERFACE_NAME",
    "ECS_POLLING_METRICS_WAIT_DURATION",
    "ECS_POLL_METRICS",
    "ECS_PROPAGATE_TASK_MEMORY_LIMIT_CGROUPV2",
    "ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT",
    "ECS_SELINUX_CAPABLE",
    "ECS_SHARED_VOLUME_MATCH_FULL_CONFIG",
    "ECS_SKIP_LOCALHOST_TRAFFIC_FILTER",
    "ECS_TASK_METADATA_RPS_LIMIT",
    "ECS_UPDATES_ENABLED",
    "ECS_UPDATE_DOWNLOAD_DIR",
    "ECS_VOLUME_PLUGIN_CAPABILITIES",
    "ECS_WARM_POOLS_CHECK",
];

/// What is this agent's own.
pub const LONGSHORE: &[&str] = &[
    "LONGSHORE_ADMIN_SOCKET",
    "LONGSHORE_BRIDGE",
    "LONGSHORE_BRIDGE_SUBNET",
    "LONGSHORE_CDI_DIRS",
    "LONGSHORE_CGROUP_PARENT",
    "LONGSHORE_CNI_BIN_DIRS",
    "LONGSHORE_CONTAINERD_ADDRESS",
    "LONGSHORE_CONTAINERD_NAMESPACE",
    "LONGSHORE_DATA_DIR",
    "LONGSHORE_ENDPOINT",
    "LONGSHORE_EXEC_IDLE_TIMEOUT",
    "LONGSHORE_EXEC_MAX_DURATION",
    "LONGSHORE_EXEC_MAX_SESSIONS",
    "LONGSHORE_IMAGE_SIZE_LIMIT",
    "LONGSHORE_IPAM_DIR",
    "LONGSHORE_LAYER_RATIO_LIMIT",
    "LONGSHORE_LAYER_SIZE_LIMIT",
    "LONGSHORE_LOG",
    "LONGSHORE_LOG_WRITER",
    "LONGSHORE_METRICS_ADDRESS",
    "LONGSHORE_OCI_RUNTIME",
    "LONGSHORE_REGISTRY_CONFIG_DIR",
    "LONGSHORE_RESUME_ON_BOOT",
    "LONGSHORE_RUNTIME",
    "LONGSHORE_SNAPSHOTTER",
];

/// What Longshore's other programs read: no fault in a shared environment.
pub const LONGSHORE_OTHERS: &[&str] = &["LONGSHORE_CLUSTER", "LONGSHORE_UP_DIR"];

/// How Longshore's tests are told about their surroundings, which programs that they start inherit.
pub const OF_TESTS: &str = "LONGSHORE_TEST_";

/// The way out of this network. In the environment their lower-case forms count too, as everywhere.
pub const PROXY: &[&str] = &["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];

/// The most letters in which a name differs from the one that was meant.
const SLIPS: usize = 3;

/// The known name that is nearest, if one is near.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    // A letter more or less is a slip: what is far longer or shorter need not be compared.
    let candidates = ECS
        .iter()
        .chain(LONGSHORE)
        .filter(|known| known.len().abs_diff(name.len()) <= SLIPS);
    let (slips, known) = candidates.map(|known| (distance(name, known), *known)).min()?;
    (slips <= SLIPS).then_some(known)
}

/// How many letters have to be put in, taken out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let change = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_noise_is_not() {
        assert_eq!(nearest("LONGSHORE_ENDPONT"), Some("LONGSHORE_ENDPOINT"));
        assert_eq!(nearest("LONGSHORE_SUBNET_OF_THE_MOON"), None);
    }

    #[test]
    fn the_lists_are_sorted_and_apart() {
        for list in [ECS, ECS_NOT_SUPPORTED, LONGSHORE] {
            assert!(list.is_sorted());
        }
        assert!(ECS.iter().all(|name| !ECS_NOT_SUPPORTED.contains(name)));
    }
}
