//! Takes away what belongs to no task: records that never started, networks of containers that are gone, folders of tasks
//! that a lost store knew.
//!
//! Invariants: it touches nothing that runs, and nothing that a task knows; a few leftovers at a time.

mod folders;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::arn::ResourceId;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::{Backoff, Clock};
use crate::image::Images;
use crate::model::ContainerId;
use crate::network::Network;
use crate::runtime::{Runtime, RuntimeError};

pub use folders::{DataFolders, Folders, FoldersError};

const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(300);
/// How many leftovers are taken away at a time: after a restart of the machine on which `agent.db` was lost there may be
/// hundreds, and each takes several programs. One that is to be tried again later is in nobody's way until then.
const AT_ONCE: usize = 8;

/// Takes leftovers away.
#[derive(Clone)]
pub struct Janitor {
    runtime: Arc<dyn Runtime>,
    images: Arc<dyn Images>,
    network: Arc<dyn Network>,
    folders: Arc<dyn Folders>,
    clock: Arc<dyn Clock>,
    turns: Arc<Semaphore>,
}

impl Janitor {
    /// Its clones take turns.
    #[must_use]
    pub fn new(
        runtime: Arc<dyn Runtime>,
        images: Arc<dyn Images>,
        network: Arc<dyn Network>,
        folders: Arc<dyn Folders>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            runtime,
            images,
            network,
            folders,
            clock,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Takes away all that is left of a container. It is tried until it is done or `token` is cancelled.
    pub async fn remove(&self, id: &ContainerId, token: &CancellationToken) {
        let mut backoff = Backoff::new(FIRST, MOST);
        loop {
            let turn = self.turns.acquire().await;
            let removed = self.try_remove(id).await;
            drop(turn);
            match removed {
                Ok(()) => {
                    tracing::info!(container = %id, "a leftover was removed");
                    return;
                }
                Err(why) => tracing::warn!(container = %id, why, "a leftover can't be removed, trying again"),
            }
            let pause = backoff.next(self.clock.as_ref());
            tokio::select! {
                biased;
                () = self.clock.sleep(pause) => {}
                () = token.cancelled() => return,
            }
        }
    }

    async fn try_remove(&self, id: &ContainerId) -> Result<(), String> {
        match self.runtime.remove(id).await {
            Ok(()) | Err(RuntimeError::NotFound(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
        self.network.detach(id).await.map_err(|error| error.to_string())?;
        self.images.release(id).await;
        Ok(())
    }

    /// The tasks but these that have folders; `None` if that can't be found out now.
    pub async fn folders(&self, known: BTreeSet<ResourceId>) -> Option<BTreeSet<ResourceId>> {
        match self.folders.of_others(known).await {
            Ok(others) => Some(others),
            Err(error) => {
                tracing::warn!(%error, "leftover folders can't be listed now");
                None
            }
        }
    }

    /// Removes the folders of a task. What can't be removed is found again.
    pub async fn remove_folders(&self, task: &ResourceId) {
        match self.folders.remove(task).await {
            Ok(()) => {
                tracing::info!(%task, "logs and volumes of a task that nobody knows any more were removed")
            }
            Err(error) => tracing::warn!(%task, %error, "a leftover folder can't be removed now"),
        }
    }

    /// The containers of which a network is left.
    pub async fn networks(&self) -> Vec<ContainerId> {
        match self.network.list().await {
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(%error, "leftover networks can't be listed; they stay until the agent starts again");
                Vec::new()
            }
        }
    }
}
