//! A run that was asked for and shall not begin: it is taken back, unless it has begun.
//!
//! The answer to a start may be lost, and containerd with it, while the shim does what it was told. So what was to begin
//! is asked before it is removed, and what was killed as it was about to begin is asked once more. A shim that does not
//! answer is waited for; one that never does is killed, and then its container counts as begun, by `ShimDied`.
//!
//! Limits: a shim that serves others which still run is not killed, and what depends on such a container waits for it; an
//! order to stop by force does not. What is just beginning is killed with no stop signal before. Only Longshore's shim says of what it has killed
//! whether it was started before: of another's, what is killed when it was set up and did not run yet counts as never
//! begun.

use std::time::Duration;

use super::record::{read_asked, read_run};
use super::{ContainerdRuntime, is_longshore, made_with};
use crate::containerd::services::v1::Container;
use crate::containerd::types::v1::{Process, Status};
use crate::model::ContainerId;
use crate::runtime::{ObservedState, RuntimeError};

/// How long a shim may say nothing before what it has is killed without a word from it.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

impl ContainerdRuntime {
    pub(super) async fn discard_container(
        &self,
        id: &ContainerId,
        run: u32,
    ) -> Result<Option<ObservedState>, RuntimeError> {
        let name = id.to_string();
        self.watch.know(id);
        let (record, process) = tokio::join!(self.record(&name), self.settled_process(&name));
        let (record, process) = (record?, process?);
        if let Some(begun) = self.begun(id, run, record.as_ref(), process.as_ref()).await? {
            return Ok(Some(begun));
        }
        if process.is_some_and(|process| process.status() != Status::Stopped) {
            if let Some(record) = &record
                && !is_longshore(made_with(record))
                && read_asked(record).is_some()
            {
                // What is killed must not look as if it had run, whatever stops this half way.
                self.write_asked(&name, None).await?;
            }
            self.end_wholly(id, &name).await?;
            let (record, process) = tokio::join!(self.record(&name), self.process(&name));
            let (record, process) = (record?, process?);
            if let Some(begun) = self.begun(id, run, record.as_ref(), process.as_ref()).await? {
                return Ok(Some(begun));
            }
        }
        self.remove_container(id).await?;
        Ok(None)
    }

    /// A task, once its shim says how it is; or as one of a shim that says nothing.
    async fn settled_process(&self, name: &str) -> Result<Option<Process>, RuntimeError> {
        let until = self.clock.since_boot() + PATIENCE;
        loop {
            let process = self.process(name).await?;
            let silent = process
                .as_ref()
                .is_some_and(|process| process.status() == Status::Unknown);
            if !silent || self.clock.since_boot() >= until {
                return Ok(process);
            }
            self.clock.sleep(PAUSE).await;
        }
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
            // Whether it had begun nobody can say any more.
            let hung = record.is_some() && self.watch.was_hung(id);
            let exited = written || hung || state == Some(ObservedState::Exited);
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
