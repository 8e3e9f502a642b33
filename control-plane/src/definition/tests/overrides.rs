use serde_json::{Value, json};

use super::*;

fn overrides(json: Value) -> ecs::TaskOverride {
    serde_json::from_value(json).unwrap()
}

#[test]
fn overrides_are_laid_over_field_by_field() {
    let definition = taken(
        json!({"environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "command": ["a", "b"],
            "cpu": 10, "memoryReservation": 32, "resourceRequirements": [{"type": "GPU", "value": "2"}],
            "environmentFiles": [{"value": "file:///a", "type": "s3"}, {"value": "file:///b", "type": "s3"}]}),
        json!({"cpu": "256"}),
    );
    let overrides = overrides(
        json!({"memory": "1 GB", "containerOverrides": [{"name": "web", "command": ["c"],
        "environment": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}], "cpu": 20, "memory": 128,
        "environmentFiles": [{"value": "file:///c", "type": "s3"}],
        "resourceRequirements": [{"type": "GPU", "value": "1"}]}]}),
    );
    check_overrides(&definition, &overrides).unwrap();
    let task = effective(&definition, &overrides).unwrap();
    assert_eq!((task.task_cpu, task.task_memory), (Some(256), Some(1024)));
    assert_eq!((task.cpu(), task.memory()), (256, 1024));
    let web = serde_json::to_value(&task.containers[0]).unwrap();
    assert_eq!(web["command"], json!(["c"]));
    let merged =
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]);
    assert_eq!(web["environment"], merged);
    assert_eq!(
        (&web["cpu"], &web["memory"], &web["memoryReservation"]),
        (&json!(20), &json!(128), &json!(32))
    );
    assert_eq!(
        web["environmentFiles"],
        json!([{"value": "file:///c", "type": "s3"}])
    );
    assert_eq!(Effective::gpus(&task.containers[0]), 1);
    let plain = effective(&definition, &ecs::TaskOverride::default()).unwrap();
    assert_eq!(Some(plain.containers), definition.container_definitions);
}

#[test]
fn without_task_amounts_the_containers_are_summed() {
    let definition = taken(json!({"cpu": 7, "memoryReservation": 8}), json!({}));
    let task = effective(&definition, &ecs::TaskOverride::default()).unwrap();
    assert_eq!((task.cpu(), task.memory()), (7, 8));
}

#[track_caller]
fn refused_override(json: Value, says: &str) {
    let definition = taken(json!({}), json!({"memory": "64", "cpu": "256"}));
    let refusal = check_overrides(&definition, &overrides(json)).unwrap_err();
    assert_eq!(refusal.code, "InvalidParameterException");
    assert!(refusal.message.contains(says), "{refusal}");
}

#[test]
fn task_overrides_work_or_are_refused_by_name() {
    for (json, says) in [
        (
            json!({"taskRoleArn": "r"}),
            "'taskRoleArn' of the task override isn't supported yet",
        ),
        (
            json!({"executionRoleArn": "r"}),
            "'executionRoleArn' of the task override",
        ),
        (
            json!({"ephemeralStorage": {"sizeInGiB": 21}}),
            "'ephemeralStorage.sizeInGiB' of the task override",
        ),
        (
            json!({"inferenceAcceleratorOverrides": [{"deviceName": "d"}]}),
            "'inferenceAcceleratorOverrides'",
        ),
        (json!({"cpu": "much"}), "Invalid 'cpu' setting for task."),
        (
            json!({"cpu": format!("{}256", "0".repeat(30))}),
            "Invalid 'cpu' setting for task. It has 33 characters, of at most 32.",
        ),
        (
            json!({"memory": format!("64{}", " ".repeat(31))}),
            "Invalid 'memory' setting for task. It has 33 characters, of at most 32.",
        ),
        (
            json!({"memory": "32"}),
            "must not be greater than the task 'memory'",
        ),
    ] {
        refused_override(json, says);
    }
}

#[test]
fn container_overrides_keep_to_the_rules_of_registration() {
    for (json, says) in [
        (
            json!({"containerOverrides": [{"cpu": 1}]}),
            "name should not be null or empty",
        ),
        (
            json!({"containerOverrides": [{"name": "db"}]}),
            "Override for container named db is not a container in the TaskDefinition.",
        ),
        (
            json!({"containerOverrides": [{"name": "web"}, {"name": "web"}]}),
            "more than once",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "cpu": -1}]}),
            "'cpu' must not be negative",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "command": ["a\0"]}]}),
            "'command' must not contain NUL",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "cpu": 257}]}),
            "The sum of all container 'cpu' values",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "memory": 65}]}),
            "not be greater than the task 'memory'",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "memory": 5}]}),
            "at least 6",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "memoryReservation": 65}]}),
            "not be greater than the 'memory'",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "environment": [{"name": ""}]}]}),
            "must not be empty",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "environmentFiles": [{"value": "s3", "type": "s3"}]}]}),
            "isn't supported yet",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "resourceRequirements": [{"type": "GPU", "value": "x"}]}]}),
            "at least 1",
        ),
        (
            json!({"containerOverrides": [{"name": "web", "command": ["x".repeat(8200)]}]}),
            "Container Overrides length must be at most 8192",
        ),
    ] {
        refused_override(json, says);
    }
    let definition = taken(json!({}), json!({}));
    check_overrides(
        &definition,
        &overrides(json!({"inferenceAcceleratorOverrides": []})),
    )
    .unwrap();
}
