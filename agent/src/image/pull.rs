//! One try to have an image: documents, configuration, layers, snapshots.
//!
//! Invariants: everything is made under a lease, so that nothing is collected while there is no record yet; layers
//! come side by side, and are counted and unpacked in order while later ones still come; what is here is not fetched.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::sync::watch;

use super::content::{self, Ingest, Opened, Wanted};
use super::digest::{Digest, chain_ids};
use super::manifest::{Configuration, DOCUMENT_LIMIT, Descriptor, Document};
use super::measure::Scales;
use super::progress::Progress;
use super::registry::{Blob, Fetched, Registries, RegistryError};
use super::room::Room;
use super::unpack::{Layer, Unpacker};
use super::walk::{Chosen, Documents, Found, Target, walk};
use super::{Machine, PullError, Reference, sync};
use crate::clock::Clock;
use crate::containerd::{Class, Client, Resource};
use crate::http::HttpError;
use crate::model::ImageConfig;

/// Layers that come at the same time, as with Docker.
const PARALLEL: usize = 3;
/// How often it is looked whether someone else has finished the same blob.
const BUSY: Duration = Duration::from_millis(200);
/// For a manifest.
pub const DOCUMENT_DEADLINE: Duration = Duration::from_secs(30);

/// An image that is here and unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What its name stands for.
    pub target: Target,
    /// The snapshot of all its layers.
    pub chain_id: Digest,
    /// How to run it.
    pub config: ImageConfig,
}

/// Pulls one image.
pub struct Puller<'a> {
    /// Where from.
    pub registries: &'a Registries,
    /// Which.
    pub reference: &'a Reference,
    /// For whom.
    pub machine: &'a Machine,
    /// Whose calls are held by the lease.
    pub client: Client,
    /// The lease.
    pub lease: &'a str,
    /// Makes snapshots, under the lease.
    pub unpacker: Unpacker,
    /// For pauses.
    pub clock: &'a dyn Clock,
    /// Who is told.
    pub progress: &'a Progress,
    /// What is in memory at once.
    pub room: &'a Room,
    /// What images may unpack to.
    pub scales: &'a Scales,
    /// A document that has come already.
    pub given: Option<(Digest, Fetched)>,
    /// Set once something was written.
    pub wrote: AtomicBool,
}

