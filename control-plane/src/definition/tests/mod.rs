use longshore_protocol::ecs;
use serde_json::{Value, json};

use super::*;

mod containers;
mod depends;
mod members;
mod overrides;

/// A definition of one container, with members of the container and of the definition replaced or added.
fn request(container: Value, definition: Value) -> ecs::RegisterTaskDefinitionRequest {
    let mut base = json!({"name": "web", "image": "busybox:1", "memory": 64});
    overlay(&mut base, container);
    let mut whole = json!({"family": "f", "containerDefinitions": [base]});
    overlay(&mut whole, definition);
    serde_json::from_value(whole).unwrap()
}

fn overlay(base: &mut Value, over: Value) {
    let Value::Object(members) = over else {
        panic!("an object is needed")
    };
    for (name, value) in members {
        base[name] = value;
    }
}

fn taken(container: Value, definition: Value) -> ecs::TaskDefinition {
    register(&request(container, definition)).unwrap().task_definition
}

#[track_caller]
fn refused(container: Value, definition: Value, says: &str) {
    let refusal = register(&request(container, definition)).unwrap_err();
    assert!(refusal.message.contains(says), "{refusal}");
}

fn container(definition: &ecs::TaskDefinition) -> &ecs::ContainerDefinition {
    &definition.container_definitions.as_ref().unwrap()[0]
}

#[test]
fn defaults_are_filled_in_and_given_values_kept() {
    let definition = taken(
        json!({"portMappings": [{"containerPort": 80}, {"containerPort": 53, "hostPort": 5353, "protocol": "udp"}],
            "command": [], "dockerLabels": {"a": "b"}}),
        json!({"cpu": "0.25 vCPU", "memory": "1 GB", "requiresCompatibilities": ["EXTERNAL"]}),
    );
    let web = container(&definition);
    let mappings = serde_json::to_value(&web.port_mappings).unwrap();
    assert_eq!(
        mappings,
        json!([
            {"containerPort": 80, "hostPort": 0, "protocol": "tcp"},
            {"containerPort": 53, "hostPort": 5353, "protocol": "udp"},
        ])
    );
    assert_eq!((web.cpu, web.essential), (Some(0), Some(true)));
    assert_eq!(
        (web.command.as_deref(), web.entry_point.as_deref()),
        (Some(&[][..]), None)
    );
    assert_eq!(web.environment, Some(vec![]));
    assert_eq!(
        (definition.cpu.as_deref(), definition.memory.as_deref()),
        (Some("256"), Some("1024"))
    );
    assert_eq!(definition.network_mode.as_deref(), Some("bridge"));
    assert_eq!(
        definition.compatibilities,
        Some(vec!["EXTERNAL".into(), "EC2".into()])
    );
    assert_eq!(definition.requires_compatibilities, Some(vec!["EXTERNAL".into()]));
    assert_eq!(
        (definition.volumes, definition.placement_constraints),
        (Some(vec![]), Some(vec![]))
    );
}

#[test]
fn what_is_shown_can_be_registered_again_and_shows_the_same() {
    let definition = taken(
        json!({"portMappings": [{"containerPort": 80}], "privileged": true, "cpu": 5, "stopTimeout": 100_000,
            "environmentFiles": [{"value": "file:///etc/app.env", "type": "s3"}],
            "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}),
        json!({"networkMode": "host", "volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}], "memory": "2GB"}),
    );
    let again = serde_json::from_value(serde_json::to_value(&definition).unwrap()).unwrap();
    assert_eq!(register(&again).unwrap().task_definition, definition);
}

#[test]
fn tags_are_answered_beside_the_definition() {
    let tags = json!([{"key": "k", "value": "v"}]);
    let definition = register(&request(json!({}), json!({"tags": tags}))).unwrap();
    assert_eq!(serde_json::to_value(&definition.tags).unwrap(), tags);
    refused(
        json!({}),
        json!({"tags": [{"key": "aws:k", "value": "v"}]}),
        "reserved",
    );
}

#[test]
fn needs_are_named_as_attributes() {
    let names = |definition: &ecs::TaskDefinition| -> Vec<_> {
        let attributes = definition.requires_attributes.as_ref().unwrap().iter();
        attributes.map(|each| each.name.clone().unwrap()).collect()
    };
    let basics = "com.amazonaws.ecs.capability.docker-remote-api.1.18";
    assert_eq!(names(&taken(json!({}), json!({}))), [basics]);
    let log = json!({"privileged": true, "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "1m"}}});
    assert_eq!(
        names(&taken(log, json!({"cpu": "12 vCPU"}))),
        [
            basics,
            "com.amazonaws.ecs.capability.logging-driver.json-file",
            "com.amazonaws.ecs.capability.privileged-container",
            "ecs.capability.increased-task-cpu-limit",
            "ecs.capability.task-cpu-mem-limit",
        ]
    );
}

#[test]
fn containers_are_judged_together() {
    let two = |second: Value, definition: Value| {
        let mut whole = definition;
        let mut other = json!({"name": "db", "image": "i", "memory": 64, "cpu": 200});
        overlay(&mut other, second);
        whole["containerDefinitions"] =
            json!([{"name": "web", "image": "i", "memory": 64, "cpu": 100}, other]);
        request(json!({}), whole)
    };
    register(&two(
        json!({"essential": false}),
        json!({"cpu": "300", "memory": "128"}),
    ))
    .unwrap();
    for (second, definition, says) in [
        (json!({"name": "web"}), json!({}), "'web' is used more than once"),
        (
            json!({}),
            json!({"cpu": "299"}),
            "The sum of all container 'cpu' values cannot be greater",
        ),
        (
            json!({}),
            json!({"memory": "127"}),
            "The sum of all container 'memory' values cannot be greater",
        ),
    ] {
        let refusal = register(&two(second, definition)).unwrap_err();
        assert!(refusal.message.contains(says), "{refusal}");
    }
}
