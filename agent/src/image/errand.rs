//! One errand for an image: whether the registry is asked, how often it is tried, and what stands in where that fails.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::desk::{Desk, Had, Outcome, Takeoff};
use super::digest::Digest;
use super::failure::Failure;
use super::holds::{Leases, PullLease};
use super::measure::Scales;
use super::pull::{DOCUMENT_DEADLINE, Local, Puller, Ready};
use super::record::{self, Record};
use super::registry::{Fetched, Registries};
use super::room::Room;
use super::unpack::Unpacker;
use super::walk::Target;
use super::{Machine, PullError, Reference};
use crate::clock::{Backoff, Clock};
use crate::config::PullBehavior;
use crate::containerd::{CallError, Class, Client};

/// How often a pull is tried.
const TRIES: u32 = 3;
/// The pauses between tries.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// How long it is waited for a containerd that is away, such as for an upgrade. That costs no try.
const CONTAINERD_AWAY: Duration = Duration::from_secs(5 * 60);
/// How long a registry may take to say which digest a tag has, where the image that is here would do.
const ASK_QUICKLY: Duration = Duration::from_secs(10);

/// What every pull needs.
pub struct Inner {
    /// containerd, with no lease.
    pub client: Client,
    /// Where images are from.
    pub registries: Registries,
    /// Makes snapshots.
    pub unpacker: Unpacker,
    /// Makes and ends leases.
    pub leases: Leases,
    /// What downloads have in memory.
    pub room: Room,
    /// What images may unpack to.
    pub scales: Scales,
    /// Whom images are for.
    pub machine: Machine,
    /// `ECS_IMAGE_PULL_BEHAVIOR`.
    pub behavior: PullBehavior,
    /// `ECS_IMAGE_PULL_TIMEOUT`.
    pub timeout: Duration,
    /// For pauses.
    pub clock: Arc<dyn Clock>,
    /// Who waits for what.
    pub desk: Arc<Desk>,
}

/// One pull.
pub struct Errand {
    reference: Reference,
    takeoff: Takeoff,
    lease: Mutex<Option<PullLease>>,
}

impl Errand {
    /// A pull that hasn't begun.
    pub fn new(reference: Reference, takeoff: Takeoff) -> Self {
        Self {
            reference,
            takeoff,
            lease: Mutex::new(None),
        }
    }
}

impl Inner {
    /// Makes the pull, tells everyone who waits, and cleans up.
    pub async fn run(&self, errand: Errand) {
        let outcome = tokio::select! {
            biased;
            () = errand.takeoff.token.cancelled() => Err(Failure::Cancelled),
            outcome = tokio::time::timeout(self.timeout, self.tries(&errand)) => match outcome {
                Ok(outcome) => outcome,
                Err(_) => Err(PullError::Timeout(self.timeout).into()),
            },
        };
        let resumable = matches!(outcome, Err(Failure::Unavailable(_)));
        self.desk.land(errand.takeoff, outcome);
        let lease = errand.lease.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = lease {
            self.leases.end_pull(lease, resumable).await;
        }
        self.leases.tidy(&self.desk).await;
    }

    async fn tries(&self, errand: &Errand) -> Outcome {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        let mut left = TRIES;
        let mut away_since = None;
        loop {
            let result = self.attempt(errand).await;
            let now = self.clock.since_boot();
            let again = match &result {
                Ok(_) => false,
                Err(PullError::Store(error)) if error.is_transient() => {
                    now - *away_since.get_or_insert(now) < CONTAINERD_AWAY
                }
                Err(error) => {
                    away_since = None;
                    left -= 1;
                    left > 0 && error.is_transient()
                }
            };
            match result {
                Ok(had) => return Ok(had),
                Err(error) if again => {
                    let pause = backoff
                        .next(&*self.clock)
                        .max(error.retry_after().unwrap_or_default());
                    tracing::info!(image = errand.takeoff.name, %error, ?pause, "a pull is tried again");
                    let doing = format!("waiting {:.1} s after: {error}", pause.as_secs_f32());
                    errand.takeoff.progress.doing(&doing);
                    self.clock.sleep(pause).await;
                }
                Err(error) => return self.fall_back(errand, error).await,
            }
        }
    }

    async fn attempt(&self, errand: &Errand) -> Result<Had, PullError> {
        let name = &errand.takeoff.name;
        let record = record::get(&self.client, name).await?;
        let here = match &record {
            Some(record) => self.here(&record.target).await?,
            None => None,
        };
        let known = errand
            .reference
            .digest()
            .or(record.as_ref().map(|record| &record.target.digest));
        if let (Some(digest), false) = (known, self.asks(&errand.reference, record.as_ref())) {
            if let Some(ready) = here.filter(|ready| ready.target.digest == *digest) {
                return self.keep(errand, ready, None).await;
            }
            return self.pull(errand, record.as_ref(), digest, None).await;
        }
        errand.takeoff.progress.doing("asking the registry");
        let deadline = if here.is_some() {
            ASK_QUICKLY
        } else {
            DOCUMENT_DEADLINE
        };
        let resolved = match (
            self.registries.resolve(&errand.reference, deadline).await,
            here.clone(),
        ) {
            (Ok(resolved), _) => resolved,
            (Err(error), Some(ready)) if self.behavior == PullBehavior::Default => {
                return self.keep(errand, ready, Some(error.to_string())).await;
            }
            (Err(error), _) => return Err(error.into()),
        };
        match here.filter(|ready| ready.target.digest == resolved.digest) {
            Some(ready) => {
                let ours = record.and_then(|record| record.instance);
                if ours.as_ref() != Some(&self.leases.instance) {
                    record::put(&self.client, name, &ready.target, &self.leases.instance).await?;
                }
                self.keep(errand, ready, None).await
            }
            None => {
                self.pull(errand, record.as_ref(), &resolved.digest, resolved.document)
                    .await
            }
        }
    }

