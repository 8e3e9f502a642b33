//! Bugs that are planted around the engine, to see that the oracle finds them. The program itself has none of this.

use std::sync::Arc;

use async_trait::async_trait;
use longshore_agent::model::ContainerId;
use longshore_agent::model::{Exit, ResolvedTask};
use longshore_agent::runtime::{
    CreateContainer, Observed, Runtime, RuntimeError, RuntimeEvent, SignalScope, Started,
};
use longshore_agent::store::Contents;
use longshore_protocol::arn::ResourceId;
use tokio::sync::mpsc;

use crate::runtime::FakeRuntime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A container counts as ended once it was asked to end.
    ReportsBeforeTheEnd,
    /// A commit is answered before it is on the disk.
    AcknowledgesBeforeTheWrite,
    /// A new agent begins each grace anew.
    ForgetsStopDeadlines,
}

impl Bug {
    /// What the oracle says of it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::ReportsBeforeTheEnd => "is told while",
            Self::AcknowledgesBeforeTheWrite => "was acknowledged and is not stored",
            Self::ForgetsStopDeadlines => "later than its deadline",
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
