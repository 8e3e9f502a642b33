//! Start, Delete, Pause, Resume, Update: what changes a container or an exec as a whole.

use std::sync::Arc;
use std::time::Duration;

use super::Shim;
use super::container::{Container, Phase};
use super::error::TaskError;
use crate::api::events::{TaskDelete, TaskPaused, TaskResumed, TaskStart};
use crate::api::task::{
    DeleteRequest, DeleteResponse, Empty, PauseRequest, ResumeRequest, StartRequest, StartResponse,
    UpdateTaskRequest,
};
use crate::api::timestamp;
use crate::cgroup::Cgroup;
use crate::clock;
use crate::reaper::{Exit, Owner};
use crate::rootfs;

/// How long output may take to get where it goes once its process has ended, before Delete goes on without.
const DRAIN: Duration = Duration::from_secs(10);
/// How long Delete waits for the end of a container that it has killed.
const DEATH: Duration = Duration::from_secs(15);

impl Shim {
    pub(super) fn start(self: &Arc<Self>, request: &StartRequest) -> Result<StartResponse, TaskError> {
        let container = self.container(&request.id)?;
        if !request.exec_id.is_empty() {
            return self.start_exec(&container, &request.exec_id);
        }
        let _operation = container.operation();
        // If this shim is killed, what runs is found by the notes.
        container.noted()?;
        let pid = {
            let mut state = container.state();
            let begins = state.begins();
            begins.ok_or_else(|| container.refuse("", &state.init.phase, "start", "created"))?
        };
        // Of a frozen one, the runtime says at once that it can't be started.
        let process = Some(pid).filter(|_| !container.cgroup().is_some_and(Cgroup::is_frozen));
        let started = container.runtime.start(&self.reaper, container.on(), process);
        let early = {
            let mut state = container.state();
            state.init.phase = if started.is_ok() {
                Phase::Running
            } else {
                Phase::Created
            };
            if started.is_ok() {
                self.publisher.publish(&TaskStart {
                    container_id: container.id.clone(),
                    pid: pid.cast_unsigned(),
                });
            }
            state.init.early.take()
        };
        self.ended_early(&container, None, pid, early);
        started?;
        Ok(StartResponse {
            pid: pid.cast_unsigned(),
        })
    }

    /// Sees to an end that came while the start was under way.
    pub(super) fn ended_early(
        self: &Arc<Self>,
        container: &Container,
        exec: Option<&str>,
        pid: i32,
        early: Option<Exit>,
    ) {
        if let Some(exit) = early {
            let owner = Owner {
                container: container.id.clone(),
                exec: exec.map(str::to_owned),
            };
            self.ended(owner, pid, exit);
        }
    }

    pub(super) fn delete(self: &Arc<Self>, request: &DeleteRequest) -> Result<DeleteResponse, TaskError> {
        let container = self.container_to_come(&request.id)?;
        if !request.exec_id.is_empty() {
            return self.delete_exec(&container, &request.exec_id);
        }
        let _operation = container.operation();
        // Somebody else may have deleted it meanwhile, and there may be another of its name.
        if !Arc::ptr_eq(&self.container(&request.id)?, &container) {
            return Err(TaskError::NoContainer(request.id.clone()));
        }
        // What could not be noted was never started, and Start has said so.
        let _ = container.noted();
        let phase = container.state().init.phase.clone();
        let (pid, exit) = match phase {
            Phase::Stopped(exit) => {
                self.forget(&container)?;
                (container.state().init.pid, exit)
            }
            Phase::Created => {
                // Its process waits to be started, and is killed.
                self.forget(&container)?;
                self.stopped(&container)?
            }
            phase @ (Phase::Added | Phase::Starting | Phase::Running) => {
                return Err(container.refuse("", &phase, "be deleted", "stopped"));
            }
        };
        let exited_at = Some(timestamp(exit.at.wall));
        let response = DeleteResponse {
            pid: pid.cast_unsigned(),
            exit_status: exit.status,
            exited_at,
        };
        self.release(&container);
        self.publisher.publish(&TaskDelete {
            container_id: container.id.clone(),
            pid: response.pid,
            exit_status: exit.status,
            exited_at,
            id: String::new(),
        });
        Ok(response)
    }

