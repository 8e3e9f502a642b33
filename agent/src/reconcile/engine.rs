//! Owns the actors: gives each its facts, takes in what is new, adopts what it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::arn::{ResourceId, TaskArn};
use longshore_protocol::poll::{Cursor, PollResponse};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::events::{Notice, Watcher};
use crate::executor::{Executor, Progress};
use crate::intake::{Arrival, Intake};
use crate::janitor::Janitor;
use crate::model::{ContainerFact, ContainerId, Fact, TaskState};
use crate::plan::Needs;
use crate::report::Reporter;
use crate::runtime::{Observed, ObservedState};
use crate::store::{StoreError, StoredTask, Write};

use super::actor::{Actor, ActorError};
use super::shared::Shared;
use super::{Deps, Settings, TakeError, observed};

/// Facts that may wait for one actor: a list brings three a container, and a task has at most ten; an actor that is
/// behind waits for the disk, and then so does the engine.
const FACTS: usize = 64;
/// Notices that may wait for the engine: it only passes them on, so this is a burst of exits.
const NOTICES: usize = 256;

/// Where the outcome of a take goes.
type Taken = oneshot::Sender<Result<Cursor, TakeError>>;

/// Something that is asked of the engine.
pub(super) enum Request {
    Take(Box<PollResponse>, Taken),
    Ping(oneshot::Sender<()>),
}

/// An engine that can't go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the task {0}: {1}")]
    Actor(TaskArn, ActorError),
    #[error("an actor ended badly: {0}")]
    Join(#[from] JoinError),
}

/// What a sweep brings back.
enum Swept {
    Networks(Vec<ContainerId>),
    Container(ContainerId),
}

pub(super) struct Engine {
    shared: Arc<Shared>,
    intake: Intake,
    janitor: Janitor,
    restored: Vec<StoredTask>,
    requests: mpsc::Receiver<Request>,
    notices: mpsc::Receiver<Notice>,
    mailboxes: BTreeMap<ResourceId, mpsc::Sender<Fact>>,
    actors: JoinSet<(TaskArn, Result<(), ActorError>)>,
    sweeps: JoinSet<Swept>,
    sweeping: BTreeSet<ContainerId>,
    token: CancellationToken,
    /// Whether the runtime has said what runs.
    listed: bool,
    /// Answers that came too early.
    held: Vec<(Box<PollResponse>, Taken)>,
    /// When a task was last forgotten, since boot: a list from before may still have its containers.
    forgotten: Option<Duration>,
}

impl Engine {
    pub(super) fn new(
        deps: Deps,
        settings: Settings,
        requests: mpsc::Receiver<Request>,
        token: CancellationToken,
    ) -> (Self, Watcher, Arc<Shared>) {
        let janitor = Janitor {
            runtime: Arc::clone(&deps.runtime),
            images: Arc::clone(&deps.images),
            network: Arc::clone(&deps.network),
            clock: Arc::clone(&deps.clock),
        };
        let contents = deps.contents;
        let known = contents
            .tasks
            .iter()
            .map(|task| task.assignment.clone())
            .collect();
        let intake = Intake::new(deps.store.clone(), settings.rules, contents.cursor.clone(), known);
        let executor = Executor {
            runtime: Arc::clone(&deps.runtime),
            images: deps.images,
            network: deps.network,
            assembler: deps.assembler,
            clock: Arc::clone(&deps.clock),
            progress: Progress::default(),
            limits: settings.limits,
            boot_id: settings.boot_id,
        };
        let reporter = Reporter::new(deps.link, Arc::clone(&deps.clock));
        let shared = Shared::new(
            deps.store,
            executor,
            reporter,
            settings.policy,
            settings.kept,
            contents.cursor,
        );
        let shared = Arc::new(shared);
        let (sender, notices) = mpsc::channel(NOTICES);
        let watcher = Watcher {
            runtime: deps.runtime,
            clock: deps.clock,
            notices: sender,
            list_now: Arc::clone(&shared.list_now),
        };
        let engine = Self {
            shared: Arc::clone(&shared),
            intake,
            janitor,
            restored: contents.tasks,
            requests,
            notices,
            mailboxes: BTreeMap::new(),
            actors: JoinSet::new(),
            sweeps: JoinSet::new(),
            sweeping: BTreeSet::new(),
            token,
            listed: false,
            held: Vec::new(),
            forgotten: None,
        };
        (engine, watcher, shared)
    }

