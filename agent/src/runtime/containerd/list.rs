//! What of ours containerd has.

use std::collections::{BTreeSet, HashMap};

use super::record::{INSTANCE_LABEL, Record, read_asked, read_exit, read_run};
use super::{ContainerdRuntime, SLOW, never_ran};
use crate::containerd::services::v1::{Container, ListContainersRequest, ListTasksRequest};
use crate::containerd::types::v1::{Process, Status};
use crate::containerd::{CallError, QUICK, call};
use crate::model::ContainerId;
use crate::runtime::exits::Exits;
use crate::runtime::{Observed, ObservedState, RuntimeError};

impl ContainerdRuntime {
    /// Two calls, however many there are. A container that containerd does not know any more and that left an exit
    /// record is listed too: how it ended can be asked, and its record wants to be removed.
    pub(super) async fn list_containers(&self) -> Result<Vec<Observed>, RuntimeError> {
        let request = ListContainersRequest {
            filters: vec![format!("labels.{INSTANCE_LABEL:?}=={:?}", self.settings.identity)],
        };
        let records = self.records(request).await?;
        // Before the tasks are asked for: what an event tells from here on is noted, and what it told before shows in
        // the answer.
        let ids = records
            .iter()
            .filter_map(|record| record.id.parse::<ContainerId>().ok());
        let known = ids.map(|id| {
            let begun = self.watch.know(&id);
            (id, begun)
        });
        let known: HashMap<_, _> = known.collect();
        let mut tasks = self.client.tasks();
        // containerd asks one shim after the other, and waits two seconds for one that hangs.
        let request = tasks.list(ListTasksRequest::default());
        let processes = call("ListTasks", "", SLOW, request).await?.tasks;
        let by_id = |process: Process| (process.id.clone(), process);
        let processes: HashMap<_, _> = processes.into_iter().map(by_id).collect();
        // After the containers: what is made and ends meanwhile has ended.
        let mut written = self.exits(Exits::list).await?;
        let observe = |record: Container| {
            let Ok(id) = record.id.parse::<ContainerId>() else {
                tracing::warn!(
                    container = record.id,
                    "has our label but no id of ours; left alone"
                );
                return None;
            };
            let process = processes.get(&record.id);
            let mut state = self.state(&record, process, written.remove(&id));
            let ran = matches!(state, ObservedState::Running(_) | ObservedState::Exited);
            let ran_as = ran.then(|| process.map_or(0, |process| process.pid));
            if self.watch.listed(&id, known.get(&id).copied()?, ran_as)? {
                // It ended after containerd was asked.
                state = ObservedState::Exited;
            }
            Some(Observed {
                run: read_run(&record),
                state,
                task: Record::read(&record).map(|record| record.task),
                id,
            })
        };
        let mut observed: Vec<_> = records.into_iter().filter_map(observe).collect();
        observed.extend(self.gone(written).await?);
        Ok(observed)
    }

    /// Of containers that are not in the list, those that containerd does not have.
    async fn gone(&self, written: BTreeSet<ContainerId>) -> Result<Vec<Observed>, RuntimeError> {
        let mut gone = Vec::new();
        for id in written {
            match self.record(&id.to_string()).await {
                Ok(None) => {
                    tracing::warn!(container = %id, "there is an exit record, and containerd knows no such container");
                    gone.push(Observed {
                        id,
                        task: None,
                        run: 0,
                        state: ObservedState::Exited,
                    });
                }
                // It was made since the list, or is another agent's.
                Ok(Some(_)) | Err(RuntimeError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    /// As a stream, since a thousand records are more than one message may hold.
    async fn records(&self, request: ListContainersRequest) -> Result<Vec<Container>, CallError> {
        let mut containers = self.client.containers();
        let mut stream = call("ListContainers", "", QUICK, containers.list_stream(request)).await?;
        let mut records = Vec::new();
        loop {
            let next = async { stream.message().await.map(tonic::Response::new) };
            match call("ListContainers", "", QUICK, next).await? {
                Some(message) => records.extend(message.container),
                None => return Ok(records),
            }
        }
    }

    /// By what containerd has of a container, and whether its shim has written down an end.
    pub(super) fn state(
        &self,
        record: &Container,
        process: Option<&Process>,
        written: bool,
    ) -> ObservedState {
        match process.map(|process| (process.status(), process)) {
            // A run that has ended and was forgotten by containerd is in the record, or in that of its shim.
            None if written || read_exit(record).is_some() => ObservedState::Exited,
            // Nothing is left of what was asked to start, and its shim would have kept nothing.
            None if read_asked(record).is_some() => ObservedState::Exited,
            None => ObservedState::Recorded,
            Some((Status::Created, _)) => ObservedState::Created,
            Some((_, process)) if never_ran(process) => ObservedState::Created,
            Some((Status::Stopped, _)) => ObservedState::Exited,
            // The shim wrote it down and does not answer any more.
            Some((Status::Unknown, _)) if written => ObservedState::Exited,
            // A shim that does not answer is no proof of death; if it is dead, its task will be gone soon.
            Some((Status::Running | Status::Paused | Status::Pausing | Status::Unknown, process)) => {
                ObservedState::Running(self.started(process.pid))
            }
        }
    }
}
