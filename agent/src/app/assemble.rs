//! Puts a container together from its parts: volumes, environment files, runtime spec, GPUs, log options.

use std::sync::Arc;

use async_trait::async_trait;
use longshore_protocol::arn::ResourceId;

use crate::blocking::{DISK, Gate, NAMED};
use crate::executor::{AssembleError, Assembler};
use crate::host::{Gpus, InjectError};
use crate::janitor::DataFolders;
use crate::model::{Attachment, ContainerId, HostFacts, PulledImage, ResolvedContainer, ResolvedTask};
use crate::runtime::CreateContainer;
use crate::secrets;
use crate::spec::{self, SpecInput};
use crate::volume::VolumeError;

/// The real assembler.
pub(super) struct Workshop {
    pub(super) host: Arc<HostFacts>,
    pub(super) gpus: Arc<Gpus>,
    pub(super) folders: DataFolders,
    pub(super) cgroup_parent: String,
}

#[async_trait]
impl Assembler for Workshop {
    async fn assemble(
        &self,
        task: &Arc<ResolvedTask>,
        id: &ContainerId,
        image: &PulledImage,
        attachment: &Attachment,
    ) -> Result<CreateContainer, AssembleError> {
        let container = task
            .containers
            .get(usize::from(id.index()))
            .ok_or_else(|| AssembleError {
                name: "CannotCreateContainerError",
                why: format!("the task has no container {}", id.index()),
                transient: false,
            })?;
        let mounts = self
            .folders
            .volumes
            .prepare(task, container)
            .await
            .map_err(of_volume)?;
        let environment_files = environment_files(container).await?;
        let mut spec = spec::build(&SpecInput {
            task,
            container,
            id,
            image: &image.config,
            host: &self.host,
            attachment,
            mounts: &mounts,
            environment_files: &environment_files,
            cgroup_parent: &self.cgroup_parent,
        })
        .map_err(|error| permanent("CannotCreateContainerError", &error))?;
        if !container.gpu_ids.is_empty() {
            spec = self.with_gpus(spec, container).await?;
        }
        let log_options = self.log_options(id.task(), container).await?;
        Ok(CreateContainer {
            id: id.clone(),
            task: task.as_ref().clone(),
            image: image.clone(),
            user: container
                .user
                .clone()
                .unwrap_or_else(|| image.config.user.clone()),
            spec,
            log_options: Some(log_options),
        })
    }

    async fn dismantle_task(&self, task: &ResourceId) -> Result<(), AssembleError> {
        self.folders.volumes.remove_task(task).await.map_err(of_volume)
    }

    async fn clean_task(&self, task: &ResourceId) -> Result<(), AssembleError> {
        let cleaned = self.folders.remove_logs(task).await;
        cleaned.map_err(|error| later(&error))
    }
}

impl Workshop {
    /// With the GPUs that it was given, as the CDI specifications say now.
    async fn with_gpus(
        &self,
        mut spec: oci_spec::runtime::Spec,
        container: &ResolvedContainer,
    ) -> Result<oci_spec::runtime::Spec, AssembleError> {
        let (gpus, ids) = (Arc::clone(&self.gpus), container.gpu_ids.clone());
        let injected = blocking(&DISK, move || -> Result<_, InjectError> {
            gpus.inject(&mut spec, &ids)?;
            Ok(spec)
        });
        injected
            .await?
            .map_err(|error| permanent("ResourceInitializationError", &error))
    }

    async fn log_options(
        &self,
        task: &ResourceId,
        container: &ResolvedContainer,
    ) -> Result<std::path::PathBuf, AssembleError> {
        let (logs, task, name, options) = (
            self.folders.logs.clone(),
            task.clone(),
            container.name.clone(),
            container.log,
        );
        blocking(&DISK, move || logs.write_options(&task, &name, options))
            .await?
            .map_err(|error| later(&error))
    }
}

async fn environment_files(container: &ResolvedContainer) -> Result<Vec<(String, String)>, AssembleError> {
    let files = container.environment_files.clone();
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let read = blocking(&NAMED, move || secrets::environment_files(&files)).await?;
    read.map_err(|error| permanent("ResourceInitializationError", &error))
}

/// Files are read and written on a thread that nobody waits for.
async fn blocking<T: Send + 'static>(
    gate: &'static Gate,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AssembleError> {
    gate.run(work).await.map_err(|error| later(&error))
}

fn permanent(name: &'static str, error: &dyn std::fmt::Display) -> AssembleError {
    AssembleError {
        name,
        why: error.to_string(),
        transient: false,
    }
}

/// A full disk may have room later.
fn later(error: &dyn std::fmt::Display) -> AssembleError {
    AssembleError {
        name: "CannotCreateContainerError",
        why: error.to_string(),
        transient: true,
    }
}

fn of_volume(error: VolumeError) -> AssembleError {
    AssembleError {
        name: "InvalidVolumeError",
        transient: match &error {
            VolumeError::Unknown { .. } | VolumeError::Invalid { .. } | VolumeError::Io { .. } => false,
            VolumeError::Remove { .. } => true,
        },
        why: error.to_string(),
    }
}
