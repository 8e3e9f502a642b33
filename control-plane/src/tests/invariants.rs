//! Whatever is called in whatever order: nothing is over-committed, nothing leaks, sequence numbers only grow.

use longshore_protocol::arn::ResourceId;
use proptest::prelude::*;
use serde_json::json;

use crate::store::{assignments, instances, reservations, tasks};
use crate::testing::{Node, World, text};

#[derive(Clone, Copy, Debug)]
enum Act {
    Run { count: u8, family: usize },
    Stop { task: usize, force: bool },
    Report { task: usize, stopped: bool },
    Poll,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..4_u8, 0..3_usize).prop_map(|(count, family)| Act::Run { count, family }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(task, force)| Act::Stop { task, force }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(task, stopped)| Act::Report { task, stopped }),
        2 => Just(Act::Poll),
        1 => Just(Act::Restart),
    ]
}

/// Families: small, large, one with a port of the host and a GPU.
async fn define(world: &World) {
    world.define("f0", 100, 50).await;
    world.define("f1", 600, 100).await;
    let container = json!({"name": "a", "image": "busybox", "memory": 16,
        "portMappings": [{"containerPort": 80, "hostPort": 8080}],
        "resourceRequirements": [{"type": "GPU", "value": "1"}]});
    let body = json!({"family": "f2", "containerDefinitions": [container]});
    world.ecs("RegisterTaskDefinition", body).await.unwrap();
}

async fn check(world: &World, node: &Node, started: &[String]) {
    let mut connection = world.plane.store.read().await.unwrap();
    let id = node.arn.rsplit('/').next().unwrap();
    let instance = instances::get(&mut connection, "default", id)
        .await
        .unwrap()
        .unwrap();
    let taken = reservations::taken(&mut connection, id).await.unwrap();
    let alive = tasks::alive_on(&mut connection, id).await.unwrap();
    let sum = |amount: fn(&crate::tasks::Task) -> &String| {
        alive
            .iter()
            .map(|task| amount(task).parse::<i64>().unwrap())
            .sum::<i64>()
    };
    assert_eq!(instance.free_cpu, 1024 - sum(|task| &task.cpu));
    assert_eq!(instance.free_memory, 512 - sum(|task| &task.memory));
    assert!(instance.free_cpu >= 0 && instance.free_memory >= 0);
    let with_port = alive.iter().filter(|task| task.definition.family == "f2").count();
    assert_eq!((taken.tcp.len(), taken.gpus.len()), (with_port, with_port));
    assert!(with_port <= 1);
    let mut assigned: Vec<_> = assignments::tasks_of(&mut connection, id).await.unwrap();
    let mut expected: Vec<_> = alive.iter().map(|task| task.arn.clone()).collect();
    assigned.sort();
    expected.sort();
    assert_eq!(assigned, expected);
    for arn in started {
        let id: ResourceId = arn.rsplit('/').next().unwrap().parse().unwrap();
        assert!(
            tasks::get(&mut connection, "default", id.as_str())
                .await
                .unwrap()
                .is_some()
        );
    }
}

async fn play(acts: Vec<Act>) {
    let mut world = World::new().await;
    let mut node = Node::activate(&world).await;
    node.register(&world, json!([{"id": "GPU-1", "type": "GPU"}]))
        .await;
    node.poll(&world).await;
    define(&world).await;
    let (mut started, mut last_seq) = (Vec::<String>::new(), 0);
    for act in acts {
        let pick = |index: usize| (!started.is_empty()).then(|| started[index % started.len()].clone());
        match act {
            Act::Run { count, family } => {
                let body = json!({"taskDefinition": format!("f{family}"), "count": count});
                let answer = world.ecs("RunTask", body).await.unwrap();
                let tasks = answer["tasks"].as_array().unwrap();
                started.extend(tasks.iter().map(|task| text(&task["taskArn"])));
            }
            Act::Stop { task, force } => {
                if let Some(task) = pick(task) {
                    world
                        .ecs("StopTask", json!({"task": task, "force": force}))
                        .await
                        .unwrap();
                }
            }
            Act::Report { task, stopped } => {
                if let Some(task) = pick(task) {
                    let status = if stopped { "STOPPED" } else { "RUNNING" };
                    node.report(&world, &task, status, json!({})).await.unwrap();
                }
            }
            Act::Poll => {
                // Only where there is something to be told: the others would wait.
                let mut connection = world.plane.store.read().await.unwrap();
                let id = node.arn.rsplit('/').next().unwrap().to_owned();
                let seen = node.cursor.cursor;
                let news = assignments::after(&mut connection, &id, seen, 1).await.unwrap();
                drop(connection);
                if !news.is_empty() {
                    for assignment in node.poll(&world).await.assignments {
                        assert!(assignment.seq > last_seq);
                        last_seq = assignment.seq;
                    }
                }
            }
            Act::Restart => {
                world.restart().await;
                node.poll(&world).await;
                last_seq = last_seq.max(node.cursor.cursor);
            }
        }
        check(&world, &node, &started).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_books_balance_after_every_act(acts in proptest::collection::vec(act(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(acts));
    }
}
