//! What turns a container of a task into something that a runtime can make.

use std::sync::Arc;

use async_trait::async_trait;
use longshore_protocol::arn::ResourceId;

use crate::model::{Attachment, ContainerId, PulledImage, ResolvedTask};
use crate::runtime::CreateContainer;

/// A container that could not be put together, or a task that could not be taken apart.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub struct AssembleError {
    /// ECS's name for it, such as `ResourceInitializationError`.
    pub name: &'static str,
    /// What failed, on what, and what to do next.
    pub why: String,
    /// Whether the same call can succeed later.
    pub transient: bool,
}

/// Makes the specification, folders and options of a container: volumes, secrets, devices, logs.
#[async_trait]
pub trait Assembler: Send + Sync + 'static {
    /// Everything that the runtime needs to make a container. It may be asked again for the same container, and then
    /// finds what it made before.
    async fn assemble(
        &self,
        task: &Arc<ResolvedTask>,
        container: &ContainerId,
        image: &PulledImage,
        attachment: &Attachment,
    ) -> Result<CreateContainer, AssembleError>;

    /// Right after a task has stopped: gives back its volumes and secrets, and keeps its log files. Nothing to give
    /// back is a success.
    async fn dismantle_task(&self, task: &ResourceId) -> Result<(), AssembleError>;

    /// Removes what was kept of a stopped task for people to read: its log files and all its folders. Nothing to
    /// remove is a success.
    async fn clean_task(&self, task: &ResourceId) -> Result<(), AssembleError>;
}
