use std::path::PathBuf;
use std::time::Duration;

use longshore_protocol::arn::ContainerArn;
use proptest::prelude::*;

use super::super::parts::{amount, environment, size};
use super::*;
use crate::model::{PortMapping, Protocol, Ulimit, VolumeSource, sample};

fn pair(name: &str, value: &str) -> ecs::KeyValuePair {
    ecs::KeyValuePair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    }
}

/// A task as JSON has it: one container `app`, its definition and override, and members of the task besides.
pub(crate) fn spec(
    definition: serde_json::Value,
    over: serde_json::Value,
    rest: serde_json::Value,
) -> TaskSpec {
    let mut definition = definition;
    let mut over = over;
    let fill = |object: &mut serde_json::Value, member: &str, value: &str| {
        object
            .as_object_mut()
            .unwrap()
            .entry(member)
            .or_insert_with(|| value.into());
    };
    fill(&mut definition, "name", "app");
    fill(&mut definition, "image", "busybox");
    fill(&mut over, "name", "app");
    let sample = sample::task(vec![sample::container("app", true)]);
    let container_arn: &ContainerArn = &sample.containers[0].arn;
    let mut json = serde_json::json!({
        "clusterArn": sample.cluster_arn, "taskDefinitionArn": sample.definition_arn, "createdAt": 1.5,
        "group": "family:f", "networkMode": "bridge",
        "containers": [{"containerArn": container_arn, "definition": definition}],
        "overrides": {"containerOverrides": [over]},
    });
    for (member, value) in rest.as_object().unwrap() {
        json.as_object_mut()
            .unwrap()
            .insert(member.clone(), value.clone());
    }
    serde_json::from_value(json).unwrap()
}

fn resolved(definition: serde_json::Value, over: serde_json::Value) -> Result<ResolvedTask, InvalidTask> {
    resolve(
        &sample::arn(1),
        &spec(definition, over, serde_json::json!({})),
        &Rules::default(),
    )
}

fn only(definition: serde_json::Value) -> Result<ResolvedContainer, InvalidTask> {
    resolved(definition, serde_json::json!({})).map(|mut task| task.containers.remove(0))
}

proptest! {
    #[test]
    fn environment_merges_by_name_and_the_override_wins(
        defined in proptest::collection::vec(("[A-D]", "[a-z]{0,3}"), 0..6),
        given in proptest::collection::vec(("[A-F]", "[a-z]{0,3}"), 0..6),
    ) {
        let list = |pairs: &[(String, String)]| Some(pairs.iter().map(|(name, value)| pair(name, value)).collect());
        let definition = ecs::ContainerDefinition { environment: list(&defined), ..Default::default() };
        let over = ecs::ContainerOverride { environment: list(&given), ..Default::default() };
        let merged = environment(&definition, &over, "").unwrap();
        let mut expected = std::collections::BTreeMap::new();
        expected.extend(defined);
        expected.extend(given);
        prop_assert_eq!(merged.len(), expected.len(), "each name is there once");
        for (name, value) in merged {
            prop_assert_eq!(expected.get(&name), Some(&value));
        }
    }

    #[test]
    fn amounts_and_sizes_never_panic(text in "[0-9.kKmMgGbB vVcCpPuU]{0,14}") {
        let _ = amount(Some(&text), None, "cpu", "vCPU");
        let _ = size(&text);
    }
}

