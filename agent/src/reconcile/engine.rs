//! Owns the actors: gives each its facts, takes in what is new, adopts what it finds.
//!
//! Its loop waits for nobody: not for the store, whose answers come back to it like everything else, and not for an
//! actor, since none waits for the store while facts come in. So a disk that takes no writes holds up what has to be
//! stored, and nothing else.

mod taking;

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
use crate::intake::Intake;
use crate::janitor::Janitor;
use crate::model::{ContainerFact, ContainerId, Fact, KnownStatus, Report, TaskState};
use crate::plan::Needs;
use crate::report::Reporter;
use crate::runtime::{Observed, ObservedState};
use crate::store::{StoreError, StoredTask};

use super::TaskView;
use super::actor::{Actor, ActorError, sleep_until};
use super::booted::Booted;
use super::shared::Shared;
use super::{Deps, Settings, TakeError, observed};

use taking::Taking;

/// Facts that may wait for one actor: a list brings three a container, and a task has at most ten.
const FACTS: usize = 64;
/// Notices that may wait for the engine: it only passes them on, so this is a burst of exits.
const NOTICES: usize = 256;

/// How long to wait for the list of networks, which is read from a folder: nothing begins before it is known.
const NETWORKS: Duration = Duration::from_secs(5);

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
    taking: Option<Taking>,
    /// The one commit of `taking`.
    commits: JoinSet<Result<Vec<Report>, StoreError>>,
    /// Answers that came meanwhile: one, as there is one poller.
    waiting: Vec<(Box<PollResponse>, Taken)>,
    /// When those who wait are told to come again, since boot.
    patience: Option<Duration>,
    janitor: Janitor,
    booted: Booted,
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
    /// What it said first, until it is known which networks there are.
    first: Option<(Duration, Vec<Observed>)>,
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
        let intake = Intake::new(settings.rules, contents.cursor.clone(), known);
        let executor = Executor {
            runtime: Arc::clone(&deps.runtime),
            images: deps.images,
            network: deps.network,
            assembler: deps.assembler,
            clock: Arc::clone(&deps.clock),
            progress: Progress::default(),
            limits: settings.limits,
            boot_id: settings.boot.boot_id.clone(),
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
            taking: None,
            commits: JoinSet::new(),
            waiting: Vec::new(),
            patience: None,
            janitor,
            booted: Booted::new(settings.boot, contents.boot, settings.resume),
            restored: contents.tasks,
            requests,
            notices,
            mailboxes: BTreeMap::new(),
            actors: JoinSet::new(),
            sweeps: JoinSet::new(),
            sweeping: BTreeSet::new(),
            token,
            listed: false,
            first: None,
            held: Vec::new(),
            forgotten: None,
        };
        (engine, watcher, shared)
    }

    /// Gives each task of the store its actor.
    pub(super) fn restore(&mut self) {
        for StoredTask { assignment, record } in std::mem::take(&mut self.restored) {
            let mut state = TaskState::restored(assignment, record);
            self.booted.judge(&mut state);
            self.spawn(state);
        }
    }

    /// Works until the token is cancelled.
    pub(super) async fn run(mut self, token: CancellationToken) -> Result<(), EngineError> {
        let shared = Arc::clone(&self.shared);
        // Nothing is done to containers before the runtime's list is taken, and after a reboot that waits for this to be
        // stored: after it nobody knows the last boot any more. The rest does not wait for the disk.
        let comes_first = self.booted.comes_first();
        let mut booting = JoinSet::new();
        let writes = self.booted.writes();
        booting.spawn({
            let shared = Arc::clone(&shared);
            async move { shared.store.commit(writes).await }
        });
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return Ok(()),
                Some(booted) = booting.join_next() => booted??,
                Some(stored) = self.commits.join_next() => self.stored(stored?).await?,
                () = sleep_until(&shared, self.patience) => self.lose_patience().await,
                Some(ended) = self.actors.join_next() => {
                    let (arn, result) = ended?;
                    result.map_err(|error| EngineError::Actor(arn.clone(), error))?;
                    self.forget(&arn).await;
                }
                Some(swept) = self.sweeps.join_next() => self.swept(swept?).await,
                Some(notice) = self.notices.recv(), if !comes_first || booting.is_empty() => match notice {
                    Notice::Exited(id) => self.exited(&id).await,
                    Notice::Listed(asked, observed) if self.listed => self.list(asked, observed).await,
                    Notice::Listed(asked, observed) => self.list_first(asked, observed),
                },
                Some(request) = self.requests.recv() => match request {
                    Request::Ping(reply) => drop(reply.send(())),
                    Request::Take(response, reply) => self.take(response, reply).await,
                },
            }
        }
    }

    fn spawn(&mut self, state: TaskState) {
        self.spawn_actor(state, false);
    }

    fn spawn_actor(&mut self, state: TaskState, adopted: bool) {
        let arn = state.assignment.arn.clone();
        let (sender, facts) = mpsc::channel(FACTS);
        let (mut actor, view) = Actor::new(Arc::clone(&self.shared), state, facts);
        if adopted {
            actor.adopt();
        }
        self.shared.add_view(arn.id.clone(), view);
        self.mailboxes.insert(arn.id.clone(), sender);
        let token = self.token.clone();
        self.actors.spawn(async move { (arn, actor.run(token).await) });
    }

    async fn forget(&mut self, arn: &TaskArn) {
        self.mailboxes.remove(&arn.id);
        self.shared.remove_view(arn);
        self.shared.release(&arn.id);
        self.shared.forget(&arn.id);
        self.intake.forget(arn);
        self.forgotten = Some(self.shared.clock().since_boot());
        self.take_waiting().await;
    }

    /// A task that has just been forgotten hears nothing any more, and needs to hear nothing.
    async fn tell(&self, task: &ResourceId, fact: Fact) {
        if let Some(mailbox) = self.mailboxes.get(task) {
            let _ = mailbox.send(fact).await;
        }
    }

    /// What is not in the store is known once the first list is taken, which may be older than this end: then another one
    /// is wanted.
    async fn exited(&self, id: &ContainerId) {
        if !self.listed && !self.mailboxes.contains_key(id.task()) {
            self.shared.list_now.notify_one();
        }
        let fact = Fact::Container(id.index(), ContainerFact::Exited);
        self.tell(id.task(), fact).await;
    }

    /// A task that isn't in the store may run all the same, and is adopted then. Before that is known, an order to stop
    /// it would be answered with a STOPPED that is not so. And what is being swept must be gone before it comes again.
    fn is_too_early(&self, response: &PollResponse) -> bool {
        let swept = |id: &ResourceId| {
            !self.mailboxes.contains_key(id) && self.sweeping.iter().any(|container| container.task() == id)
        };
        let mut tasks = response
            .assignments
            .iter()
            .map(|assignment| &assignment.task_arn.id);
        (!self.listed && self.intake.is_news(response)) || tasks.any(swept)
    }

    async fn take_held(&mut self) {
        for (response, reply) in std::mem::take(&mut self.held) {
            self.take(response, reply).await;
        }
    }

    /// A task whose agent died may have a network, and with it ports, that its record does not tell of yet.
    fn list_first(&mut self, asked: Duration, observed: Vec<Observed>) {
        if self.first.replace((asked, observed)).is_some() {
            return;
        }
        let (janitor, shared) = (self.janitor.clone(), Arc::clone(&self.shared));
        self.sweeps.spawn(async move {
            let networks = tokio::select! {
                biased;
                networks = janitor.networks() => networks,
                () = shared.clock().sleep(NETWORKS) => Vec::new(),
            };
            Swept::Networks(networks)
        });
    }

    async fn list(&mut self, asked: Duration, observed: Vec<Observed>) {
        let mut by_task: BTreeMap<ResourceId, Vec<Observed>> = BTreeMap::new();
        for each in observed {
            by_task.entry(each.id.task().clone()).or_default().push(each);
        }
        let tasks: Vec<_> = self.mailboxes.keys().cloned().collect();
        for id in &tasks {
            let observed = by_task.remove(id).unwrap_or_default();
            self.compare(id, asked, &observed).await;
        }
        if self.forgotten.is_some_and(|forgotten| forgotten >= asked) {
            // What is left in the list may be of a task that is gone by now.
            self.shared.list_now.notify_one();
        } else {
            for observed in by_task.into_values() {
                self.found(asked, observed).await;
            }
        }
    }

    /// The first list, with the networks that there are.
    async fn begin(&mut self, networks: &[ContainerId]) {
        if let Some((asked, observed)) = self.first.take() {
            // Who has something already has it before anybody asks.
            let there = observed.iter().map(|each| &each.id).chain(networks);
            let there: BTreeSet<_> = there.map(|id| id.task().clone()).collect();
            // One that is over may have given it back already, with nobody told.
            let mut tasks: Vec<_> = self.mailboxes.keys().cloned().collect();
            tasks.sort_by_key(|id| self.is_over(id));
            for id in &tasks {
                self.hold_again(id, there.contains(id)).await;
            }
            self.list(asked, observed).await;
            self.listed = true;
        }
        for id in networks {
            // A power cut may have brought back what a task that is kept has given up.
            let given_up = |view: Arc<TaskView>| view.state.record.torn_down;
            if self.shared.view(id.task()).is_none_or(given_up) {
                self.sweep(id.clone());
            }
        }
    }

    fn is_over(&self, id: &ResourceId) -> bool {
        let view = self.shared.view(id);
        view.is_some_and(|view| view.state.known() == KnownStatus::Stopped)
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
    async fn found(&mut self, asked: Duration, observed: Vec<Observed>) {
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
            return;
        };
        tracing::warn!(task = %task.arn, "a task that runs is not in the store; it is adopted");
        let state = observed::adopted(task, &observed);
        let assignment = state.assignment.clone();
        let id = assignment.arn.id.clone();
        self.intake.adopted(assignment);
        // Its actor stores it: until then a new agent finds it as this one did.
        self.spawn_actor(state, true);
        self.hold_again(&id, true).await;
        self.compare(&id, asked, &observed).await;
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

    async fn swept(&mut self, swept: Swept) {
        match swept {
            Swept::Container(id) => {
                self.sweeping.remove(&id);
            }
            Swept::Networks(networks) => self.begin(&networks).await,
        }
        self.take_held().await;
    }
}
