//! Tells the control plane what it is owed, until it has acknowledged it.
//!
//! Invariants: one report of a task at a time, so that they arrive in order; at most [`PARALLEL`] calls at once; what
//! the control plane refuses for good is logged and counts as told, so that it blocks nothing. While nothing gets through,
//! one report at a time tries (`gate`); a poll that is answered again lets all of them go at once. A report that the control
//! plane can't take right now (5xx) waits alone.
//!
//! Limit: what waits is the store's, one report of each task at most, and after it the newest state.

mod gate;
mod signal;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_protocol::{Timestamp, ecs};
use tokio::sync::Semaphore;

use crate::clock::{Backoff, Clock};
use crate::failpoint;
use crate::link::{ControlLink, LinkError};
use crate::model::{ContainerReport, Fact, PortBinding, Report};
use crate::outage::Outage;

use gate::Gate;
use signal::Signal;

/// Calls at once: a node that comes back with hundreds of news must not storm the control plane.
pub const PARALLEL: usize = 10;
/// Between two tries of the same report.
const FIRST: Duration = Duration::from_millis(500);
const MOST: Duration = Duration::from_secs(60);
/// For one call. The link has a deadline of its own; this is the second line.
const DEADLINE: Duration = Duration::from_secs(60);
/// A call that is older than this when the link comes back hangs in the old link: it is made again.
const HANGS: Duration = Duration::from_secs(1);
/// Between two lines about reports that the control plane can't take right now.
const SAY_BUSY: Duration = Duration::from_secs(600);
/// The API's limits, in characters.
const MAX_REASON: usize = 1024;
const MAX_ID: usize = 255;

/// What the control plane has acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The report.
    pub fact: Fact,
    /// How many orders had come when the call was made that it took: those that came later are not answered by it.
    pub orders: u64,
}

/// Delivers reports.
pub struct Reporter {
    link: Arc<dyn ControlLink>,
    clock: Arc<dyn Clock>,
    calls: Semaphore,
    gate: Gate,
    /// The link has come back.
    returns: Signal,
    outage: Outage,
    busy_said: Mutex<Option<Duration>>,
}

impl Reporter {
    /// A reporter that speaks through `link`.
    #[must_use]
    pub fn new(link: Arc<dyn ControlLink>, clock: Arc<dyn Clock>) -> Self {
        Self {
            link,
            gate: Gate::new(Arc::clone(&clock)),
            clock,
            calls: Semaphore::new(PARALLEL),
            returns: Signal::default(),
            outage: Outage::new("the link", "reports"),
            busy_said: Mutex::new(None),
        }
    }

    /// The control plane has answered a poll; `is_back`: for the first time after it was away. Whatever waits is sent now,
    /// however long its pause was to be.
    pub fn control_plane_answers(&self, is_back: bool) {
        self.gate.open();
        if is_back {
            self.returns.tell();
        }
    }

    /// Delivers a report, however long that takes; returns what was acknowledged with it. `orders` counts those that its
    /// task has had.
    pub async fn deliver(&self, report: &Report, orders: &AtomicU64) -> Delivered {
        let request = request(report);
        let mut backoff = Backoff::new(FIRST, MOST);
        let orders = loop {
            let turn = self.gate.pass().await;
            // Held for the call only: one who waits to try again keeps nobody from trying. It is never closed.
            let permit = self.calls.acquire().await;
            if turn.is_none() && !self.gate.is_open() {
                continue;
            }
            let seen = self.returns.times();
            let orders = orders.load(Ordering::Acquire);
            let result = tokio::select! {
                biased;
                result = self.submit(request.clone()) => result,
                () = self.outlived(seen) => continue,
            };
            let over = match result {
                Ok(()) => true,
                Err(LinkError::Refused { code, message, .. }) => {
                    tracing::warn!(task = %report.task, status = %report.status, code, message, "a report was refused");
                    true
                }
                Err(error) => {
                    self.failed(report, &error, turn.is_some());
                    false
                }
            };
            drop((turn, permit));
            if over {
                self.gate.open();
                self.outage.succeeded(self.clock.since_boot());
                break orders;
            }
            let pause = backoff.next(self.clock.as_ref());
            tokio::select! {
                biased;
                () = self.clock.sleep(pause) => {}
                () = self.returns.since(seen) => backoff.reset(),
            }
        };
        let containers = report.containers.iter().map(|container| container.status);
        let fact = Fact::Acknowledged {
            task: report.status,
            containers: containers.collect(),
        };
        Delivered { fact, orders }
    }

    /// Returns when the link has come back since a call began, which had `seen` it come back so often, and the call had its
    /// time.
    async fn outlived(&self, seen: u64) {
        let begun = self.clock.since_boot();
        self.returns.since(seen).await;
        let age = self.clock.since_boot().saturating_sub(begun);
        self.clock.sleep(HANGS.saturating_sub(age)).await;
    }

    fn failed(&self, report: &Report, error: &LinkError, was_alone: bool) {
        let now = self.clock.since_boot();
        match error {
            LinkError::Unavailable { .. } | LinkError::Identity { .. } | LinkError::Refused { .. } => {
                self.gate.close(was_alone);
                self.outage.failed(now, error);
            }
            LinkError::Busy { retry_after, .. } => {
                match retry_after {
                    Some(after) => self.gate.close_for(*after),
                    None => self.gate.open(),
                }
                let mut said = self.lock_busy();
                if said.is_none_or(|last| now.saturating_sub(last) >= SAY_BUSY) {
                    *said = Some(now);
                    tracing::warn!(task = %report.task, status = %report.status, %error, "a report waits, and others may");
                }
            }
        }
    }

