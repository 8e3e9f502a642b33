//! How a side of a session comes in.
//!
//! A client's upgrade is not signed: clients in use can't. Its first message has a token, or it is shown out; a bare close
//! would have it try again, and so would any other answer than an upgrade. An agent's upgrade is signed as a poll is.

use std::sync::Arc;

use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use longshore_protocol::data_channel::payload::OpenDataChannel;
use longshore_protocol::node::InstanceId;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::relay::Order;
use super::socket::{Leg, Whose};
use super::{frames, token};
use crate::app::ControlPlane;
use crate::auth;
use crate::error::{ApiError, Code};
use crate::server::Place;
use crate::store::{StoreError, instances, sessions as stored};

pub(crate) use super::socket::accept;

/// The most bytes of a client's first message.
const MAX_OPEN: usize = 16 * 1024;
/// What a client is told that can't come in. It does not say which of it is so.
const NO_ENTRY: &str = "There is no such session, it is over, or its token is wrong, was used, or is older than a minute. \
                        Start another one.";
const NOTHING_SAID: &str = "The client did not say in time which session it opens.";
const FAILED: &str = "The control plane failed to open the session. Try again; its log says why.";

/// Lets a client in, or shows it out, once its connection is upgraded.
pub(crate) fn client(plane: &Arc<ControlPlane>, id: String, parts: &Parts, upgrade: OnUpgrade) {
    let (owner, place) = (Arc::clone(plane), parts.extensions.get::<Place>().cloned());
    plane.sessions.tasks.spawn(async move {
        let plane = owner;
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "an upgrade failed"),
        };
        let mut leg = Leg::open(upgraded, Whose::Client, place, &plane.sessions.limits).await;
        let text = tokio::select! {
            text = first_text(&plane, &mut leg) => text,
            () = plane.shutdown.cancelled() => return leg.close(CloseCode::Away, "the control plane ends").await,
        };
        let refusal = match text {
            None => NOTHING_SAID,
            Some(text) => match admit(&plane, &id, &text).await {
                Ok(true) => {
                    plane.sessions.order(&id, Order::Client(leg)).await;
                    return;
                }
                Ok(false) => NO_ENTRY,
                Err(error) => {
                    tracing::error!(%error, session = id, "a client can't be let in");
                    FAILED
                }
            },
        };
        tracing::info!(session = id, refusal, "a client was not let into a session");
        if leg.say(frames::closed(&*plane.clock, &id, refusal)).await {
            let closing = (CloseCode::Policy, "refused");
            leg.part(plane.sessions.limits.part, closing, &plane.shutdown)
                .await;
        }
    });
}

/// The client's first message, if it is a text and comes in time.
async fn first_text(plane: &ControlPlane, leg: &mut Leg) -> Option<String> {
    let message = timeout(plane.sessions.limits.open, leg.input.next())
        .await
        .ok()??;
    match message {
        Message::Text(text) if text.len() <= MAX_OPEN => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// Whether a client's first message lets it in, which it does once.
async fn admit(plane: &ControlPlane, id: &str, text: &str) -> Result<bool, StoreError> {
    let Ok(open) = serde_json::from_str::<OpenDataChannel>(text) else {
        return Ok(false);
    };
    let now = plane.clock.now_millis();
    let opens = |token: Option<stored::Token>| {
        token.is_some_and(|token| token::opens(&token, &open.token_value, now))
    };
    // First without the write lock: nobody without a token is to hold anybody up.
    if !opens(stored::token(&mut *plane.store.read().await?, id).await?) {
        return Ok(false);
    }
    let mut transaction = plane.store.write().await?;
    if !opens(stored::token(&mut transaction, id).await?) {
        return Ok(false);
    }
    stored::client_came(&mut transaction, id, now).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Whether the node's agent may come in: it is its session, and not over. From then on it is not offered any more.
///
/// # Errors
/// `SessionNotFoundException`, the same for another node's session as for none; `SessionOverException`;
/// `ServerException` for another machine than the node is known to be.
pub(crate) async fn agent_may_come(
    plane: &ControlPlane,
    node: &InstanceId,
    machine: Option<&str>,
    id: &str,
) -> Result<(), ApiError> {
    let mut connection = plane.store.read().await?;
    let found = stored::get(&mut connection, id).await?;
    let Some(session) = found.filter(|session| session.node == *node) else {
        return Err(ApiError::new(
            Code::SessionNotFound,
            "There is no such session of a task of this node.",
        ));
    };
    let known = instances::fingerprint(&mut connection, &session.instance).await?;
    drop(connection);
    if !known.is_empty() && machine.is_some_and(|machine| auth::machine(&known) != machine) {
        return Err(ApiError::new(
            Code::Server,
            format!("The node {node} is known to be another machine: is this a copy of its disk?"),
        ));
    }
    if session.ended_at.is_some() {
        return Err(ApiError::new(Code::SessionOver, "The session is over."));
    }
    if session.agent_at.is_none() {
        let mut transaction = plane.store.write().await?;
        stored::agent_came(&mut transaction, id, plane.clock.now_millis()).await?;
        transaction.commit().await?;
    }
    plane.sessions.agent_came(id);
    Ok(())
}

/// Hands an agent's connection to its session once it is upgraded.
pub(crate) fn agent(plane: &Arc<ControlPlane>, id: String, parts: &Parts, upgrade: OnUpgrade) {
    let (owner, place) = (Arc::clone(plane), parts.extensions.get::<Place>().cloned());
    plane.sessions.tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let leg = Leg::open(upgraded, Whose::Agent, place, &owner.sessions.limits).await;
                // Where the session has ended meanwhile, the agent dials again and is told so.
                owner.sessions.order(&id, Order::Agent(leg)).await;
            }
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
}
