//! The long poll, served: acknowledge, take in, answer at once or when there is something to say.
//!
//! The cursor is (incarnation, sequence). One that this or an earlier incarnation can have given filters; any other
//! gets every live assignment again. See [`longshore_protocol::poll`] for the node's side.

mod answers;
mod cursor;

use std::time::Duration;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::node::InstanceId;
use longshore_protocol::poll::{PROTOCOL_VERSION, PollRequest, PollResponse};
use longshore_protocol::status::InstanceStatus;

use super::inventory;
use super::peer::{Admission, Caller, Open};
use crate::app::ControlPlane;
use crate::auth;
use crate::error::{ApiError, Code};
use crate::store::Connection;
use crate::store::instances::{self, Instance};

use answers::{look, look_cloned, nothing};
use cursor::{acknowledge, cloned_name, known_cursor};

/// The most characters of a version that are kept.
const MAX_VERSION: usize = 255;

/// Serves one poll of a node.
///
/// # Errors
/// `AccessDeniedException` for another node's instance; `UnrecognizedClientException` once the node was deregistered;
/// `InactiveInstanceException` when the instance was
/// deregistered or never was, or has become another machine (register again); `StalePollException` for a poll that was
/// overtaken by a later one;
/// `ClientException` for another protocol version; `ServerException`.
pub async fn serve(
    plane: &ControlPlane,
    node: &InstanceId,
    request: PollRequest,
) -> Result<PollResponse, ApiError> {
    let wait = Caller::from(&request).wait;
    let deadline = tokio::time::Instant::now() + wait;
    let mut turn = loop {
        match begin(plane, node, request.clone()).await? {
            Begun::Turn(turn) => break turn,
            Begun::Unproved(left, nothing) => {
                let turn = tokio::time::Instant::now() + left.max(Duration::from_millis(100));
                tokio::select! {
                    () = tokio::time::sleep_until(turn.min(deadline)) => {}
                    () = plane.shutdown.cancelled() => return Ok(nothing),
                }
                if turn > deadline {
                    return Ok(nothing);
                }
            }
        }
    };
    loop {
        turn.listen();
        let over = plane.shutdown.is_cancelled() || tokio::time::Instant::now() >= deadline;
        if let Some(response) = turn.look(plane, over).await? {
            return Ok(response);
        }
        tokio::select! {
            () = turn.open.rung() => {}
            () = tokio::time::sleep_until(deadline) => {}
            // An offer that may have been lost is repeated.
            () = tokio::time::sleep(turn.offer_due.unwrap_or(Duration::MAX)) => {}
            () = plane.shutdown.cancelled() => {}
        }
    }
}

/// What becomes of a poll.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is served.
    Turn(Box<Turn>),
    /// Its machine is not the one that the node is known to be, which may be alive for so long; and what is answered if
    /// that is too long to wait.
    Unproved(Duration, PollResponse),
}

/// Takes in what a poll says.
///
/// # Errors
/// As [`serve`].
pub(crate) async fn begin(
    plane: &ControlPlane,
    node: &InstanceId,
    request: PollRequest,
) -> Result<Begun, ApiError> {
    if request.protocol_version != PROTOCOL_VERSION {
        return Err(ApiError::client(format!(
            "protocolVersion {} is not served; this control plane speaks {PROTOCOL_VERSION}.",
            request.protocol_version
        )));
    }
    let instance = own_instance(plane, node, &request).await?;
    let known = instances::fingerprint(&mut *plane.store.read().await?, &instance.id).await?;
    let peer = plane.hub.peer(&instance.id);
    let open = match peer.admit(&Caller::from(&request), &known, &plane.clock) {
        Admission::Served(open) => open,
        Admission::Stale => {
            return Err(ApiError::new(
                Code::StalePoll,
                "A later poll of this agent was seen already.",
            ));
        }
        Admission::Unproved(left) => {
            let run = request.agent_run;
            tracing::warn!(instance = instance.id, %run, "another machine polls as a node; it waits until the known one must have been heard");
            return Ok(Begun::Unproved(left, nothing(&request, instance.status)));
        }
    };
    open.note(request.status.clone());
    let mut turn = Turn {
        node: node.clone(),
        confirmed: known == request.fingerprint,
        open,
        seen: 0,
        seen_stops: 0,
        want_inventory: false,
        want_tasks: Vec::new(),
        withholds: false,
        offer_due: None,
        request,
    };
    // First: what another machine says is not the node's.
    turn.confirm(plane).await?;
    if turn.confirmed {
        note_versions(plane, &instance, &turn.request).await?;
    }
    turn.take_cursor(plane).await?;
    turn.take_inventory(plane, &instance).await?;
    Ok(Begun::Turn(Box::new(turn)))
}

