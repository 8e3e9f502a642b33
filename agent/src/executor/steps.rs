//! Each step: the calls that it takes, how long they are tried, and the fact that comes of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::failpoint;
use crate::image::PullProgress;
use crate::model::{ContainerFact, ContainerId, Fact, Failure, ResolvedTask, Step, TaskState};
use crate::network::{Attach, NetworkError};
use crate::runtime::{ObservedState, RuntimeError, SignalScope, Started};

use super::retry::{Outcome, Patience, Retry};
use super::{Cause, Executor};

const SIGKILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;
/// Plugins race with other users of the firewall; a second and third try settle that.
const ATTACH_TRIES: u32 = 3;
/// How often what seems to run is asked how it ended, before its end is taken for an earlier run's.
const REAP_TRIES: u32 = 2;

/// A step of one task, with what it needs.
pub(super) struct Work<'a> {
    pub(super) executor: &'a Executor,
    pub(super) state: &'a TaskState,
    pub(super) task: &'a Arc<ResolvedTask>,
    pub(super) id: ContainerId,
    pub(super) index: u16,
    pub(super) cancel: &'a CancellationToken,
}

impl Work<'_> {
    /// Does the step. Nothing comes back when it was cancelled before it was done.
    pub(super) async fn run(&self, step: &Step) -> Option<Fact> {
        match *step {
            Step::PrepareTask => self.prepare().await,
            Step::Pull(_) => self.pull().await,
            Step::Attach(_) => self.attach().await,
            Step::Create(_) => self.create().await,
            Step::Start(_) => self.start().await,
            Step::Adopt(_) => self.adopt().await,
            Step::Terminate(_, signal) => {
                self.signal(signal, SignalScope::Init, ContainerFact::Terminated)
                    .await
            }
            Step::Kill(..) => {
                let at = self.executor.clock.since_boot();
                self.signal(SIGKILL, SignalScope::All, ContainerFact::Killed(at))
                    .await
            }
            Step::Reap(_) => self.reap().await,
            Step::Discard(_) => self.discard().await,
            Step::TearDown(_) => self.tear_down().await,
            Step::TearDownTask => self.tear_down_task().await,
            Step::Clean => self.executor.clean(&self.id, self.cancel).await,
        }
    }

    fn fact(&self, fact: ContainerFact) -> Fact {
        Fact::Container(self.index, fact)
    }

    fn failed(&self, name: &'static str, text: impl std::fmt::Display) -> Option<Fact> {
        let failure = Failure {
            name,
            text: text.to_string(),
        };
        tracing::warn!(container = %self.id, %failure, "a container can't run");
        Some(self.fact(ContainerFact::Failed(failure)))
    }

    fn retry(&self, doing: &'static str, patience: Patience) -> Retry<'_> {
        Retry {
            clock: self.executor.clock.as_ref(),
            progress: &self.executor.progress,
            container: &self.id,
            cancel: self.cancel,
            doing,
            patience,
        }
    }

    async fn prepare(&self) -> Option<Fact> {
        let limit = Patience::For(self.executor.limits.create);
        let retry = self.retry("making the task's cgroup", limit);
        let failure = |text| Failure {
            name: "ResourceInitializationError",
            text,
        };
        match retry.call(|| self.executor.runtime.prepare_task(self.task)).await {
            Outcome::Done(()) => Some(Fact::Prepared),
            Outcome::Failed(error) => Some(Fact::PrepareFailed(failure(error.to_string()))),
            Outcome::TimedOut(after) => Some(Fact::PrepareFailed(failure(timed_out("prepared", after)))),
            Outcome::Cancelled => None,
        }
    }

    async fn pull(&self) -> Option<Fact> {
        let definition = self.task.containers.get(usize::from(self.index))?;
        let reference = &definition.image;
        let (sender, mut told) = watch::channel(PullProgress::default());
        let ensure = self
            .executor
            .images
            .ensure(reference, &self.id, sender, self.cancel.clone());
        tokio::pin!(ensure);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut ensure => break result,
                Ok(()) = told.changed() => {
                    let cause = pull_cause(reference, &told.borrow_and_update());
                    self.executor.progress.set(&self.id, Some(cause));
                }
            }
        };
        match result {
            Ok(image) => {
                let at = self.executor.clock.now().as_millisecond();
                Some(self.fact(ContainerFact::Pulled(Box::new(image), at)))
            }
            Err(_) if self.cancel.is_cancelled() => None,
            Err(error) => self.failed("CannotPullContainerError", error),
        }
    }

    async fn attach(&self) -> Option<Fact> {
        let definition = self.task.containers.get(usize::from(self.index))?;
        let record = self.state.record.containers.get(usize::from(self.index))?;
        // After a restart of the machine: what was chosen once is told already.
        let chosen = record.attachment.as_ref().filter(|_| record.restarts.awaited());
        let chosen = chosen.map(|attachment| {
            attachment
                .bindings
                .iter()
                .map(|binding| binding.mapping)
                .collect()
        });
        let request = Attach {
            container: self.id.clone(),
            mode: self.task.network_mode,
            ports: chosen
                .filter(|ports: &Vec<_>| !ports.is_empty())
                .unwrap_or_else(|| definition.port_mappings.clone()),
            hostname: crate::spec::own_hostname(&self.id),
        };
        let retry = self.retry("giving it its network", Patience::Times(ATTACH_TRIES));
        match retry
            .call(|| failpoint::around("attach", self.executor.network.attach(&request)))
            .await
        {
            Outcome::Done(attachment) => Some(self.fact(ContainerFact::Attached(Box::new(attachment)))),
            Outcome::Failed(error) => {
                let name = match &error {
                    NetworkError::Port { .. } => "HostConfigError",
                    NetworkError::Subnet { .. }
                    | NetworkError::Plugin { .. }
                    | NetworkError::NoAddressYet(_)
                    | NetworkError::Io { .. } => "ContainerNetworkingError",
                };
                self.failed(name, error)
            }
            Outcome::TimedOut(after) => self.failed("ContainerNetworkingError", timed_out("attached", after)),
            Outcome::Cancelled => None,
        }
    }

    async fn create(&self) -> Option<Fact> {
        let record = self.state.record.containers.get(usize::from(self.index))?;
        let (image, attachment) = (record.image.as_ref()?, record.attachment.as_ref()?);
        let limit = Patience::For(self.executor.limits.create);
        let retry = self.retry("creating it", limit);
        let assemble = || {
            self.executor
                .assembler
                .assemble(self.task, &self.id, image, attachment)
        };
        let container = match retry.call(assemble).await {
            Outcome::Done(container) => container,
            Outcome::Failed(error) => return self.failed(error.name, error),
            Outcome::TimedOut(after) => {
                return self.failed("CannotCreateContainerError", timed_out("created", after));
            }
            Outcome::Cancelled => return None,
        };
        match retry
            .call(|| failpoint::around("create", self.executor.runtime.create(container.clone())))
            .await
        {
            Outcome::Done(()) => Some(self.fact(ContainerFact::Created)),
            Outcome::Failed(error) => self.failed("CannotCreateContainerError", error),
            Outcome::TimedOut(after) => {
                self.failed("CannotCreateContainerError", timed_out("created", after))
            }
            Outcome::Cancelled => None,
        }
    }

    async fn start(&self) -> Option<Fact> {
        let retry = self.retry("starting it", Patience::For(self.executor.limits.start));
        let start = || async {
            match self.run_number() {
                0 => self.executor.runtime.start(&self.id).await,
                run => self.executor.runtime.restart(&self.id, run).await,
            }
        };
        match retry.call(|| failpoint::around("start", start())).await {
            Outcome::Done(started) => Some(self.started(started)),
            Outcome::Failed(error) => self.start_failed(&error.to_string()).await,
            Outcome::TimedOut(after) => self.start_failed(&timed_out("started", after)).await,
            Outcome::Cancelled => None,
        }
    }

    /// Which run of the container is the newest.
    fn run_number(&self) -> u32 {
        let record = self.state.record.containers.get(usize::from(self.index));
        record.map_or(0, |record| record.restarts.count)
    }

    fn started(&self, started: Started) -> Fact {
        self.fact(ContainerFact::Started {
            run: self.run_number(),
            pid: started.pid,
            at_millis: started.at_millis,
            boot_id: self.executor.boot_id.clone(),
            seen: self.executor.clock.since_boot(),
        })
    }

    /// A start whose answer was lost may have gone well, and what it started may have ended since: then it did run.
    async fn start_failed(&self, why: &str) -> Option<Fact> {
        let retry = self.retry(
            "asking whether it runs",
            Patience::For(self.executor.limits.start),
        );
        let state = match retry.call(|| self.executor.runtime.list()).await {
            Outcome::Done(observed) => observed
                .into_iter()
                .find(|each| each.id == self.id)
                .map(|each| (each.state, each.run)),
            Outcome::Failed(_) | Outcome::TimedOut(_) => None,
            Outcome::Cancelled => return None,
        };
        match state {
            // An earlier run has ended: this one has not begun.
            Some((_, run)) if run < self.run_number() => self.failed("CannotStartContainerError", why),
            Some((ObservedState::Running(started), _)) => Some(self.started(started)),
            Some((ObservedState::Exited, _)) => Some(self.fact(ContainerFact::Exited)),
            Some((ObservedState::Recorded | ObservedState::Created, _)) | None => {
                self.failed("CannotStartContainerError", why)
            }
        }
    }

    async fn adopt(&self) -> Option<Fact> {
        let record = self.state.record.containers.get(usize::from(self.index))?;
        let attachment = record.attachment.as_ref()?;
        let retry = self.retry("holding its ports again", Patience::Times(ATTACH_TRIES));
        match retry
            .call(|| self.executor.network.adopt(&self.id, attachment))
            .await
        {
            Outcome::Done(()) => {}
            Outcome::Failed(error) => {
                // A stranger took a port meanwhile: the container runs on, and people should know.
                tracing::error!(container = %self.id, %error, "its ports can't be held again");
            }
            Outcome::TimedOut(_) | Outcome::Cancelled => return None,
        }
        Some(self.fact(ContainerFact::Adopted))
    }

    async fn signal(&self, signal: i32, scope: SignalScope, sent: ContainerFact) -> Option<Fact> {
        let retry = self.retry("sending it a signal", Patience::Forever);
        let send = || async {
            match failpoint::around("kill", self.executor.runtime.kill(&self.id, signal, scope)).await {
                Ok(()) => Ok(sent.clone()),
                // Then how it ended is to be asked; `reap` knows whether there is anything to ask.
                Err(RuntimeError::NotFound(_)) => Ok(ContainerFact::Exited),
                Err(error) => Err(error),
            }
        };
        // Unlike others, it may be dropped half-way: sending a signal once more does no harm, and the next must not wait.
        let outcome = tokio::select! {
            biased;
            outcome = retry.call(send) => outcome,
            () = self.cancel.cancelled() => return None,
        };
        match outcome {
            Outcome::Done(fact) => Some(self.fact(fact)),
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Cancelled => None,
        }
    }

    async fn reap(&self) -> Option<Fact> {
        let boot_id = || self.executor.boot_id.clone();
        let seen = || self.executor.clock.since_boot();
        let tries = std::sync::atomic::AtomicU32::new(0);
        let ask = || async {
            let tried = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match failpoint::around("reap", self.executor.runtime.reap(&self.id)).await {
                Ok(exit) => Ok(ContainerFact::Reaped {
                    exit,
                    boot_id: boot_id(),
                    seen: seen(),
                }),
                // What was told late of an earlier run.
                Err(RuntimeError::Runs(_)) if self.run_number() > 0 && tried >= REAP_TRIES => {
                    Ok(ContainerFact::StillRuns(seen()))
                }
                Err(RuntimeError::NotFound(_)) => Ok(ContainerFact::Vanished {
                    at_millis: self.executor.clock.now().as_millisecond(),
                    boot_id: boot_id(),
                }),
                Err(error) => Err(error),
            }
        };
        match self
            .retry("waiting for its last process to end", Patience::Forever)
            .call(ask)
            .await
        {
            Outcome::Done(fact) => Some(self.fact(fact)),
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Cancelled => None,
        }
    }

    /// A start that was given up while its answer was on the way may have gone well: then it did run.
    async fn discard(&self) -> Option<Fact> {
        let (runtime, run) = (&self.executor.runtime, self.run_number());
        let discard = || async { gone(failpoint::around("delete", runtime.discard(&self.id, run)).await) };
        let retry = self.retry("making sure that nothing of it runs", Patience::Forever);
        match retry.call(discard).await {
            Outcome::Done(Some(ObservedState::Running(started))) => Some(self.started(started)),
            Outcome::Done(Some(ObservedState::Exited)) => Some(self.fact(ContainerFact::Exited)),
            Outcome::Done(Some(ObservedState::Recorded | ObservedState::Created) | None) => {
                Some(self.fact(ContainerFact::Discarded))
            }
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Cancelled => None,
        }
    }

    async fn remove(&self, doing: &'static str) -> bool {
        let runtime = &self.executor.runtime;
        let remove = || async { gone(failpoint::around("delete", runtime.remove(&self.id)).await) };
        matches!(
            self.retry(doing, Patience::Forever).call(remove).await,
            Outcome::Done(())
        )
    }

    async fn tear_down(&self) -> Option<Fact> {
        if !self.remove("removing it").await {
            return None;
        }
        let retry = self.retry("giving back its network", Patience::Forever);
        match retry
            .call(|| failpoint::around("detach", self.executor.network.detach(&self.id)))
            .await
        {
            Outcome::Done(()) => {}
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Cancelled => return None,
        }
        self.executor.images.release(&self.id).await;
        Some(self.fact(ContainerFact::TornDown))
    }

    async fn tear_down_task(&self) -> Option<Fact> {
        let id = self.id.task();
        let retry = self.retry("giving back the task's cgroup", Patience::Forever);
        let cgroup = || async { gone(self.executor.runtime.remove_task(id).await) };
        match retry.call(cgroup).await {
            Outcome::Done(()) => {}
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Cancelled => return None,
        }
        let retry = self.retry("giving back the task's volumes", Patience::Forever);
        match retry.call(|| self.executor.assembler.dismantle_task(id)).await {
            Outcome::Done(()) => Some(Fact::TornDown),
            Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Cancelled => None,
        }
    }
}

/// What is to be removed and is not there is removed.
fn gone<T: Default>(removed: Result<T, RuntimeError>) -> Result<T, RuntimeError> {
    match removed {
        Err(RuntimeError::NotFound(_)) => Ok(T::default()),
        removed => removed,
    }
}

fn timed_out(what: &str, after: Duration) -> String {
    format!("could not be {what} within {} s", after.as_secs())
}

fn pull_cause(reference: &str, progress: &PullProgress) -> Cause {
    let doing = match progress.doing.as_str() {
        "" => "pulling",
        doing => doing,
    };
    let percent = progress.done.saturating_mul(100).checked_div(progress.total);
    Cause {
        text: format!("{doing} {reference}"),
        percent: percent.and_then(|percent| u8::try_from(percent.min(100)).ok()),
        until: None,
    }
}
