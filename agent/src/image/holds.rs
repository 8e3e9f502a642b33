//! Leases: for a pull while it runs, and for an image while containers may be made of it.
//!
//! One lease an image, not one a container: it is made when the image is first held and stays until nobody holds it
//! and its name stands for something else (or nothing). So a container that starts from an image that is here costs
//! containerd no write, and no collection, new pull of the same tag, or `ctr image rm` takes the layers of a container
//! that is about to be made. (A container that exists keeps its layers by its own record.)

use std::collections::HashMap;
use std::time::Duration;

use super::desk::{Desk, HoldLease, Takeoff};
use super::digest::Digest;
use super::pull::Ready;
use super::record::{self, INSTANCE_LABEL};
use crate::clock::Clock;
use crate::containerd::{CallError, Client, GC_EXPIRE_LABEL, Resource};

/// What a lease is for: `image` or `pull`.
const KIND_LABEL: &str = "longshore.lease";
const NAME_LABEL: &str = "longshore.image";
const DIGEST_LABEL: &str = "longshore.digest";
const CHAIN_LABEL: &str = "longshore.chain";
/// What came of a pull that failed is kept this much longer than a pull may take, so that the next goes on from there.
const LEFTOVERS: Duration = Duration::from_secs(60 * 60);

/// Makes and ends leases.
#[derive(Clone, Debug)]
pub struct Leases {
    /// containerd.
    pub client: Client,
    /// Of whose containers the images are.
    pub snapshotter: String,
    /// Which agent this is.
    pub instance: String,
}

/// The leases of a pull.
#[derive(Clone, Debug)]
pub struct PullLease {
    /// Its own.
    pub id: String,
    /// Those that failed pulls of the same image have left.
    left: Vec<String>,
}

impl Leases {
    /// A lease for the pull of `name`, with `life` for it to end.
    pub async fn begin_pull(
        &self,
        name: &str,
        life: Duration,
        clock: &dyn Clock,
    ) -> Result<PullLease, CallError> {
        let filter = self.filter("pull") + &format!(",labels.{NAME_LABEL:?}=={name:?}");
        let left = self.client.list_leases(vec![filter]).await?;
        let id = format!("longshore-pull-{}", uuid::Uuid::new_v4());
        let mut labels = self.labels("pull", name);
        // Ten thousand years hence is as good as never.
        if let Ok(end) = clock.now().checked_add(life.saturating_add(LEFTOVERS)) {
            labels.insert(GC_EXPIRE_LABEL.to_owned(), end.to_string());
        }
        self.client.ensure_lease(&id, labels).await?;
        let left = left.into_iter().map(|(id, _)| id).collect();
        Ok(PullLease { id, left })
    }

    /// Ends a pull's leases; with `resumable`, what it has fetched stays for the next try.
    pub async fn end_pull(&self, lease: PullLease, resumable: bool) {
        let own = (!resumable).then_some(lease.id);
        for id in lease.left.into_iter().chain(own) {
            self.end(&id).await;
        }
    }

    /// Has an image's snapshots stay; true if a lease had to be made for that.
    pub async fn hold(&self, desk: &Desk, takeoff: &Takeoff, ready: &Ready) -> Result<bool, CallError> {
        if desk.reserve(takeoff, &ready.chain_id).is_some() {
            return Ok(false);
        }
        let id = format!("longshore-image-{}", uuid::Uuid::new_v4());
        let mut labels = self.labels("image", &takeoff.name);
        labels.insert(DIGEST_LABEL.to_owned(), ready.target.digest.to_string());
        labels.insert(CHAIN_LABEL.to_owned(), ready.chain_id.to_string());
        self.client.ensure_lease(&id, labels).await?;
        let snapshot = Resource::Snapshot {
            snapshotter: self.snapshotter.clone(),
            key: ready.chain_id.to_string(),
        };
        self.client.hold(&id, &snapshot).await?;
        let lease = HoldLease {
            id: id.clone(),
            name: takeoff.name.clone(),
            digest: ready.target.digest.clone(),
        };
        if !desk.adopt(ready.chain_id.clone(), lease) {
            // Another name of the same image was held in the meantime.
            self.end(&id).await;
        }
        Ok(true)
    }

    /// Ends the lease of a snapshot if nobody holds it and its name no longer stands for it.
    pub async fn sweep(&self, desk: &Desk, chain_id: &Digest) {
        let Some(lease) = desk.idle_lease(chain_id) else {
            return;
        };
        match record::get(&self.client, &lease.name).await {
            Ok(Some(record)) if record.target.digest == lease.digest => {}
            Ok(_) => {
                if let Some(lease) = desk.forget_idle_lease(chain_id) {
                    self.end(&lease.id).await;
                }
            }
            Err(error) => tracing::warn!(%error, "a lease is kept, since its image can't be looked up"),
        }
    }

    /// Takes over the leases that an earlier run of this agent has left.
    pub async fn adopt(&self, desk: &Desk) {
        let leases = match self.client.list_leases(vec![self.filter("image")]).await {
            Ok(leases) => leases,
            Err(error) => {
                tracing::warn!(%error, "the leases of an earlier run can't be listed");
                return;
            }
        };
        for (id, labels) in leases {
            let digest = |label: &str| labels.get(label).and_then(|text| text.parse::<Digest>().ok());
            let (Some(chain_id), Some(digest)) = (digest(CHAIN_LABEL), digest(DIGEST_LABEL)) else {
                self.end(&id).await;
                continue;
            };
            let lease = HoldLease {
                id: id.clone(),
                name: labels.get(NAME_LABEL).cloned().unwrap_or_default(),
                digest,
            };
            match desk.adopt(chain_id.clone(), lease) {
                true => self.sweep(desk, &chain_id).await,
                false if desk.owns(&id) => {}
                false => self.end(&id).await,
            }
        }
    }

    /// A lease that can't be ended now is ended by the next run.
    async fn end(&self, id: &str) {
        if let Err(error) = self.client.delete_lease(id, false).await {
            tracing::warn!(%error, "a lease is left");
        }
    }

    fn labels(&self, kind: &str, name: &str) -> HashMap<String, String> {
        HashMap::from([
            (KIND_LABEL.to_owned(), kind.to_owned()),
            (INSTANCE_LABEL.to_owned(), self.instance.clone()),
            (NAME_LABEL.to_owned(), name.to_owned()),
        ])
    }

    fn filter(&self, kind: &str) -> String {
        format!(
            "labels.{KIND_LABEL:?}=={kind},labels.{INSTANCE_LABEL:?}=={:?}",
            self.instance
        )
    }
}
