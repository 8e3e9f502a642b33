//! The way back from a resolved task to its wire form, for a control plane that has forgotten the task.
//!
//! Invariant: resolving what comes out gives the same task again, so that it can be assigned anew without a change.

use std::path::Path;
use std::time::Duration;

use longshore_protocol::poll::{AssignedContainer, TaskSpec};
use longshore_protocol::{Timestamp, ecs};

use crate::model::{
    Dependency, LogOptions, MountPoint, PortMapping, ResolvedContainer, ResolvedTask, RestartPolicy, Ulimit,
    Volume, VolumeSource,
};

/// A task as it would be assigned, with its overrides merged into its containers.
#[must_use]
pub fn unresolve(task: &ResolvedTask) -> TaskSpec {
    let ResolvedTask {
        arn: _,
        cluster_arn,
        definition_arn,
        created_at_millis,
        group,
        started_by,
        network_mode,
        cpu,
        memory,
        containers,
        volumes,
        enable_execute_command,
    } = task;
    TaskSpec {
        cluster_arn: cluster_arn.clone(),
        task_definition_arn: definition_arn.clone(),
        created_at: Timestamp::from_millis(*created_at_millis),
        group: group.clone(),
        started_by: started_by.clone(),
        network_mode: *network_mode,
        cpu: *cpu,
        memory: *memory,
        containers: containers
            .iter()
            .map(|each| container(each, containers))
            .collect(),
        volumes: volumes.iter().map(volume).collect(),
        overrides: ecs::TaskOverride::default(),
        enable_execute_command: *enable_execute_command,
    }
}

fn container(container: &ResolvedContainer, all: &[ResolvedContainer]) -> AssignedContainer {
    // All of it by name: a member that is added must be sent too.
    let ResolvedContainer {
        arn,
        name,
        image,
        command,
        entry_point,
        environment,
        environment_files,
        cpu,
        memory,
        memory_reservation,
        essential,
        user,
        working_directory,
        ulimits,
        mount_points,
        port_mappings,
        depends_on,
        start_timeout,
        stop_timeout,
        restart_policy: policy,
        readonly_root_filesystem,
        privileged,
        gpu_ids,
        docker_labels,
        log,
    } = container;
    let gpus = (!gpu_ids.is_empty()).then(|| {
        vec![ecs::ResourceRequirement {
            r#type: Some("GPU".to_owned()),
            value: Some(gpu_ids.len().to_string()),
        }]
    });
    let definition = ecs::ContainerDefinition {
        name: Some(name.clone()),
        image: Some(image.clone()),
        command: command.clone(),
        entry_point: entry_point.clone(),
        environment: list(environment, pair),
        environment_files: list(environment_files, |path| file(path)),
        cpu: Some(int(*cpu)),
        memory: memory.map(int),
        memory_reservation: memory_reservation.map(int),
        essential: Some(*essential),
        user: user.clone(),
        working_directory: working_directory.clone(),
        ulimits: list(ulimits, ulimit),
        mount_points: list(mount_points, mount_point),
        port_mappings: list(port_mappings, port_mapping),
        depends_on: list(depends_on, |edge| dependency(*edge, all)),
        start_timeout: start_timeout.map(seconds),
        stop_timeout: stop_timeout.map(seconds),
        restart_policy: policy.as_ref().map(restart_policy),
        readonly_root_filesystem: Some(*readonly_root_filesystem),
        privileged: Some(*privileged),
        resource_requirements: gpus,
        docker_labels: (!docker_labels.is_empty()).then(|| docker_labels.clone()),
        log_configuration: Some(log_configuration(*log)),
        ..ecs::ContainerDefinition::default()
    };
    AssignedContainer {
        container_arn: arn.clone(),
        definition,
        gpu_ids: gpu_ids.clone(),
    }
}

fn dependency(edge: Dependency, all: &[ResolvedContainer]) -> ecs::ContainerDependency {
    ecs::ContainerDependency {
        container_name: all.get(usize::from(edge.on)).map(|other| other.name.clone()),
        condition: Some(edge.condition.as_str().to_owned()),
    }
}

fn restart_policy(policy: &RestartPolicy) -> ecs::ContainerRestartPolicy {
    ecs::ContainerRestartPolicy {
        enabled: Some(true),
        ignored_exit_codes: list(&policy.ignored_exit_codes, |code| *code),
        restart_attempt_period: Some(seconds(policy.attempt_period)),
    }
}

fn list<T, U>(all: &[T], convert: impl Fn(&T) -> U) -> Option<Vec<U>> {
    (!all.is_empty()).then(|| all.iter().map(convert).collect())
}

