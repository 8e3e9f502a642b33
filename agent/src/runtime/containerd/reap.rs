//! How a container ended, with proof and evidence.

use std::time::Duration;

use longshore_protocol::exit_record::ExitRecord;

use super::record::{read_exit, read_run};
use super::watch::{Ending, Told, is_clean_up};
use super::{ContainerdRuntime, cgroup, is_longshore, made_with, never_ran};
use crate::containerd::types::v1::{Process, Status};
use crate::model::{ContainerId, Exit, Moment, OutOfMemory};
use crate::runtime::RuntimeError;
use crate::runtime::cgroup::Evidence;

/// 128 + SIGKILL.
const KILLED: u32 = 137;
const SIGKILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;

/// The delete that tells a dead shim from a killed process follows its exit at once.
const DOUBT: Duration = Duration::from_secs(2);

/// What is known of the status of a first process.
enum Known {
    /// As Longshore's shim wrote it down.
    Written(Box<ExitRecord>),
    /// As containerd tells it.
    Status(Told),
    Unknown {
        at_nanos: Option<i128>,
        reason: String,
    },
}

impl ContainerdRuntime {
    pub(super) async fn reap_container(&self, id: &ContainerId) -> Result<Exit, RuntimeError> {
        let name = id.to_string();
        let (record, process) = tokio::join!(self.record(&name), self.process(&name));
        let (record, process) = (record?, process?);
        if let Some(exit) = record.as_ref().and_then(read_exit) {
            // Asked before and not heard: the task may still be there to be forgotten.
            self.forget_task(id, &name, process.is_some()).await?;
            return Ok(exit);
        }
        // After containerd was asked: it is there before containerd can know of an exit.
        let asked = id.clone();
        let written = self.exits(move |exits| exits.read(&asked)).await?;
        let known = match (written, &process) {
            (Some(exit), None) => Known::Written(Box::new(exit)),
            (Some(exit), Some(process)) if has_ended(process.status()) => Known::Written(Box::new(exit)),
            (None, Some(process)) if never_ran(process) => Known::Unknown {
                at_nanos: Some(nanos(process.exited_at.as_ref())),
                reason: "CannotStartContainerError: it was killed before its program began".to_owned(),
            },
            (_, Some(process)) => match ended(process, &name) {
                Ok(told) => Known::Status(told),
                Err(error) => {
                    self.end_hung_shim_if_idle(id).await;
                    return Err(error);
                }
            },
            (None, None) => match &record {
                Some(record) => self.known_from_events(id, is_longshore(made_with(record))).await,
                None => {
                    // Its shim and its processes may be there all the same: containerd has lost its database, say.
                    self.empty_cgroup(&name, &cgroup(id)).await?;
                    return Err(RuntimeError::NotFound(name));
                }
            },
        };
        // While the group is there: the shim removes it with the task.
        let evidence = self.cgroups.evidence(&cgroup(id));
        self.empty_cgroup(&name, &cgroup(id)).await?;
        let run = record.as_ref().map_or(0, read_run);
        let exit = Exit {
            run,
            ..self.exit(id, known, evidence)
        };
        if record.is_some() {
            self.write_exit(&name, Some(&exit), None).await?;
        }
        self.forget_task(id, &name, process.is_some()).await?;
        Ok(exit)
    }

    /// After the exit is in the record.
    async fn forget_task(&self, id: &ContainerId, name: &str, there: bool) -> Result<(), RuntimeError> {
        self.empty_cgroup(name, &cgroup(id)).await?;
        match there {
            true => self.delete_ended_task(id, name).await,
            false => Ok(()),
        }
    }

    /// containerd has no task, and there is no exit record: either events have told how it ended, or nobody can know.
    /// Longshore's shim writes a record of every end that it sees, so without one it did not see the end.
    async fn known_from_events(&self, id: &ContainerId, longshore: bool) -> Known {
        let listening = self.streams().open().next().is_some();
        let doubt = if listening { DOUBT } else { Duration::ZERO };
        let ending = tokio::time::timeout(doubt, self.watch.ending(id)).await;
        match (ending, self.watch.told(id)) {
            (Ok(Ending::Known(told)), _) => Known::Status(told),
            (Ok(Ending::ShimDied(told)), _) => self.shim_died(id, Some(told)),
            (Err(_), told) if longshore && told.is_none_or(is_clean_up) => self.shim_died(id, told),
            // No delete came, so this was no clean-up.
            (Err(_), Some(told)) if listening => Known::Status(told),
            (Err(_), told) => Known::Unknown {
                at_nanos: told.map(|told| told.at_nanos),
                reason: "ExitStatusLost: containerd does not know the container's task any more: it was restarted, \
                         or its shim died while nobody listened"
                    .to_owned(),
            },
        }
    }

