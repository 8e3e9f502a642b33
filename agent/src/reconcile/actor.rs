//! A task's owner: the only one who applies facts to it.
//!
//! Facts that are there together are applied together and stored in one commit. Then the plan is compared with what is
//! going on: what is new is begun, what is not wanted any more is given up.
//!
//! While something waits to be stored, facts are still taken in, but no step is begun and nothing is reported. There is
//! one exception: if the disk takes no writes, or the store has not answered for [`PATIENCE`], containers that are to end
//! get their signals, and are asked how they ended, all the same. A crash then forgets that they were sent, and the order
//! comes again; a container that nobody can stop because of a full disk would be worse.

mod saving;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longshore_protocol::status::ReportedStatus;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::model::{ContainerFact, Effect, Fact, KnownStatus, Lane, Step, TaskState, apply};
use crate::plan::{Needs, Now, Plan, Policy, Wait, plan};
use crate::report::Delivered;
use crate::store::StoreError;

use super::shared::Shared;
use super::view::TaskView;

use saving::{Saving, waiting_for_disk};

/// After a step that came to nothing: it should not happen, and must not become a loop that keeps a core busy.
const REST: Duration = Duration::from_secs(1);
/// How long a store that does not answer is waited for before what can be done without it is done.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// An actor that can't go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActorError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a step ended badly: {0}")]
    Step(#[from] JoinError),
}

/// What a piece of work brings back.
enum Done {
    Step(Lane, Option<Fact>),
    Report(Delivered),
    Saved(Result<(), StoreError>),
}

pub(super) struct Actor {
    shared: Arc<Shared>,
    state: TaskState,
    needs: Needs,
    facts: mpsc::Receiver<Fact>,
    view: watch::Sender<Arc<TaskView>>,
    freed: watch::Receiver<u64>,
    too_many: watch::Receiver<u64>,
    /// Whether an order about it may have kept it from leaving.
    crossing: watch::Receiver<()>,
    /// Whether it is one of the stopped tasks that are kept for a while.
    kept: bool,
    /// What is going on, one step a lane, and how to give it up.
    going_on: BTreeMap<Lane, (Step, CancellationToken)>,
    /// Whether a report is on its way.
    reporting: bool,
    /// How many orders have come.
    orders: Arc<AtomicU64>,
    work: JoinSet<Done>,
    /// Whether the state has something that is not stored, nor on its way there.
    unsaved: bool,
    saving: Option<Saving>,
    /// How far the task is in the store.
    stored: KnownStatus,
    /// Whether its assignment is not stored: it was found in the runtime.
    adopted: bool,
    /// Whether it has had orders that the store may still know as new.
    ordered: bool,
    /// Whether it stands in line for ports or GPUs.
    lined_up: bool,
}

