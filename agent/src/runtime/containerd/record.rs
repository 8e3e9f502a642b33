//! What a container's record in containerd holds of ours: labels to find it by, the whole task to adopt it from, and how
//! its newest run ended.
//!
//! The task is versioned JSON. It holds no secret: values from environment files are in the OCI spec alone. A record of
//! a newer version is left as it is, and read as far as it goes: a version adds, and what this one does not know of a
//! container is no reason to let go of it. Where what this one needs isn't there, its container is listed without its task.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use prost_types::Any;
use serde::{Deserialize, Serialize};

use crate::containerd::services::v1::Container;
use crate::model::{ContainerId, Exit, ResolvedTask};

/// Whose container it is.
pub(super) const INSTANCE_LABEL: &str = "longshore.instance";

/// The extension that holds [`Record`].
pub(super) const TASK_EXTENSION: &str = "longshore.task";
/// The extension that holds how it ended, an `Option<Exit>`.
pub(super) const EXIT_EXTENSION: &str = "longshore.exit";
/// The extension that holds the number of the run that was asked for last; absent is 0, the first.
pub(super) const RUN_EXTENSION: &str = "longshore.run";
/// The extension that holds an `Option<StartAsked>`.
pub(super) const ASKED_EXTENSION: &str = "longshore.asked";

const VERSION: u32 = 1;

/// What is kept of a container from its creation on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    version: u32,
    /// The whole task.
    pub task: ResolvedTask,
    /// The log writer's options file; `None` drops the output.
    pub log_options: Option<PathBuf>,
}

impl Record {
    pub(super) fn new(task: ResolvedTask, log_options: Option<&Path>) -> Self {
        Self {
            version: VERSION,
            task,
            log_options: log_options.map(Path::to_owned),
        }
    }

    /// From containerd's record; `None` where it has none that this version understands.
    pub(super) fn read(container: &Container) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let bytes = &container.extensions.get(TASK_EXTENSION)?.value;
        let head: Head = serde_json::from_slice(bytes).ok()?;
        if head.version > VERSION {
            tracing::debug!(
                container = container.id,
                version = head.version,
                "a record of a newer agent"
            );
        }
        (head.version > 0).then(|| serde_json::from_slice(bytes).ok())?
    }
}

/// How a container ended, if that was written down since its last start.
pub(super) fn read_exit(container: &Container) -> Option<Exit> {
    serde_json::from_slice(&container.extensions.get(EXIT_EXTENSION)?.value).ok()?
}

/// Which run of a container was asked for last.
pub(super) fn read_run(container: &Container) -> u32 {
    let run = container.extensions.get(RUN_EXTENSION);
    run.and_then(|run| serde_json::from_slice(&run.value).ok())
        .unwrap_or_default()
}

/// That a run is about to begin, written down before containerd is asked for it. Only with a shim that keeps no exit
/// records: with Longshore's, what left none has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartAsked {
    /// Which run.
    pub run: u32,
    /// When, in milliseconds since 1970.
    pub at_millis: i64,
}

/// Whether the newest run was asked to start: where containerd has no task of it, it may have begun and ended all the
/// same. An agent that knew of no such note wrote none.
pub(super) fn read_asked(container: &Container) -> Option<StartAsked> {
    let asked = container.extensions.get(ASKED_EXTENSION)?;
    let asked: Option<StartAsked> = serde_json::from_slice(&asked.value).ok()?;
    asked.filter(|asked| asked.run == read_run(container))
}

/// JSON as containerd keeps it.
pub(super) fn json(kind: &str, value: &impl Serialize) -> Result<Any, serde_json::Error> {
    Ok(Any {
        type_url: format!("longshore/{kind}"),
        value: serde_json::to_vec(value)?,
    })
}

/// What containerd takes of a label's name and value together.
const LABEL_LIMIT: usize = 4096;

/// Labels that tell containerd what to keep and what to collect: not for definitions to set.
const CONTAINERDS: &str = "containerd.io/";

/// Whether containerd can have a label of the definition. The record holds all of them.
fn is_taken((name, value): &(String, String)) -> bool {
    !name.is_empty() && name.len() + value.len() <= LABEL_LIMIT && !name.starts_with(CONTAINERDS)
}

/// The definition's labels, those that Docker users know from ECS, and ours, which nobody can overwrite.
pub(super) fn labels(identity: &str, id: &ContainerId, task: &ResolvedTask) -> HashMap<String, String> {
    let container = task.containers.get(usize::from(id.index()));
    let mut labels: HashMap<_, _> = container
        .map(|container| container.docker_labels.clone())
        .unwrap_or_default()
        .into_iter()
        .filter(is_taken)
        .collect();
    let name = container
        .map(|container| container.name.clone())
        .unwrap_or_default();
    labels.extend(
        [
            ("com.amazonaws.ecs.task-arn", task.arn.to_string()),
            ("com.amazonaws.ecs.container-name", name),
            (
                "com.amazonaws.ecs.task-definition-family",
                task.definition_arn.family.clone(),
            ),
            (
                "com.amazonaws.ecs.task-definition-version",
                task.definition_arn.revision.to_string(),
            ),
            ("com.amazonaws.ecs.cluster", task.cluster_arn.cluster.clone()),
            (INSTANCE_LABEL, identity.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;

    fn stored(change: impl FnOnce(&mut serde_json::Value)) -> Container {
        let task = sample::task(vec![sample::container("a", true)]);
        let mut value = serde_json::to_value(Record::new(task, None)).unwrap();
        change(&mut value);
        Container {
            extensions: HashMap::from([(TASK_EXTENSION.to_owned(), json(TASK_EXTENSION, &value).unwrap())]),
            ..Container::default()
        }
    }

    #[test]
    fn a_newer_agents_record_is_read_as_far_as_it_goes() {
        let task = sample::task(vec![sample::container("a", true)]);
        let newer = stored(|value| {
            value["version"] = 7.into();
            value["later"] = serde_json::json!({"a": [1]});
            value["task"]["later"] = true.into();
            value["task"]["containers"][0]["later"] = "x".into();
        });
        assert_eq!(Record::read(&newer).unwrap().task, task);
    }

    #[test]
    fn a_start_is_asked_for_one_run() {
        let with = |asked: &str, run: &str| Container {
            extensions: [(ASKED_EXTENSION, asked), (RUN_EXTENSION, run)]
                .into_iter()
                .map(|(name, value)| {
                    let value = value.as_bytes().to_vec();
                    (
                        name.to_owned(),
                        Any {
                            type_url: String::new(),
                            value,
                        },
                    )
                })
                .collect(),
            ..Container::default()
        };
        let first = r#"{"run":1,"atMillis":5,"later":true}"#;
        assert_eq!(read_asked(&with(first, "1")).unwrap().at_millis, 5);
        assert_eq!(read_asked(&with(first, "2")), None);
        assert_eq!(read_asked(&with("null", "1")), None);
        assert_eq!(read_asked(&Container::default()), None);
    }

    #[test]
    fn a_record_without_what_is_needed_is_none() {
        let cut = stored(|value| {
            value["task"].as_object_mut().unwrap().remove("arn");
        });
        assert_eq!(Record::read(&cut), None);
        assert_eq!(Record::read(&stored(|value| value["version"] = 0.into())), None);
        assert_eq!(Record::read(&stored(|value| *value = "text".into())), None);
        assert_eq!(Record::read(&Container::default()), None);
    }
}
