//! Bugs that are planted around the engine, to see that the oracle finds them. The program itself has none of this.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use longshore_agent::image::{ImageError, Images, PullProgress};
use longshore_agent::link::{ControlLink, LinkError};
use longshore_agent::model::{ContainerId, Exit, PulledImage, ResolvedTask};
use longshore_agent::runtime::{
    CreateContainer, Observed, ObservedState, Runtime, RuntimeError, RuntimeEvent, SignalScope, Started,
};
use longshore_agent::store::Contents;
use longshore_protocol::arn::ResourceId;
use longshore_protocol::ecs;
use longshore_protocol::poll::{PollRequest, PollResponse};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::link::FakeLink;
use crate::machine::FakeImages;
use crate::runtime::FakeRuntime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A container counts as ended once it was asked to end.
    ReportsBeforeTheEnd,
    /// A commit is answered before it is on the disk.
    AcknowledgesBeforeTheWrite,
    /// A new agent begins each grace anew.
    ForgetsStopDeadlines,
    /// An answer that was overtaken takes the cursor back.
    FollowsLateAnswers,
    /// One image is pulled at a time.
    PullsOneByOne,
    /// Stopped tasks are kept however many there are.
    KeepsWhatStopped,
}

impl Bug {
    /// What the oracle says of it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::ReportsBeforeTheEnd => "is told while",
            Self::AcknowledgesBeforeTheWrite => "was acknowledged and is not stored",
            Self::ForgetsStopDeadlines => "later than its deadline",
            Self::FollowsLateAnswers => "the cursor goes back",
            Self::PullsOneByOne => "nobody is at it",
            Self::KeepsWhatStopped => "stopped tasks are kept",
        }
    }

    /// What an agent with this bug finds in its store.
    pub fn began(self, mut contents: Contents) -> Contents {
        if self == Self::ForgetsStopDeadlines {
            for record in contents.tasks.iter_mut().filter_map(|task| task.record.as_mut()) {
                for container in &mut record.containers {
                    container.stop_deadline = None;
                }
            }
        }
        contents
    }
}

/// A runtime that takes the sending of a signal for the end.
pub struct Hasty(pub Arc<FakeRuntime>);

#[async_trait]
impl Runtime for Hasty {
    async fn version(&self) -> Result<String, RuntimeError> {
        self.0.version().await
    }

    async fn prepare_task(&self, task: &ResolvedTask) -> Result<(), RuntimeError> {
        self.0.prepare_task(task).await
    }

    async fn create(&self, container: CreateContainer) -> Result<(), RuntimeError> {
        self.0.create(container).await
    }

    async fn start(&self, id: &ContainerId) -> Result<Started, RuntimeError> {
        self.0.start(id).await
    }

    async fn restart(&self, id: &ContainerId, run: u32) -> Result<Started, RuntimeError> {
        self.0.restart(id, run).await
    }

    async fn kill(&self, id: &ContainerId, signal: i32, scope: SignalScope) -> Result<(), RuntimeError> {
        self.0.kill(id, signal, scope).await?;
        Err(RuntimeError::NotFound(id.to_string()))
    }

    async fn reap(&self, id: &ContainerId) -> Result<Exit, RuntimeError> {
        Ok(self.0.exit_of(id))
    }

    async fn discard(&self, id: &ContainerId, run: u32) -> Result<Option<ObservedState>, RuntimeError> {
        self.0.discard(id, run).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.0.remove(id).await
    }

    async fn remove_task(&self, task: &ResourceId) -> Result<(), RuntimeError> {
        self.0.remove_task(task).await
    }

    async fn list(&self) -> Result<Vec<Observed>, RuntimeError> {
        self.0.list().await
    }

    async fn events(&self) -> Result<mpsc::Receiver<RuntimeEvent>, RuntimeError> {
        self.0.events().await
    }
}

/// Images of which one is pulled at a time.
pub struct OneByOne {
    images: Arc<FakeImages>,
    turn: tokio::sync::Mutex<()>,
}

impl OneByOne {
    pub fn new(images: &Arc<FakeImages>) -> Self {
        Self {
            images: Arc::clone(images),
            turn: tokio::sync::Mutex::new(()),
        }
    }
}

#[async_trait]
impl Images for OneByOne {
    async fn ensure(
        &self,
        reference: &str,
        holder: &ContainerId,
        progress: watch::Sender<PullProgress>,
        cancel: CancellationToken,
    ) -> Result<PulledImage, ImageError> {
        let _turn = self.turn.lock().await;
        self.images.ensure(reference, holder, progress, cancel).await
    }

    async fn release(&self, holder: &ContainerId) {
        self.images.release(holder).await;
    }
}

/// A link of which each answer's cursor looks like one of another incarnation, so that none seems to be overtaken.
pub struct Forgetful {
    link: Arc<FakeLink>,
    answers: AtomicU64,
}

impl Forgetful {
    pub fn new(link: &Arc<FakeLink>) -> Self {
        Self {
            link: Arc::clone(link),
            answers: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl ControlLink for Forgetful {
    async fn register_container_instance(
        &self,
        request: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::ContainerInstance, LinkError> {
        self.link.register_container_instance(request).await
    }

    async fn deregister_container_instance(
        &self,
        request: ecs::DeregisterContainerInstanceRequest,
    ) -> Result<(), LinkError> {
        self.link.deregister_container_instance(request).await
    }

    async fn poll(&self, request: &PollRequest) -> Result<PollResponse, LinkError> {
        let mut request = request.clone();
        let incarnation = &mut request.cursor.incarnation;
        incarnation.truncate(incarnation.find('#').unwrap_or(incarnation.len()));
        let mut answer = self.link.poll(&request).await?;
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        answer.cursor.incarnation.push_str(&format!("#{number}"));
        Ok(answer)
    }

    async fn submit_task_state_change(
        &self,
        request: ecs::SubmitTaskStateChangeRequest,
    ) -> Result<(), LinkError> {
        self.link.submit_task_state_change(request).await
    }
}
