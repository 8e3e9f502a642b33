//! A control plane that has forgotten: tasks come back from their nodes, and what was over stays over.

use longshore_protocol::status::ReportedStatus;
use serde_json::json;

use crate::testing::{Node, World, code};

async fn world_with_node() -> (World, Node) {
    let world = World::new().await;
    let mut node = Node::join(&world).await;
    node.obey(&world).await;
    let container = json!({"name": "a", "image": "busybox", "cpu": 100, "memory": 16,
        "portMappings": [{"containerPort": 80, "hostPort": 8080}]});
    let body = json!({"family": "port", "containerDefinitions": [container]});
    world.ecs("RegisterTaskDefinition", body).await.unwrap();
    world.define("f", 100, 16).await;
    (world, node)
}

/// Free CPU and the taken ports that DescribeContainerInstances shows, and its reason.
async fn left(world: &World, node: &Node) -> (i64, String, String) {
    let body = json!({"containerInstances": [node.arn]});
    let shown = world.ecs("DescribeContainerInstances", body).await.unwrap();
    let instance = &shown["containerInstances"][0];
    let resources = &instance["remainingResources"];
    let reason = instance["statusReason"].as_str().unwrap_or_default();
    (
        resources[0]["integerValue"].as_i64().unwrap(),
        resources[2]["stringSetValue"].to_string(),
        reason.to_owned(),
    )
}

