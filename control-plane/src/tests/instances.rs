//! Container instances: registration, states, what is left, deregistration.

use serde_json::{Value, json};

use crate::testing::{Node, World, code, instance_request, refusal, text};

fn resource<'a>(instance: &'a Value, which: &str, name: &str) -> &'a Value {
    let list = instance[which].as_array().unwrap();
    list.iter().find(|resource| resource["name"] == name).unwrap()
}

async fn describe(world: &World, arn: &str) -> Value {
    let body = json!({"containerInstances": [arn], "include": ["TAGS"]});
    world.ecs("DescribeContainerInstances", body).await.unwrap()["containerInstances"][0].take()
}

#[tokio::test]
async fn registration_echoes_what_the_node_says() {
    let world = World::new().await;
    let mut node = Node::activate(&world).await;
    let devices = json!([{"id": "GPU-1", "type": "GPU"}, {"id": "GPU-2", "type": "GPU"}]);
    let shown = node.register(&world, devices).await;
    assert_eq!(shown["ec2InstanceId"], node.id);
    assert_eq!(shown["status"], "ACTIVE");
    assert_eq!(shown["agentConnected"], false);
    let external = json!({"name": "ecs.capability.external"});
    assert!(
        shown["attributes"].as_array().unwrap().contains(&external),
        "{}",
        shown["attributes"]
    );
    let cpu = resource(&shown, "registeredResources", "CPU");
    assert_eq!(
        (&cpu["integerValue"], &cpu["longValue"], &cpu["doubleValue"]),
        (&json!(1024), &json!(0), &json!(0.0))
    );
    assert_eq!(
        resource(&shown, "registeredResources", "GPU")["stringSetValue"],
        json!(["GPU-1", "GPU-2"])
    );
    assert_eq!(
        resource(&shown, "remainingResources", "PORTS")["stringSetValue"],
        json!(["22"])
    );
}

#[tokio::test]
async fn a_node_is_one_instance_however_often_it_registers() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    let first = node.arn.clone();
    node.register(&world, json!([])).await;
    assert_eq!(node.arn, first, "with its ARN");
    node.arn = String::new();
    node.register(&world, json!([])).await;
    assert_eq!(node.arn, first, "without");

    let foreign = json!({"containerInstanceArn": "arn:aws:ecs:us-east-1:000000000000:container-instance/default/0123456789abcdef0123456789abcdef",
        "totalResources": [{"name": "CPU", "integerValue": 1}, {"name": "MEMORY", "integerValue": 1}]});
    assert_eq!(
        code(node.ecs(&world, "RegisterContainerInstance", foreign).await),
        "ClientException"
    );
    world
        .ecs("CreateCluster", json!({"clusterName": "c"}))
        .await
        .unwrap();
    let elsewhere = json!({"cluster": "c",
        "totalResources": [{"name": "CPU", "integerValue": 1}, {"name": "MEMORY", "integerValue": 1}]});
    let (code_, message) = refusal(node.ecs(&world, "RegisterContainerInstance", elsewhere).await);
    assert_eq!(code_, "ClientException");
    assert!(
        message.contains("is registered in the cluster default"),
        "{message}"
    );
    let nowhere = json!({"cluster": "x", "totalResources": [{"name": "CPU", "integerValue": 1}, {"name": "MEMORY", "integerValue": 1}]});
    assert_eq!(
        code(node.ecs(&world, "RegisterContainerInstance", nowhere).await),
        "ClusterNotFoundException"
    );
    let nothing = node
        .ecs(&world, "RegisterContainerInstance", json!({"cluster": "default"}))
        .await;
    assert_eq!(code(nothing), "InvalidParameterException");
    assert_eq!(
        code(world.ecs("RegisterContainerInstance", json!({})).await),
        "ClientException"
    );
}

/// Name and value of each attribute that an instance is shown with.
fn attributes(shown: &Value) -> Vec<(String, Value)> {
    let list = shown["attributes"].as_array().unwrap().iter();
    list.map(|each| (text(&each["name"]), each["value"].clone()))
        .collect()
}