    /// Gives each task of the store its actor.
    pub(super) fn restore(&mut self) {
        for StoredTask { assignment, record } in std::mem::take(&mut self.restored) {
            self.spawn(TaskState::restored(assignment, record));
        }
    }

    /// Works until the token is cancelled.
    pub(super) async fn run(mut self, token: CancellationToken) -> Result<(), EngineError> {
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return Ok(()),
                Some(ended) = self.actors.join_next() => {
                    let (arn, result) = ended?;
                    result.map_err(|error| EngineError::Actor(arn.clone(), error))?;
                    self.forget(&arn);
                }
                Some(swept) = self.sweeps.join_next() => {
                    self.swept(swept?);
                    self.take_held().await?;
                }
                Some(notice) = self.notices.recv() => match notice {
                    Notice::Exited(id) => {
                        let fact = Fact::Container(id.index(), ContainerFact::Exited);
                        self.tell(id.task(), fact).await;
                    }
                    Notice::Listed(asked, observed) => self.list(asked, observed).await?,
                },
                Some(request) = self.requests.recv() => match request {
                    Request::Ping(reply) => drop(reply.send(())),
                    Request::Take(response, reply) => self.take(response, reply).await?,
                },
            }
        }
    }

    fn spawn(&mut self, state: TaskState) {
        let arn = state.assignment.arn.clone();
        let (sender, facts) = mpsc::channel(FACTS);
        let (actor, view) = Actor::new(Arc::clone(&self.shared), state, facts);
        self.shared.add_view(arn.id.clone(), view);
        self.mailboxes.insert(arn.id.clone(), sender);
        let token = self.token.clone();
        self.actors.spawn(async move { (arn, actor.run(token).await) });
    }

    fn forget(&mut self, arn: &TaskArn) {
        self.mailboxes.remove(&arn.id);
        self.shared.remove_view(arn);
        self.shared.release(&arn.id);
        self.shared.forget(&arn.id);
        self.intake.forget(arn);
        self.forgotten = Some(self.shared.clock().since_boot());
    }

    /// A task that has just been forgotten hears nothing any more, and needs to hear nothing.
    async fn tell(&self, task: &ResourceId, fact: Fact) {
        if let Some(mailbox) = self.mailboxes.get(task) {
            let _ = mailbox.send(fact).await;
        }
    }

    async fn take(&mut self, response: Box<PollResponse>, reply: Taken) -> Result<(), EngineError> {
        if self.is_too_early(&response) {
            self.held.push((response, reply));
            return Ok(());
        }
        match self.intake.take(&response).await {
            Ok(arrivals) => {
                for arrival in arrivals {
                    match arrival {
                        Arrival::New(assignment) => self.spawn(TaskState::new(assignment)),
                        Arrival::Order(arn, order) => self.tell(&arn.id, Fact::Ordered(order)).await,
                    }
                }
                let cursor = self.intake.cursor().clone();
                self.shared.set_cursor(cursor.clone());
                // The poller may have been told to end meanwhile; what it brought is taken in all the same.
                let _ = reply.send(Ok(cursor));
                Ok(())
            }
            Err(error) => {
                let _ = reply.send(Err(error.clone().into()));
                Err(error.into())
            }
        }
    }

    /// A task that isn't in the store may run all the same, and is adopted then. Before that is known, an order to stop
    /// it would be answered with a STOPPED that is not so. And what is being swept must be gone before it comes again.
    fn is_too_early(&self, response: &PollResponse) -> bool {
        let swept = |id: &ResourceId| self.sweeping.iter().any(|container| container.task() == id);
        let mut tasks = response
            .assignments
            .iter()
            .map(|assignment| &assignment.task_arn.id);
        (!self.listed && self.intake.is_news(response)) || tasks.any(swept)
    }

    async fn take_held(&mut self) -> Result<(), EngineError> {
        for (response, reply) in std::mem::take(&mut self.held) {
            self.take(response, reply).await?;
        }
        Ok(())
    }

    async fn list(&mut self, asked: Duration, observed: Vec<Observed>) -> Result<(), EngineError> {
        let mut by_task: BTreeMap<ResourceId, Vec<Observed>> = BTreeMap::new();
        for each in observed {
            by_task.entry(each.id.task().clone()).or_default().push(each);
        }
        let tasks: Vec<_> = self.mailboxes.keys().cloned().collect();
        // Who has something already has it before anybody asks.
        if !self.listed {
            for id in &tasks {
                self.hold_again(id, by_task.contains_key(id)).await;
            }
        }
        for id in &tasks {
            let observed = by_task.remove(id).unwrap_or_default();
            self.compare(id, asked, &observed).await;
        }
        if self.forgotten.is_some_and(|forgotten| forgotten >= asked) {
            // What is left in the list may be of a task that is gone by now.
            self.shared.list_now.notify_one();
        } else {
            for observed in by_task.into_values() {
                self.found(asked, observed).await?;
            }
        }
        if !std::mem::replace(&mut self.listed, true) {
            let janitor = self.janitor.clone();
            self.sweeps
                .spawn(async move { Swept::Networks(janitor.networks().await) });
            self.take_held().await?;
        }
        Ok(())
    }

    async fn hold_again(&self, id: &ResourceId, in_the_list: bool) {
        let Some(view) = self.shared.view(id) else {
            return;
        };
        let Some(task) = view.state.task() else {
            return;
        };
        let record = &view.state.record;
        let had = record
            .containers
            .iter()
            .any(|each| each.attachment.is_some() || each.started.is_some());
        if (had || in_the_list) && !record.torn_down {
            self.shared.admission().hold(id, &Needs::of(task));
            self.tell(id, Fact::Admitted).await;
        }
    }

    /// Tells a task what the runtime's list says of its containers.
    async fn compare(&mut self, id: &ResourceId, asked: Duration, observed: &[Observed]) {
        let Some(view) = self.shared.view(id) else {
            return;
        };
        if view.state.record.torn_down {
            for leftover in observed {
                self.sweep(leftover.id.clone());
            }
        }
        for (index, ..) in view.state.containers() {
            let state = observed
                .iter()
                .find(|each| each.id.index() == index)
                .map(|each| each.state);
            for fact in observed::facts(state, asked, &self.shared.executor.boot_id) {
                self.tell(id, Fact::Container(index, fact)).await;
            }
        }
        self.tell(id, Fact::Listed).await;
    }

    /// Containers of ours that belong to no task: adopted if something of them runs or ran, else taken away.
    async fn found(&mut self, asked: Duration, observed: Vec<Observed>) -> Result<(), EngineError> {
        let lives = |each: &&Observed| observed::lives(each.state);
        let task = observed.iter().filter(lives).find_map(|each| each.task.clone());
        let Some(task) = task else {
            for each in observed {
                match each.state {
                    ObservedState::Running(_) => {
                        tracing::error!(container = %each.id, "it runs, and its record can't be read: left alone");
                    }
                    ObservedState::Recorded | ObservedState::Created | ObservedState::Exited => {
                        self.sweep(each.id);
                    }
                }
            }
            return Ok(());
        };
        tracing::warn!(task = %task.arn, "a task that runs is not in the store; it is adopted");
        let state = observed::adopted(task, &observed);
        let (assignment, record) = (state.assignment.clone(), state.record.clone());
        let id = assignment.arn.id.clone();
        let writes = vec![
            Write::Assignment(assignment.clone()),
            Write::Record(assignment.arn.clone(), record),
        ];
        self.shared.store.commit(writes).await?;
        self.intake.adopted(assignment);
        self.spawn(state);
        self.hold_again(&id, true).await;
        self.compare(&id, asked, &observed).await;
        Ok(())
    }

    fn sweep(&mut self, id: ContainerId) {
        if !self.sweeping.insert(id.clone()) {
            return;
        }
        let (janitor, token) = (self.janitor.clone(), self.token.clone());
        self.sweeps.spawn(async move {
            janitor.remove(&id, &token).await;
            Swept::Container(id)
        });
    }

    fn swept(&mut self, swept: Swept) {
        match swept {
            Swept::Container(id) => {
                self.sweeping.remove(&id);
            }
            Swept::Networks(left) => {
                for id in left {
                    if !self.mailboxes.contains_key(id.task()) {
                        self.sweep(id);
                    }
                }
            }
        }
    }
}