#[test]
fn overrides_win_member_by_member() {
    let task = resolved(
        serde_json::json!({
            "command": ["a"], "entryPoint": ["e"], "cpu": 10, "memory": 64, "memoryReservation": 32,
            "environmentFiles": [{"value": "file:///etc/a", "type": "s3"}], "stopTimeout": 5, "user": "1:2",
            "essential": false, "readonlyRootFilesystem": true, "workingDirectory": "/w",
            "dockerLabels": {"k": "v"}, "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": -1}],
        }),
        serde_json::json!({
            "command": ["b", "c"], "memory": 128,
            "environmentFiles": [{"value": "file:///etc/b", "type": "s3"}],
        }),
    )
    .unwrap();
    let app = &task.containers[0];
    assert_eq!(app.command, Some(vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!(app.entry_point, Some(vec!["e".to_owned()]));
    assert_eq!(
        (app.cpu, app.memory, app.memory_reservation),
        (10, Some(128), Some(32))
    );
    assert_eq!(app.environment_files, [PathBuf::from("/etc/b")]);
    assert_eq!(app.stop_timeout, Some(Duration::from_secs(5)));
    assert_eq!((app.essential, app.readonly_root_filesystem), (false, true));
    assert_eq!(
        app.ulimits,
        [Ulimit {
            name: "nofile".into(),
            soft: 1,
            hard: -1
        }]
    );
    assert_eq!(app.docker_labels["k"], "v");
    assert_eq!(task.created_at_millis, 1500);
}

#[test]
fn what_is_not_said_has_ecs_defaults() {
    let app = only(serde_json::json!({"cpu": 0, "memory": 0, "command": null})).unwrap();
    assert_eq!(
        (app.cpu, app.memory, app.command, app.essential),
        (0, None, None, true)
    );
    assert_eq!((app.log.max_size, app.log.max_file), (10 * 1024 * 1024, 3));
    assert_eq!(app.stop_timeout, None);
}

#[test]
fn task_level_amounts_are_read_in_every_form() {
    for (text, value) in [
        ("256", 256),
        (".25 vCPU", 256),
        ("0.5vcpu", 512),
        ("2 vCPU", 2048),
    ] {
        assert_eq!(
            amount(Some(text), Some(7), "cpu", "vCPU").unwrap(),
            Some(value),
            "{text}"
        );
    }
    assert_eq!(amount(Some("1 GB"), None, "memory", "GB").unwrap(), Some(1024));
    assert_eq!(amount(None, Some(7), "cpu", "vCPU").unwrap(), Some(7));
    assert_eq!(amount(None, Some(0), "cpu", "vCPU").unwrap(), None);
    for text in ["x", "0", "-1", "1 XB", ". vCPU", "1.2345 vCPU"] {
        let error = amount(Some(text), None, "cpu", "vCPU").unwrap_err().to_string();
        assert!(error.starts_with("overrides.cpu is"), "{error}");
    }
}

#[test]
fn ports_volumes_and_logs_are_read() {
    let definition = serde_json::json!({
        "portMappings": [{"containerPort": 80}, {"containerPort": 53, "hostPort": 5353, "protocol": "udp"}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/in", "readOnly": true}],
        "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1k", "max-file": "5"}},
    });
    let rest = serde_json::json!({"volumes": [{"name": "v", "host": {"sourcePath": "/out"}}, {"name": "w"}]});
    let spec = spec(definition, serde_json::json!({}), rest);
    let task = resolve(&sample::arn(1), &spec, &Rules::default()).unwrap();
    let app = &task.containers[0];
    let mapping = |container_port, host_port, protocol| PortMapping {
        container_port,
        host_port,
        protocol,
    };
    assert_eq!(
        app.port_mappings,
        [
            mapping(80, None, Protocol::Tcp),
            mapping(53, Some(5353), Protocol::Udp)
        ]
    );
    assert_eq!((app.log.max_size, app.log.max_file), (1024, 5));
    assert_eq!(task.volumes[0].source, VolumeSource::Host("/out".into()));
    assert_eq!(task.volumes[1].source, VolumeSource::Task);
    assert!(app.mount_points[0].read_only);
}

#[test]
fn gpus_are_what_was_asked_for() {
    let gpu = |count: &str| serde_json::json!([{"type": "GPU", "value": count}]);
    let definition = serde_json::json!({"resourceRequirements": gpu("1")});
    let mut spec = spec(
        definition,
        serde_json::json!({"resourceRequirements": gpu("2")}),
        serde_json::json!({}),
    );
    let error = resolve(&sample::arn(1), &spec, &Rules::default()).unwrap_err();
    assert!(matches!(error, InvalidTask::Value { .. }), "{error}");
    spec.containers[0].gpu_ids = vec!["GPU-1".to_owned(), "GPU-2".to_owned()];
    let task = resolve(&sample::arn(1), &spec, &Rules::default()).unwrap();
    assert_eq!(task.containers[0].gpu_ids, ["GPU-1", "GPU-2"]);
}

