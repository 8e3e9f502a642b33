//! Clusters, task definitions, tags and pages.

use serde_json::{Value, json};

use crate::testing::{Node, World, code, refusal, text};

#[tokio::test]
async fn the_default_cluster_is_there_from_the_first_start() {
    let mut world = World::new().await;
    let shown = world.ecs("DescribeClusters", json!({})).await.unwrap();
    assert_eq!(shown["clusters"][0]["clusterName"], "default");
    world
        .ecs("DeleteCluster", json!({"cluster": "default"}))
        .await
        .unwrap();
    world.restart().await;
    let shown = world.ecs("DescribeClusters", json!({})).await.unwrap();
    assert_eq!(
        shown["clusters"][0]["status"], "INACTIVE",
        "what was deleted stays so"
    );
}

#[tokio::test]
async fn creating_is_idempotent_and_brings_a_deleted_cluster_back() {
    let world = World::new().await;
    let create = async |tags: Value| {
        world
            .ecs("CreateCluster", json!({"clusterName": "c", "tags": tags}))
            .await
            .unwrap()["cluster"]
            .take()
    };
    let first = create(json!([{"key": "k", "value": "1"}])).await;
    assert_eq!(create(json!([])).await, first);
    let deleted = world.ecs("DeleteCluster", json!({"cluster": "c"})).await.unwrap();
    assert_eq!(deleted["cluster"]["status"], "INACTIVE");
    let run = world
        .ecs("RunTask", json!({"cluster": "c", "taskDefinition": "f"}))
        .await;
    assert_eq!(
        refusal(run),
        (
            "ClientException".into(),
            "The referenced cluster was inactive.".into()
        )
    );
    let back = create(json!([])).await;
    assert_eq!(
        (&back["status"], &back["clusterArn"]),
        (&json!("ACTIVE"), &first["clusterArn"])
    );
    assert_eq!(back["tags"], json!([]));
    assert_eq!(
        code(world.ecs("DeleteCluster", json!({"cluster": "x"})).await),
        "ClusterNotFoundException"
    );
    assert_eq!(
        code(world.ecs("CreateCluster", json!({"clusterName": "-"})).await),
        "InvalidParameterException"
    );
    let refused = world
        .ecs("CreateCluster", json!({"capacityProviders": ["FARGATE"]}))
        .await;
    assert!(
        refusal(refused)
            .1
            .starts_with("capacityProviders is not supported")
    );
}

#[tokio::test]
async fn a_cluster_with_instances_or_tasks_stays() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    let delete = async || world.ecs("DeleteCluster", json!({"cluster": "default"})).await;
    assert_eq!(code(delete().await), "ClusterContainsContainerInstancesException");
    node.poll(&world).await;
    let body = json!({"containerInstance": node.arn, "force": true});
    world.ecs("DeregisterContainerInstance", body).await.unwrap();
    assert!(delete().await.is_ok());
}

#[tokio::test]
async fn pages_go_through_everything_once() {
    let world = World::new().await;
    for index in 0..5 {
        world
            .ecs("CreateCluster", json!({"clusterName": format!("c{index}")}))
            .await
            .unwrap();
    }
    let (mut seen, mut token, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let page = world
            .ecs("ListClusters", json!({"maxResults": 2, "nextToken": token}))
            .await
            .unwrap();
        seen.extend(page["clusterArns"].as_array().unwrap().iter().map(text));
        pages += 1;
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (6, 3));
    assert!(seen.is_sorted());

    let first = world.ecs("ListClusters", json!({"maxResults": 2})).await.unwrap();
    let foreign = world
        .ecs("ListTasks", json!({"nextToken": first["nextToken"]}))
        .await;
    assert_eq!(code(foreign), "InvalidParameterException");
    for bad in [
        json!({"nextToken": "x"}),
        json!({"maxResults": 0}),
        json!({"maxResults": 101}),
    ] {
        assert_eq!(
            code(world.ecs("ListClusters", bad).await),
            "InvalidParameterException"
        );
    }
}

