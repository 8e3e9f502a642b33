//! What the service manager is told: ready, stopping, and that the engine still moves.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::reconcile::{EngineHandle, TakeError};

/// Without a service manager every message goes nowhere, which is no failure.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// The containers that are here are known; the agent tends them.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The agent is about to end.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Tells the watchdog that the engine moves, as long as its loop comes round. The network has no part in it: a lost
/// link is no reason to be restarted.
pub(super) async fn watchdog(engine: EngineHandle, token: CancellationToken) -> Result<(), TakeError> {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        token.cancelled().await;
        return Ok(());
    };
    let pause = (limit / 3).max(Duration::from_millis(100));
    let endless = async {
        loop {
            engine.ping().await?;
            send(&[NotifyState::Watchdog]);
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = token.cancelled() => Ok(()),
        ended = endless => ended,
    }
}