    fn shim_died(&self, id: &ContainerId, told: Option<Told>) -> Known {
        let what = match self.watch.was_hung(id) {
            true => "did not answer any more and was killed",
            false => "was killed",
        };
        Known::Unknown {
            at_nanos: told.map(|told| told.at_nanos),
            reason: format!("ShimDied: the container's shim {what}, and the exit status with it"),
        }
    }

    fn exit(&self, id: &ContainerId, known: Known, evidence: Evidence) -> Exit {
        let now = self.clock.now().as_millisecond();
        let millis = |nanos: i128| i64::try_from(nanos / 1_000_000).unwrap_or(now);
        let evidence = known.evidence(evidence);
        // The event is a last resort: on v1 every container below a limit gets it, whoever the victim was.
        let told = || self.watch.was_out_of_memory(id);
        let killed_for_memory = evidence.memory_kills.map_or_else(told, |kills| kills > 0);
        let moment = known.moment();
        let (code, killed, at_millis, reason) = match known {
            Known::Written(exit) => (
                Some(exit.status),
                exit.signal == Some(SIGKILL),
                exit.exited_at.wall.as_millisecond(),
                undead(&exit.undead),
            ),
            Known::Status(told) => {
                let killed = told.status == KILLED;
                (Some(told.status), killed, millis(told.at_nanos), None)
            }
            Known::Unknown { at_nanos, reason } => (None, false, at_nanos.map_or(now, millis), Some(reason)),
        };
        // A SIGKILL that was sent from here explains itself; the kernel's victim was another process then.
        let by_kernel = killed && !self.watch.was_killed(id);
        let victim = if by_kernel {
            OutOfMemory::Init
        } else {
            OutOfMemory::Child
        };
        Exit {
            code: code.and_then(|code| i32::try_from(code).ok()),
            at_millis,
            out_of_memory: killed_for_memory.then_some(victim),
            peak_memory: evidence.peak_memory,
            reason,
            run: 0,
            moment,
        }
    }
}

impl Known {
    /// When it ended by the clock that never steps, where that was written down.
    fn moment(&self) -> Option<Moment> {
        match self {
            Self::Written(exit) if !exit.exited_at.boot_id.is_empty() => Some(Moment {
                boot_id: exit.exited_at.boot_id.clone(),
                since_boot: Duration::from_nanos(exit.exited_at.boot_nanos),
            }),
            Self::Written(_) | Self::Status(_) | Self::Unknown { .. } => None,
        }
    }

    /// What is known of memory: by the shim, which looked when the first process had just ended, or else by now.
    fn evidence(&self, now: Evidence) -> Evidence {
        match self {
            Self::Written(exit) => exit.memory.as_ref().map_or(now, |memory| Evidence {
                memory_kills: Some(memory.oom_kills),
                peak_memory: memory.peak.or(now.peak_memory),
            }),
            Self::Status(_) | Self::Unknown { .. } => now,
        }
    }
}

/// Why an end took long that has come by now.
fn undead(pids: &[i32]) -> Option<String> {
    (!pids.is_empty()).then(|| {
        format!(
            "UndeadProcesses: processes {pids:?} of the container outlived SIGKILL for a while: they hung in the kernel"
        )
    })
}

/// Whether a shim that says this can have seen the end of its container's first process.
fn has_ended(status: Status) -> bool {
    match status {
        // It does not answer any more.
        Status::Stopped | Status::Unknown => true,
        Status::Created | Status::Running | Status::Paused | Status::Pausing => false,
    }
}

/// The status that the shim has from the kernel.
fn ended(process: &Process, id: &str) -> Result<Told, RuntimeError> {
    match process.status() {
        Status::Stopped => Ok(Told {
            status: process.exit_status,
            at_nanos: nanos(process.exited_at.as_ref()),
        }),
        // The shim did not answer; when it is dead, containerd will say so.
        Status::Unknown => Err(RuntimeError::Unavailable {
            operation: "GetTask",
            subject: id.to_owned(),
            why: "its shim does not say how it is".to_owned(),
        }),
        Status::Created | Status::Running | Status::Paused | Status::Pausing => {
            Err(RuntimeError::Runs(id.to_owned()))
        }
    }
}

/// Nanoseconds since 1970.
pub(super) fn nanos(time: Option<&prost_types::Timestamp>) -> i128 {
    time.map_or(0, |time| {
        i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
    })
}
