//! Exec sessions: who may open one, where its two sides meet, what flows between them, how it ends.
//!
//! - [`Sessions`]: those that are not over; what nodes are offered of them.
//! - [`relay`]: one session; [`flow`]: what it forwards; [`socket`]: one side of it; [`frames`]: what it says itself.
//! - [`door`]: how a side comes in. [`token`]: what lets a client in. [`audit`]: what is told of it.
//!
//! The wire is [`longshore_protocol::session`]'s. Rows are in [`crate::store::sessions`].
//!
//! Invariants: a token opens once, and only its own session; a node reaches the sessions of its own tasks only; a session's
//! command is offered until its node's agent has been let in, and never after, so that it runs once at most; sessions
//! outlive the control plane's run, in their rows, while sockets and deadlines don't.

mod alive;
mod audit;
pub(crate) mod door;
mod flow;
mod frames;
mod relay;
mod socket;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_protocol::session::{
    CONNECT_SECONDS, MAX_OFFERS, PING_SECONDS, RESUME_SECONDS, SILENCE_SECONDS, SessionKind, SessionOffer,
};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::app::ControlPlane;
use crate::error::{ApiError, Code};
use crate::store::sessions::{self as stored, Session};
use relay::{Order, Relay};

/// The most sessions at once. Two sockets each leave as many connections for everybody else.
const MAX_ALIVE: usize = 2048;
/// The most bytes of offers in one poll answer, save that one always fits: what an agent reads beyond the assignments.
const MAX_OFFER_BYTES: usize = 48 * 1024;
/// How soon an offer is repeated to an agent that has not dialled, and may have lost the answer.
const REPEAT: Duration = Duration::from_secs(1);
/// What a client is told whose session is on such a node.
const NODE_OVER: &str = "The task's node was deregistered.";
/// Orders that may wait for a session: a socket a side, and that it is to end.
const ORDERS: usize = 4;

/// How long what may take.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Until a client, and the agent, have come first.
    pub(crate) connect: Duration,
    /// Until one that was lost is back.
    pub(crate) resume: Duration,
    /// Until a client's socket has said what it opens.
    pub(crate) open: Duration,
    /// Between two pings.
    pub(crate) ping: Duration,
    /// Until a silent peer is lost: two pings and their answers. A client that may be held is not, if its machine is there.
    pub(crate) silence: Duration,
    /// Until a client that was told that it is over, and says nothing, has closed its socket.
    pub(crate) part: Duration,
    /// Until an agent that is to end a session has said how it ended: it may have to kill.
    pub(crate) last_words: Duration,
    /// What the control plane's end waits for what is on its way.
    pub(crate) drain: Duration,
    /// Until an end that could not be stored is tried again, for the first time.
    pub(crate) store_again: Duration,
    /// The most sessions at once.
    pub(crate) alive: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(CONNECT_SECONDS.into()),
            resume: seconds(RESUME_SECONDS.into()),
            open: seconds(10),
            ping: seconds(PING_SECONDS.into()),
            silence: seconds(SILENCE_SECONDS.into()),
            part: seconds(1),
            last_words: seconds(15),
            drain: seconds(1),
            store_again: seconds(1),
            alive: MAX_ALIVE,
        }
    }
}

/// A session that is not over.
#[derive(Debug)]
struct Live {
    instance: String,
    orders: mpsc::Sender<Order>,
    /// Until the agent has come.
    offer: Option<Offer>,
    task: String,
    is_exec: bool,
}

#[derive(Debug)]
struct Offer {
    offer: SessionOffer,
    bytes: usize,
    /// Which run of the agent was told of it last, and when.
    told: Option<(Uuid, Duration)>,
}

/// What a node is to hear of its sessions.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// Those that wait for its agent.
    pub(crate) offers: Vec<SessionOffer>,
    /// How long they can wait to be told: zero for one that this run of the agent has not heard, or long ago.
    pub(crate) due: Option<Duration>,
}

/// The sessions that are not over.
#[derive(Debug)]
pub(crate) struct Sessions {
    limits: Limits,
    // Held for a look-up only, never over an await.
    live: Mutex<HashMap<String, Live>>,
    /// The sessions' tasks, and those of sockets that come or go.
    tasks: TaskTracker,
}

impl Sessions {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            live: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<String, Live>> {
        // Whether or not a thread panicked with it: every change under it is complete in itself.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That there is room for one more.
    ///
    /// # Errors
    /// `ThrottlingException`.
    pub(crate) fn require_room(&self) -> Result<(), ApiError> {
        if self.live().len() < self.limits.alive {
            return Ok(());
        }
        Err(ApiError::new(
            Code::Throttling,
            format!(
                "{} sessions are open, which is as many as there may be. Try again when some have ended.",
                self.limits.alive
            ),
        ))
    }

