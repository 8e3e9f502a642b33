//! What the admin socket answers with: the engine's tasks, the link's state, the containers' logs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::registration::Standing;
use crate::admin::{Answers, ContainerView, LogQuery, Records, Refusal, Status, TaskView, Tasks};
use crate::clock::Clock;
use crate::link::Link;
use crate::log::{LogError, Logs, ReadOptions, read};
use crate::model::KnownStatus;
use crate::reconcile::{self, EngineHandle};
use crate::runtime::Runtime;

/// A runtime that does not say its version by then counts as away.
const VERSION_DEADLINE: Duration = Duration::from_secs(2);

/// Answers for the whole agent.
pub(super) struct Desk {
    pub(super) engine: EngineHandle,
    pub(super) link: Arc<Link>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) standing: Arc<Standing>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) logs: Logs,
    pub(super) endpoint: String,
    pub(super) warnings: Vec<String>,
}

#[async_trait]
impl Answers for Desk {
    async fn status(&self) -> Status {
        let identity = self.link.identity();
        let version = tokio::time::timeout(VERSION_DEADLINE, self.runtime.version()).await;
        let connection = self.standing.connection(&self.engine.link_status());
        Status {
            agent_version: super::VERSION.to_owned(),
            runtime_version: version.ok().and_then(Result::ok).unwrap_or_default(),
            instance_id: identity.instance_id.to_string(),
            container_instance_arn: identity.container_instance.as_ref().map(ToString::to_string),
            cluster: identity.cluster,
            endpoint: self.endpoint.clone(),
            connected: connection.connected,
            since: jiff::Timestamp::from_millisecond(connection.since_millis)
                .unwrap_or_default()
                .to_string(),
            last_error: connection.error,
            tasks: self.engine.tasks().len(),
            trouble: self.engine.trouble(),
            warnings: self.warnings.clone(),
        }
    }

    async fn tasks(&self) -> Result<Tasks, Refusal> {
        Ok(Tasks {
            tasks: self.engine.tasks().iter().map(|task| view(task)).collect(),
        })
    }

    async fn logs(&self, query: LogQuery) -> Result<Records, Refusal> {
        self.records(&query)
    }
}

impl Desk {
    /// A container's output.
    pub(super) fn records(&self, query: &LogQuery) -> Result<Records, Refusal> {
        let (task, index, name) = self.find(query)?;
        let id = &task.state.assignment.arn.id;
        let options = ReadOptions {
            tail: query.tail,
            follow: query.follow,
        };
        let ended = CancellationToken::new();
        let path = self.logs.file(id, &name);
        let reader = Box::pin(read(path, options, ended.clone(), Arc::clone(&self.clock)));
        let follower = Follower {
            reader,
            ended,
            task: self.engine.watch(id),
            index,
        };
        Ok(futures_util::stream::unfold(follower, |mut follower| async {
            let record = follower.next().await?;
            Some((record, follower))
        })
        .boxed())
    }