impl Actor {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: TaskState,
        facts: mpsc::Receiver<Fact>,
    ) -> (Self, watch::Receiver<Arc<TaskView>>) {
        let stored = state.known();
        let view = TaskView {
            state: state.clone(),
            stored,
            waits: Vec::new(),
            causes: Vec::new(),
        };
        let (view, seen) = watch::channel(Arc::new(view));
        let actor = Self {
            needs: state.task().map(|task| Needs::of(task)).unwrap_or_default(),
            freed: shared.freed.subscribe(),
            too_many: shared.too_many.subscribe(),
            crossing: shared.crossing.subscribe(),
            kept: false,
            shared,
            state,
            facts,
            view,
            going_on: BTreeMap::new(),
            reporting: false,
            orders: Arc::default(),
            work: JoinSet::new(),
            unsaved: false,
            saving: None,
            stored,
            adopted: false,
            // An agent before this one may have had some.
            ordered: true,
            lined_up: false,
        };
        (actor, seen)
    }

    /// Looks after the task until it is forgotten, or `token` is cancelled: then what is going on is dropped, and the
    /// next agent plans it again.
    pub(super) async fn run(mut self, token: CancellationToken) -> Result<(), ActorError> {
        loop {
            let wake = self.settle();
            if self.leaves() {
                return self.forget(&token).await;
            }
            let store = self.shared.store.clone();
            tokio::select! {
                biased;
                () = token.cancelled() => return self.end().await,
                () = store.failing(), if self.saving.is_some() && !self.is_late() => {}
                Some(done) = self.work.join_next() => self.finish(done?)?,
                fact = self.facts.recv() => match fact {
                    Some(fact) => self.apply(fact),
                    None => return Ok(()),
                },
                Ok(()) = self.freed.changed(), if self.lined_up => {}
                Ok(()) = self.too_many.changed(), if self.kept => {}
                Ok(()) = self.crossing.changed(), if self.state.live.cleaned => {}
                () = sleep_until(&self.shared, wake) => {}
            }
            while let Some(done) = self.work.try_join_next() {
                self.finish(done?)?;
            }
            while let Ok(fact) = self.facts.try_recv() {
                self.apply(fact);
            }
        }
    }

    fn finish(&mut self, done: Done) -> Result<(), StoreError> {
        match done {
            Done::Saved(result) => {
                result?;
                self.saved();
            }
            Done::Step(lane, fact) => {
                self.going_on.remove(&lane);
                if let Some(fact) = fact {
                    self.apply(fact);
                }
            }
            Done::Report(delivered) => {
                self.reporting = false;
                self.acknowledged(delivered);
            }
        }
        Ok(())
    }

    /// An order that came while the report was on its way is not answered by it: the end is owed once more.
    fn acknowledged(&mut self, Delivered { mut fact, orders }: Delivered) {
        let overtaken = orders < self.orders.load(Ordering::Acquire);
        if let (Fact::Acknowledged { task, .. }, true) = (&mut fact, overtaken) {
            *task = (*task).min(ReportedStatus::Running);
        }
        self.apply(fact);
    }

    fn apply(&mut self, fact: Fact) {
        let at = self.shared.now().at_millis;
        let torn_down = self.state.record.torn_down;
        if matches!(fact, Fact::Ordered(_)) {
            self.ordered = true;
            self.orders.fetch_add(1, Ordering::Release);
        }
        match apply(&mut self.state, fact, at) {
            Ok(Effect::Nothing | Effect::Live) => {}
            Ok(Effect::Durable) => self.unsaved = true,
            Err(error) => tracing::warn!(%error, "an order is not taken"),
        }
        if self.state.record.torn_down && !torn_down {
            self.shared.release(&self.state.assignment.arn.id);
            self.save_with_another();
        }
    }

    /// Has what is new stored, and does what the plan says; returns when to plan again.
    fn settle(&mut self) -> Option<Duration> {
        loop {
            self.save();
            let now = self.shared.now();
            let now = Now {
                boot_id: &self.shared.executor.boot_id,
                since_boot: now.since_boot,
                at_millis: now.at_millis,
            };
            // Seen before asking, so that what comes in between is not missed.
            self.too_many.mark_unchanged();
            let policy = Policy {
                forget: self.kept && self.shared.has_to_go(&self.state.assignment.arn.id),
                ..self.shared.policy
            };
            let plan = plan(&self.state, now, policy);
            if !plan.decisions.is_empty() {
                for fact in plan.decisions {
                    self.apply(fact);
                }
                continue;
            }
            if self.admission_changed(plan.wants_admission) {
                continue;
            }
            self.compare(&plan);
            self.report();
            self.publish(&plan.waits);
            self.keep();
            let late = self.saving.map(|saving| saving.late);
            return match (plan.wake, late.filter(|_| !self.is_late())) {
                (Some(wake), Some(late)) => Some(wake.min(late)),
                (wake, late) => wake.or(late),
            };
        }
    }

    /// Asks for ports and GPUs, or leaves the line. Says whether the state has changed.
    fn admission_changed(&mut self, wanted: bool) -> bool {
        let id = &self.state.assignment.arn.id;
        if !wanted {
            if std::mem::take(&mut self.lined_up) && !self.state.live.admitted {
                self.shared.release(id);
            }
            return false;
        }
        // Seen before asking, so that what is given back in between is not missed.
        self.freed.mark_unchanged();
        let answer = self.shared.admission().ask(id, &self.needs);
        self.lined_up = answer.is_err();
        let fact = match answer {
            Ok(()) => Fact::Admitted,
            Err(cause) => Fact::Blocked(cause),
        };
        let before = self.state.live.clone();
        self.apply(fact);
        before != self.state.live
    }

    fn compare(&mut self, plan: &Plan) {
        for (step, cancel) in self.going_on.values() {
            if !plan.steps.contains(step) {
                cancel.cancel();
            }
        }
        let new: Vec<Step> = {
            let free = |step: &&Step| !self.going_on.contains_key(&step.lane()) && self.may(step);
            plan.steps.iter().filter(free).cloned().collect()
        };
        if new.is_empty() {
            return;
        }
        for step in &new {
            self.announce(step);
        }
        let state = Arc::new(self.state.clone());
        for step in new {
            self.begin(step, Arc::clone(&state));
        }
    }

    /// What is to be known before a step begins.
    fn announce(&mut self, step: &Step) {
        match *step {
            Step::Pull(_) => self.apply(Fact::PullStarted(self.shared.now().at_millis)),
            Step::Start(index) => self.apply(Fact::Container(index, ContainerFact::StartCalled)),
            // An event may have been lost: the list tells.
            Step::Kill(_, times) if times > 1 => self.shared.list_now.notify_one(),
            Step::PrepareTask
            | Step::Attach(_)
            | Step::Create(_)
            | Step::Adopt(_)
            | Step::Terminate(..)
            | Step::Kill(..)
            | Step::Reap(_)
            | Step::Discard(_)
            | Step::TearDown(_)
            | Step::TearDownTask
            | Step::Clean => {}
        }
    }

    fn begin(&mut self, step: Step, state: Arc<TaskState>) {
        let lane = step.lane();
        let cancel = CancellationToken::new();
        self.going_on.insert(lane, (step.clone(), cancel.clone()));
        let shared = Arc::clone(&self.shared);
        self.work.spawn(async move {
            let fact = shared.executor.run(&step, &state, &cancel).await;
            if fact.is_none() && !cancel.is_cancelled() {
                tracing::error!(task = %state.assignment.arn, ?step, "a step came to nothing");
                shared.clock().sleep(REST).await;
            }
            Done::Step(lane, fact)
        });
    }

    fn report(&mut self) {
        if self.reporting || !self.is_stored() {
            return;
        }
        if let Some(report) = self.state.owed() {
            self.reporting = true;
            let (shared, orders) = (Arc::clone(&self.shared), Arc::clone(&self.orders));
            self.work
                .spawn(async move { Done::Report(shared.reporter.deliver(&report, &orders).await) });
        }
    }

    /// From when on nobody but people needs it.
    fn keep(&mut self) {
        let over = self.state.record.torn_down && self.state.is_acknowledged();
        if let (true, false, Some(due)) = (over, self.kept, self.state.live.clean_due) {
            self.kept = true;
            self.shared.keep(&self.state.assignment.arn.id, due);
        }
    }

    fn publish(&self, waits: &[Wait]) {
        let mut waits = waits.to_vec();
        if self.is_late() {
            waits = self
                .state
                .containers()
                .map(|(index, _, container, _)| waiting_for_disk(index, container.known))
                .collect();
        }
        let view = TaskView {
            state: self.state.clone(),
            stored: self.stored,
            waits,
            causes: Vec::new(),
        };
        self.view.send_replace(Arc::new(view));
    }
}

pub(super) async fn sleep_until(shared: &Shared, moment: Option<Duration>) {
    match moment {
        None => std::future::pending().await,
        Some(moment) => {
            let left = moment.saturating_sub(shared.clock().since_boot());
            shared.clock().sleep(left).await;
        }
    }
}