/// Each of them came as one.
fn int(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn seconds(duration: Duration) -> i32 {
    int(duration.as_secs())
}

fn pair((name, value): &(String, String)) -> ecs::KeyValuePair {
    ecs::KeyValuePair {
        name: Some(name.clone()),
        value: Some(value.clone()),
    }
}

fn file(path: &Path) -> ecs::EnvironmentFile {
    ecs::EnvironmentFile {
        r#type: Some("s3".to_owned()),
        value: Some(format!("file://{}", path.display())),
    }
}

fn ulimit(ulimit: &Ulimit) -> ecs::Ulimit {
    let limit = |value: i64| i32::try_from(value).ok();
    ecs::Ulimit {
        name: Some(ulimit.name.clone()),
        soft_limit: limit(ulimit.soft),
        hard_limit: limit(ulimit.hard),
    }
}

fn mount_point(point: &MountPoint) -> ecs::MountPoint {
    ecs::MountPoint {
        source_volume: Some(point.source_volume.clone()),
        container_path: Some(point.container_path.display().to_string()),
        read_only: Some(point.read_only),
    }
}

fn port_mapping(mapping: &PortMapping) -> ecs::PortMapping {
    ecs::PortMapping {
        container_port: Some(mapping.container_port.into()),
        host_port: mapping.host_port.map(i32::from),
        protocol: Some(mapping.protocol.as_str().to_owned()),
        ..ecs::PortMapping::default()
    }
}

fn log_configuration(log: LogOptions) -> ecs::LogConfiguration {
    let options = [
        ("max-size".to_owned(), log.max_size.to_string()),
        ("max-file".to_owned(), log.max_file.to_string()),
    ];
    ecs::LogConfiguration {
        log_driver: Some("json-file".to_owned()),
        options: Some(options.into()),
        ..ecs::LogConfiguration::default()
    }
}

fn volume(volume: &Volume) -> ecs::Volume {
    let host = match &volume.source {
        VolumeSource::Host(path) => Some(ecs::HostVolumeProperties {
            source_path: Some(path.display().to_string()),
        }),
        VolumeSource::Task => None,
    };
    ecs::Volume {
        name: Some(volume.name.clone()),
        host,
        ..ecs::Volume::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::tests::spec;
    use super::super::{Rules, resolve};
    use super::*;
    use crate::model::sample;

    #[test]
    fn what_goes_back_resolves_to_the_same_task() {
        let definition = serde_json::json!({
            "command": ["a", "b"], "entryPoint": ["/e"], "environment": [{"name": "A", "value": "1"}],
            "environmentFiles": [{"type": "s3", "value": "file:///etc/e"}], "cpu": 7, "memory": 9,
            "memoryReservation": 8, "essential": false, "user": "1:2", "workingDirectory": "/w",
            "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": -1}],
            "mountPoints": [{"sourceVolume": "v", "containerPath": "/v", "readOnly": true},
                {"sourceVolume": "t", "containerPath": "/t"}],
            "portMappings": [{"containerPort": 80, "hostPort": 8080, "protocol": "udp"}, {"containerPort": 81}],
            "startTimeout": 5, "stopTimeout": 0, "readonlyRootFilesystem": true, "privileged": true,
            "resourceRequirements": [{"type": "GPU", "value": "1"}], "dockerLabels": {"l": "m"},
            "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1k", "max-file": "9"}},
        });
        let over =
            serde_json::json!({"command": ["c"], "environment": [{"name": "B", "value": "2"}], "memory": 10});
        let rest = serde_json::json!({"cpu": 100, "memory": 20, "startedBy": "me", "enableExecuteCommand": true,
            "volumes": [{"name": "v", "host": {"sourcePath": "/h"}}, {"name": "t"}]});
        let mut full = spec(definition, over, rest);
        full.containers[0].gpu_ids = vec!["GPU-1".to_owned()];
        let none = serde_json::json!({});
        let mut edges = full.clone();
        for (name, condition) in [("web", "START"), ("init", "SUCCESS")] {
            let mut other = edges.containers[0].clone();
            other.definition = serde_json::from_value(serde_json::json!({
                "name": name, "image": "b", "essential": false}))
            .unwrap();
            other.gpu_ids.clear();
            edges.containers.push(other);
            let edge = ecs::ContainerDependency {
                container_name: Some(name.to_owned()),
                condition: Some(condition.to_owned()),
            };
            edges.containers[0]
                .definition
                .depends_on
                .get_or_insert_default()
                .push(edge);
        }
        for spec in [full, edges, spec(none.clone(), none.clone(), none)] {
            let task = resolve(&sample::arn(1), &spec, &Rules::default()).unwrap();
            let back = unresolve(&task);
            let wire: TaskSpec = serde_json::from_value(serde_json::to_value(&back).unwrap()).unwrap();
            let again = resolve(&sample::arn(1), &wire, &Rules::default()).unwrap();
            assert_eq!(again, task);
        }
    }
}
