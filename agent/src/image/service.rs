//! [`Images`] on containerd: one pull for all who ask for the same image, each with its own progress and way out.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desk::{Desk, Outcome, Takeoff};
use super::errand::{Errand, Inner};
use super::failure::{self, Failure};
use super::holds::Leases;
use super::measure::Scales;
use super::registry::{Reach, Registries};
use super::room::Room;
use super::unpack::Unpacker;
use super::{ImageError, Images, Machine, PullProgress, Reference};
use crate::clock::Clock;
use crate::config::ImageConfig;
use crate::containerd::Client;
use crate::model::{ContainerId, PulledImage};

/// What of this node matters to images.
#[derive(Clone, Debug)]
pub struct Node {
    /// Such as `overlayfs`.
    pub snapshotter: String,
    /// Which agent this is: leases and images carry it.
    pub instance: String,
    /// As OCI has it, such as `amd64`.
    pub architecture: String,
    /// Such as `v7`; may be empty.
    pub variant: String,
}

/// Images by containerd's content store and snapshots.
pub struct ContainerdImages {
    inner: Arc<Inner>,
    pulls: TaskTracker,
}

impl ContainerdImages {
    /// Touches nothing yet. Pulls run until nobody waits for them or [`ContainerdImages::shutdown`].
    #[must_use]
    pub fn new(
        client: Client,
        reach: Reach,
        config: &ImageConfig,
        clock: Arc<dyn Clock>,
        node: Node,
    ) -> Self {
        let inner = Inner {
            registries: Registries::new(reach, config, Arc::clone(&clock)),
            unpacker: Unpacker {
                client: client.clone(),
                snapshotter: node.snapshotter.clone(),
                deadline: config.pull_timeout,
            },
            leases: Leases::new(client.clone(), node.snapshotter, node.instance),
            room: Room::default(),
            scales: Scales::new(config.limits),
            machine: Machine::new(&node.architecture, &node.variant),
            behavior: config.pull_behavior,
            timeout: config.pull_timeout,
            desk: Arc::new(Desk::default()),
            client,
            clock,
        };
        Self {
            inner: Arc::new(inner),
            pulls: TaskTracker::new(),
        }
    }

    /// Ends all pulls and waits until they have cleaned up. What they have fetched is fetched again.
    pub async fn shutdown(&self) {
        self.inner.desk.cancel_all();
        self.pulls.close();
        self.pulls.wait().await;
    }

    fn start(&self, reference: Reference, takeoff: Takeoff) {
        let inner = Arc::clone(&self.inner);
        self.pulls.spawn(async move {
            inner.run(Errand::new(reference, takeoff)).await;
        });
    }
}

#[async_trait]
impl Images for ContainerdImages {
    async fn ensure(
        &self,
        reference: &str,
        holder: &ContainerId,
        progress: watch::Sender<PullProgress>,
        cancel: CancellationToken,
    ) -> Result<PulledImage, ImageError> {
        let parsed = failure::reference(reference)?;
        let name = parsed.to_string();
        let (mut seat, takeoff) = self.inner.desk.join(&name, holder);
        if let Some(takeoff) = takeoff {
            self.start(parsed, takeoff);
        }
        let outcome = loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break Err(Failure::Cancelled),
                landed = landed(&mut seat.outcome) => break landed,
                Ok(()) = seat.progress.changed() => {
                    progress.send_replace(seat.progress.borrow_and_update().clone());
                }
            }
        };
        let had = outcome.map_err(|failure| failure.of(reference))?;
        seat.keep();
        Ok(PulledImage {
            reference: reference.to_owned(),
            name,
            digest: had.ready.target.digest.to_string(),
            chain_id: had.ready.chain_id.to_string(),
            config: had.ready.config.clone(),
            fallback: had.fallback,
        })
    }

    async fn release(&self, holder: &ContainerId) {
        if let Some(chain_id) = self.inner.desk.release(holder) {
            self.inner.leases.sweep(&self.inner.desk, &chain_id).await;
        }
    }
}

async fn landed(outcome: &mut watch::Receiver<Option<Outcome>>) -> Outcome {
    let landed = match outcome.wait_for(Option::is_some).await {
        Ok(landed) => landed.clone(),
        Err(_) => None,
    };
    landed.unwrap_or_else(|| {
        Err(Failure::Unavailable(
            "the pull broke off; this is a fault of the agent".to_owned(),
        ))
    })
}