    fn lock_busy(&self) -> MutexGuard<'_, Option<Duration>> {
        // Nothing is half done under this lock, so a panic elsewhere leaves good values.
        self.busy_said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn submit(&self, request: ecs::SubmitTaskStateChangeRequest) -> Result<(), LinkError> {
        tokio::select! {
            biased;
            result = failpoint::around("report", self.link.submit_task_state_change(request)) => result,
            () = self.clock.sleep(DEADLINE) => Err(LinkError::Unavailable {
                operation: "SubmitTaskStateChange",
                why: format!("no answer within {} s", DEADLINE.as_secs()),
            }),
        }
    }
}

/// A report as the wire has it.
#[must_use]
pub fn request(report: &Report) -> ecs::SubmitTaskStateChangeRequest {
    // A task of which only the ARN is known is still in the cluster that its ARN names.
    let cluster = report
        .cluster
        .as_ref()
        .map_or_else(|| report.task.cluster.clone(), ToString::to_string);
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    ecs::SubmitTaskStateChangeRequest {
        cluster: Some(cluster),
        task: Some(report.task.to_string()),
        status: Some(report.status.to_string()),
        reason: Some(cut(report.reason.as_deref().unwrap_or_default(), MAX_REASON)),
        containers: Some(report.containers.iter().map(container).collect()),
        pull_started_at: time(report.pull_started_at),
        pull_stopped_at: time(report.pull_stopped_at),
        execution_stopped_at: time(report.execution_stopped_at),
        ..Default::default()
    }
}

fn container(report: &ContainerReport) -> ecs::ContainerStateChange {
    ecs::ContainerStateChange {
        container_name: Some(report.name.clone()),
        image_digest: report.image_digest.as_deref().map(|digest| cut(digest, MAX_ID)),
        runtime_id: report.runtime_id.as_deref().map(|id| cut(id, MAX_ID)),
        exit_code: report.exit_code,
        network_bindings: Some(report.bindings.iter().map(binding).collect()),
        reason: report.reason.as_deref().map(|reason| cut(reason, MAX_REASON)),
        status: Some(report.status.to_string()),
    }
}

fn binding(binding: &PortBinding) -> ecs::NetworkBinding {
    ecs::NetworkBinding {
        bind_ip: Some(binding.bind_ip.to_string()),
        container_port: Some(i32::from(binding.mapping.container_port)),
        host_port: binding.mapping.host_port.map(i32::from),
        protocol: Some(binding.mapping.protocol.as_str().to_owned()),
        ..Default::default()
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod outages;

#[cfg(test)]
mod tests {
    use longshore_protocol::status::ReportedStatus;

    use super::*;
    use crate::model::{PortMapping, Protocol, sample};

    fn report() -> Report {
        Report {
            task: sample::arn(1),
            cluster: None,
            status: ReportedStatus::Stopped,
            reason: Some("ä".repeat(3000)),
            pull_started_at: Some(1_500),
            pull_stopped_at: None,
            execution_stopped_at: None,
            containers: vec![ContainerReport {
                name: "app".to_owned(),
                status: ReportedStatus::Stopped,
                exit_code: Some(3),
                reason: Some("x".repeat(3000)),
                runtime_id: Some("y".repeat(300)),
                image_digest: None,
                bindings: vec![PortBinding {
                    mapping: PortMapping {
                        container_port: 80,
                        host_port: Some(65535),
                        protocol: Protocol::Udp,
                    },
                    bind_ip: std::net::Ipv4Addr::UNSPECIFIED.into(),
                }],
            }],
        }
    }

    #[test]
    fn texts_are_cut_where_the_api_ends() {
        let request = request(&report());
        assert_eq!(request.reason.map(|reason| reason.chars().count()), Some(1024));
        let container = &request.containers.as_ref().unwrap()[0];
        assert_eq!(container.reason.as_ref().map(String::len), Some(1024));
        assert_eq!(container.runtime_id.as_ref().map(String::len), Some(255));
    }

    #[test]
    fn the_wire_has_what_the_report_has() {
        let request = request(&report());
        assert_eq!(
            request.cluster.as_deref(),
            Some("default"),
            "the cluster that the ARN names"
        );
        assert_eq!(request.status.as_deref(), Some("STOPPED"));
        assert_eq!(request.pull_started_at.map(Timestamp::as_millis), Some(1_500));
        assert_eq!(request.pull_stopped_at, None);
        let container = &request.containers.unwrap()[0];
        assert_eq!(
            (container.exit_code, container.image_digest.as_deref()),
            (Some(3), None)
        );
        let binding = &container.network_bindings.as_ref().unwrap()[0];
        assert_eq!(
            (binding.container_port, binding.host_port),
            (Some(80), Some(65535))
        );
        assert_eq!(
            (binding.bind_ip.as_deref(), binding.protocol.as_deref()),
            (Some("0.0.0.0"), Some("udp"))
        );
    }
}
