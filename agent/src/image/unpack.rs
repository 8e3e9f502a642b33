//! From layers in the content store to snapshots that containers begin from.
//!
//! Invariant: a snapshot is committed only after its files are on disk. containerd itself does not sync what it
//! unpacks, so that a power cut would leave snapshots that are recorded and whose files are empty.

use std::collections::HashMap;
use std::time::Duration;

use super::PullError;
use super::digest::Digest;
use super::manifest::Descriptor;
use super::sync;
use crate::containerd::services::v1::ApplyRequest;
use crate::containerd::services::v1::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use crate::containerd::types::{self, Mount};
use crate::containerd::{self, CallError, Class, Client, Optional, QUICK, call};

/// Which snapshot a remote snapshotter is asked for.
const REFERENCE_LABEL: &str = "containerd.io/snapshot.ref";

/// A layer and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// The blob.
    pub blob: &'a Descriptor,
    /// Its digest when unpacked.
    pub diff_id: &'a Digest,
    /// The snapshot below, if any.
    pub parent: Option<&'a Digest>,
    /// The snapshot that it makes.
    pub chain_id: &'a Digest,
}

/// Unpacks layers with one snapshotter.
#[derive(Clone, Debug)]
pub struct Unpacker {
    /// Whose calls a lease holds.
    pub client: Client,
    /// Such as `overlayfs`.
    pub snapshotter: String,
    /// For one layer.
    pub deadline: Duration,
}

impl Unpacker {
    /// Whether a snapshot is there.
    pub async fn has(&self, chain_id: &Digest) -> Result<bool, CallError> {
        let request = StatSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: chain_id.to_string(),
        };
        let mut service = self.client.snapshots();
        let stat = call("Stat", chain_id.as_str(), QUICK, service.stat(request)).await;
        Ok(stat.optional()?.is_some())
    }

    /// Makes the snapshot of a layer whose parent is there. Does nothing if it is there itself.
    pub async fn unpack(&self, layer: Layer<'_>) -> Result<(), PullError> {
        if self.has(layer.chain_id).await? {
            return Ok(());
        }
        // Unique, since another agent or `ctr` may be at the same layer.
        let key = format!("extract-{} {}", uuid::Uuid::new_v4(), layer.chain_id);
        let done = self.make(&key, layer).await;
        if done.is_err() {
            self.drop_key(&key).await;
        }
        done
    }

    async fn make(&self, key: &str, layer: Layer<'_>) -> Result<(), PullError> {
        let Some(mounts) = self.prepare(key, layer).await? else {
            return Ok(());
        };
        self.apply(layer, mounts.clone()).await?;
        sync::mounted(mounts).await?;
        let request = CommitSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            name: layer.chain_id.to_string(),
            key: key.to_owned(),
            labels: reference(layer.chain_id),
        };
        let mut service = self.client.snapshots();
        let committed = call(
            "Commit",
            layer.chain_id.as_str(),
            self.deadline,
            service.commit(request),
        )
        .await;
        match committed {
            Err(error) if error.class == Class::AlreadyExists => {
                self.drop_key(key).await;
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// A writable snapshot over the parent; `None` where the snapshotter has the finished one from elsewhere.
    async fn prepare(&self, key: &str, layer: Layer<'_>) -> Result<Option<Vec<Mount>>, PullError> {
        let request = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
            parent: layer.parent.map(Digest::to_string).unwrap_or_default(),
            labels: reference(layer.chain_id),
        };
        match containerd::prepare(&self.client, request).await {
            Ok(mounts) => Ok(Some(mounts)),
            Err(error) if error.class == Class::AlreadyExists && self.has(layer.chain_id).await? => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn apply(&self, layer: Layer<'_>, mounts: Vec<Mount>) -> Result<(), PullError> {
        let request = ApplyRequest {
            diff: Some(types::Descriptor {
                media_type: layer.blob.media_type.clone(),
                digest: layer.blob.digest.to_string(),
                size: i64::try_from(layer.blob.size).unwrap_or(i64::MAX),
                ..types::Descriptor::default()
            }),
            mounts,
            ..ApplyRequest::default()
        };
        let mut service = self.client.diff();
        let answer = call(
            "Apply",
            layer.blob.digest.as_str(),
            self.deadline,
            service.apply(request),
        )
        .await?;
        let applied = answer.applied.map(|applied| applied.digest).unwrap_or_default();
        match applied == layer.diff_id.as_str() {
            true => Ok(()),
            false => Err(PullError::Layer {
                layer: layer.blob.digest.clone(),
                expected: layer.diff_id.clone(),
                found: applied,
            }),
        }
    }

    /// What can't be removed now is collected once the lease is gone.
    async fn drop_key(&self, key: &str) {
        let request = RemoveSnapshotRequest {
            snapshotter: self.snapshotter.clone(),
            key: key.to_owned(),
        };
        let mut service = self.client.snapshots();
        let removed = call("Remove", key, QUICK, service.remove(request)).await;
        if let Err(error) = removed.optional() {
            tracing::warn!(%error, "a half-made snapshot is left to the garbage collector");
        }
    }
}

fn reference(chain_id: &Digest) -> HashMap<String, String> {
    HashMap::from([(REFERENCE_LABEL.to_owned(), chain_id.to_string())])
}
