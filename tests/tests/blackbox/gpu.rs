//! GPUs by CDI, with specs shaped like the vendor's and harmless devices.

use aws_sdk_ecs::types::{ContainerOverride, ResourceRequirement, ResourceType, TaskOverride};
use longshore_tests::wait;
use serde_json::{Value, json};

use crate::system::{self, System, shell};

const UUIDS: [&str; 2] = [
    "GPU-11111111-2222-3333-4444-555555555555",
    "GPU-66666666-7777-8888-9999-aaaaaaaaaaaa",
];

/// Two cards: each by index and by UUID, and `all` of them. Their nodes are /dev/zero and /dev/full by other names.
fn two_cards() -> Value {
    let node = |index: usize| {
        let on_the_host = ["/dev/zero", "/dev/full"][index];
        json!({"path": format!("/dev/card{index}"), "hostPath": on_the_host, "type": "c"})
    };
    let device =
        |name: &str, nodes: Vec<Value>| json!({"name": name, "containerEdits": {"deviceNodes": nodes}});
    json!({
        "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
        "devices": [
            device("0", vec![node(0)]), device("1", vec![node(1)]),
            device(UUIDS[0], vec![node(0)]), device(UUIDS[1], vec![node(1)]),
            device("all", vec![node(0), node(1)]),
        ],
        "containerEdits": {"env": ["NVIDIA_VISIBLE_DEVICES=void"]},
    })
}

/// Gives the agent the cards and starts it again, so that it registers them.
async fn with_cards(system: &mut System) {
    let dir = system.agent.cdi_dir();
    std::fs::create_dir_all(&dir).expect("a folder");
    std::fs::write(dir.join("nvidia.json"), two_cards().to_string()).expect("a spec");
    system.agent.terminate().await;
    system.agent.start();
    wait::until("both GPUs are registered", || async {
        let arn = system.until_connected().await;
        let answer = system
            .ecs
            .describe_container_instances()
            .container_instances(&arn)
            .send()
            .await
            .ok()?;
        let instance = answer.container_instances?.into_iter().next()?;
        let gpu = instance
            .registered_resources()
            .iter()
            .find(|resource| resource.name() == Some("GPU"))?
            .clone();
        let mut ids = gpu.string_set_value().to_vec();
        ids.sort();
        (ids == UUIDS).then_some(())
    })
    .await;
}

fn gpus(count: &str) -> ResourceRequirement {
    ResourceRequirement::builder()
        .r#type(ResourceType::Gpu)
        .value(count)
        .build()
        .expect("both members")
}

#[test]
fn two_tasks_never_get_the_same_card_and_see_only_their_own() {
    system::with(|mut system| async move {
        with_cards(&mut system).await;
        let script = "ls /dev | busybox grep card; exec sleep 1000";
        let container = shell("cuda", &system.busybox, script)
            .resource_requirements(gpus("1"))
            .build();
        let definition = system.define("cuda", vec![container]).await;
        let mut cards = Vec::new();
        for _ in 0..2 {
            let task = system.run(&definition).await;
            let running = system.until(&task, "RUNNING").await;
            let ids = running.containers()[0].gpu_ids().to_vec();
            assert_eq!(ids.len(), 1, "{ids:?}");
            let logs = system.agent.until_logs(&task, "cuda", "card").await;
            let card = if ids[0] == UUIDS[0] { "card0" } else { "card1" };
            assert!(
                logs.contains(card) && logs.matches("card").count() == 1,
                "{ids:?} {logs}"
            );
            cards.push(ids[0].clone());
        }
        cards.sort();
        assert_eq!(cards, UUIDS);
        let answer = system
            .ecs
            .run_task()
            .task_definition(&definition)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.failures()[0].reason(), Some("RESOURCE:GPU"));
        system
    });
}

#[test]
fn the_override_says_how_many() {
    system::with(|mut system| async move {
        with_cards(&mut system).await;
        let script = "ls /dev | busybox grep card; echo done";
        let definition = system
            .define("both", vec![shell("both", &system.busybox, script).build()])
            .await;
        let overrides = ContainerOverride::builder()
            .name("both")
            .resource_requirements(gpus("2"))
            .build();
        let overrides = TaskOverride::builder().container_overrides(overrides).build();
        let task = system.run_with(&definition, Some(overrides)).await;
        let logs = system.agent.until_logs(&task, "both", "done").await;
        assert!(logs.contains("card0") && logs.contains("card1"), "{logs}");
        system.until(&task, "STOPPED").await;
        system
    });
}
