//! Answers of polls on their way into the store, and what is done with them if it does not answer.

use std::sync::Arc;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::poll::{Cursor, PollResponse};
use longshore_protocol::status::{DesiredStatus, InstanceStatus};

use crate::intake::{Arrival, Judged};
use crate::model::{Fact, KnownStatus, Report, TaskState};
use crate::store::{StoreError, Write};

use super::super::TaskView;
use super::super::actor::PATIENCE;
use super::{Engine, EngineError, Taken};

/// An answer on its way to the store.
pub(super) struct Taking {
    judged: Judged,
    /// Until somebody has been told how it went.
    reply: Option<Taken>,
}

impl Taking {
    /// The tasks in it that are new here.
    pub(super) fn news(&self) -> impl Iterator<Item = &TaskArn> {
        self.judged.news()
    }
}

impl Engine {
    /// Has an answer stored; [`Engine::stored`] goes on with it. One at a time: the next may build on it.
    pub(super) async fn take(&mut self, response: Box<PollResponse>, reply: Taken) {
        let late = self.shared.clock().since_boot() + PATIENCE;
        if self.is_too_early(&response) {
            self.held.push((response, reply));
            self.patience.get_or_insert(late);
            return;
        }
        if let Some(taking) = &self.taking {
            if taking.reply.is_none() {
                self.stop_ahead(&self.intake.judge(&response)).await;
            }
            self.waiting.push((response, reply));
            self.patience.get_or_insert(late);
            return;
        }
        let judged = self.intake.judge(&response);
        if judged.writes.is_empty() {
            self.note_all_heard(&response);
            self.taken(judged, Some(reply)).await;
            return;
        }
        if !self.shared.crossing.come(judged.ordered().map(|arn| &arn.id)) {
            if self.shared.store.is_failing() {
                self.stop_ahead(&judged).await;
            }
            self.waiting.push((response, reply));
            self.patience.get_or_insert(late);
            return;
        }
        let (store, mut writes) = (self.shared.store.clone(), judged.writes.clone());
        writes.extend(self.told_again(&judged));
        let news = judged.news().cloned().collect();
        self.commits
            .spawn(async move { store.take_in(writes, news).await });
        self.patience = Some(late);
        self.taking = Some(Taking {
            judged,
            reply: Some(reply),
        });
    }

    /// Counts assignments from the beginning, at once: a poll for the new container instance must not acknowledge what was
    /// another's, and answers that are still on their way here were that one's.
    pub(super) async fn begin_again(&mut self, reply: Taken) {
        self.intake.begin_again();
        self.hear_all_again();
        self.shared.set_cursor(Cursor::default());
        if let Some(taking) = &mut self.taking {
            taking.judged.begin_again();
        }
        for (response, _) in self.waiting.iter_mut().chain(&mut self.held) {
            response.cursor = Cursor::default();
        }
        let nothing = PollResponse::nothing(Cursor::default(), InstanceStatus::Active);
        self.take(Box::new(nothing), reply).await;
    }

    /// Once the cursor is stored, an order does not come again: that its task's end is to be told again is stored with it.
    fn told_again(&self, judged: &Judged) -> Vec<Write> {
        let has_ended = |arn: &&TaskArn| {
            let view = self.shared.view(&arn.id);
            view.is_some_and(|view| view.state.known() == KnownStatus::Stopped)
        };
        let ended = judged.ordered().filter(has_ended).cloned();
        ended.map(Write::TellAgain).collect()
    }

    pub(super) async fn stored(
        &mut self,
        result: Result<Vec<Report>, StoreError>,
    ) -> Result<(), EngineError> {
        let Some(Taking { mut judged, reply }) = self.taking.take() else {
            return Ok(());
        };
        self.forget_patience();
        match result {
            Ok(ended) => {
                for report in &ended {
                    tracing::warn!(task = %report.task, "it has ended here already, and is not run again; its end is told again");
                }
                judged.ended(ended);
            }
            Err(error) => {
                reply.map(|reply| reply.send(Err(error.clone().into())));
                return Err(error.into());
            }
        }
        self.taken(judged, reply).await;
        self.shared.crossing.have_come();
        self.take_waiting().await;
        Ok(())
    }

    /// What waited for an answer before it, or for a task that is gone now.
    pub(super) async fn take_waiting(&mut self) {
        if self.taking.is_none() && !self.waiting.is_empty() {
            self.forget_patience();
            for (response, reply) in std::mem::take(&mut self.waiting) {
                self.take(response, reply).await;
            }
        }
    }

    /// What waited has been taken; but those that came too early may still wait.
    fn forget_patience(&mut self) {
        if self.held.is_empty() {
            self.patience = None;
        }
    }

    async fn taken(&mut self, judged: Judged, reply: Option<Taken>) {
        for arrival in self.intake.take(judged) {
            match arrival {
                Arrival::New(assignment) => self.spawn(TaskState::new(assignment)),
                Arrival::Order(arn, order) => self.tell(&arn.id, Fact::Ordered(order)).await,
            }
        }
        let cursor = self.intake.cursor().clone();
        self.shared.set_cursor(cursor.clone());
        // The poller may have been told to end meanwhile; what it brought is taken in all the same.
        reply.map(|reply| reply.send(Ok(cursor)));
    }

    /// The store does not answer, or containerd, or a leftover can't be taken away: the poller is to go on with the cursor
    /// that it has, so that the control plane hears of the node and the node of new orders. Nothing is acknowledged, so
    /// everything comes again.
    pub(super) async fn lose_patience(&mut self) {
        self.patience = None;
        let cursor = self.intake.stored().clone();
        if let Some(mut taking) = self.taking.take() {
            if let Some(reply) = taking.reply.take() {
                self.stop_ahead(&taking.judged).await;
                let _ = reply.send(Ok(cursor.clone()));
            }
            self.taking = Some(taking);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (response, reply) in waiting.into_iter().chain(std::mem::take(&mut self.held)) {
            self.stop_ahead(&self.intake.judge(&response)).await;
            let _ = reply.send(Ok(cursor.clone()));
        }
    }

    /// Orders to stop what runs are obeyed although they are not stored: they come again until they are, and to stop
    /// something twice does no harm.
    async fn stop_ahead(&self, judged: &Judged) {
        for (arn, order) in judged.stops() {
            let view = self.shared.view(&arn.id);
            let stops = |view: Arc<TaskView>| {
                let assignment = &view.state.assignment;
                assignment.desired == DesiredStatus::Stopped && (assignment.force || !order.force)
            };
            if view.is_none_or(stops) {
                continue;
            }
            tracing::warn!(task = %arn, "it is stopped before the order is stored, which has to wait");
            self.tell(&arn.id, Fact::Ordered(order.clone())).await;
        }
    }
}
