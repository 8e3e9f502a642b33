//! A run that was asked for and shall not begin: it is taken back, unless it has begun.
//!
//! The answer to a start may be lost, and containerd with it, while the shim does what it was told. So what was to begin
//! is asked before it is removed, and what was killed as it was about to begin is asked once more.
//!
//! Limits: only Longshore's shim says of what it has killed whether it was started before. Of another's, what is killed
//! when it was set up and did not run yet counts as never begun.

use super::record::{read_asked, read_run};
use super::{ContainerdRuntime, cgroup, is_longshore, made_with};
use crate::containerd::services::v1::Container;
use crate::containerd::types::v1::{Process, Status};
use crate::model::ContainerId;
use crate::runtime::{ObservedState, RuntimeError};

impl ContainerdRuntime {
    pub(super) async fn discard_container(
        &self,
        id: &ContainerId,
        run: u32,
    ) -> Result<Option<ObservedState>, RuntimeError> {
        let name = id.to_string();
        self.watch.know(id);
        let (record, process) = tokio::join!(self.record(&name), self.process(&name));
        let (record, process) = (record?, process?);
        if let Some(begun) = self.begun(id, run, record.as_ref(), process.as_ref()).await? {
            return Ok(Some(begun));
        }
        let tells = record
            .as_ref()
            .is_some_and(|record| is_longshore(made_with(record)));
        if tells && process.is_some_and(|process| process.status() == Status::Created) {
            let ended = self.end_task(&name, id).await;
            self.empty_cgroup(&name, &cgroup(id)).await?;
            if let Err(error) = ended {
                self.end_hung_shim_if_idle(id).await;
                return Err(error);
            }
            let process = self.process(&name).await?;
            if let Some(begun) = self.begun(id, run, record.as_ref(), process.as_ref()).await? {
                return Ok(Some(begun));
            }
        }
        self.remove_container(id).await?;
        Ok(None)
    }

    /// How a run is, if it has begun.
    async fn begun(
        &self,
        id: &ContainerId,
        run: u32,
        record: Option<&Container>,
        process: Option<&Process>,
    ) -> Result<Option<ObservedState>, RuntimeError> {
        if record.map_or(0, read_run) != run {
            return Ok(None);
        }
        // After containerd was asked: it is there before containerd can know of an exit.
        let asked = id.clone();
        let written = self.exits(move |exits| exits.read(&asked)).await?.is_some();
        let (Some(record), Some(process)) = (record, process) else {
            let state = record.map(|record| self.state(record, None, written));
            let exited = written || state == Some(ObservedState::Exited);
            return Ok(exited.then_some(ObservedState::Exited));
        };
        let state = match process.status() {
            // Of another's shim: one that nobody asked to start was killed while it waited.
            Status::Stopped if !is_longshore(made_with(record)) && read_asked(record).is_none() => {
                ObservedState::Created
            }
            // It does not say whether it runs, and is ended in any case.
            Status::Unknown if !written => ObservedState::Created,
            Status::Created
            | Status::Running
            | Status::Stopped
            | Status::Paused
            | Status::Pausing
            | Status::Unknown => self.state(record, Some(process), written),
        };
        Ok(match state {
            ObservedState::Recorded | ObservedState::Created => None,
            ObservedState::Running(_) if self.watch.started(id, process.pid) => Some(ObservedState::Exited),
            begun @ (ObservedState::Running(_) | ObservedState::Exited) => Some(begun),
        })
    }
}
