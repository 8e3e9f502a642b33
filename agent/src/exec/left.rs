//! What sessions leave: processes that are to be ended and removed when nobody is shown them any more.
//!
//! Invariants: a session that is over keeps no place for longer than its processes take to be ended ([`ENDED`]), however long
//! the runtime does not answer for what is left of it; what is left of one does not wait for that of another; and the end of
//! the agent waits for a while only. What is not removed by then is found by the next agent.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use super::program::Program;
use crate::clock::Clock;

/// Of how many sessions something may be left at a time. With more of them the oldest is given up, which is what hangs.
pub(super) const MOST: usize = 64;
/// By when a session's processes are ended, unless something hangs: two seconds after they were told to.
pub(super) const ENDED: Duration = Duration::from_secs(5);
/// How long the agent's end waits: sessions themselves end within four seconds.
const LAST: Duration = Duration::from_secs(5);

/// What is being ended and removed.
#[derive(Default)]
pub struct Left {
    removals: JoinSet<()>,
    /// Those of sessions, the oldest first.
    sessions: VecDeque<AbortHandle>,
}

impl Left {
    /// Takes what is left of a session that was hung up.
    pub fn take(&mut self, session: &str, mut program: Program) {
        if program.is_gone() {
            return;
        }
        self.sessions.retain(|handle| !handle.is_finished());
        if self.sessions.len() >= MOST
            && let Some(oldest) = self.sessions.pop_front()
        {
            tracing::warn!(
                "something of an earlier session is left until the next start: the runtime does not answer for it"
            );
            oldest.abort();
        }
        tracing::debug!(session, "something is left of a session that has ended");
        let removal = self.removals.spawn(async move { program.gone().await });
        self.sessions.push_back(removal);
    }

    /// Takes other work on what is left.
    pub fn work(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.removals.spawn(work);
    }

    /// Goes on until some of it has ended; `None` where there is none.
    pub async fn next(&mut self) -> Option<()> {
        if let Err(error) = self.removals.join_next().await?
            && !error.is_cancelled()
        {
            tracing::error!(%error, "the removal of what a session has left broke off");
        }
        Some(())
    }

    /// Waits for all of it, but not for long after the agent was told to end, which was at `told` by the time since boot.
    pub async fn end(mut self, clock: &dyn Clock, told: Duration) {
        let all = async { while self.next().await.is_some() {} };
        let patience = (told + LAST).saturating_sub(clock.since_boot());
        tokio::select! {
            biased;
            () = all => {}
            () = clock.sleep(patience) => {
                tracing::warn!("something of earlier sessions is left until the next start: the runtime does not answer for it");
            }
        }
    }
}
