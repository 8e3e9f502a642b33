//! What the service manager is told: ready, stopping, and that the engine still moves.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

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

/// Tells the watchdog that the engine moves, as long as it does. `progress` is a count that grows whenever it has
/// looked at its work; it does so even when there is none. The network has no part in it: a lost link is no reason to
/// be restarted.
pub(super) async fn watchdog(
    progress: Arc<dyn Fn() -> u64 + Send + Sync>,
    token: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        token.cancelled().await;
        return Ok(());
    };
    let mut seen = None;
    loop {
        let count = progress();
        if seen != Some(count) {
            seen = Some(count);
            send(&[NotifyState::Watchdog]);
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep((limit / 3).max(Duration::from_millis(100))) => {}
        }
    }
}
