use serde_json::json;

use super::*;

/// A definition of `web`, which is essential, `init`, which isn't, and `db`, with these edges of `web` and of `init`.
fn with_edges(web: Value, init: Value) -> ecs::RegisterTaskDefinitionRequest {
    let container = |name: &str, essential: bool, edges: Value| json!({"name": name, "image": "busybox", "memory": 16, "essential": essential, "dependsOn": edges});
    let containers = json!([
        container("web", true, web),
        container("init", false, init),
        container("db", true, json!([])),
    ]);
    request(json!({}), json!({"containerDefinitions": containers}))
}

fn edge(name: &str, condition: &str) -> Value {
    json!({"containerName": name, "condition": condition})
}

#[test]
fn edges_are_taken_and_shown_and_ask_for_a_node_that_keeps_them() {
    let edges = json!([edge("init", "SUCCESS"), edge("db", "START")]);
    let mut request = with_edges(edges.clone(), json!([edge("db", "START")]));
    request.container_definitions.as_mut().unwrap()[1].start_timeout = Some(2);
    let definition = register(&request).unwrap().task_definition;
    let shown = serde_json::to_value(container(&definition)).unwrap();
    assert_eq!(shown["dependsOn"], edges);
    let names = |definition: &ecs::TaskDefinition| {
        let names = definition.requires_attributes.iter().flatten();
        names.filter_map(|each| each.name.clone()).collect::<Vec<_>>()
    };
    let ordering = "ecs.capability.container-ordering".to_owned();
    assert!(names(&definition).contains(&ordering));
    assert!(!names(&taken(json!({"dependsOn": []}), json!({}))).contains(&ordering));
}

#[test]
fn edges_that_cant_be_kept_are_refused_in_ecs_words() {
    let none = || json!([]);
    for (web, init, says) in [
        (
            json!([edge("nobody", "START")]),
            none(),
            "Cannot depend on container + 'nobody' because it does not exist",
        ),
        (json!([edge("web", "START")]), none(), "'web' depends on itself"),
        (
            json!([edge("init", "START")]),
            json!([edge("web", "START")]),
            "Container dependencies should not have a cycle",
        ),
        (
            json!([edge("db", "SUCCESS")]),
            none(),
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
        ),
        (
            json!([edge("db", "COMPLETE")]),
            none(),
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
        ),
        (
            json!([edge("db", "HEALTHY")]),
            none(),
            "needs a 'healthCheck' of container 'db'",
        ),
        (
            json!([edge("db", "READY")]),
            none(),
            "should be one of [START,COMPLETE,SUCCESS,HEALTHY], but is \"READY\"",
        ),
    ] {
        let refusal = register(&with_edges(web, init)).unwrap_err();
        assert_eq!(refusal.code, "ClientException");
        assert!(refusal.message.contains(says), "{refusal}");
    }
}

#[test]
fn timeouts_are_whole_seconds_with_ecs_least() {
    for (timeouts, says) in [
        (json!({"startTimeout": 1}), "'startTimeout' must be at least 2"),
        (json!({"startTimeout": -5}), "'startTimeout' must be at least 2"),
        (json!({"stopTimeout": -1}), "'stopTimeout' must not be negative"),
    ] {
        refused(timeouts, json!({}), says);
    }
    taken(json!({"startTimeout": 2, "stopTimeout": 0}), json!({}));
}