async fn stop_and_end(world: &World, node: &mut Node, task: &str) {
    world.ecs("StopTask", json!({"task": task})).await.unwrap();
    assert_eq!(node.obey(world).await, [task]);
    node.report(world, task, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    node.forget(task);
    assert_eq!(world.task(task).await["lastStatus"], "STOPPED");
}

#[tokio::test]
async fn what_a_restored_backup_has_forgotten_comes_back_and_can_be_stopped() {
    let (mut world, mut node) = world_with_node().await;
    let (kept, over) = (world.run("f").await, world.run("f").await);
    node.obey(&world).await;
    stop_and_end(&world, &mut node, &over).await;
    world.back_up().await;
    let forgotten = [
        world.run("port").await,
        world.run("f").await,
        world.run("f").await,
    ];
    node.obey(&world).await;
    // Ended since the backup, and the node's word of it was taken.
    stop_and_end(&world, &mut node, &forgotten[2]).await;
    let before = node.cursor.clone();

    world.restore().await;
    let early = node.report(&world, &forgotten[1], "RUNNING", json!({})).await;
    assert_eq!(code(early), "ServerException", "asked to say it again");
    // It was over before the backup; the node says that it runs.
    node.held
        .push(crate::testing::held(&over, ReportedStatus::Running));
    assert_eq!(node.obey(&world).await, [&*over]);
    node.report(&world, &over, "STOPPED", json!({"exitCode": 0}))
        .await
        .unwrap();
    node.forget(&over);
    for task in [&kept, &forgotten[0], &forgotten[1]] {
        let shown = world.task(task).await;
        assert_eq!(shown["desiredStatus"], "RUNNING", "{shown}");
    }
    assert_eq!(world.task(&forgotten[0]).await["lastStatus"], "RUNNING");
    let listed = world.ecs("ListTasks", json!({})).await.unwrap();
    assert_eq!(listed["taskArns"].as_array().unwrap().len(), 3);
    let free = 1024 - 300;
    assert_eq!(
        left(&world, &node).await,
        (free, "[\"22\",\"8080\"]".into(), String::new())
    );

    // Past the old maximum of sequence numbers: every new task comes.
    let mut new = Vec::new();
    while new.len() < 5 {
        new.push(world.run("f").await);
        assert_eq!(node.obey(&world).await, [""; 0]);
        assert!(
            node.held
                .iter()
                .any(|held| held.task_arn.to_string() == new[new.len() - 1])
        );
    }
    assert!(node.cursor.cursor > before.cursor);
    for task in [kept, forgotten[0].clone(), forgotten[1].clone()]
        .iter()
        .chain(&new)
    {
        stop_and_end(&world, &mut node, task).await;
    }
    assert_eq!(
        left(&world, &node).await,
        (1024, "[\"22\"]".into(), String::new())
    );
}

#[tokio::test]
async fn a_forgotten_task_that_ends_while_its_node_is_not_registered_comes_back_with_its_end() {
    let (mut world, mut node) = world_with_node().await;
    world.back_up().await;
    let task = world.run("f").await;
    node.obey(&world).await;
    world.restore().await;
    let deregister = json!({"containerInstance": node.arn, "force": true});
    world
        .ecs("DeregisterContainerInstance", deregister)
        .await
        .unwrap();
    let early = node
        .report(&world, &task, "STOPPED", json!({"exitCode": 4}))
        .await;
    assert_eq!(code(early), "ServerException", "asked to say it again");
    node.arn = String::new();
    node.register(&world, json!([])).await;
    let early = node
        .report(&world, &task, "STOPPED", json!({"exitCode": 4}))
        .await;
    assert_eq!(code(early), "ServerException", "until the list has come");
    node.cursor = longshore_protocol::poll::Cursor::default();
    node.obey(&world).await;
    node.report(&world, &task, "STOPPED", json!({"exitCode": 4}))
        .await
        .unwrap();
    let shown = world.task(&task).await;
    assert_eq!(
        (&shown["lastStatus"], &shown["containers"][0]["exitCode"]),
        (&json!("STOPPED"), &json!(4)),
        "{shown}"
    );
}

#[tokio::test]
async fn a_cursor_of_before_the_restore_never_skips_what_was_placed_after_it() {
    let (mut world, mut node) = world_with_node().await;
    world.back_up().await;
    for _ in 0..3 {
        world.run("f").await;
    }
    node.obey(&world).await;
    let old = node.cursor.clone();
    world.restore().await;
    node.obey(&world).await;
    let late = node.cursor.clone();
    // Numbers of the forgotten past are given again, to other tasks.
    node.cursor = old.clone();
    let task = world.run("f").await;
    assert_eq!(node.poll(&world).await.assignments.len(), 4);
    world.restart().await;
    node.cursor = old;
    let again = node.poll(&world).await.assignments;
    assert!(
        again.iter().any(|each| each.task_arn.to_string() == task),
        "{again:?}"
    );
    node.cursor = late;
    let again = node.poll(&world).await.assignments;
    assert!(
        again.iter().any(|each| each.task_arn.to_string() == task),
        "{again:?}"
    );
}

#[tokio::test]
async fn tasks_that_come_back_may_have_more_than_there_is_and_nothing_more_is_placed() {
    let (mut world, mut node) = world_with_node().await;
    world.define("half", 512, 16).await;
    world.back_up().await;
    for task in ["half", "port"] {
        world.run(task).await;
    }
    node.obey(&world).await;
    world.restore().await;
    // The node is away with its list; others take its place meanwhile.
    let held = std::mem::take(&mut node.held);
    node.obey(&world).await;
    for task in ["half", "half"] {
        world.run(task).await;
    }
    node.obey(&world).await;
    node.held.extend(held);
    node.obey(&world).await;
    let (free, ports, said) = left(&world, &node).await;
    assert_eq!(
        (free, ports.as_str()),
        (1024 - 3 * 512 - 100, "[\"22\",\"8080\"]")
    );
    assert!(said.starts_with("OVERCOMMITTED"), "{said}");
    let none = world
        .ecs("RunTask", json!({"taskDefinition": "f"}))
        .await
        .unwrap();
    assert_eq!(none["failures"][0]["reason"], "RESOURCE:CPU");
    for task in node.held.clone() {
        stop_and_end(&world, &mut node, &task.task_arn.to_string()).await;
    }
    assert_eq!(
        left(&world, &node).await,
        (1024, "[\"22\"]".into(), String::new())
    );
}

#[tokio::test]
async fn a_forgotten_task_that_ended_comes_back_with_its_end() {
    let (mut world, mut node) = world_with_node().await;
    world.back_up().await;
    let task = world.run("f").await;
    node.obey(&world).await;
    world.restore().await;
    node.held[0].status = ReportedStatus::Stopped;
    let state = &mut node.bodies[0].state;
    state.status = Some("STOPPED".into());
    let container = &mut state.containers.as_mut().unwrap()[0];
    (container.status, container.exit_code) = (Some("STOPPED".into()), Some(7));
    assert_eq!(node.obey(&world).await, [""; 0]);
    let shown = world.task(&task).await;
    assert_eq!(
        (&shown["lastStatus"], &shown["containers"][0]["exitCode"]),
        (&json!("STOPPED"), &json!(7))
    );
    node.report(&world, &task, "STOPPED", json!({"exitCode": 7}))
        .await
        .unwrap();
    assert_eq!(left(&world, &node).await.0, 1024);
}

#[tokio::test]
async fn what_ended_after_the_backup_is_given_again_so_that_it_ends_again() {
    let (mut world, mut node) = world_with_node().await;
    let (gone, kept, stopped) = (world.run("f").await, world.run("f").await, world.run("f").await);
    node.obey(&world).await;
    world.ecs("StopTask", json!({"task": stopped})).await.unwrap();
    node.obey(&world).await;
    world.back_up().await;
    let end = async |world: &World, node: &Node| {
        for task in [&gone, &kept, &stopped] {
            let end = json!({"exitCode": 0});
            node.report(world, task, "STOPPED", end).await.unwrap();
        }
    };
    end(&world, &node).await;
    node.forget(&gone);
    node.forget(&stopped);
    node.held[0].status = ReportedStatus::Stopped;
    world.restore().await;
    // Its cursor is one that this control plane knows.
    let lost = node.request(false);
    let answer = node.send(&world, &lost).await.unwrap();
    assert_eq!(
        (answer.cursor, answer.want_inventory),
        (node.cursor.clone(), true)
    );
    let lost = node.request(true);
    assert_eq!(node.send(&world, &lost).await.unwrap().assignments.len(), 3);
    let again = node.poll(&world).await.assignments;
    let bodies: Vec<_> = again.iter().filter_map(|each| each.task.as_ref()).collect();
    assert_eq!((again.len(), bodies.len()), (3, 3));
    end(&world, &node).await;
    assert_eq!(left(&world, &node).await.0, 1024);
}

#[tokio::test]
async fn a_task_comes_back_though_the_answer_that_asked_for_it_was_lost() {
    let (mut world, mut node) = world_with_node().await;
    world.back_up().await;
    let task = world.run("f").await;
    node.obey(&world).await;
    world.restore().await;
    for _ in 0..2 {
        let lost = node.request(true);
        let answer = node.send(&world, &lost).await.unwrap();
        assert_eq!(answer.want_tasks.len(), 1);
    }
    node.obey(&world).await;
    assert_eq!(world.task(&task).await["lastStatus"], "RUNNING");
}

#[tokio::test]
async fn a_node_brings_nothing_into_another_cluster_nor_over_anothers_task() {
    let (mut world, mut node) = world_with_node().await;
    world.back_up().await;
    let task = world.run("f").await;
    node.obey(&world).await;
    world.restore().await;
    let mut thief = Node::join(&world).await;
    thief.obey(&world).await;
    let mut foreign = node.bodies[0].clone();
    foreign.task_arn.cluster = "other".into();
    thief.held = vec![crate::testing::held(
        &foreign.task_arn.to_string(),
        ReportedStatus::Running,
    )];
    thief.bodies = vec![foreign];
    assert_eq!(thief.obey(&world).await, [""; 0]);
    node.obey(&world).await;
    let owner = world.task(&task).await["containerInstanceArn"].clone();
    assert_eq!(owner, json!(node.arn));
    (thief.held, thief.bodies) = (node.held.clone(), node.bodies.clone());
    thief.obey(&world).await;
    assert_eq!(world.task(&task).await["containerInstanceArn"], owner);
    assert_eq!(left(&world, &thief).await.0, 1024);
    let missing = world
        .ecs("DescribeTasks", json!({"cluster": "other", "tasks": [task]}))
        .await;
    assert_eq!(code(missing), "ClusterNotFoundException");
}

#[tokio::test]
async fn an_agent_that_sends_no_bodies_is_not_asked_for_ever() {
    let (mut world, mut node) = world_with_node().await;
    world.back_up().await;
    let task = world.run("f").await;
    node.obey(&world).await;
    world.restore().await;
    node.bodies.clear();
    assert_eq!(node.obey(&world).await, [""; 0]);
    let (code, _) = crate::testing::refusal(node.report(&world, &task, "STOPPED", json!({})).await);
    assert_eq!(code, "InvalidParameterException", "nothing to wait for");
}

/// The node has forgotten the task; with nothing new since, its cursor is one that the backup knows.
#[tokio::test]
async fn a_task_that_ended_since_the_backup_is_ordered_again_and_tells_its_end_again() {
    for news in [false, true] {
        let (mut world, mut node) = world_with_node().await;
        let (task, runs) = (world.run("f").await, world.run("f").await);
        node.obey(&world).await;
        world.back_up().await;
        if news {
            world.run("f").await;
            node.obey(&world).await;
        }
        node.report(&world, &task, "STOPPED", json!({"exitCode": 7}))
            .await
            .unwrap();
        node.forget(&task);
        world.restore().await;
        let mut ordered = Vec::new();
        for _ in 0..3 {
            let orders = node.poll(&world).await.assignments;
            ordered.extend(
                orders
                    .into_iter()
                    .filter(|order| order.task_arn.to_string() == task),
            );
        }
        assert_eq!(
            ordered.last().unwrap().desired_status.as_str(),
            "RUNNING",
            "{news}"
        );
        assert!(ordered.last().unwrap().task.is_some(), "with all that it is");
        node.report(&world, &task, "STOPPED", json!({"exitCode": 7}))
            .await
            .unwrap();
        let shown = world.task(&task).await;
        assert_eq!(
            (&shown["lastStatus"], &shown["containers"][0]["exitCode"]),
            (&json!("STOPPED"), &json!(7))
        );
        assert_eq!(world.task(&runs).await["desiredStatus"], "RUNNING");
    }
}

/// The node has reported it, and does not do so again.
#[tokio::test]
async fn a_task_that_ran_only_after_the_backup_is_running_after_the_restore() {
    for (news, silent) in [(false, false), (true, false), (true, true)] {
        let (mut world, mut node) = world_with_node().await;
        let task = world.run("f").await;
        let order = node.poll(&world).await;
        assert_eq!(order.assignments.len(), 1);
        node.poll(&world).await;
        world.back_up().await;
        if news {
            world.run("f").await;
        }
        node.cursor = longshore_protocol::poll::Cursor::default();
        node.obey(&world).await;
        let bindings = json!([{"hostPort": 8080, "containerPort": 80}]);
        let running = json!({"runtimeId": "r", "networkBindings": bindings});
        node.report(&world, &task, "RUNNING", running.clone())
            .await
            .unwrap();
        assert_eq!(world.task(&task).await["lastStatus"], "RUNNING");
        world.restore().await;
        assert_eq!(world.task(&task).await["lastStatus"], "PENDING");
        let body = node
            .bodies
            .iter_mut()
            .find(|held| held.task_arn.to_string() == task);
        let containers = body.unwrap().state.containers.as_mut().unwrap();
        containers[0].runtime_id = Some("r".into());
        if silent {
            node.bodies.clear();
        }
        assert_eq!(node.obey(&world).await, [""; 0]);
        let shown = world.task(&task).await;
        let container = &shown["containers"][0];
        let (status, id) = match silent {
            true => ("PENDING", &serde_json::Value::Null),
            false => ("RUNNING", &json!("r")),
        };
        assert_eq!(
            (&shown["lastStatus"], &container["runtimeId"]),
            (&json!(status), id),
            "{shown}"
        );
        // A list that comes before the report it is about asks for nothing.
        let next = world.run("f").await;
        node.obey(&world).await;
        let request = node.request(true);
        assert!(
            node.send(&world, &request).await.unwrap().want_tasks.is_empty(),
            "{next}"
        );
        stop_and_end(&world, &mut node, &task).await;
    }
}