impl Puller<'_> {
    /// Makes all of an image be here, and on disk.
    ///
    /// # Errors
    /// [`PullError`]; what has come stays under the lease.
    pub async fn image(&self, digest: &Digest, media_type: Option<&str>) -> Result<Ready, PullError> {
        let chosen = walk(self, self.machine, digest, media_type)
            .await?
            .ok_or(PullError::Endless)?;
        let configuration = self.configuration(&chosen).await?;
        let chain = chain_ids(&configuration.diff_ids);
        let chain_id = chain.last().cloned().ok_or(PullError::Endless)?;
        self.layers(&chosen, &configuration.diff_ids, &chain).await?;
        let label = format!("containerd.io/gc.ref.snapshot.{}", self.unpacker.snapshotter);
        let labels = HashMap::from([(label, chain_id.to_string())]);
        content::label(&self.client, &chosen.manifest.config.digest, labels).await?;
        if self.wrote.load(Ordering::Relaxed) {
            sync::content(&self.client).await?;
        }
        Ok(Ready {
            target: chosen.target,
            chain_id,
            config: configuration.config,
        })
    }

    async fn configuration(&self, chosen: &Chosen) -> Result<Configuration, PullError> {
        let blob = &chosen.manifest.config;
        if blob.size > DOCUMENT_LIMIT as u64 {
            return Err(PullError::Configuration {
                config: blob.digest.clone(),
                size: blob.size,
                limit: DOCUMENT_LIMIT,
            });
        }
        self.fetch("config", blob, HashMap::new()).await?;
        let bytes = content::read(&self.client, &blob.digest, DOCUMENT_LIMIT).await?;
        let configuration = Configuration::read(&bytes.unwrap_or_default())?;
        chosen.check(&configuration, self.machine)?;
        Ok(configuration)
    }

    /// Fetches the layers side by side, counts each as soon as it and those below are there, and then unpacks it.
    async fn layers(&self, chosen: &Chosen, diff_ids: &[Digest], chain: &[Digest]) -> Result<(), PullError> {
        let blobs = &chosen.manifest.layers;
        let parents = std::iter::once(None).chain(chain.iter().map(Some));
        let layers: Vec<_> = blobs
            .iter()
            .zip(diff_ids)
            .zip(chain)
            .zip(parents)
            .map(|(((blob, diff_id), chain_id), parent)| Layer {
                blob,
                diff_id,
                parent,
                chain_id,
            })
            .collect();
        self.scales.look(blobs)?;
        let sizes = blobs.iter().map(|blob| blob.size);
        self.progress.begin(sizes.fold(0, u64::saturating_add));
        let (here, arrivals) = watch::channel(HashSet::new());
        let (counted, counts) = watch::channel(0);
        // Boxed, since the compiler can't tell that futures of borrowed layers may change threads.
        let fetches: Vec<_> = layers
            .iter()
            .map(|layer| self.arrive(*layer, &here).boxed())
            .collect();
        let fetched = stream::iter(fetches)
            .buffer_unordered(PARALLEL)
            .try_collect::<()>();
        // Apart from the downloads, so that none waits for a count.
        let measured = self.measure(&layers, arrivals, &counted);
        let unpacked = self.unpack(&layers, counts);
        let fetched = async {
            fetched.await?;
            self.progress.doing("unpacking");
            Ok(())
        };
        futures_util::try_join!(fetched, measured, unpacked).map(drop)
    }

    async fn arrive(&self, layer: Layer<'_>, here: &watch::Sender<HashSet<Digest>>) -> Result<(), PullError> {
        let label = ("containerd.io/uncompressed".to_owned(), layer.diff_id.to_string());
        self.fetch("layer", layer.blob, HashMap::from([label])).await?;
        here.send_modify(|here| {
            here.insert(layer.blob.digest.clone());
        });
        Ok(())
    }

    /// Counts what the layers unpack to, one after the other, and says how many are within the limits.
    async fn measure(
        &self,
        layers: &[Layer<'_>],
        mut arrivals: watch::Receiver<HashSet<Digest>>,
        counted: &watch::Sender<usize>,
    ) -> Result<(), PullError> {
        let mut before = 0_u64;
        for layer in layers {
            // Whoever tells of arrivals lives as long as this.
            let _ = arrivals.wait_for(|here| here.contains(&layer.blob.digest)).await;
            let size = self.scales.measure(&self.client, layer.blob, before).await?;
            before = before.saturating_add(size);
            counted.send_modify(|counted| *counted += 1);
        }
        Ok(())
    }

    async fn unpack(
        &self,
        layers: &[Layer<'_>],
        mut counts: watch::Receiver<usize>,
    ) -> Result<(), PullError> {
        for (index, layer) in layers.iter().enumerate() {
            // Whoever counts lives as long as this.
            let _ = counts.wait_for(|counted| *counted > index).await;
            self.unpacker.unpack(*layer).await?;
        }
        Ok(())
    }

    /// Makes a blob be here.
    async fn fetch(
        &self,
        kind: &str,
        blob: &Descriptor,
        mut labels: HashMap<String, String>,
    ) -> Result<(), PullError> {
        labels.extend([self.source()]);
        loop {
            let wanted = Wanted {
                ingest: format!("{kind}-{}", blob.digest),
                digest: &blob.digest,
                size: blob.size,
                labels: labels.clone(),
            };
            match content::open(&self.client, wanted).await? {
                Opened::Present => {
                    self.progress.add(blob.size);
                    return Ok(());
                }
                Opened::Busy => {
                    self.progress.doing("waiting for another pull of the same layer");
                    self.clock.sleep(BUSY).await;
                }
                Opened::Writing(ingest) => {
                    self.progress.doing("pulling");
                    self.receive(*ingest, blob, &format!("{kind} {}", blob.digest))
                        .await?;
                    self.wrote.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
    }

    /// From the registry into the store, going on where the last try ended.
    /// `part` is what errors call it.
    async fn receive(&self, mut ingest: Ingest, blob: &Descriptor, part: &str) -> Result<(), PullError> {
        let name = ingest.name().to_owned();
        let of_part = |error| PullError::Part {
            part: part.to_owned(),
            error,
        };
        if ingest.offset < blob.size {
            let body = self.registries.blob(self.reference, &blob.digest, ingest.offset);
            let mut body = body.await.map_err(of_part)?;
            if body.offset != ingest.offset {
                ingest.restart();
            }
            self.progress.add(ingest.offset);
            self.copy(&mut body, &mut ingest, blob, part).await?;
        } else {
            self.progress.add(blob.size);
        }
        match ingest.commit().await {
            // What is there is wrong from some byte on, and nobody knows from which.
            Err(error) if error.class == Class::FailedPrecondition => {
                content::abort(&self.client, &name).await?;
                Err(damaged(part, error.message))
            }
            other => Ok(other?),
        }
    }

    async fn copy(
        &self,
        body: &mut Blob,
        ingest: &mut Ingest,
        blob: &Descriptor,
        part: &str,
    ) -> Result<(), PullError> {
        let of_part = |error| PullError::Part {
            part: part.to_owned(),
            error,
        };
        let room = self.room.enter();
        let mut buffer = Vec::with_capacity(room.chunk());
        loop {
            let next = body.next().await;
            if let Ok(Some(bytes)) = &next {
                buffer.extend_from_slice(bytes);
                if ingest.offset + buffer.len() as u64 > blob.size {
                    return Err(damaged(part, format!("it is longer than {} bytes", blob.size)));
                }
                if buffer.len() < room.chunk() {
                    continue;
                }
            }
            // What came before a failure is kept for the next try too.
            if !buffer.is_empty() {
                let length = buffer.len() as u64;
                let chunk = std::mem::replace(&mut buffer, Vec::with_capacity(room.chunk()));
                ingest.write(chunk).await?;
                self.progress.add(length);
            }
            if next.map_err(of_part)?.is_none() {
                break;
            }
        }
        match ingest.offset == blob.size {
            true => Ok(()),
            false => Err(of_part(RegistryError::Http(HttpError::Connection {
                uri: self.reference.host().to_owned(),
                why: format!("it ended after {} of {} bytes", ingest.offset, blob.size),
            }))),
        }
    }

    /// Puts bytes that are at hand into the store.
    async fn store(&self, wanted: Wanted<'_>, bytes: &[u8]) -> Result<(), PullError> {
        loop {
            match content::open(&self.client, wanted.clone()).await? {
                Opened::Present => return Ok(()),
                Opened::Busy => self.clock.sleep(BUSY).await,
                Opened::Writing(mut ingest) => {
                    ingest.restart();
                    ingest.write(bytes.to_vec()).await?;
                    ingest.commit().await?;
                    self.wrote.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
    }

    /// Where blobs are from, for containerd's cross-repository tricks.
    fn source(&self) -> (String, String) {
        let key = format!("containerd.io/distribution.source.{}", self.reference.host());
        (key, self.reference.path().to_owned())
    }
}

#[async_trait]
impl Documents for Puller<'_> {
    /// From the store, else from the registry and into the store.
    async fn get(&self, digest: &Digest, media_type: Option<&str>) -> Result<Option<Found>, PullError> {
        if let Some(bytes) = content::read(&self.client, digest, DOCUMENT_LIMIT).await? {
            let typed = Document::read(media_type, &bytes)?;
            self.client
                .hold(self.lease, &Resource::Content(digest.to_string()))
                .await?;
            content::label(&self.client, digest, typed.document.gc_labels()).await?;
            let size = bytes.len() as u64;
            return Ok(Some(Found { typed, size }));
        }
        let fetched = match &self.given {
            Some((given, fetched)) if given == digest => fetched.clone(),
            Some(_) | None => {
                let asked = self
                    .registries
                    .manifest(self.reference, digest, DOCUMENT_DEADLINE);
                asked.await.map_err(|error| PullError::Part {
                    part: format!("manifest {digest}"),
                    error,
                })?
            }
        };
        let typed = Document::read(fetched.media_type.as_deref().or(media_type), &fetched.bytes)?;
        let kind = match typed.document {
            Document::Index(_) => "index",
            Document::Manifest(_) => "manifest",
        };
        let size = fetched.bytes.len() as u64;
        let mut labels = typed.document.gc_labels();
        labels.extend([self.source()]);
        let wanted = Wanted {
            ingest: format!("{kind}-{digest}"),
            digest,
            size,
            labels,
        };
        self.store(wanted, &fetched.bytes).await?;
        Ok(Some(Found { typed, size }))
    }
}

fn damaged(part: &str, why: String) -> PullError {
    PullError::Damaged {
        part: part.to_owned(),
        why,
    }
}

/// What of an image is here; nothing is fetched.
pub struct Local<'a>(pub &'a Client);

#[async_trait]
impl Documents for Local<'_> {
    async fn get(&self, digest: &Digest, media_type: Option<&str>) -> Result<Option<Found>, PullError> {
        let Some(bytes) = content::read(self.0, digest, DOCUMENT_LIMIT).await? else {
            return Ok(None);
        };
        let typed = Document::read(media_type, &bytes)?;
        let size = bytes.len() as u64;
        Ok(Some(Found { typed, size }))
    }
}

impl Local<'_> {
    /// The image that `target` is, if its documents are here. Whether its snapshot is, is another question.
    ///
    /// # Errors
    /// [`PullError`] if the store fails or the documents can't be used here.
    pub async fn image(&self, machine: &Machine, target: &Target) -> Result<Option<Ready>, PullError> {
        let media_type = Some(target.media_type.as_str());
        let Some(chosen) = walk(self, machine, &target.digest, media_type).await? else {
            return Ok(None);
        };
        let config = &chosen.manifest.config.digest;
        let Some(bytes) = content::read(self.0, config, DOCUMENT_LIMIT).await? else {
            return Ok(None);
        };
        let configuration = Configuration::read(&bytes)?;
        chosen.check(&configuration, machine)?;
        Ok(chain_ids(&configuration.diff_ids).pop().map(|chain_id| Ready {
            target: target.clone(),
            chain_id,
            config: configuration.config,
        }))
    }
}