#[test]
fn what_cant_be_done_is_refused_by_name() {
    let refused = |definition: serde_json::Value| only(definition).unwrap_err().to_string();
    for (definition, text) in [
        (
            serde_json::json!({"links": ["db"]}),
            "containerDefinitions[app].links is not supported",
        ),
        (
            serde_json::json!({"secrets": [{"name": "a", "valueFrom": "b"}]}),
            "containerDefinitions[app].secrets is",
        ),
        (
            serde_json::json!({"dependsOn": [{"containerName": "a", "condition": "START"}]}),
            "containerDefinitions[app].dependsOn.containerName is",
        ),
        (
            serde_json::json!({"image": ""}),
            "containerDefinitions[app].image is missing",
        ),
        (
            serde_json::json!({"cpu": -1}),
            "containerDefinitions[app].cpu is \"-1\": it can't be negative",
        ),
        (
            serde_json::json!({"stopTimeout": -1}),
            "containerDefinitions[app].stopTimeout is \"-1\"",
        ),
        (
            serde_json::json!({"portMappings": [{"containerPort": 70000}]}),
            "containerDefinitions[app].portMappings.containerPort is",
        ),
        (
            serde_json::json!({"portMappings": [{"hostPort": 1}]}),
            "containerDefinitions[app].portMappings.containerPort is missing",
        ),
        (
            serde_json::json!({"portMappings": [{"containerPortRange": "1-2"}]}),
            "containerDefinitions[app].portMappings.containerPortRange is not",
        ),
        (
            serde_json::json!({"portMappings": [{"containerPort": 1, "protocol": "sctp"}]}),
            "containerDefinitions[app].portMappings.protocol is",
        ),
        (
            serde_json::json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/a"}]}),
            "containerDefinitions[app].mountPoints.sourceVolume is",
        ),
        (
            serde_json::json!({"environmentFiles": [{"value": "arn:aws:s3:::b/k", "type": "s3"}]}),
            "containerDefinitions[app].environmentFiles.value is",
        ),
        (
            serde_json::json!({"logConfiguration": {"logDriver": "syslog"}}),
            "containerDefinitions[app].logConfiguration.logDriver is",
        ),
        (
            serde_json::json!({"logConfiguration": {"logDriver": "json-file", "options": {"tag": "x"}}}),
            "containerDefinitions[app].logConfiguration.options.tag is not",
        ),
        (
            serde_json::json!({"logConfiguration": {"logDriver": "json-file", "options": {"max-file": "0"}}}),
            "containerDefinitions[app].logConfiguration.options.max-file is",
        ),
        (serde_json::json!({"name": "a b"}), "containerDefinitions.name is"),
        (
            serde_json::json!({"environment": [{"name": "A=B", "value": ""}]}),
            "containerDefinitions[app].environment is",
        ),
    ] {
        let error = refused(definition);
        assert!(error.starts_with(text), "{error}");
    }
    // What asks for nothing is not refused.
    only(serde_json::json!({"links": [], "secrets": [], "interactive": false, "hostname": ""})).unwrap();
}

#[test]
fn the_nodes_rules_and_the_tasks_own_are_kept() {
    let privileged = spec(
        serde_json::json!({"privileged": true}),
        serde_json::json!({}),
        serde_json::json!({}),
    );
    let rules = Rules {
        disable_privileged: true,
    };
    let error = resolve(&sample::arn(1), &privileged, &rules)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not run privileged containers"), "{error}");
    assert!(resolve(&sample::arn(1), &privileged, &Rules::default()).is_ok());
    let refused = |over: serde_json::Value, rest: serde_json::Value| {
        let spec = spec(serde_json::json!({"memory": 300}), over, rest);
        resolve(&sample::arn(1), &spec, &Rules::default())
            .unwrap_err()
            .to_string()
    };
    let nothing = serde_json::json!({});
    let text = refused(nothing.clone(), serde_json::json!({"memory": 256}));
    assert!(text.contains("more than the task's memory"), "{text}");
    let text = refused(serde_json::json!({"name": "other"}), nothing.clone());
    assert!(text.contains("no such container"), "{text}");
    let text = refused(
        nothing.clone(),
        serde_json::json!({"overrides": {"taskRoleArn": "x"}}),
    );
    assert_eq!(
        text,
        "overrides.taskRoleArn is not supported by this agent: leave it out, or run a later agent"
    );
    let text = refused(
        nothing.clone(),
        serde_json::json!({"volumes": [{"name": "v", "host": {"sourcePath": "rel"}}]}),
    );
    assert!(text.starts_with("volumes[v].host.sourcePath is"), "{text}");
    let text = refused(nothing, serde_json::json!({"containers": []}));
    assert!(text.starts_with("containerDefinitions is \"0\""), "{text}");
    let host = spec(
        serde_json::json!({"portMappings": [{"containerPort": 80, "hostPort": 81}]}),
        serde_json::json!({}),
        serde_json::json!({"networkMode": "host"}),
    );
    let text = resolve(&sample::arn(1), &host, &Rules::default())
        .unwrap_err()
        .to_string();
    assert!(text.contains("on the host's network"), "{text}");
}
