//! The node for a monitor: OpenMetrics text, from what [`Answers`] say at each scrape; nothing is counted in between.
//!
//! `GET /metrics` on the admin socket, and on a TCP address where the settings name one, which serves nothing else. What
//! is there names no task: a monitor's labels must not grow with what runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Answers, Refusal, Status, TaskView, server};

/// The path, as monitors expect it.
pub(super) const PATH: &str = "/metrics";
/// What the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Between attempts at an address that somebody else has.
const AGAIN: Duration = Duration::from_secs(30);

type Labels = Vec<(&'static str, String)>;

/// The text for one scrape.
///
/// # Errors
/// What the tasks' list refuses.
pub(super) async fn scrape(answers: &dyn Answers) -> Result<String, Refusal> {
    let status = answers.status().await;
    let tasks = answers.tasks().await?.tasks;
    let mut registry = Registry::with_prefix("longshore");
    about_node(&mut registry, &status);
    about_tasks(&mut registry, &tasks);
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|_| Refusal::Unavailable("the metrics could not be written".to_owned()))?;
    Ok(text)
}

fn about_node(registry: &mut Registry, status: &Status) {
    let version = vec![
        ("version", status.agent_version.clone()),
        ("runtime", status.runtime_version.clone()),
        ("cluster", status.cluster.clone()),
    ];
    registry.register("agent", "What runs here", Info::new(version));
    let truth = |truth: bool| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::from(truth));
        gauge
    };
    registry.register(
        "control_plane_connected",
        "Whether the last poll was answered",
        truth(status.connected),
    );
    registry.register(
        "runtime_up",
        "Whether containerd answers",
        truth(!status.runtime_version.is_empty()),
    );
    registry.register(
        "node_healthy",
        "0 while something is wrong with the node itself, such as a disk that takes no writes",
        truth(status.trouble.is_none()),
    );
    let changed: Gauge = Gauge::default();
    let since = status.since.parse::<jiff::Timestamp>().unwrap_or_default();
    changed.set(since.as_second());
    registry.register(
        "control_plane_link_change_timestamp_seconds",
        "When the link was last found or lost, as seconds since 1970",
        changed,
    );
}

fn about_tasks(registry: &mut Registry, tasks: &[TaskView]) {
    let by_status = Family::<Labels, Gauge>::default();
    let containers = Family::<Labels, Gauge>::default();
    let health = Family::<Labels, Gauge>::default();
    let restarts: Gauge = Gauge::default();
    let one = |family: &Family<Labels, Gauge>, name, value: &str| {
        family.get_or_create(&vec![(name, value.to_owned())]).inc();
    };
    for task in tasks {
        one(&by_status, "status", &task.last_status);
        for container in &task.containers {
            one(&containers, "status", &container.last_status);
            one(&health, "health", &container.health_status);
            restarts.inc_by(i64::from(container.restart_count));
        }
    }
    registry.register("tasks", "Tasks that this node holds, by lastStatus", by_status);
    registry.register("containers", "Their containers, by lastStatus", containers);
    registry.register("containers_health", "Their containers, by healthStatus", health);
    registry.register(
        "container_restarts",
        "How often the containers that are here were restarted",
        restarts,
    );
}

/// Serves the text at a TCP address until `token` is cancelled. While somebody else has the address, it is tried again:
/// a monitor is no reason not to run containers.
///
/// # Errors
/// None.
pub async fn serve(
    address: SocketAddr,
    answers: Arc<dyn Answers>,
    token: CancellationToken,
) -> Result<(), Infallible> {
    loop {
        let bound = TcpListener::bind(address).await;
        let listener = match bound {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%address, %error, "metrics can't be served at their address; it is tried again");
                tokio::select! {
                    () = token.cancelled() => return Ok(()),
                    () = tokio::time::sleep(AGAIN) => continue,
                }
            }
        };
        tracing::info!(%address, "metrics are served");
        server::serve_metrics(listener, answers, token).await;
        return Ok(());
    }
}
