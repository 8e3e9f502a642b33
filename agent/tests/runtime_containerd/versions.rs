//! What an agent makes of containers whose records a later one wrote: a downgrade under running tasks.

use longshore_agent::containerd::Client;
use longshore_agent::containerd::services::v1::{Container, GetContainerRequest, UpdateContainerRequest};
use longshore_agent::runtime::{ObservedState, Runtime, SignalScope};
use serde_json::{Value, json};

use crate::stage::{Stage, catches_sigterm, eventually};

const EXTENSION: &str = "longshore.task";

/// Changes a container's record as it lies in containerd.
async fn doctor(stage: &Stage, change: impl FnOnce(&mut Value)) {
    let client = Client::new(&stage.daemon.socket(), &stage.daemon.namespace).unwrap();
    let id = stage.id(0).to_string();
    let request = GetContainerRequest { id: id.clone() };
    let answer = client.containers().get(request).await.unwrap().into_inner();
    let mut extension = answer.container.unwrap().extensions.remove(EXTENSION).unwrap();
    let mut record = serde_json::from_slice(&extension.value).unwrap();
    change(&mut record);
    extension.value = serde_json::to_vec(&record).unwrap();
    let request = UpdateContainerRequest {
        container: Some(Container {
            id,
            extensions: [(EXTENSION.to_owned(), extension)].into(),
            ..Container::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec![format!("extensions.{EXTENSION}")],
        }),
    };
    client.containers().update(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_a_later_agent_is_known_by_what_this_one_understands() {
    let stage = Stage::new(&["sh", "-c", "trap 'exit 6' TERM; while :; do sleep 0.05; done"]);
    let started = stage.run(0).await.unwrap();
    doctor(&stage, |record| {
        record["version"] = json!(9);
        record["later"] = json!({"a": [1, 2]});
        record["task"]["later"] = json!("x");
        record["task"]["containers"][0]["later"] = json!(true);
    })
    .await;
    let agent = stage.another();
    let mut events = agent.events().await.unwrap();
    let observed = agent.list().await.unwrap().remove(0);
    assert_eq!(observed.task.as_ref(), Some(&stage.task));
    assert!(matches!(observed.state, ObservedState::Running(again) if again.pid == started.pid));
    eventually("it listens", || catches_sigterm(started.pid)).await;
    agent.kill(&stage.id(0), 15, SignalScope::Init).await.unwrap();
    stage.exited(&mut events, 0).await;
    assert_eq!(agent.reap(&stage.id(0)).await.unwrap().code, Some(6));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_record_can_not_be_read_is_listed_and_runs_on() {
    let stage = Stage::new(&["sleep", "1000"]);
    let started = stage.run(0).await.unwrap();
    doctor(&stage, |record| *record = json!({"version": 9, "tasks": []})).await;
    let agent = stage.another();
    let observed = agent.list().await.unwrap().remove(0);
    assert_eq!(observed.task, None);
    assert!(matches!(observed.state, ObservedState::Running(again) if again.pid == started.pid));
    stage.clear().await;
}
