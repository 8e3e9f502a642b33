//! What is written into containerd's record of a container after it was made: how runs end, and that they begin.

use std::collections::HashMap;

use prost_types::Any;

use super::record::{ASKED_EXTENSION, EXIT_EXTENSION, RUN_EXTENSION, StartAsked, json};
use super::{ContainerdRuntime, refused};
use crate::containerd::services::v1::{Container, UpdateContainerRequest};
use crate::containerd::{QUICK, call};
use crate::model::Exit;
use crate::runtime::RuntimeError;

impl ContainerdRuntime {
    /// Writes into the record how its run ended, or that another is to come, and its number: both or neither.
    pub(super) async fn write_exit(
        &self,
        id: &str,
        exit: Option<&Exit>,
        run: Option<u32>,
    ) -> Result<(), RuntimeError> {
        let not_json = |error: serde_json::Error| refused("UpdateContainer", id, &error);
        let mut extensions = HashMap::new();
        extensions.insert(
            EXIT_EXTENSION.to_owned(),
            json(EXIT_EXTENSION, &exit).map_err(not_json)?,
        );
        if let Some(run) = run {
            extensions.insert(
                RUN_EXTENSION.to_owned(),
                json(RUN_EXTENSION, &run).map_err(not_json)?,
            );
        }
        self.write_extensions(id, extensions).await
    }

    /// Writes into the record that a run is asked to start, or that it was and nothing of it ran.
    pub(super) async fn write_asked(&self, id: &str, asked: Option<&StartAsked>) -> Result<(), RuntimeError> {
        let not_json = |error: serde_json::Error| refused("UpdateContainer", id, &error);
        let asked = json(ASKED_EXTENSION, &asked).map_err(not_json)?;
        let extensions = HashMap::from([(ASKED_EXTENSION.to_owned(), asked)]);
        self.write_extensions(id, extensions).await
    }

    async fn write_extensions(&self, id: &str, extensions: HashMap<String, Any>) -> Result<(), RuntimeError> {
        let paths = extensions
            .keys()
            .map(|name| format!("extensions.{name}"))
            .collect();
        let request = UpdateContainerRequest {
            container: Some(Container {
                id: id.to_owned(),
                extensions,
                ..Container::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        let mut containers = self.client.containers();
        call("UpdateContainer", id, QUICK, containers.update(request)).await?;
        Ok(())
    }
}