    /// Has the runtime forget a container.
    fn forget(&self, container: &Container) -> Result<(), TaskError> {
        let runtime = &container.runtime;
        // Forced: someone may have deleted it behind our back, which is what is wanted.
        Ok(runtime.delete(&self.reaper, container.on(), true)?)
    }

    /// Waits for a container's end to be seen to.
    fn stopped(&self, container: &Container) -> Result<(i32, Exit), TaskError> {
        let deadline = clock::monotonic() + DEATH;
        loop {
            {
                let state = container.state();
                if let Phase::Stopped(exit) = &state.init.phase {
                    return Ok((state.init.pid, exit.clone()));
                }
            }
            if clock::monotonic() >= deadline {
                return Err(TaskError::StillThere(container.id.clone()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets go of everything that a container had here.
    fn release(&self, container: &Container) {
        let ios: Vec<_> = {
            let mut state = container.state();
            if let Some(watch) = state.oom_watch.take() {
                self.waiting.unwatch_oom(watch);
            }
            let execs = state
                .execs
                .drain()
                .filter_map(|(_, exec)| exec.io)
                .collect::<Vec<_>>();
            execs.into_iter().chain(state.init.io.take()).collect()
        };
        for io in ios {
            self.drain(&container.name(""), &io);
        }
        if let Err(error) = rootfs::unmount(&container.bundle.join("rootfs")) {
            self.logger.error(&container.name(""), &error);
        }
        let other = {
            let mut table = self.table();
            table.containers.remove(&container.id);
            table.containers.values().next().cloned()
        };
        self.waiting.container_gone();
        if self.logger.detach(&container.bundle)
            && let Some(other) = other
        {
            self.logger.attach(&other.bundle);
        }
    }

    /// Waits for a process's output to be where it goes.
    pub(super) fn drain(&self, name: &str, io: &crate::io::ProcessIo) {
        if !io.drained(DRAIN) {
            self.logger.warn(&format!(
                "{name}: its output is not all taken, or someone holds its pipes; it is closed now"
            ));
        }
        let dropped = io.dropped_bytes();
        if dropped > 0 {
            self.logger
                .warn(&format!("{name}: {dropped} bytes of output were taken by nobody"));
        }
    }

    pub(super) fn pause(&self, request: &PauseRequest) -> Result<Empty, TaskError> {
        let container = self.container(&request.id)?;
        let _operation = container.operation();
        self.running(&container, "pause")?;
        container.runtime.pause(&self.reaper, container.on())?;
        let mut state = container.state();
        state.paused = !state.ending;
        drop(state);
        self.publisher.publish(&TaskPaused {
            container_id: request.id.clone(),
        });
        Ok(Empty {})
    }

    pub(super) fn resume(&self, request: &ResumeRequest) -> Result<Empty, TaskError> {
        let container = self.container(&request.id)?;
        let _operation = container.operation();
        self.running(&container, "resume")?;
        container.runtime.resume(&self.reaper, container.on())?;
        container.state().paused = false;
        self.publisher.publish(&TaskResumed {
            container_id: request.id.clone(),
        });
        Ok(Empty {})
    }

    fn running(&self, container: &Container, action: &'static str) -> Result<(), TaskError> {
        match &container.state().init.phase {
            Phase::Running => Ok(()),
            phase => Err(container.refuse("", phase, action, "running")),
        }
    }

    pub(super) fn update(&self, request: &UpdateTaskRequest) -> Result<Empty, TaskError> {
        let container = self.container(&request.id)?;
        let Some(resources) = &request.resources else {
            return Err(TaskError::Value {
                what: "resources",
                value: String::new(),
                allowed: "OCI's Linux resources in JSON",
            });
        };
        let _operation = container.operation();
        let phase = container.state().init.phase.clone();
        if matches!(phase, Phase::Stopped(_)) {
            return Err(container.refuse("", &phase, "be updated", "created or running"));
        }
        let runtime = &container.runtime;
        runtime.update(&self.reaper, container.on(), &resources.value)?;
        Ok(Empty {})
    }
}