    /// Whether the registry has to say what a reference stands for.
    fn asks(&self, reference: &Reference, record: Option<&Record>) -> bool {
        let instance = record.and_then(|record| record.instance.as_ref());
        reference.digest().is_none()
            && match self.behavior {
                PullBehavior::Default | PullBehavior::Always => true,
                PullBehavior::Once => instance != Some(&self.leases.instance),
                PullBehavior::PreferCached => record.is_none(),
            }
    }

    /// The image that is here, if all of it is.
    async fn here(&self, target: &Target) -> Result<Option<Arc<Ready>>, PullError> {
        let ready = match self.desk.recall(&target.digest) {
            Some(ready) => ready,
            None => match Local(&self.client).image(&self.machine, target).await {
                Ok(Some(ready)) => {
                    let ready = Arc::new(ready);
                    self.desk.remember(&ready);
                    ready
                }
                Ok(None) => return Ok(None),
                Err(error) if error.is_transient() => return Err(error),
                // What can't be used is as good as absent: a pull will say what is wrong with it.
                Err(_) => return Ok(None),
            },
        };
        let unpacked = self.unpacker.has(&ready.chain_id).await?;
        Ok(unpacked.then_some(ready))
    }

    /// Has an image that is here stay here.
    async fn keep(
        &self,
        errand: &Errand,
        ready: Arc<Ready>,
        fallback: Option<String>,
    ) -> Result<Had, PullError> {
        let new = self.leases.hold(&self.desk, &errand.takeoff, &ready).await?;
        // Before the lease, a collection may have come in between.
        if new && !self.unpacker.has(&ready.chain_id).await? {
            return Err(gone(&ready).into());
        }
        if let Some(why) = &fallback {
            tracing::warn!(image = errand.takeoff.name, %why, "the registry can't be asked; the image that is here is used");
        }
        Ok(Had { ready, fallback })
    }

    async fn pull(
        &self,
        errand: &Errand,
        before: Option<&Record>,
        digest: &Digest,
        document: Option<Fetched>,
    ) -> Result<Had, PullError> {
        let name = &errand.takeoff.name;
        let lease = self.pull_lease(errand).await?;
        let client = self.client.with_lease(&lease)?;
        let puller = Puller {
            registries: &self.registries,
            reference: &errand.reference,
            machine: &self.machine,
            lease: &lease,
            unpacker: Unpacker {
                client: client.clone(),
                ..self.unpacker.clone()
            },
            client,
            clock: &*self.clock,
            progress: &errand.takeoff.progress,
            room: &self.room,
            scales: &self.scales,
            given: document.map(|document| (digest.clone(), document)),
            wrote: AtomicBool::new(false),
        };
        let known = before.filter(|record| record.target.digest == *digest);
        let media_type = known.map(|record| record.target.media_type.as_str());
        let ready = Arc::new(puller.image(digest, media_type).await?);
        record::put(&self.client, name, &ready.target, &self.leases.instance).await?;
        self.desk.remember(&ready);
        let had = self.keep(errand, ready, None).await?;
        if let Some(old) = before.and_then(|record| self.desk.recall(&record.target.digest)) {
            self.leases.sweep(&self.desk, &old.chain_id).await;
        }
        Ok(had)
    }

    async fn pull_lease(&self, errand: &Errand) -> Result<String, CallError> {
        let own = errand
            .lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(lease) = own {
            return Ok(lease.id);
        }
        let name = &errand.takeoff.name;
        let lease = self.leases.begin_pull(name, self.timeout, &*self.clock).await?;
        let id = lease.id.clone();
        *errand.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
        Ok(id)
    }

    /// After all tries: by default the image that is here will do, if it is for this machine.
    async fn fall_back(&self, errand: &Errand, error: PullError) -> Outcome {
        let may = match error {
            PullError::Registry(_)
            | PullError::Part { .. }
            | PullError::Damaged { .. }
            | PullError::Manifest(_) => {
                self.behavior == PullBehavior::Default && errand.reference.digest().is_none()
            }
            PullError::Store(_)
            | PullError::Sync(_)
            | PullError::Endless
            | PullError::Layer { .. }
            | PullError::TooBig { .. }
            | PullError::Unpack { .. }
            | PullError::Configuration { .. }
            | PullError::Platform { .. }
            | PullError::Timeout(_) => false,
        };
        if !may {
            return Err(error.into());
        }
        let local = async {
            let Some(record) = record::get(&self.client, &errand.takeoff.name).await? else {
                return Ok(None);
            };
            match self.here(&record.target).await? {
                Some(ready) => self.keep(errand, ready, Some(error.to_string())).await.map(Some),
                None => Ok(None),
            }
        };
        match local.await {
            Ok(Some(had)) => Ok(had),
            Ok(None) => Err(error.into()),
            Err(second) => {
                tracing::warn!(error = %second, "the image that is here can't be used either");
                Err(error.into())
            }
        }
    }
}

fn gone(ready: &Ready) -> CallError {
    CallError {
        operation: "Stat",
        subject: ready.chain_id.to_string(),
        class: Class::Unavailable,
        message: "the snapshot was removed just now".to_owned(),
    }
}
