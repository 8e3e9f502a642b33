use serde_json::{Value, json};

use super::*;

#[test]
fn a_container_keeps_to_its_rules() {
    for (container, says) in [
        (json!({"name": ""}), "Container.name should not be null or empty."),
        (
            json!({"name": "a.b"}),
            "Container.name contains invalid characters.",
        ),
        (
            json!({"image": null}),
            "Container.image should not be null or empty.",
        ),
        (json!({"image": "i".repeat(256)}), "at most 255"),
        (json!({"image": "a\0b"}), "'image' must not contain NUL"),
        (
            json!({"command": ["sh", "a\0b"]}),
            "'command' must not contain NUL",
        ),
        (
            json!({"entryPoint": ["a\0b"]}),
            "'entryPoint' must not contain NUL",
        ),
        (json!({"user": "a\0b"}), "'user' must not contain NUL"),
        (json!({"cpu": -1}), "'cpu' must not be negative"),
        (
            json!({"memory": null}),
            "At least one of 'memory' or 'memoryReservation' must be specified.",
        ),
        (
            json!({"memory": 5}),
            "Invalid setting for container 'web'. The 'memory' must be at least 6 MiB.",
        ),
        (
            json!({"memory": null, "memoryReservation": 5}),
            "'memoryReservation' must be at least 6",
        ),
        (
            json!({"memoryReservation": 65}),
            "must not be greater than the 'memory'",
        ),
        (json!({"stopTimeout": -1}), "'stopTimeout' must not be negative"),
        (json!({"essential": false}), "at least one essential container"),
    ] {
        refused(container, json!({}), says);
    }
}

#[test]
fn what_a_container_gets_keeps_to_its_rules() {
    for (container, says) in [
        (json!({"environment": [{"value": "x"}]}), "name must not be empty"),
        (
            json!({"environment": [{"name": "a=b", "value": "x"}]}),
            "name must not be empty",
        ),
        (
            json!({"environmentFiles": [{"value": "arn:aws:s3:::b/k.env", "type": "s3"}]}),
            "file:///absolute/path",
        ),
        (
            json!({"environmentFiles": [{"value": "file://rel", "type": "s3"}]}),
            "file:///absolute/path",
        ),
        (
            json!({"environmentFiles": [{"value": "file:///x", "type": "ftp"}]}),
            "one of [s3]",
        ),
        (
            json!({"ulimits": [{"name": "x", "softLimit": 1, "hardLimit": 1}]}),
            "should be one of [core,",
        ),
        (
            json!({"ulimits": [{"name": "core", "softLimit": 2, "hardLimit": 1}]}),
            "not be greater than its 'hardLimit'",
        ),
        (
            json!({"ulimits": [{"name": "core", "softLimit": -1, "hardLimit": 1}]}),
            "not be greater than its 'hardLimit'",
        ),
        (
            json!({"ulimits": vec![json!({"name": "core", "softLimit": 1, "hardLimit": 1}); 2]}),
            "more than once",
        ),
        (
            json!({"workingDirectory": "rel"}),
            "workingDirectory of container 'web' must be an absolute path",
        ),
        (
            json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}),
            "Unknown volume 'v'.",
        ),
        (
            json!({"logConfiguration": {"logDriver": "awslogs"}}),
            "Log driver 'awslogs' isn't supported yet.",
        ),
        (
            json!({"logConfiguration": {"logDriver": "json-file", "options": {"labels": "x"}}}),
            "Option 'labels'",
        ),
        (
            json!({"logConfiguration": {"logDriver": "json-file", "options": {"max-file": "0"}}}),
            "at least 1",
        ),
        (
            json!({"logConfiguration": {"logDriver": "json-file", "options": {"max-size": "-1"}}}),
            "such as 10m",
        ),
        (
            json!({"resourceRequirements": [{"type": "GPU", "value": "0"}]}),
            "at least 1",
        ),
        (
            json!({"resourceRequirements": [{"type": "InferenceAccelerator", "value": "d"}]}),
            "isn't supported yet",
        ),
    ] {
        refused(container, json!({}), says);
    }
}

#[test]
fn ports_keep_to_their_rules() {
    let ports = |mappings: Value| json!({"portMappings": mappings});
    let same = json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "tcp"}]);
    let refusal = register(&request(ports(same), json!({}))).unwrap_err();
    assert_eq!(refusal.code, "InvalidParameterException");
    assert_eq!(
        refusal.message,
        "Container port 80 is used in more than one port mapping for container web"
    );
    for (mappings, mode, says) in [
        (
            json!([{"containerPort": 0}]),
            "bridge",
            "'containerPort' must be between 1",
        ),
        (
            json!([{"containerPort": 65536}]),
            "bridge",
            "'containerPort' must be between 1",
        ),
        (
            json!([{"containerPort": 1, "hostPort": -1}]),
            "bridge",
            "'hostPort' must be between 0",
        ),
        (
            json!([{"containerPort": 1, "protocol": "sctp"}]),
            "bridge",
            "one of [tcp,udp]",
        ),
        (json!([{"containerPort": 1}]), "none", "networkMode=none"),
        (
            json!([{"containerPort": 1, "hostPort": 2}]),
            "host",
            "When networkMode=host, the host ports",
        ),
        (
            json!([{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]),
            "bridge",
            "Host port 9/tcp",
        ),
    ] {
        refused(ports(mappings), json!({"networkMode": mode}), says);
    }
    // One number, two protocols.
    let both = json!([{"containerPort": 53, "hostPort": 53}, {"containerPort": 53, "hostPort": 53, "protocol": "udp"}]);
    taken(ports(both), json!({}));
    let host = taken(
        ports(json!([{"containerPort": 80}])),
        json!({"networkMode": "host"}),
    );
    assert_eq!(
        container(&host).port_mappings.as_ref().unwrap()[0].host_port,
        Some(80)
    );
}

#[test]
fn a_restart_policy_keeps_to_the_limits_of_ecs() {
    for (policy, says) in [
        (json!({"restartAttemptPeriod": 60}), "needs 'enabled'"),
        (
            json!({"enabled": true, "restartAttemptPeriod": 59}),
            "must be from 60 to 1800 seconds, but is 59",
        ),
        (
            json!({"enabled": true, "restartAttemptPeriod": 1801}),
            "but is 1801",
        ),
        (json!({"enabled": false, "restartAttemptPeriod": 0}), "but is 0"),
        (
            json!({"enabled": true, "ignoredExitCodes": vec![1; 51]}),
            "At most 50 'ignoredExitCodes'",
        ),
    ] {
        refused(json!({"restartPolicy": policy}), json!({}), says);
    }
    for policy in [
        json!({"enabled": true}),
        json!({"enabled": true, "restartAttemptPeriod": 60, "ignoredExitCodes": vec![0; 50]}),
        json!({"enabled": true, "restartAttemptPeriod": 1800, "ignoredExitCodes": []}),
        json!({"enabled": false}),
    ] {
        let definition = taken(json!({"restartPolicy": policy}), json!({}));
        let shown = serde_json::to_value(&container(&definition).restart_policy).unwrap();
        assert_eq!(shown, policy, "it is shown as it was given");
        let attributes = definition.requires_attributes.unwrap();
        let wanted =
            |each: &ecs::Attribute| each.name.as_deref() == Some("ecs.capability.container-restart-policy");
        assert_eq!(attributes.iter().any(wanted), policy["enabled"] == true);
    }
}
