//! The long poll: asks, takes in, asks again, for ever.
//!
//! A failure changes nothing on the node; it is only tried again, later each time.

use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::arn::ContainerInstanceArn;
use longshore_protocol::poll::{
    DEFAULT_WAIT_SECONDS, Inventory, PROTOCOL_VERSION, PollRequest, PollResponse, WAIT_GRACE_SECONDS,
};
use tokio_util::sync::CancellationToken;

use crate::clock::Backoff;
use crate::link::{ControlLink, LinkError};

use super::shared::Shared;
use super::{EngineHandle, TakeError};

const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(60);
/// An answer that says nothing new and comes sooner than this was not held; then the next poll waits as long.
const HELD: Duration = Duration::from_secs(1);
/// The runtime's version is told where it is known at once; a poll does not wait for it.
const VERSION: Duration = Duration::from_secs(2);

/// Who polls whom.
#[derive(Clone)]
pub struct Polling {
    /// The control plane.
    pub link: Arc<dyn ControlLink>,
    /// The node's container instance, from its registration.
    pub container_instance: ContainerInstanceArn,
    /// Random per start of the agent.
    pub agent_run: uuid::Uuid,
    /// What tells this machine from a copy of it.
    pub fingerprint: String,
    /// The agent's version.
    pub agent_version: String,
}

pub(super) async fn run(
    handle: &EngineHandle,
    shared: &Shared,
    polling: Polling,
    token: CancellationToken,
) -> Result<(), TakeError> {
    let endless = async {
        let mut backoff = Backoff::new(FIRST, MOST);
        let (mut n, mut want_inventory) = (0_u64, false);
        loop {
            n = n.saturating_add(1);
            let request = request(shared, &polling, n, want_inventory).await;
            let asked = shared.clock().since_boot();
            let pause = match poll(shared, &polling, &request).await {
                Ok(response) => {
                    backoff.reset();
                    let quick = shared.clock().since_boot().saturating_sub(asked) < HELD;
                    let asked_before = std::mem::replace(&mut want_inventory, response.want_inventory);
                    note_answer(shared, &response);
                    let cursor = handle.take(response).await?;
                    let idle = cursor == request.cursor && want_inventory == asked_before;
                    if quick && idle { HELD } else { Duration::ZERO }
                }
                Err(error) => {
                    tracing::warn!(%error, "a poll failed; the tasks go on");
                    shared.note_link(|link| link.error = Some(error.to_string()));
                    backoff.next(shared.clock())
                }
            };
            if !pause.is_zero() {
                shared.clock().sleep(pause).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = token.cancelled() => Ok(()),
        result = endless => result,
    }
}

async fn poll(shared: &Shared, polling: &Polling, request: &PollRequest) -> Result<PollResponse, LinkError> {
    let deadline = Duration::from_secs(u64::from(request.wait_seconds + WAIT_GRACE_SECONDS));
    tokio::select! {
        biased;
        response = polling.link.poll(request) => response,
        () = shared.clock().sleep(deadline) => Err(LinkError::Unavailable {
            operation: "poll",
            why: format!("no answer within {} s", deadline.as_secs()),
        }),
    }
}

async fn request(shared: &Shared, polling: &Polling, n: u64, want_inventory: bool) -> PollRequest {
    let runtime_version = tokio::select! {
        biased;
        version = shared.executor.runtime.version() => version.unwrap_or_default(),
        () = shared.clock().sleep(VERSION) => String::new(),
    };
    let tasks = shared.inventory();
    PollRequest {
        container_instance: polling.container_instance.clone(),
        cursor: shared.cursor(),
        agent_run: polling.agent_run,
        n,
        inventory: Inventory {
            hash: Inventory::hash_of(&tasks),
            tasks: want_inventory.then_some(tasks),
        },
        status: shared.node_status(),
        fingerprint: polling.fingerprint.clone(),
        wait_seconds: DEFAULT_WAIT_SECONDS,
        protocol_version: PROTOCOL_VERSION,
        agent_version: polling.agent_version.clone(),
        runtime_version,
    }
}

fn note_answer(shared: &Shared, response: &PollResponse) {
    let at = shared.now().at_millis;
    shared.note_link(|link| {
        link.answered_at = Some(at);
        link.error = None;
        link.instance = Some(response.instance);
    });
}
