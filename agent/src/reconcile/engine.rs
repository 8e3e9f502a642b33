//! Owns the actors: gives each its facts, takes in what is new, adopts what it finds.
//!
//! Its loop waits for nobody: not for the store, whose answers come back to it like everything else, and not for an
//! actor, since none waits for the store while facts come in. So a disk that takes no writes holds up what has to be
//! stored, and nothing else.

mod folders;
mod listing;
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
use crate::model::{ContainerFact, ContainerId, Fact, Report, TaskState};
use crate::report::Reporter;
use crate::runtime::Observed;
use crate::store::{StoreError, StoredTask};

use super::actor::{Actor, ActorError, sleep_until};
use super::booted::Booted;
use super::shared::Shared;
use super::{Deps, Settings, TakeError};

use folders::Abandoned;
use taking::Taking;

/// Facts that may wait for one actor: a list brings three a container, and a task has at most ten.
const FACTS: usize = 64;
/// Notices that may wait for the engine: it only passes them on, so this is a burst of exits.
const NOTICES: usize = 256;

/// Where the outcome of a take goes.
type Taken = oneshot::Sender<Result<Cursor, TakeError>>;

/// Something that is asked of the engine.
pub(super) enum Request {
    Take(Box<PollResponse>, Taken),
    BeginAgain(Taken),
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
    Folders(Option<BTreeSet<ResourceId>>),
    Cleared,
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
    abandoned: Abandoned,
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
        let janitor = Janitor::new(
            Arc::clone(&deps.runtime),
            Arc::clone(&deps.images),
            Arc::clone(&deps.network),
            deps.folders,
            Arc::clone(&deps.clock),
        );
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
            abandoned: Abandoned::default(),
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
            self.expect_ports(&state);
            self.spawn(state);
        }
    }

    /// What clients were told where a container is reached stays so, whoever asks for a port before it has its own again.
    fn expect_ports(&self, state: &TaskState) {
        if state.record.torn_down {
            return;
        }
        for (index, _, container, _) in state.containers() {
            if let Some(attachment) = &container.attachment {
                let id = state.container_id(index);
                self.shared.executor.network.expect(&id, attachment);
            }
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
                    Request::BeginAgain(reply) => self.begin_again(reply).await,
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
            let sweeping = self.sweeping.iter().any(|container| container.task() == id);
            !self.mailboxes.contains_key(id) && (sweeping || self.is_clearing(id))
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
}