/// An agent sends those only when it has no ARN.
#[tokio::test]
async fn an_operator_s_attributes_outlive_a_registration_by_the_arn_and_the_machine_s_do_not() {
    let world = World::new().await;
    let mut node = Node::activate(&world).await;
    let register = async |node: &Node, attributes: Value| {
        let mut body = instance_request(&node.arn, &json!([]));
        body["attributes"] = attributes;
        node.ecs(&world, "RegisterContainerInstance", body).await
    };
    let of = |name: &str, value: &str| json!({"name": name, "value": value});
    let first = json!([
        of("ecs.os-type", "linux"),
        of("com.amazonaws.ecs.capability.old", "1"),
        of("stack", "prod"),
        of("rack", "7")
    ]);
    let shown = register(&node, first).await.unwrap();
    node.arn = text(&shown["containerInstance"]["containerInstanceArn"]);
    let again = json!([of("ecs.os-type", "linux"), of("rack", "8")]);
    register(&node, again).await.unwrap();
    let shown = describe(&world, &node.arn).await;
    let expected = [("ecs.os-type", "linux"), ("rack", "8"), ("stack", "prod")];
    assert_eq!(
        attributes(&shown),
        expected.map(|(name, value)| (name.to_owned(), json!(value)))
    );

    // Together they have a bound; where they would exceed it, what is said counts, and no node is shut out by what is kept.
    let mut counts = Vec::new();
    for number in 0..40 {
        let name = format!("{number}-{}", "n".repeat(10_000));
        register(&node, json!([of(&name, "")])).await.unwrap();
        counts.push(attributes(&describe(&world, &node.arn).await).len());
    }
    let most = *counts.iter().max().unwrap();
    assert!((20..30).contains(&most), "{counts:?}");
    assert!(counts.contains(&1) && counts[39] < most, "{counts:?}");
    let many = (0..40).map(|number| of(&format!("{number}-{}", "n".repeat(10_000)), ""));
    let refused = register(&node, many.collect()).await;
    assert_eq!(code(refused), "InvalidParameterException");

    let arn = std::mem::take(&mut node.arn);
    register(&node, json!([of("stack", "test")])).await.unwrap();
    let shown = describe(&world, &arn).await;
    assert_eq!(attributes(&shown), [("stack".to_owned(), json!("test"))]);
}

#[tokio::test]
async fn registering_again_keeps_what_tasks_have() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 256, 128).await;
    world.run("f").await;
    let remaining =
        resource(&describe(&world, &node.arn).await, "remainingResources", "CPU")["integerValue"].clone();
    assert_eq!(remaining, 768);
    let body = json!({"containerInstanceArn": node.arn, "totalResources": [
        {"name": "CPU", "type": "INTEGER", "integerValue": 2048}, {"name": "MEMORY", "type": "INTEGER", "integerValue": 100}]});
    node.ecs(&world, "RegisterContainerInstance", body).await.unwrap();
    let shown = describe(&world, &node.arn).await;
    assert_eq!(
        resource(&shown, "remainingResources", "CPU")["integerValue"],
        1792
    );
    assert_eq!(
        resource(&shown, "remainingResources", "MEMORY")["integerValue"],
        -28
    );
    assert_eq!(
        (&shown["pendingTasksCount"], &shown["runningTasksCount"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn draining_refuses_new_tasks_and_can_be_taken_back() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 1, 16).await;
    let set = async |status: &str| {
        let body = json!({"containerInstances": [node.arn], "status": status});
        world.ecs("UpdateContainerInstancesState", body).await
    };
    assert_eq!(
        set("DRAINING").await.unwrap()["containerInstances"][0]["status"],
        "DRAINING"
    );
    let run = world.ecs("RunTask", json!({"taskDefinition": "f"})).await;
    assert_eq!(
        refusal(run).1,
        "No Container Instances were found in your cluster."
    );
    let list = async |body: Value| {
        let mut answer = world.ecs("ListContainerInstances", body).await.unwrap();
        answer["containerInstanceArns"].take()
    };
    assert_eq!(list(json!({"status": "DRAINING"})).await, json!([node.arn]));
    assert_eq!(list(json!({"status": "ACTIVE"})).await, json!([]));
    set("ACTIVE").await.unwrap();
    world.run("f").await;
    assert_eq!(code(set("REGISTERING").await), "InvalidParameterException");
    let body =
        json!({"containerInstances": [text(&json!("0123456789abcdef0123456789abcdef"))], "status": "ACTIVE"});
    let missing = world.ecs("UpdateContainerInstancesState", body).await.unwrap();
    assert_eq!(missing["failures"][0]["reason"], "MISSING");
}

#[tokio::test]
async fn deregistration_needs_force_when_there_are_tasks_and_buries_them() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.poll(&world).await;
    world.define("f", 256, 128).await;
    let task = world.run("f").await;
    let body = json!({"containerInstance": node.arn});
    let refused = node.ecs(&world, "DeregisterContainerInstance", body).await;
    assert_eq!(refusal(refused).1, "Found running tasks on the instance.");
    let body = json!({"containerInstance": node.arn, "force": true});
    let gone = world
        .ecs("DeregisterContainerInstance", body.clone())
        .await
        .unwrap();
    assert_eq!(gone["containerInstance"]["status"], "INACTIVE");
    assert!(
        world.ecs("DeregisterContainerInstance", body).await.is_ok(),
        "again"
    );
    let shown = world.task(&task).await;
    assert_eq!(
        (&shown["lastStatus"], &shown["stopCode"]),
        (&json!("STOPPED"), &json!("TerminationNotice"))
    );
    let old = node.arn.clone();
    let request = node.request(false);
    assert_eq!(
        code(node.send(&world, &request).await.unwrap_err()),
        "InactiveInstanceException"
    );
    let again = json!({"containerInstanceArn": old, "totalResources": [
        {"name": "CPU", "integerValue": 1}, {"name": "MEMORY", "integerValue": 1}]});
    let refused = node.ecs(&world, "RegisterContainerInstance", again).await;
    assert_eq!(code(refused), "InactiveInstanceException");
    // The same machine may come back, as a new instance, and report what became of the task.
    node.arn = String::new();
    node.register(&world, json!([])).await;
    assert_ne!(node.arn, old);
    assert!(
        node.report(&world, &task, "STOPPED", json!({"exitCode": 143}))
            .await
            .is_ok()
    );
    assert_eq!(world.task(&task).await["containers"][0]["exitCode"], 143);
}