/// A poll that is being served.
#[derive(Debug)]
pub(crate) struct Turn {
    node: InstanceId,
    request: PollRequest,
    open: Open,
    /// Whether its machine is the one that the node is known to be.
    confirmed: bool,
    /// What the node has seen, and what it has seen of orders to stop.
    seen: u64,
    seen_stops: u64,
    want_inventory: bool,
    want_tasks: Vec<TaskArn>,
    /// The node's list is needed before it gets a cursor of this incarnation.
    withholds: bool,
    /// How long the sessions that wait for the node may wait to be offered again.
    offer_due: Option<Duration>,
}

impl Turn {
    /// Listens from now on: to be called before each [`Turn::look`].
    pub(crate) fn listen(&mut self) {
        self.open.listen();
    }

    /// The id of the container instance that is polled for.
    #[cfg(test)]
    pub(crate) fn instance(&self) -> String {
        self.request.container_instance.id.to_string()
    }

    /// Whether something may have changed since [`Turn::listen`].
    #[cfg(test)]
    pub(crate) fn has_rung(&self) -> bool {
        self.open.has_rung()
    }

    /// The answer, if there is something to say or the poll is `over`.
    ///
    /// # Errors
    /// As [`serve`].
    pub(crate) async fn look(
        &mut self,
        plane: &ControlPlane,
        over: bool,
    ) -> Result<Option<PollResponse>, ApiError> {
        let status = own_status(plane, &self.node, &self.request).await?;
        if !self.open.is_newest() {
            return Ok(Some(nothing(&self.request, status)));
        }
        self.confirm(plane).await?;
        let id = self.request.container_instance.id.as_str();
        let cloned = self.open.is_cloned();
        // What it holds itself is not known then, and the cursor would pass orders to stop that.
        let unlisted = cloned && !self.open.has_inventory(&self.request.inventory.hash);
        let withheld = unlisted || (self.withholds && !cloned);
        let mut response = if withheld {
            nothing(&self.request, status)
        } else if cloned {
            look_cloned(plane, (id, status), self.seen_stops, &self.open).await?
        } else {
            look(plane, (id, status), self.seen).await?
        };
        response.cloned = cloned;
        // What is known of its list may be good no more.
        let stale = !self.open.has_inventory(&self.request.inventory.hash);
        response.want_inventory = self.want_inventory || withheld || stale;
        response.want_tasks.clone_from(&self.want_tasks);
        let told = self.open.was_told(response.instance, cloned);
        if !cloned {
            let run = self.request.agent_run;
            let offers = plane.sessions.offers(id, run, plane.clock.elapsed());
            (response.sessions, self.offer_due) = (offers.offers, offers.due);
        }
        let offered = self.offer_due == Some(Duration::ZERO);
        let news = !response.assignments.is_empty() || response.want_inventory || !told || offered;
        if !news && !over {
            return Ok(None);
        }
        if cloned && !told {
            let (run, fingerprint) = (self.request.agent_run, &self.request.fingerprint);
            tracing::error!(instance = id, node = %self.node, %run, fingerprint,
                "CLONED: two machines poll as one node; it gets no new tasks until one of them is shut down");
        }
        self.open.tell(response.instance, cloned);
        let now = plane.clock.elapsed();
        plane
            .sessions
            .told(&response.sessions, self.request.agent_run, now);
        Ok(Some(response))
    }

    /// A machine that polls alone is the one that the node is. Where that was another, what is in the books is what that
    /// one has: this one has to register first, and is the known one from then on.
    async fn confirm(&mut self, plane: &ControlPlane) -> Result<(), ApiError> {
        if self.confirmed || self.open.is_cloned() {
            return Ok(());
        }
        let id = self.request.container_instance.id.as_str();
        let fingerprint = &self.request.fingerprint;
        let mut transaction = plane.store.write().await?;
        let known = instances::fingerprint(&mut transaction, id).await?;
        if !known.is_empty() && known != *fingerprint {
            return self.succeed(&known);
        }
        instances::set_fingerprint(&mut transaction, id, fingerprint).await?;
        transaction.commit().await?;
        self.confirmed = true;
        Ok(())
    }

