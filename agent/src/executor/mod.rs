//! Does what a plan says, and tells what came of it.
//!
//! Invariants: a step is idempotent; each ends in a fact, or in nothing when it was cancelled and is to be planned
//! again; a step waits for nobody else's; what it waits for is told while it waits.

mod assembler;
mod progress;
mod retry;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::image::Images;
use crate::model::{ContainerId, Fact, Step, TaskState};
use crate::network::Network;
use crate::runtime::Runtime;

pub use assembler::{AssembleError, Assembler};
pub use progress::{Cause, Progress};

use retry::{Outcome, Patience, Retry};
use steps::Work;

/// How long steps may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Making a container, its tries included.
    pub create: Duration,
    /// Starting a container, its tries included.
    pub start: Duration,
}

/// Does steps.
pub struct Executor {
    /// Containers.
    pub runtime: Arc<dyn Runtime>,
    /// Images.
    pub images: Arc<dyn Images>,
    /// Networks.
    pub network: Arc<dyn Network>,
    /// Specifications.
    pub assembler: Arc<dyn Assembler>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is told meanwhile.
    pub progress: Progress,
    /// How long it may take.
    pub limits: Limits,
    /// Which boot of the machine this is.
    pub boot_id: String,
}

impl Executor {
    /// Does a step. Nothing comes back when it was cancelled before it was done.
    pub async fn run(&self, step: &Step, state: &TaskState, cancel: &CancellationToken) -> Option<Fact> {
        let Some(task) = state.task() else {
            return self.run_without_task(step, state, cancel).await;
        };
        let index = match *step {
            Step::PrepareTask | Step::TearDownTask | Step::Clean => 0,
            Step::Pull(index)
            | Step::Attach(index)
            | Step::Create(index)
            | Step::Start(index)
            | Step::Adopt(index)
            | Step::Terminate(index, _)
            | Step::Kill(index, _)
            | Step::Reap(index)
            | Step::Discard(index)
            | Step::TearDown(index) => index,
        };
        let work = Work {
            executor: self,
            state,
            task,
            id: state.container_id(index),
            index,
            cancel,
        };
        let fact = work.run(step).await;
        self.progress.set(&work.id, None);
        fact
    }

    /// A task that is only a name has nothing but its name to be cleaned.
    async fn run_without_task(
        &self,
        step: &Step,
        state: &TaskState,
        cancel: &CancellationToken,
    ) -> Option<Fact> {
        if *step != Step::Clean {
            return None;
        }
        self.clean(&state.container_id(0), cancel).await
    }

    async fn clean(&self, id: &ContainerId, cancel: &CancellationToken) -> Option<Fact> {
        let retry = Retry {
            clock: self.clock.as_ref(),
            progress: &self.progress,
            container: id,
            cancel,
            doing: "removing log files",
            patience: Patience::Forever,
        };
        match retry.call(|| self.assembler.clean_task(id.task())).await {
            Outcome::Done(()) => Some(Fact::Cleaned),
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Cancelled => None,
        }
    }
}
