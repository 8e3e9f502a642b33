//! What flows between the two sides of a session, as it is.
//!
//! Invariants: a message is read from one side when the one before has been written to the other, so a slow side holds up
//! the fast one, and nothing piles up here; the two directions don't wait for each other. What comes while the other side
//! is away is dropped: each side keeps what was not acknowledged, and the agent is told to send it again.

use longshore_protocol::session::{SessionEnd, cut_reason};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::socket::{Input, Leg, Output};

/// What ends a flow.
#[derive(Debug)]
pub(super) enum Flowed {
    /// The client's socket is gone.
    ClientLost,
    /// The agent's is.
    AgentLost,
    /// The agent says that the session is over.
    Ended(SessionEnd),
}

/// Messages that were read and are not written yet. Of no use once either side has another socket.
#[derive(Debug, Default)]
pub(super) struct Slots {
    up: Option<Message>,
    down: Option<Message>,
}

/// Forwards until something happens. May be dropped and called again: nothing is lost by that.
pub(super) async fn flow(client: Option<&mut Leg>, agent: Option<&mut Leg>, slots: &mut Slots) -> Flowed {
    let (from_client, to_client) = halves(client);
    let (from_agent, to_agent) = halves(agent);
    tokio::select! {
        flowed = upward(from_client, to_agent, &mut slots.up) => flowed,
        flowed = downward(from_agent, to_client, &mut slots.down) => flowed,
    }
}

fn halves(leg: Option<&mut Leg>) -> (Option<&mut Input>, Option<&mut Output>) {
    match leg {
        Some(Leg { input, output, .. }) => (Some(input), Some(output)),
        None => (None, None),
    }
}

/// Which end of a direction is gone.
enum Lost {
    Source,
    Sink,
}

/// From the client to the agent.
async fn upward(from: Option<&mut Input>, to: Option<&mut Output>, slot: &mut Option<Message>) -> Flowed {
    let (mut from, mut to) = (from, to);
    loop {
        match step(from.as_deref_mut(), to.as_deref_mut(), slot).await {
            // After the first message, which is not for here, a client has no text to send.
            Ok(Message::Text(_)) => {}
            Ok(message) => *slot = to.is_some().then_some(message),
            Err(Lost::Source) => return Flowed::ClientLost,
            Err(Lost::Sink) => return Flowed::AgentLost,
        }
    }
}

/// From the agent to the client.
async fn downward(from: Option<&mut Input>, to: Option<&mut Output>, slot: &mut Option<Message>) -> Flowed {
    let (mut from, mut to) = (from, to);
    loop {
        match step(from.as_deref_mut(), to.as_deref_mut(), slot).await {
            Ok(Message::Text(text)) => {
                return match last_words(&text) {
                    Some(end) => Flowed::Ended(end),
                    // It says it again, on another socket.
                    None => Flowed::AgentLost,
                };
            }
            Ok(message) => *slot = to.is_some().then_some(message),
            Err(Lost::Source) => return Flowed::AgentLost,
            Err(Lost::Sink) => return Flowed::ClientLost,
        }
    }
}

/// How an agent says that the session has ended. What it says goes into the log and the store, and agents are many.
fn last_words(text: &str) -> Option<SessionEnd> {
    let mut end: SessionEnd = match serde_json::from_str(text) {
        Ok(end) => end,
        Err(error) => {
            // Its text would repeat what was said.
            let (what, column) = (error.classify(), error.column());
            tracing::warn!(
                ?what,
                column,
                "an agent's word on a session's end can't be read; it is cut off"
            );
            return None;
        }
    };
    if let Some(reason) = &mut end.reason {
        cut_reason(reason);
    }
    Some(end)
}

/// Writes what is in the slot, and reads the next message.
async fn step(
    from: Option<&mut Input>,
    to: Option<&mut Output>,
    slot: &mut Option<Message>,
) -> Result<Message, Lost> {
    match (from, to) {
        (Some(from), Some(to)) => {
            if slot.is_some() {
                if !to.send(slot).await {
                    return Err(Lost::Sink);
                }
                from.listens_again();
            }
            tokio::select! {
                message = from.next() => message.ok_or(Lost::Source),
                () = to.keep_alive() => Err(Lost::Sink),
            }
        }
        (Some(from), None) => from.next().await.ok_or(Lost::Source),
        (None, Some(to)) => {
            to.keep_alive().await;
            Err(Lost::Sink)
        }
        (None, None) => std::future::pending().await,
    }
}
