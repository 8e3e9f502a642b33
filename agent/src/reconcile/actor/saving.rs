//! A task's way into the store, and what may be done before it is there.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::{KnownStatus, Step};
use crate::plan::Wait;
use crate::store::Write;

use super::{Actor, ActorError, Done, PATIENCE, sleep_until};

/// What is on its way to the store.
#[derive(Clone, Copy)]
pub(super) struct Saving {
    /// When it has taken too long, since boot.
    pub(super) late: Duration,
    /// How far the task is in it.
    pub(super) known: KnownStatus,
    /// Whether it says that nothing is left of the task.
    torn_down: bool,
}

impl Actor {
    /// Of a task that the runtime has and the store has not: the first thing to do is to store it.
    pub(in crate::reconcile) fn adopt(&mut self) {
        self.adopted = true;
        self.unsaved = true;
    }

    /// What is on its way to the store gets there if the disk is well; what is not planned again loses nothing by it.
    pub(super) async fn end(mut self) -> Result<(), ActorError> {
        let shared = Arc::clone(&self.shared);
        let late = self.saving.map(|saving| saving.late);
        while self.saving.is_some() {
            tokio::select! {
                biased;
                Some(done) = self.work.join_next() => self.finish(done?)?,
                () = sleep_until(&shared, late) => break,
            }
        }
        Ok(())
    }

    /// Whether nobody needs the task any more. Not so if an order is about to come, or has: it is answered first.
    pub(super) fn leaves(&mut self) -> bool {
        // Seen before asking, so that what goes through in between is not missed.
        self.crossing.mark_unchanged();
        let id = &self.state.assignment.arn.id;
        let over = self.state.live.cleaned && self.is_stored() && self.state.is_acknowledged();
        if !over || !self.shared.crossing.leave(id) {
            return false;
        }
        // What came before it left was put there before it could.
        let leaves = self.facts.is_empty();
        if !leaves {
            self.shared.crossing.stop_leaving(id);
        }
        leaves
    }

    /// Nobody needs the task any more. What is still said of it must not hold up the engine.
    pub(super) async fn forget(mut self, token: &CancellationToken) -> Result<(), ActorError> {
        let arn = self.state.assignment.arn.clone();
        let last = self.state.standing(KnownStatus::Stopped);
        let now = self.shared.clock().now();
        let writes = vec![Write::Forget(arn.clone()), Write::Ended(Box::new(last), now)];
        let forget = self.shared.store.commit(writes);
        tokio::pin!(forget);
        loop {
            tokio::select! {
                biased;
                result = &mut forget => return Ok(result?),
                () = token.cancelled() => return Ok(()),
                Some(_) = self.facts.recv() => {}
            }
        }
    }

    /// Sends what is new to the store, one version at a time.
    pub(super) fn save(&mut self) {
        if self.saving.is_some() || !std::mem::take(&mut self.unsaved) {
            return;
        }
        let assignment = &self.state.assignment;
        let mut writes = Vec::new();
        if std::mem::take(&mut self.adopted) {
            writes.push(Write::Adopted(assignment.clone()));
        }
        writes.push(Write::Record(assignment.arn.clone(), self.state.record.clone()));
        if std::mem::take(&mut self.ordered) {
            writes.push(Write::KnowsOfOrders(assignment.arn.clone()));
        }
        self.saving = Some(Saving {
            late: self.shared.clock().since_boot() + PATIENCE,
            known: self.state.known(),
            torn_down: self.state.record.torn_down,
        });
        let store = self.shared.store.clone();
        self.work
            .spawn(async move { Done::Saved(store.commit(writes).await) });
    }

    /// One version is there. What was given back meanwhile goes with the next commit of any task: a new agent would only
    /// do that once more, so it is worth no commit of its own.
    pub(super) fn saved(&mut self) {
        if let Some(saving) = self.saving.take() {
            self.stored = saving.known;
            if self.state.record.torn_down && !saving.torn_down {
                self.save_with_another();
            }
        }
    }

    /// Has the next commit of any task take this version with it; not if one of this task's own is to come.
    pub(super) fn save_with_another(&self) {
        if self.is_stored() {
            let write = Write::Record(self.state.assignment.arn.clone(), self.state.record.clone());
            self.shared.store.add_to_next(vec![write]);
        }
    }

    /// Whether the store has everything.
    pub(super) fn is_stored(&self) -> bool {
        self.saving.is_none() && !self.unsaved
    }

    /// Whether what is on its way to the store is not waited for: the disk takes no writes, or it has taken too long.
    pub(super) fn is_late(&self) -> bool {
        let now = self.shared.clock().since_boot();
        let late = |saving: Saving| saving.late <= now || self.shared.store.is_failing();
        self.saving.is_some_and(late)
    }

    /// Whether a step may be begun now.
    pub(super) fn may(&self, step: &Step) -> bool {
        match step {
            // How it ended is asked as well: who asks keeps the answer until the container is removed.
            Step::Terminate(..) | Step::Kill(..) | Step::Reap(_) => self.is_stored() || self.is_late(),
            Step::PrepareTask
            | Step::Pull(_)
            | Step::Attach(_)
            | Step::Create(_)
            | Step::Start(_)
            | Step::Adopt(_)
            | Step::Discard(_)
            | Step::TearDown(_)
            | Step::TearDownTask
            | Step::Clean => self.is_stored(),
        }
    }
}

pub(super) fn waiting_for_disk(index: u16, known: KnownStatus) -> Wait {
    let cause = match known {
        KnownStatus::Stopped => "it has ended; that is told once the node's disk takes writes again",
        KnownStatus::None | KnownStatus::Pulled | KnownStatus::Created | KnownStatus::Running => {
            "waiting for the node's disk, which takes no writes"
        }
    };
    Wait {
        index,
        cause: cause.to_owned(),
        until: None,
    }
}