/// As after `longshore-agent register` on a machine whose node was revoked.
#[tokio::test]
async fn what_is_buried_is_stopped_on_the_node_that_its_machine_has_become() {
    let world = World::new().await;
    let mut old = Node::join(&world).await;
    old.obey(&world).await;
    world.define("f", 256, 128).await;
    let task = world.run("f").await;
    old.obey(&world).await;
    let mut new = Node::join(&world).await;
    new.held.clone_from(&old.held);
    assert_eq!(new.obey(&world).await, [""; 0], "it is another's, and goes on");
    assert!(!new.poll(&world).await.want_inventory, "its list is known");
    let body = json!({"containerInstance": old.arn, "force": true});
    world.ecs("DeregisterContainerInstance", body).await.unwrap();
    assert_eq!(new.obey(&world).await, [task]);
}

/// An operator says so for a node that is lost, and it is there all the same.
#[tokio::test]
async fn a_task_that_an_operator_has_reported_as_stopped_is_stopped_on_its_node() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.obey(&world).await;
    world.define("f", 256, 128).await;
    let task = world.run("f").await;
    node.obey(&world).await;
    assert!(!node.poll(&world).await.want_inventory, "its list is known");
    let body = json!({"cluster": "default", "task": task, "status": "STOPPED"});
    world.ecs("SubmitTaskStateChange", body).await.unwrap();
    assert_eq!(world.task(&task).await["lastStatus"], "STOPPED");
    assert_eq!(node.obey(&world).await, [&*task]);
    node.report(&world, &task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    node.forget(&task);
    assert_eq!(node.obey(&world).await, [""; 0]);
}

#[tokio::test]
async fn ssm_shows_the_node() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    let shown = async |filter: Value| {
        let mut answer = world
            .ssm("DescribeInstanceInformation", json!({"Filters": filter}))
            .await
            .unwrap();
        answer["InstanceInformationList"].take()
    };
    assert_eq!(shown(json!([])).await[0]["PingStatus"], "ConnectionLost");
    node.poll(&world).await;
    let online = shown(json!([{"Key": "PingStatus", "Values": ["Online"]}])).await;
    assert_eq!(
        (&online[0]["InstanceId"], &online[0]["AgentVersion"]),
        (&json!(node.id), &json!("0.1.0"))
    );
    let bad = world
        .ssm(
            "DescribeInstanceInformation",
            json!({"Filters": [{"Key": "X", "Values": ["1"]}]}),
        )
        .await;
    assert_eq!(code(bad), "InvalidFilterKey");
    let tags = json!({"ResourceType": "ManagedInstance", "ResourceId": node.id, "Tags": [{"Key": "k", "Value": "v"}]});
    world.ssm("AddTagsToResource", tags).await.unwrap();
    let tags = json!({"ResourceType": "ManagedInstance", "ResourceId": "mi-0", "Tags": [{"Key": "k", "Value": "v"}]});
    assert_eq!(
        code(world.ssm("AddTagsToResource", tags).await),
        "InvalidResourceId"
    );
}

#[tokio::test]
async fn a_node_that_says_that_it_is_unwell_is_impaired() {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    let body = json!({"containerInstances": [node.arn.clone()], "include": ["CONTAINER_INSTANCE_HEALTH"]});
    let seen = async |world: &World| {
        let shown = world
            .ecs("DescribeContainerInstances", body.clone())
            .await
            .unwrap()["containerInstances"][0]
            .take();
        (
            text(&shown["healthStatus"]["overallStatus"]),
            shown["statusReason"].clone(),
        )
    };
    assert_eq!(seen(&world).await, ("INSUFFICIENT_DATA".to_owned(), Value::Null));
    node.poll(&world).await;
    assert_eq!(seen(&world).await, ("OK".to_owned(), Value::Null));
    node.status.trouble = Some("agent.db can't be written".to_owned());
    node.poll(&world).await;
    let impaired = ("IMPAIRED".to_owned(), json!("agent.db can't be written"));
    assert_eq!(seen(&world).await, impaired);
    node.status.trouble = None;
    node.poll(&world).await;
    assert_eq!(seen(&world).await, ("OK".to_owned(), Value::Null));
}
