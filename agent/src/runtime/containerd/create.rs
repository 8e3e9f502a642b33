//! A container's writable layer and record.

use std::collections::HashMap;

use longshore_protocol::exit_record;
use oci_spec::runtime::Spec;
use prost_types::Any;

use super::record::{Record, TASK_EXTENSION, json, labels, read_asked};
use super::{ContainerdRuntime, fit, is_longshore, layers, never_ran, refused, user};
use crate::containerd::services::v1::container::Runtime as ContainerRuntime;
use crate::containerd::services::v1::snapshots::PrepareSnapshotRequest;
use crate::containerd::services::v1::{Container, CreateContainerRequest};
use crate::containerd::types::Mount;
use crate::containerd::types::v1::Status;
use crate::containerd::{self, CallError, Class, QUICK, call};
use crate::runtime::{CreateContainer, RuntimeError};

/// As containerd's own clients call the OCI runtime spec.
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

/// Containers of one task share a shim by this annotation (Longshore's and runc's v2 shim read it; others ignore it).
const GROUP_ANNOTATION: &str = "io.containerd.runc.v2.group";

/// Keeps the garbage collector from the snapshot until the record that names it is there, and costs no call.
const GC_ROOT_LABEL: &str = "containerd.io/gc.root";

impl ContainerdRuntime {
    pub(super) async fn create_container(&self, container: CreateContainer) -> Result<(), RuntimeError> {
        let id = container.id.to_string();
        match self.try_create(&container).await {
            Err(Failure::Call(error)) if error.class == Class::AlreadyExists => {
                self.clear_leftover(&container, &id).await?;
                self.try_create(&container).await.map_err(RuntimeError::from)
            }
            result => result.map_err(RuntimeError::from),
        }
    }

    async fn try_create(&self, container: &CreateContainer) -> Result<(), Failure> {
        let id = container.id.to_string();
        let mounts = self.prepare_snapshot(&id, &container.image.chain_id).await?;
        let spec = match self.fitted(container, &id, &mounts).await {
            Ok(spec) => spec,
            Err(error) => {
                let removed = self.remove_snapshot(&id).await;
                tracing::debug!(
                    container = id,
                    ?removed,
                    "removed the snapshot of a container that can't be made"
                );
                return Err(error.into());
            }
        };
        let record = Record::new(container.task.clone(), container.log_options.as_deref());
        let not_json = |error: serde_json::Error| refused("CreateContainer", &id, &error);
        let record = Container {
            id: id.clone(),
            labels: labels(&self.settings.identity, &container.id, &container.task),
            image: container.image.name.clone(),
            runtime: Some(ContainerRuntime {
                name: self.settings.runtime.clone(),
                options: None,
            }),
            spec: Some(Any {
                type_url: SPEC_TYPE.to_owned(),
                value: serde_json::to_vec(&spec).map_err(not_json)?,
            }),
            snapshotter: self.settings.snapshotter.clone(),
            snapshot_key: id.clone(),
            extensions: HashMap::from([(
                TASK_EXTENSION.to_owned(),
                json(TASK_EXTENSION, &record).map_err(not_json)?,
            )]),
            ..Container::default()
        };
        let request = CreateContainerRequest {
            container: Some(record),
        };
        let mut containers = self.client.containers();
        call("CreateContainer", &id, QUICK, containers.create(request)).await?;
        self.watch.begin(&container.id);
        Ok(())
    }

    async fn prepare_snapshot(&self, id: &str, parent: &str) -> Result<Vec<Mount>, CallError> {
        let now = self.clock.now().to_string();
        let request = PrepareSnapshotRequest {
            snapshotter: self.settings.snapshotter.clone(),
            key: id.to_owned(),
            parent: parent.to_owned(),
            labels: HashMap::from([(GC_ROOT_LABEL.to_owned(), now)]),
        };
        containerd::prepare(&self.client, request).await
    }

    /// The spec as this machine and the image's files have it.
    async fn fitted(
        &self,
        container: &CreateContainer,
        id: &str,
        mounts: &[Mount],
    ) -> Result<Spec, RuntimeError> {
        let mut spec = container.spec.clone();
        let annotations = spec.annotations_mut().get_or_insert_default();
        annotations.insert(GROUP_ANNOTATION.to_owned(), container.id.task().to_string());
        if is_longshore(&self.settings.runtime) {
            let exits = self.settings.exits.folder().to_string_lossy().into_owned();
            annotations.insert(exit_record::EXITS.to_owned(), exits);
            if let Some(oci_runtime) = &self.settings.oci_runtime {
                annotations.insert(exit_record::RUNTIME.to_owned(), oci_runtime.clone());
            }
        }

        let identity = user::find(&container.user, layers::folders(mounts)).await;
        fit::become_user(
            &mut spec,
            &identity.map_err(|error| refused("CreateContainer", id, &error))?,
        );

        let index = usize::from(container.id.index());
        if container
            .task
            .containers
            .get(index)
            .is_some_and(|container| container.privileged)
        {
            fit::add_host_devices(&mut spec).map_err(|error| refused("CreateContainer", id, &error))?;
        }
        self.machine.fit(&mut spec, id);
        Ok(spec)
    }

    /// Removes what an earlier try left. What has run since then is no leftover.
    async fn clear_leftover(&self, container: &CreateContainer, id: &str) -> Result<(), RuntimeError> {
        let record = self.record(id).await?;
        let asked = record.as_ref().is_some_and(|record| read_asked(record).is_some());
        let process = match self.watch.is_ours(&container.id) {
            true => self.process(id).await?,
            false => self.settled(id).await?,
        };
        if process.as_ref().is_some_and(never_ran) {
            return self.remove_container(&container.id).await;
        }
        match process.map(|process| process.status()) {
            None if !asked => self.remove_container(&container.id).await,
            Some(Status::Created) => self.remove_container(&container.id).await,
            None
            | Some(Status::Running | Status::Paused | Status::Pausing | Status::Stopped | Status::Unknown) => {
                Err(RuntimeError::Refused {
                    operation: "CreateContainer",
                    subject: id.to_owned(),
                    why: format!("container {id} has been started already; remove it first"),
                })
            }
        }
    }
}

/// A call that failed, so that its class can be told, or anything else.
enum Failure {
    Call(CallError),
    Other(RuntimeError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Call(error) => error.into(),
            Failure::Other(error) => error,
        }
    }
}
