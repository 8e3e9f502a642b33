//! Stopping tasks by their full stop sequence, and waiting until nothing of them is left on this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use longshore_protocol::ecs;

use super::UpError;
use super::namespace::Namespace;
use super::signals::Signals;
use crate::api::{ApiError, Client};
use crate::commands::{describe_instances, describe_tasks, list_tasks};
use crate::progress::Progress;

/// What a task shows as its `stoppedReason`.
const REASON: &str = "longshore up was ended";
/// How often tasks are looked at.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the agent may take, after the last task is STOPPED, to take networks and containers away.
const TEAR_DOWN: Duration = Duration::from_secs(15);

/// Stops every task in every cluster, and waits for those whose node is connected. A signal meanwhile kills them at
/// once, another one ends the wait.
///
/// # Errors
/// [`UpError::Api`].
pub async fn stop_tasks(client: &Client, signals: &mut Signals, progress: &Progress) -> Result<(), UpError> {
    let clusters: ecs::ListClustersResponse = client
        .ecs("ListClusters", &ecs::ListClustersRequest::default())
        .await?;
    for cluster in clusters.cluster_arns.unwrap_or_default() {
        for task in list_tasks(client, &cluster, "RUNNING").await? {
            stop(client, &cluster, &task, false).await?;
        }
        let mut forced = false;
        loop {
            let left = left(client, &cluster).await?;
            if left.is_empty() {
                break;
            }
            progress.say(format!(
                "tasks that are being stopped: {} (Ctrl-C again: kill them at once)",
                left.len()
            ));
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = signals.next() => {
                    if forced {
                        return Ok(());
                    }
                    forced = true;
                    for task in &left {
                        stop(client, &cluster, task, true).await?;
                    }
                }
            }
        }
    }
    Ok(())
}

async fn stop(client: &Client, cluster: &str, task: &str, force: bool) -> Result<(), ApiError> {
    let request = ecs::StopTaskRequest {
        cluster: Some(cluster.to_owned()),
        task: Some(task.to_owned()),
        reason: Some(REASON.to_owned()),
        force: force.then_some(true),
    };
    let _: ecs::StopTaskResponse = client.ecs("StopTask", &request).await?;
    Ok(())
}

/// The tasks that are not STOPPED yet, on nodes that can hear of it.
async fn left(client: &Client, cluster: &str) -> Result<Vec<String>, ApiError> {
    let instances = describe_instances(client, cluster).await?;
    let connected = instances.iter().filter(|each| each.agent_connected == Some(true));
    let connected: BTreeSet<_> = connected
        .filter_map(|each| each.container_instance_arn.as_deref())
        .collect();
    let mut arns = list_tasks(client, cluster, "RUNNING").await?;
    arns.extend(list_tasks(client, cluster, "STOPPED").await?);
    let tasks = describe_tasks(client, cluster, &arns)
        .await?
        .tasks
        .unwrap_or_default();
    let left = tasks.into_iter().filter(|task| {
        task.last_status.as_deref() != Some("STOPPED")
            && task
                .container_instance_arn
                .as_deref()
                .is_some_and(|node| connected.contains(node))
    });
    Ok(left.filter_map(|task| task.task_arn).collect())
}

/// Waits until no container is left in the namespace, and no network namespace of one. What doesn't go in time, or a
/// containerd that doesn't answer, is told by whoever takes the rest away.
pub async fn wait_for_tear_down(namespace: &Namespace, agent_data_dir: &Path) {
    // The agent removes a network's name once all that the plugins made is gone.
    let networks = agent_data_dir.join("netns");
    let attached = || std::fs::read_dir(&networks).map_or(0, Iterator::count);
    let gone = async {
        while !matches!(namespace.tasks().await, Ok(0)) || attached() > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let _ = tokio::time::timeout(TEAR_DOWN, gone).await;
}
