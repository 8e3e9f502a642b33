//! The node's place in its cluster: registered at start and when its GPUs change, tried for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_protocol::arn::ContainerInstanceArn;
use longshore_protocol::ecs;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{Backoff, Clock};
use crate::config::Config;
use crate::host::{self, HostError};
use crate::link::{ControlLink as _, Link, LinkError};
use crate::model::{Gpu, HostFacts};
use crate::outage::Outage;
use crate::reconcile::LinkStatus;
use crate::runtime::Runtime;

const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(60);
/// The runtime's version is told where it is known at once; registration does not wait for it.
const VERSION_DEADLINE: Duration = Duration::from_secs(2);

/// How the last registration went, for people.
pub(super) struct Standing {
    clock: Arc<dyn Clock>,
    last: Mutex<Attempt>,
}

struct Attempt {
    error: Option<String>,
    since_millis: i64,
}

/// Whether there is a connection, since when, and why not.
pub(super) struct Connection {
    pub(super) connected: bool,
    pub(super) error: Option<String>,
    pub(super) since_millis: i64,
}

impl Standing {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let last = Attempt {
            error: None,
            since_millis: clock.now().as_millisecond(),
        };
        Self {
            clock,
            last: Mutex::new(last),
        }
    }

    /// Registration goes before the poll: without it there is none.
    pub(super) fn connection(&self, poll: &LinkStatus) -> Connection {
        let last = self.lock();
        let (error, since) = match &last.error {
            Some(error) => (Some(error.clone()), last.since_millis),
            None => (poll.error.clone(), poll.changed_at.unwrap_or(last.since_millis)),
        };
        Connection {
            connected: error.is_none() && poll.answered_at.is_some(),
            error,
            since_millis: since,
        }
    }

    fn note(&self, error: Option<String>) {
        let mut last = self.lock();
        if last.error.is_some() != error.is_some() {
            last.since_millis = self.clock.now().as_millisecond();
        }
        last.error = error;
    }

    fn lock(&self) -> MutexGuard<'_, Attempt> {
        // Nothing is half done under this lock, so a panic elsewhere leaves good values.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a registration may be refused with this code because of the ARN that it names.
fn may_be_the_arn(code: &str) -> bool {
    matches!(code, "InactiveInstanceException" | "ClientException")
}

/// Registers the node.
pub(super) struct Registrar {
    pub(super) link: Arc<Link>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Arc<Config>,
    pub(super) host: Arc<HostFacts>,
    pub(super) standing: Arc<Standing>,
    pub(super) outage: Outage,
}

impl Registrar {
    /// Registers, however long it takes; `None` when `token` is cancelled before.
    pub(super) async fn register(
        &self,
        gpus: &[Gpu],
        token: &CancellationToken,
    ) -> Option<ContainerInstanceArn> {
        let mut backoff = Backoff::new(FIRST, MOST);
        loop {
            let attempt = self.attempt(gpus);
            let error = tokio::select! {
                () = token.cancelled() => return None,
                result = attempt => match result {
                    Ok(arn) => {
                        self.outage.succeeded(self.clock.since_boot());
                        self.standing.note(None);
                        tracing::info!(container_instance = %arn, "registered with the control plane");
                        return Some(arn);
                    }
                    Err(error) => error,
                },
            };
            // Even a refusal is tried again: an operator may mend it on the other side, and the tasks that are here
            // are tended all the while.
            let pause = match error.is_transient() {
                true => backoff.next(self.clock.as_ref()) + error.retry_after().unwrap_or_default(),
                false => MOST,
            };
            self.outage.failed(self.clock.since_boot(), &error);
            self.standing.note(Some(error.to_string()));
            tokio::select! {
                () = token.cancelled() => return None,
                () = self.clock.sleep(pause) => {}
            }
        }
    }

    /// Registers again whenever the GPUs change.
    pub(super) async fn follow(
        &self,
        mut gpus: watch::Receiver<Vec<Gpu>>,
        token: CancellationToken,
    ) -> Result<(), std::convert::Infallible> {
        loop {
            let changed = tokio::select! {
                () = token.cancelled() => return Ok(()),
                changed = gpus.changed() => changed,
            };
            if changed.is_err() {
                token.cancelled().await;
                return Ok(());
            }
            let now = gpus.borrow_and_update().clone();
            tracing::info!(gpus = now.len(), "the GPUs of this machine have changed");
            self.register(&now, &token).await;
        }
    }

    async fn attempt(&self, gpus: &[Gpu]) -> Result<ContainerInstanceArn, LinkError> {
        const OPERATION: &str = "RegisterContainerInstance";
        let version = tokio::time::timeout(VERSION_DEADLINE, self.runtime.version()).await;
        let version = version.ok().and_then(Result::ok);
        let first = self.link.identity().container_instance.is_none();
        let request = |first| {
            self.request(gpus, version.clone(), first)
                .map_err(|error| LinkError::Unavailable {
                    operation: OPERATION,
                    why: error.to_string(),
                })
        };
        let instance = match self.link.register_container_instance(request(first)?).await {
            // Deregistered behind this node's back, or a control plane that is back from a backup. The node is known by its
            // key, so it may ask anew; what it is refused for besides, it is refused for again.
            Err(LinkError::Refused { code, message, .. }) if !first && may_be_the_arn(&code) => {
                let anew = self.link.register_anew(request(true)?).await?;
                tracing::warn!(
                    code,
                    message,
                    "registered anew: the container instance that this node was is not known any more"
                );
                anew
            }
            other => other?,
        };
        let arn = instance.container_instance_arn.unwrap_or_default();
        arn.parse().map_err(|_| LinkError::Unavailable {
            operation: OPERATION,
            why: format!("{arn:?} is no container instance's ARN"),
        })
    }

    fn request(
        &self,
        gpus: &[Gpu],
        runtime_version: Option<String>,
        first: bool,
    ) -> Result<ecs::RegisterContainerInstanceRequest, HostError> {
        let facts = HostFacts {
            gpus: gpus.to_vec(),
            ..self.host.as_ref().clone()
        };
        let mut registration = host::registration(&facts, &self.config)?;
        let tags = self.config.resources.tags.iter().map(|(key, value)| ecs::Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        });
        let tags: Vec<_> = tags.collect();
        if first {
            registration
                .attributes
                .append(&mut registration.custom_attributes);
        }
        Ok(ecs::RegisterContainerInstanceRequest {
            total_resources: Some(registration.resources),
            platform_devices: Some(registration.devices),
            attributes: Some(registration.attributes),
            tags: (first && !tags.is_empty()).then_some(tags),
            version_info: Some(ecs::VersionInfo {
                agent_version: Some(super::VERSION.to_owned()),
                docker_version: runtime_version,
                ..Default::default()
            }),
            ..Default::default()
        })
    }
}
