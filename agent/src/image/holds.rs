//! Leases: for a pull while it runs, and for an image while containers may be made of it.
//!
//! One lease an image, not one a container: it is made when the image is first held and stays until nobody holds it
//! and its name stands for something else (or nothing). So a container that starts from an image that is here costs
//! containerd no write, and no collection, new pull of the same tag, or `ctr image rm` takes the layers of a container
//! that is about to be made. (A container that exists keeps its layers by its own record.)
//!
//! Invariant: a snapshot has one lease of an image at most. Before one is made, those that earlier runs or calls that broke
//! off have left are taken over; while containerd can't list them, none is made.

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
#[derive(Debug)]
pub struct Leases {
    /// containerd.
    pub client: Client,
    /// Of whose containers the images are.
    snapshotter: String,
    /// Which agent this is.
    pub instance: String,
    /// Held by whoever makes, ends or looks for leases of images, so that none is taken for another's.
    book: tokio::sync::Mutex<Book>,
}

/// What is known of containerd's leases of images.
#[derive(Debug, Default)]
struct Book {
    /// Whether the desk has each of them.
    complete: bool,
    /// The snapshots of those that were taken over and whose names may stand for something else by now.
    unswept: Vec<Digest>,
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
    /// Touches nothing yet.
    pub fn new(client: Client, snapshotter: String, instance: String) -> Self {
        Self {
            client,
            snapshotter,
            instance,
            book: tokio::sync::Mutex::default(),
        }
    }

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
            // One that can't be ended now is ended by the next pull, or expires.
            let _ = self.end(&id).await;
        }
    }

    /// Has an image's snapshots stay; false if they did all the time.
    pub async fn hold(&self, desk: &Desk, takeoff: &Takeoff, ready: &Ready) -> Result<bool, CallError> {
        if desk.reserve(takeoff, &ready.chain_id).is_some() {
            return Ok(false);
        }
        let mut book = self.book.lock().await;
        self.adopt(desk, &mut book).await?;
        if desk.reserve(takeoff, &ready.chain_id).is_some() {
            return Ok(true);
        }
        let id = format!("longshore-image-{}", uuid::Uuid::new_v4());
        let mut labels = self.labels("image", &takeoff.name);
        labels.insert(DIGEST_LABEL.to_owned(), ready.target.digest.to_string());
        labels.insert(CHAIN_LABEL.to_owned(), ready.chain_id.to_string());
        // An answer that does not come leaves it open whether there is a lease.
        book.complete = false;
        self.client.ensure_lease(&id, labels).await?;
        self.keep(&id, &ready.chain_id).await?;
        let lease = HoldLease {
            id,
            name: takeoff.name.clone(),
            digest: ready.target.digest.clone(),
        };
        desk.adopt(ready.chain_id.clone(), lease);
        book.complete = true;
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
                let mut book = self.book.lock().await;
                if let Some(lease) = desk.forget_idle_lease(chain_id) {
                    let complete = std::mem::replace(&mut book.complete, false);
                    book.complete = self.end(&lease.id).await.is_ok() && complete;
                }
            }
            Err(error) => tracing::warn!(%error, "a lease is kept, since its image can't be looked up"),
        }
    }

    /// Takes over leases that are left, and ends those of them that are for nothing.
    pub async fn tidy(&self, desk: &Desk) {
        let unswept = {
            let mut book = self.book.lock().await;
            if let Err(error) = self.adopt(desk, &mut book).await {
                tracing::warn!(%error, "leases that were left are taken over later");
            }
            std::mem::take(&mut book.unswept)
        };
        for chain_id in unswept {
            self.sweep(desk, &chain_id).await;
        }
    }

    /// Has the desk know every lease that containerd has, of earlier runs and of calls that broke off.
    async fn adopt(&self, desk: &Desk, book: &mut Book) -> Result<(), CallError> {
        if book.complete {
            return Ok(());
        }
        for (id, labels) in self.client.list_leases(vec![self.filter("image")]).await? {
            if desk.owns(&id) {
                continue;
            }
            let digest = |label: &str| labels.get(label).and_then(|text| text.parse::<Digest>().ok());
            let (Some(chain_id), Some(digest)) = (digest(CHAIN_LABEL), digest(DIGEST_LABEL)) else {
                self.end(&id).await?;
                continue;
            };
            // Who made it may have got no further.
            self.keep(&id, &chain_id).await?;
            let lease = HoldLease {
                id: id.clone(),
                name: labels.get(NAME_LABEL).cloned().unwrap_or_default(),
                digest,
            };
            match desk.adopt(chain_id.clone(), lease) {
                true => book.unswept.push(chain_id),
                false => self.end(&id).await?,
            }
        }
        book.complete = true;
        Ok(())
    }

    /// Has a lease hold a snapshot, and with it those below.
    async fn keep(&self, id: &str, chain_id: &Digest) -> Result<(), CallError> {
        let snapshot = Resource::Snapshot {
            snapshotter: self.snapshotter.clone(),
            key: chain_id.to_string(),
        };
        self.client.hold(id, &snapshot).await
    }

    async fn end(&self, id: &str) -> Result<(), CallError> {
        let ended = self.client.delete_lease(id, false).await;
        if let Err(error) = &ended {
            tracing::warn!(%error, "a lease is left");
        }
        ended
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