    /// What an instance's agent is to hear now.
    pub(crate) fn offers(&self, instance: &str, run: Uuid, now: Duration) -> Offers {
        let live = self.live();
        let waiting = live.values().filter(|live| live.instance == instance);
        let mut found = Offers::default();
        let mut bytes = 0;
        for offer in waiting.filter_map(|live| live.offer.as_ref()) {
            bytes += offer.bytes;
            let fits = bytes <= MAX_OFFER_BYTES && found.offers.len() < MAX_OFFERS;
            if !fits && !found.offers.is_empty() {
                break;
            }
            let told = offer.told.filter(|(to, _)| *to == run);
            let due = told.map_or(Duration::ZERO, |(_, at)| (at + REPEAT).saturating_sub(now));
            found.due = Some(found.due.map_or(due, |other| other.min(due)));
            found.offers.push(offer.offer.clone());
        }
        found
    }

    /// An agent's run is being told this.
    pub(crate) fn told(&self, offers: &[SessionOffer], run: Uuid, now: Duration) {
        let mut live = self.live();
        for told in offers {
            let found = live.get_mut(&told.session_id);
            if let Some(offer) = found.and_then(|live| live.offer.as_mut()) {
                offer.told = Some((run, now));
            }
        }
    }

    /// Its agent has come: it is not offered any more.
    fn agent_came(&self, id: &str) {
        if let Some(live) = self.live().get_mut(id) {
            live.offer = None;
        }
    }

    fn forget(&self, id: &str) {
        self.live().remove(id);
    }

    /// Gives an order to a session. Says whether there was one to take it.
    async fn order(&self, id: &str, order: Order) -> bool {
        let found = self.live().get(id).map(|live| live.orders.clone());
        match found {
            Some(orders) => orders.send(order).await.is_ok(),
            None => false,
        }
    }

    /// A session was told to end, which is stored.
    pub(crate) async fn close(&self, id: &str, reason: &'static str) {
        self.order(id, Order::Close(reason)).await;
    }

    /// A task is over: its sessions are to end soon, if they don't by themselves.
    pub(crate) async fn task_over(&self, task: &str) {
        // Logs are there after their task's end.
        let which = |live: &Live| live.is_exec && live.task == task;
        self.order_all(which, || Order::TaskOver).await;
    }

    /// So are all tasks of an instance.
    pub(crate) async fn instance_over(&self, instance: &str) {
        let which = |live: &Live| live.is_exec && live.instance == instance;
        self.order_all(which, || Order::TaskOver).await;
    }

    /// The node of an instance was deregistered: its agent, which can't come in any more, is not to stay either.
    pub(crate) async fn node_over(&self, instance: &str) {
        let which = |live: &Live| live.instance == instance;
        self.order_all(which, || Order::Close(NODE_OVER)).await;
    }

    async fn order_all(&self, which: impl Fn(&Live) -> bool, order: impl Fn() -> Order) {
        let orders = |live: &Live| which(live).then(|| live.orders.clone());
        let all: Vec<_> = self.live().values().filter_map(orders).collect();
        for orders in all {
            // One that is over has no need of it.
            let _ = orders.send(order()).await;
        }
    }

    /// Waits until all have let go of their sockets; to be called once the control plane is ending.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How many are not over.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.live().len()
    }
}

/// A new session, which is stored: from now on it is offered to its node, and both sides may come.
pub(crate) fn begin(plane: &Arc<ControlPlane>, session: Session) {
    audit::begun(&session);
    let wait = plane.sessions.limits.connect;
    let instance = session.instance.clone();
    host(plane, session, wait);
    plane.hub.wake(&instance);
}

/// The sessions that an earlier run of the control plane has left: both sides of each may come back.
pub(crate) fn revive(plane: &Arc<ControlPlane>, sessions: Vec<Session>) {
    for session in sessions {
        host(plane, session, plane.sessions.limits.resume);
    }
}

fn host(plane: &Arc<ControlPlane>, session: Session, wait: Duration) {
    let (sender, orders) = mpsc::channel(ORDERS);
    let offer = (session.agent_at.is_none() && session.closing.is_none()).then(|| {
        let offer = SessionOffer {
            session_id: session.id.clone(),
            task_arn: session.task.clone(),
            container_name: session.container.clone(),
            kind: session.kind.clone(),
        };
        Offer {
            bytes: serde_json::to_vec(&offer).map_or(0, |json| json.len()),
            offer,
            told: None,
        }
    });
    let live = Live {
        instance: session.instance.clone(),
        orders: sender,
        offer,
        task: session.task.id.to_string(),
        is_exec: matches!(session.kind, SessionKind::Exec { .. }),
    };
    plane.sessions.live().insert(session.id.clone(), live);
    let relay = Relay::new(Arc::clone(plane), session, orders, wait);
    plane.sessions.tasks.spawn(relay.run());
}

/// A token for a session, and what is stored of it.
///
/// # Errors
/// `ServerException` if the system has no randomness.
pub(crate) fn new_token(plane: &ControlPlane) -> Result<(String, stored::Token), ApiError> {
    token::make(plane.clock.now_millis(), CONNECT_SECONDS)
}
