//! Joins the parts: a fact comes in, is applied, stored, planned on; steps go out, and end in facts.
//!
//! Invariants: each task has one actor, and only the actor applies facts to its state; what can't be planned again is
//! on the disk before it is acted on; a new agent replays the store, asks the runtime for its list, and plans: there is
//! no other way back. Whatever goes wrong with one task or the link, other tasks don't wait for it.

mod actor;
mod booted;
mod crossing;
mod engine;
mod observed;
mod poll;
mod shared;
mod view;

use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::arn::ResourceId;
use longshore_protocol::poll::{Cursor, PollResponse};
use longshore_protocol::status::InstanceStatus;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::ResumeOnBoot;
use crate::executor::{Assembler, Limits};
use crate::image::Images;
use crate::intake::Rules;
use crate::janitor::Folders;
use crate::link::ControlLink;
use crate::model::Boot;
use crate::network::Network;
use crate::plan::Policy;
use crate::runtime::Runtime;
use crate::store::{Contents, Store, StoreError};
use crate::supervise::Supervisor;

pub use poll::Polling;
pub use shared::LinkStatus;
pub use view::TaskView;

use engine::{Engine, Request};
use shared::Shared;

/// What the engine works with.
pub struct Deps {
    /// What it remembers.
    pub store: Store,
    /// What the store held when it was opened.
    pub contents: Contents,
    /// Containers.
    pub runtime: Arc<dyn Runtime>,
    /// Images.
    pub images: Arc<dyn Images>,
    /// Networks.
    pub network: Arc<dyn Network>,
    /// Specifications.
    pub assembler: Arc<dyn Assembler>,
    /// Logs and volumes of tasks that nobody knows.
    pub folders: Arc<dyn Folders>,
    /// The control plane.
    pub link: Arc<dyn ControlLink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which boot of which machine this is.
    pub boot: Boot,
    /// `LONGSHORE_RESUME_ON_BOOT`.
    pub resume: ResumeOnBoot,
    /// `ECS_CONTAINER_STOP_TIMEOUT` and `ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION`.
    pub policy: Policy,
    /// `ECS_CONTAINER_CREATE_TIMEOUT` and `ECS_CONTAINER_START_TIMEOUT`.
    pub limits: Limits,
    /// What the node allows.
    pub rules: Rules,
    /// How many stopped tasks are kept at most; the oldest go first.
    pub kept: usize,
}

/// An answer of a poll that was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TakeError {
    /// The store is lost for good.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine has ended; it is a part of an agent that ends.
    #[error("the engine has ended")]
    Ended,
}

/// Requests that may wait for the engine: there is one poller, one admin socket, one watchdog.
const REQUESTS: usize = 16;

/// Starts the engine's parts: they end with the supervisor. The tasks of the store are there at once; their containers
/// are left alone until the runtime has said what runs. It does not need the link.
pub fn start(deps: Deps, settings: Settings, supervisor: &mut Supervisor) -> EngineHandle {
    let token = supervisor.token();
    let (requests, incoming) = mpsc::channel(REQUESTS);
    let (mut engine, watcher, shared) = Engine::new(deps, settings, incoming, token.clone());
    engine.restore();
    let events = token.clone();
    supervisor.spawn("events", async move {
        watcher.run(events).await;
        Ok::<_, StoreError>(())
    });
    supervisor.spawn("engine", engine.run(token));
    EngineHandle { shared, requests }
}

/// The engine, for other parts of the agent. Cloning is cheap.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

impl EngineHandle {
    /// Takes the answer of a poll in, and returns the cursor that is durable and may be acknowledged: the answer's, or,
    /// while the disk takes no writes, the one before it. An answer with tasks that are new here waits until the runtime
    /// has said what runs.
    ///
    /// # Errors
    /// It was not taken; the agent has to end.
    pub async fn take(&self, response: PollResponse) -> Result<Cursor, TakeError> {
        self.ask(|reply| Request::Take(Box::new(response), reply)).await?
    }

    /// Counts assignments from the beginning: the next poll is for a container instance that has none yet. The tasks that
    /// are here stay. Says whether that is durable. On a disk that takes no writes it is not, and is to be asked for again
    /// at the agent's next start; polls are as if it were.
    ///
    /// # Errors
    /// As [`EngineHandle::take`].
    pub async fn begin_again(&self) -> Result<bool, TakeError> {
        Ok(self.ask(Request::BeginAgain).await?? == Cursor::default())
    }

    /// Returns once the engine's loop has come round: a sign of life.
    ///
    /// # Errors
    /// The engine has ended.
    pub async fn ping(&self) -> Result<(), TakeError> {
        self.ask(Request::Ping).await
    }

    /// Polls the control plane, and takes what it answers, until `token` is cancelled.
    ///
    /// # Errors
    /// As [`EngineHandle::take`].
    pub async fn poll(&self, polling: Polling, token: CancellationToken) -> Result<(), TakeError> {
        poll::run(self, &self.shared, polling, token).await
    }

    /// Waits until the control plane has acknowledged everything that it is owed, or `limit` has passed. Says whether
    /// it has.
    pub async fn flush(&self, limit: Duration) -> bool {
        let told = async {
            for mut view in self.shared.views() {
                // An actor that has ended owes nothing.
                let _ = view.wait_for(|view| view.state.owed().is_none()).await;
            }
        };
        tokio::select! {
            biased;
            () = told => true,
            () = self.shared.clock().sleep(limit) => false,
        }
    }

    /// The tasks as they are now, by ARN.
    #[must_use]
    pub fn tasks(&self) -> Vec<Arc<TaskView>> {
        self.shared.tasks()
    }

    /// A task as it goes on; closed when it is forgotten. `None` if there is none.
    #[must_use]
    pub fn watch(&self, task: &ResourceId) -> Option<watch::Receiver<Arc<TaskView>>> {
        self.shared.watch(task)
    }

    /// What is wrong with the node itself, in words.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.store.trouble()
    }

    /// How it goes with the control plane.
    #[must_use]
    pub fn link_status(&self) -> LinkStatus {
        self.shared.link_status()
    }

    /// Whether the control plane takes the node for ACTIVE or DRAINING; `None` before its first answer.
    #[must_use]
    pub fn instance(&self) -> Option<InstanceStatus> {
        self.shared.link_status().instance
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, TakeError> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| TakeError::Ended)?;
        answer.await.map_err(|_| TakeError::Ended)
    }
}
