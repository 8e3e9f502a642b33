//! State, Pids, Wait, Connect, Stats: what is asked, and changes nothing.

use super::Shim;
use super::container::Phase;
use super::error::TaskError;
use crate::api::task::{
    ConnectRequest, ConnectResponse, PROCESS_DETAILS, PidsRequest, PidsResponse, ProcessDetails, ProcessInfo,
    StateRequest, StateResponse, StatsRequest, StatsResponse, WaitRequest, WaitResponse,
};
use crate::api::{Message as _, any, timestamp};
use crate::reaper::Exit;
use crate::ttrpc::server::Responder;

impl Shim {
    pub(super) fn state(&self, request: &StateRequest) -> Result<StateResponse, TaskError> {
        let container = self.container(&request.id)?;
        let mut state = container.state();
        let paused = state.paused;
        let never_ran = state.never_ran && request.exec_id.is_empty();
        let process = state.process(&container, &request.exec_id)?;
        let exit = match &process.phase {
            Phase::Stopped(exit) => Some(exit),
            Phase::Added | Phase::Created | Phase::Starting | Phase::Running => None,
        };
        // A record may be late, on a full disk; so this, too, tells what never ran from what has ended.
        let pid = if never_ran && exit.is_some() {
            0
        } else {
            process.pid
        };
        Ok(StateResponse {
            id: request.id.clone(),
            bundle: container.bundle.to_string_lossy().into_owned(),
            pid: pid.cast_unsigned(),
            status: process.phase.status(paused) as i32,
            stdin: process.stdin.clone(),
            stdout: process.stdout.clone(),
            stderr: process.stderr.clone(),
            terminal: process.terminal,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| timestamp(exit.at.wall)),
            exec_id: request.exec_id.clone(),
        })
    }

    pub(super) fn pids(&self, request: &PidsRequest) -> Result<PidsResponse, TaskError> {
        let container = self.container(&request.id)?;
        let (mut known, init) = {
            let state = container.state();
            let running = |phase: &Phase| matches!(phase, Phase::Created | Phase::Starting | Phase::Running);
            let execs = state
                .execs
                .iter()
                .filter(|(_, exec)| exec.pid > 0 && running(&exec.phase));
            let known: Vec<_> = execs.map(|(name, exec)| (exec.pid, Some(name.clone()))).collect();
            (known, running(&state.init.phase).then_some(state.init.pid))
        };
        known.extend(init.map(|pid| (pid, None)));
        let mut processes = container
            .own_cgroup_so_far()
            .map(crate::cgroup::Cgroup::processes)
            .unwrap_or_default();
        processes.extend(known.iter().map(|(pid, _)| *pid));
        let info = |pid: i32| {
            let exec = known
                .iter()
                .find(|(other, _)| *other == pid)
                .and_then(|(_, exec)| exec.clone());
            ProcessInfo {
                pid: pid.cast_unsigned(),
                info: exec.map(|exec_id| any(PROCESS_DETAILS, &ProcessDetails { exec_id })),
            }
        };
        Ok(PidsResponse {
            processes: processes.into_iter().map(info).collect(),
        })
    }

    pub(super) fn connect(&self, request: &ConnectRequest) -> Result<ConnectResponse, TaskError> {
        // containerd also asks before it has created the container.
        let pid = self
            .container(&request.id)
            .map_or(0, |container| container.state().init.pid);
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: pid.cast_unsigned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    pub(super) fn stats(&self, request: &StatsRequest) -> Result<StatsResponse, TaskError> {
        let container = self.container(&request.id)?;
        let Some(cgroup) = container.cgroup() else {
            return Err(TaskError::State {
                what: container.name(""),
                is: "in no cgroup of its own",
                action: "have metrics",
                must: "in one",
            });
        };
        if container.has_stopped() {
            return Err(container.refuse(
                "",
                &container.state().init.phase.clone(),
                "have metrics",
                "running",
            ));
        }
        Ok(StatsResponse {
            stats: Some(cgroup.metrics()),
        })
    }

    /// Answers when the process has ended; until then no thread waits, only the way back is kept.
    pub(super) fn wait(&self, payload: &[u8], responder: Responder) {
        let found = WaitRequest::decode(payload)
            .map_err(TaskError::Request)
            .and_then(|request| Ok((self.container(&request.id)?, request)));
        let (container, request) = match found {
            Ok(found) => found,
            Err(error) => return responder.fail(error.code(), crate::logger::chain(&error)),
        };
        let mut state = container.state();
        match state.process(&container, &request.exec_id) {
            Err(error) => responder.fail(error.code(), error.to_string()),
            Ok(process) => {
                if let Phase::Stopped(exit) = &process.phase {
                    return responder.answer(&waited(exit));
                }
                // Each containerd that has restarted left some that nobody listens to.
                process.waiters.retain(Responder::is_open);
                process.waiters.push(responder);
            }
        }
    }
}

/// The answer to whoever has waited.
pub(super) fn waited(exit: &Exit) -> WaitResponse {
    WaitResponse {
        exit_status: exit.status,
        exited_at: Some(timestamp(exit.at.wall)),
    }
}
