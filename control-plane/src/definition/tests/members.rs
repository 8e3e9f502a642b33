use serde_json::json;

use super::*;

#[test]
fn members_that_do_not_work_yet_are_refused_by_name() {
    for (member, value) in [
        (
            "repositoryCredentials.credentialsParameter",
            json!({"credentialsParameter": "x"}),
        ),
        ("links", json!(["db"])),
        ("volumesFrom", json!([{"sourceContainer": "x"}])),
        (
            "linuxParameters.initProcessEnabled",
            json!({"initProcessEnabled": true}),
        ),
        (
            "linuxParameters.capabilities.add",
            json!({"capabilities": {"add": ["NET_ADMIN"], "drop": []}}),
        ),
        ("secrets", json!([{"name": "n", "valueFrom": "v"}])),
        ("versionConsistency", json!("enabled")),
        ("hostname", json!("h")),
        ("disableNetworking", json!(true)),
        ("dnsServers", json!(["1.1.1.1"])),
        ("dnsSearchDomains", json!(["x"])),
        ("extraHosts", json!([{"hostname": "h", "ipAddress": "1.1.1.1"}])),
        ("dockerSecurityOptions", json!(["no-new-privileges"])),
        ("interactive", json!(true)),
        ("pseudoTerminal", json!(true)),
        ("healthCheck.command", json!({"command": ["CMD", "true"]})),
        ("systemControls", json!([{"namespace": "n", "value": "v"}])),
        ("firelensConfiguration.type", json!({"type": "fluentbit"})),
        ("credentialSpecs", json!(["x"])),
        ("portMappings.name", json!([{"containerPort": 1, "name": "n"}])),
        (
            "portMappings.containerPortRange",
            json!([{"containerPortRange": "1-2"}]),
        ),
        (
            "logConfiguration.secretOptions",
            json!({"logDriver": "json-file", "secretOptions": [{"name": "n"}]}),
        ),
    ] {
        let name = member.split('.').next().unwrap();
        refused(
            json!({name: value}),
            json!({}),
            &format!("'{member}' of container 'web'"),
        );
    }
}

#[test]
fn members_of_the_task_level_likewise() {
    for (member, value) in [
        ("taskRoleArn", json!("r")),
        ("executionRoleArn", json!("r")),
        (
            "placementConstraints",
            json!([{"type": "memberOf", "expression": "x"}]),
        ),
        ("pidMode", json!("host")),
        ("ipcMode", json!("host")),
        ("proxyConfiguration.containerName", json!({"containerName": "x"})),
        (
            "inferenceAccelerators",
            json!([{"deviceName": "d", "deviceType": "t"}]),
        ),
        ("ephemeralStorage.sizeInGiB", json!({"sizeInGiB": 21})),
        (
            "runtimePlatform.cpuArchitecture",
            json!({"cpuArchitecture": "ARM64"}),
        ),
        ("enableFaultInjection", json!(true)),
    ] {
        let name = member.split('.').next().unwrap();
        refused(
            json!({}),
            json!({name: value}),
            &format!("'{member}' of the task definition"),
        );
    }
    let docker = json!([{"name": "v", "dockerVolumeConfiguration": {"scope": "task"}}]);
    refused(
        json!({}),
        json!({"volumes": docker}),
        "'dockerVolumeConfiguration.scope' of volume 'v'",
    );
}

#[test]
fn members_that_say_nothing_are_let_through() {
    taken(
        json!({"links": [], "secrets": [], "dependsOn": [], "interactive": false, "hostname": "", "systemControls": [],
            "restartPolicy": {"enabled": false}, "volumesFrom": [], "versionConsistency": "disabled",
            "linuxParameters": {"capabilities": {"add": [], "drop": []}, "devices": [], "initProcessEnabled": false}}),
        json!({"placementConstraints": [], "taskRoleArn": "", "inferenceAccelerators": [], "networkMode": "",
            "enableFaultInjection": false, "cpu": "", "memory": ""}),
    );
}

#[test]
fn the_task_level_keeps_to_its_rules() {
    for (definition, says) in [
        (json!({"family": ""}), "Family can not be blank."),
        (json!({"family": null}), "Family can not be blank."),
        (json!({"family": "a b"}), "Family contains invalid characters."),
        (json!({"family": "f".repeat(256)}), "at most 255"),
        (
            json!({"containerDefinitions": []}),
            "Container list cannot be empty.",
        ),
        (
            json!({"containerDefinitions": vec![json!({}); 11]}),
            "Too many containers.",
        ),
        (
            json!({"requiresCompatibilities": ["FARGATE", "EXTERNAL"]}),
            "'FARGATE' isn't supported",
        ),
        (
            json!({"requiresCompatibilities": ["EC2"]}),
            "must contain EXTERNAL",
        ),
        (
            json!({"networkMode": "awsvpc"}),
            "'awsvpc' is not supported with EXTERNAL",
        ),
        (json!({"cpu": "much"}), "Invalid 'cpu' setting for task."),
        (json!({"memory": "much"}), "Invalid 'memory' setting for task."),
        (
            json!({"memory": "32"}),
            "must not be greater than the task 'memory'",
        ),
        (
            json!({"volumes": [{"host": {"sourcePath": "/x"}}]}),
            "Volume.name should not be null or empty.",
        ),
        (json!({"volumes": [{"name": "v"}]}), "host.sourcePath"),
        (
            json!({"volumes": [{"name": "v", "host": {"sourcePath": "x"}}]}),
            "must be an absolute path",
        ),
        (
            json!({"volumes": vec![json!({"name": "v", "host": {"sourcePath": "/x"}}); 2]}),
            "more than once",
        ),
    ] {
        refused(json!({}), definition, says);
    }
    refused(
        json!({"command": ["x".repeat(MAX_DEFINITION_BYTES)]}),
        json!({}),
        "Max allowed length is '65536'",
    );
    taken(json!({}), json!({"requiresCompatibilities": ["EC2", "EXTERNAL"]}));
}