#[tokio::test]
async fn definitions_count_up_and_go_inactive() {
    let world = World::new().await;
    for _ in 0..2 {
        world.define("f", 1, 16).await;
    }
    world.define("g", 1, 16).await;
    let describe = async |name: &str| {
        world
            .ecs("DescribeTaskDefinition", json!({"taskDefinition": name}))
            .await
    };
    assert_eq!(describe("f").await.unwrap()["taskDefinition"]["revision"], 2);
    let list = async |body: Value| {
        world.ecs("ListTaskDefinitions", body).await.unwrap()["taskDefinitionArns"].take()
    };
    let arn = |name: &str| format!("arn:aws:ecs:us-east-1:000000000000:task-definition/{name}");
    assert_eq!(list(json!({})).await, json!([arn("f:1"), arn("f:2"), arn("g:1")]));
    assert_eq!(
        list(json!({"sort": "DESC", "familyPrefix": "f"})).await,
        json!([arn("f:2"), arn("f:1")])
    );
    let page = world
        .ecs("ListTaskDefinitions", json!({"maxResults": 2}))
        .await
        .unwrap();
    assert_eq!(
        list(json!({"nextToken": page["nextToken"]})).await,
        json!([arn("g:1")])
    );

    let deregister = async |name: &str| {
        world
            .ecs("DeregisterTaskDefinition", json!({"taskDefinition": name}))
            .await
    };
    assert_eq!(refusal(deregister("f").await).1, "Revision is missing.");
    assert_eq!(
        refusal(deregister("f:9").await).1,
        "Unable to describe task definition."
    );
    let gone = deregister("f:2").await.unwrap();
    assert_eq!(gone["taskDefinition"]["status"], "INACTIVE");
    assert_eq!(deregister("f:2").await.unwrap(), gone);
    assert_eq!(describe("f").await.unwrap()["taskDefinition"]["revision"], 1);
    assert_eq!(
        describe("f:2").await.unwrap()["taskDefinition"]["status"],
        "INACTIVE"
    );
    deregister("f:1").await.unwrap();
    assert_eq!(code(describe("f").await), "ClientException");
    world.define("f", 1, 16).await;
    assert_eq!(describe("f").await.unwrap()["taskDefinition"]["revision"], 3);

    deregister("f:3").await.unwrap();
    let families =
        async |body: Value| world.ecs("ListTaskDefinitionFamilies", body).await.unwrap()["families"].take();
    assert_eq!(families(json!({})).await, json!(["f", "g"]));
    assert_eq!(families(json!({"status": "ACTIVE"})).await, json!(["g"]));
    assert_eq!(families(json!({"status": "INACTIVE"})).await, json!(["f"]));
    assert_eq!(families(json!({"familyPrefix": "g"})).await, json!(["g"]));
}

#[tokio::test]
async fn tags_are_set_read_and_taken_away() {
    let world = World::new().await;
    world.define("f", 1, 16).await;
    let definition = "arn:aws:ecs:us-east-1:000000000000:task-definition/f:1";
    for arn in ["arn:aws:ecs:us-east-1:000000000000:cluster/default", definition] {
        let tags = async || {
            world
                .ecs("ListTagsForResource", json!({"resourceArn": arn}))
                .await
                .unwrap()["tags"]
                .take()
        };
        let set =
            json!({"resourceArn": arn, "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]});
        world.ecs("TagResource", set).await.unwrap();
        world
            .ecs(
                "TagResource",
                json!({"resourceArn": arn, "tags": [{"key": "a", "value": "3"}]}),
            )
            .await
            .unwrap();
        world
            .ecs(
                "UntagResource",
                json!({"resourceArn": arn, "tagKeys": ["b", "none"]}),
            )
            .await
            .unwrap();
        assert_eq!(tags().await, json!([{"key": "a", "value": "3"}]));
        let reserved = json!({"resourceArn": arn, "tags": [{"key": "aws:x", "value": "3"}]});
        assert_eq!(
            code(world.ecs("TagResource", reserved).await),
            "InvalidParameterException"
        );
    }
    let described = json!({"taskDefinition": "f", "include": ["TAGS"]});
    let shown = world.ecs("DescribeTaskDefinition", described).await.unwrap();
    assert_eq!(shown["tags"], json!([{"key": "a", "value": "3"}]));
    let bad = world
        .ecs("ListTagsForResource", json!({"resourceArn": "x"}))
        .await;
    assert_eq!(refusal(bad).1, "The ARN provided is invalid.");
}