    /// The known machine has been silent, unless it came while this was found out.
    fn succeed(&self, known: &str) -> Result<(), ApiError> {
        let (id, now) = (&self.request.container_instance.id, &self.request.fingerprint);
        let Some(is_news) = self.open.succeed(now) else {
            return Ok(());
        };
        if is_news {
            tracing::warn!(instance = %id, node = %self.node, before = known, now,
                "a node is another machine: the one before has been silent; this one is to register");
        }
        let why = format!(
            "was registered by another machine than this one, which is {} now",
            self.node
        );
        Err(unregistered(&self.request, &why))
    }

    /// Takes the cursor as what the node has; while several machines poll as it, or it is another, only as what this one has.
    async fn take_cursor(&mut self, plane: &ControlPlane) -> Result<(), ApiError> {
        let (id, cursor) = (self.request.container_instance.id.as_str(), &self.request.cursor);
        if self.confirmed && !self.open.is_cloned() {
            self.seen = acknowledge(plane, id, cursor).await?;
            self.seen_stops = self.seen;
            return Ok(());
        }
        let mut connection = plane.store.read().await?;
        let seen = known_cursor(&mut connection, &plane.incarnation, id, cursor).await?;
        let own = (cursor.incarnation == cloned_name(plane)).then_some(cursor.cursor);
        self.seen = seen.unwrap_or(0);
        self.seen_stops = own.or(seen).unwrap_or(0);
        Ok(())
    }

    /// Takes in the node's list where it came along, and says what has to be asked for.
    async fn take_inventory(&mut self, plane: &ControlPlane, instance: &Instance) -> Result<(), ApiError> {
        let inventory = &self.request.inventory;
        // What the node has seen it may have ended, too, and have said so to a control plane whose memory is lost.
        let known = self.request.cursor.incarnation == plane.incarnation || self.seen == 0;
        let compared = inventory.tasks.is_some() && !self.open.is_cloned();
        self.withholds = !known && !compared;
        if inventory.tasks.is_some() {
            self.want_tasks = inventory::take(plane, instance, &self.open, inventory).await?;
            self.want_inventory = !self.want_tasks.is_empty();
            if !known && compared && inventory::falls_short(plane, instance, inventory, self.seen).await? {
                self.seen = 0;
            }
        } else {
            self.want_inventory = self.withholds || !self.open.has_inventory(&inventory.hash);
        }
        Ok(())
    }
}

/// The instance that is polled for, if it is this node's and registered.
async fn own_instance(
    plane: &ControlPlane,
    node: &InstanceId,
    request: &PollRequest,
) -> Result<Instance, ApiError> {
    let arn = &request.container_instance;
    if arn.scope != plane.scope {
        return Err(unregistered(request, "is not registered"));
    }
    let mut connection = plane.store.read().await?;
    check_own(&mut connection, node, request).await?;
    let found = instances::get(&mut connection, &arn.cluster, arn.id.as_str()).await?;
    found.ok_or_else(|| unregistered(request, "is not registered"))
}

/// Its status, under the same conditions.
async fn own_status(
    plane: &ControlPlane,
    node: &InstanceId,
    request: &PollRequest,
) -> Result<InstanceStatus, ApiError> {
    check_own(&mut *plane.store.read().await?, node, request).await
}

async fn check_own(
    connection: &mut Connection,
    node: &InstanceId,
    request: &PollRequest,
) -> Result<InstanceStatus, ApiError> {
    let arn = &request.container_instance;
    match instances::standing(connection, &arn.cluster, arn.id.as_str()).await? {
        Some(found) if found.node != *node => Err(ApiError::denied(format!(
            "The node {node} may poll only for its own container instance."
        ))),
        // As its next call is: this one was signed before.
        Some(found) if !found.has_node => Err(auth::unrecognized()),
        Some(found) if found.status != InstanceStatus::Inactive => Ok(found.status),
        _ => Err(unregistered(request, "is not registered")),
    }
}

/// The answer by which an agent registers again.
fn unregistered(request: &PollRequest, why: &str) -> ApiError {
    let arn = &request.container_instance;
    ApiError::new(
        Code::InactiveInstance,
        format!("The container instance {arn} {why}. Register again."),
    )
}

async fn note_versions(
    plane: &ControlPlane,
    instance: &Instance,
    request: &PollRequest,
) -> Result<(), ApiError> {
    let mut info = instance.registration.version_info.clone();
    let cut = |version: &str| Some(version.chars().take(MAX_VERSION).collect());
    info.agent_version = cut(&request.agent_version);
    if !request.runtime_version.is_empty() {
        info.docker_version = cut(&request.runtime_version);
    }
    if info == instance.registration.version_info {
        return Ok(());
    }
    let mut transaction = plane.store.write().await?;
    instances::set_version_info(&mut transaction, &instance.id, &info).await?;
    Ok(transaction.commit().await?)
}