    /// The container that a query means.
    pub(super) fn find(&self, query: &LogQuery) -> Result<(Arc<reconcile::TaskView>, u16, String), Refusal> {
        let tasks = self.engine.tasks();
        let meant = |task: &&Arc<reconcile::TaskView>| {
            let arn = &task.state.assignment.arn;
            arn.id.as_str() == query.task || arn.to_string() == query.task
        };
        let task = tasks.iter().find(meant).ok_or_else(|| {
            Refusal::NotFound(format!(
                "there is no task {} on this machine, or it was cleaned up",
                query.task
            ))
        })?;
        let names: Vec<(u16, String)> = task
            .state
            .containers()
            .map(|(index, definition, ..)| (index, definition.name.clone()))
            .collect();
        let listed = || {
            names
                .iter()
                .map(|(_, name)| name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = match (&query.container, names.as_slice()) {
            (Some(wanted), _) => names.iter().find(|(_, name)| name == wanted).ok_or_else(|| {
                Refusal::NotFound(format!("the task has no container {wanted}, but {}", listed()))
            })?,
            (None, [only]) => only,
            (None, []) => return Err(Refusal::NotFound("the task has no containers".to_owned())),
            (None, _) => {
                return Err(Refusal::BadRequest(format!(
                    "the task has several containers, name one: {}",
                    listed()
                )));
            }
        };
        Ok((Arc::clone(task), found.0, found.1.clone()))
    }
}

/// A log that is read while its container may still write.
struct Follower<R> {
    reader: std::pin::Pin<Box<R>>,
    ended: CancellationToken,
    /// `None` once its container has ended.
    task: Option<watch::Receiver<Arc<reconcile::TaskView>>>,
    index: u16,
}

impl<R> Follower<R>
where
    R: futures_util::Stream<Item = Result<longshore_protocol::json_file::Record, LogError>>,
{
    async fn next(&mut self) -> Option<longshore_protocol::json_file::Record> {
        loop {
            tokio::select! {
                item = self.reader.next() => match item? {
                    Ok(record) => return Some(record),
                    // What is damaged or gone can't be shown; what follows can.
                    Err(error) => tracing::warn!(%error, "a log is not complete"),
                },
                () = end_of(&mut self.task, self.index), if !self.ended.is_cancelled() => {
                    self.task = None;
                    self.ended.cancel();
                }
            }
        }
    }
}

/// Returns when a container has ended. A task that is not there any more has.
async fn end_of(task: &mut Option<watch::Receiver<Arc<reconcile::TaskView>>>, index: u16) {
    let stopped = |task: &Arc<reconcile::TaskView>| {
        let record = task.state.record.containers.get(usize::from(index));
        record.is_none_or(|record| record.known == KnownStatus::Stopped)
    };
    if let Some(task) = task {
        let _ = task.wait_for(stopped).await;
    }
}

/// A task in the API's words.
fn view(task: &reconcile::TaskView) -> TaskView {
    let state = &task.state;
    let containers = state
        .containers()
        .map(|(index, definition, record, live)| ContainerView {
            name: definition.name.clone(),
            runtime_id: state.container_id(index).to_string(),
            last_status: record.known.as_str().to_owned(),
            health_status: live.health.as_str().to_owned(),
            restart_count: record.restarts.count,
            exit_code: record.exit.as_ref().and_then(|exit| exit.code),
            reason: record
                .reason
                .clone()
                .or_else(|| task.cause(index).map(|cause| cause.text)),
        });
    TaskView {
        task_arn: state.assignment.arn.to_string(),
        task_definition_arn: state
            .task()
            .map(|task| task.definition_arn.to_string())
            .unwrap_or_default(),
        last_status: state.known().as_str().to_owned(),
        health_status: state.health().as_str().to_owned(),
        desired_status: state.record.desired.to_string(),
        containers: containers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TaskState, sample};

    fn view(known: KnownStatus) -> Arc<reconcile::TaskView> {
        let mut state = TaskState::new(sample::assignment(&[true]));
        state.record.containers[0].known = known;
        Arc::new(reconcile::TaskView {
            stored: KnownStatus::None,
            state,
            waits: Vec::new(),
            causes: Vec::new(),
        })
    }

    /// A reader that has nothing more, but says so only once the container has ended.
    fn follower(
        task: watch::Receiver<Arc<reconcile::TaskView>>,
    ) -> Follower<impl futures_util::Stream<Item = Result<longshore_protocol::json_file::Record, LogError>>>
    {
        let ended = CancellationToken::new();
        let over = ended.clone();
        let reader = futures_util::stream::once(async move { over.cancelled_owned().await });
        Follower {
            reader: Box::pin(reader.filter_map(|()| std::future::ready(None))),
            ended,
            task: Some(task),
            index: 0,
        }
    }

    #[tokio::test]
    async fn a_log_is_followed_to_the_end_of_its_container() {
        let (sender, task) = watch::channel(view(KnownStatus::Running));
        let mut follower = follower(task);
        let (record, ()) = tokio::join!(follower.next(), async {
            tokio::task::yield_now().await;
            sender.send_replace(view(KnownStatus::Stopped));
        });
        assert_eq!(record, None);
    }

    #[tokio::test]
    async fn a_log_is_followed_to_the_end_of_its_task() {
        let (sender, task) = watch::channel(view(KnownStatus::Running));
        let mut follower = follower(task);
        let (record, ()) = tokio::join!(follower.next(), async {
            tokio::task::yield_now().await;
            drop(sender);
        });
        assert_eq!(record, None);
    }
}
