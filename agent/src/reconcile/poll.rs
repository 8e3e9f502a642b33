//! The long poll: asks, takes in, asks again, for ever.
//!
//! A failure changes nothing on the node; it is only tried again, later each time. After one, polls are short until one
//! is answered, so that the return of the link is noticed at once; that wakes the reports that wait. A control plane that
//! always has news is asked for them ten times a second at most.

use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::arn::{ContainerInstanceArn, TaskArn};
use longshore_protocol::poll::{
    DEFAULT_WAIT_SECONDS, Inventory, MAX_BODIES_BYTES, MAX_WANTED, PROTOCOL_VERSION, PollRequest,
    PollResponse, WAIT_GRACE_SECONDS,
};
use longshore_protocol::session::{MAX_OFFERS, SessionOffer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Backoff;
use crate::link::{ControlLink, LinkError};
use crate::outage::Outage;

use super::shared::Shared;
use super::{EngineHandle, TakeError};

const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(60);
/// An answer that says nothing new and comes sooner than this was not held; then the next poll waits as long.
const HELD: Duration = Duration::from_secs(1);
/// `waitSeconds` while the link is lost.
const SHORT_WAIT_SECONDS: u32 = 1;
/// So many answers in a row may come at once, as after a long outage; then each one more is waited for.
const QUICK: u32 = 100;
const PACE: Duration = Duration::from_millis(100);
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
    /// Where sessions that are offered go. What finds no room there is offered again.
    pub sessions: mpsc::Sender<SessionOffer>,
}

pub(super) async fn run(
    handle: &EngineHandle,
    shared: &Shared,
    polling: Polling,
    token: CancellationToken,
) -> Result<(), TakeError> {
    let endless = async {
        let (mut backoff, outage) = (Backoff::new(FIRST, MOST), Outage::new("the link", "poll"));
        let (mut n, mut wanted, mut cloned) = (0_u64, Wanted::default(), false);
        let mut quick_ones = 0_u32;
        // Reports may have waited for this from before the agent was registered.
        let mut is_first = true;
        loop {
            n = n.saturating_add(1);
            let mut request = request(shared, &polling, n, &wanted).await;
            if outage.is_lost() {
                request.wait_seconds = SHORT_WAIT_SECONDS;
            }
            let asked = shared.clock().since_boot();
            let pause = match poll(shared, &polling, &request).await {
                Ok(response) => {
                    backoff.reset();
                    let was_lost = outage.succeeded(shared.clock().since_boot());
                    let is_back = std::mem::replace(&mut is_first, false) || was_lost;
                    shared.reporter.control_plane_answers(is_back);
                    let quick = shared.clock().since_boot().saturating_sub(asked) < HELD;
                    let before = std::mem::replace(&mut wanted, Wanted::by(&response));
                    note_answer(shared, &response);
                    note_clone(&mut cloned, response.cloned);
                    let offers = offer(&polling.sessions, &response);
                    let cursor = handle.take(response).await?;
                    let idle = cursor == request.cursor && wanted == before;
                    quick_ones = if quick { quick_ones.saturating_add(1) } else { 0 };
                    match quick {
                        // They are offered until they were dialled, which takes a moment; others may come meanwhile.
                        true if idle && offers => PACE,
                        true if idle => HELD,
                        true if quick_ones > QUICK => PACE,
                        true | false => Duration::ZERO,
                    }
                }
                Err(error) => {
                    outage.failed(shared.clock().since_boot(), &error);
                    shared.note_link(|link| link.error = Some(error.to_string()));
                    backoff.next(shared.clock()) + error.retry_after().unwrap_or_default()
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

/// Hands sessions on; says whether there were any.
fn offer(sessions: &mpsc::Sender<SessionOffer>, response: &PollResponse) -> bool {
    for offer in response.sessions.iter().take(MAX_OFFERS) {
        // A full channel, or none, is no loss: the offer is repeated until it was dialled.
        if sessions.try_send(offer.clone()).is_err() {
            tracing::debug!(session = offer.session_id, "a session has to be offered again");
        }
    }
    !response.sessions.is_empty()
}

/// What the next poll is to carry beside the hash of the tasks.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wanted {
    list: bool,
    bodies: Vec<TaskArn>,
}

impl Wanted {
    fn by(response: &PollResponse) -> Self {
        let bodies = response.want_tasks.iter().take(MAX_WANTED);
        Self {
            list: response.want_inventory,
            bodies: bodies.cloned().collect(),
        }
    }
}

/// Says once that it began, and once that it is over.
fn note_clone(known: &mut bool, cloned: bool) {
    if std::mem::replace(known, cloned) != cloned {
        if cloned {
            tracing::error!(
                "another machine polls with the identity of this one: is there a copy of this disk? There are no new tasks \
                 until one of them is shut down; the other is to be registered anew"
            );
        } else {
            tracing::info!("no other machine polls with the identity of this one any more");
        }
    }
}

async fn request(shared: &Shared, polling: &Polling, n: u64, wanted: &Wanted) -> PollRequest {
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
            tasks: wanted.list.then_some(tasks),
            bodies: if wanted.list {
                shared.held(&wanted.bodies, MAX_BODIES_BYTES)
            } else {
                Vec::new()
            },
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
