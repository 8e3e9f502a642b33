//! Exec: more processes in a container.

use std::sync::Arc;

use super::Shim;
use super::container::{Container, Phase, Process};
use super::create::{Made, attach};
use super::error::TaskError;
use crate::api::events::{TaskExecAdded, TaskExecStarted};
use crate::api::task::{DeleteResponse, Empty, ExecProcessRequest, StartResponse};
use crate::api::timestamp;
use crate::io::{ProcessName, StdioRequest};
use crate::reaper::{Owner, Watch};
use crate::runtime::Console;

impl Shim {
    pub(super) fn exec(&self, request: ExecProcessRequest) -> Result<Empty, TaskError> {
        let container = self.container(&request.id)?;
        let spec = request.spec.map(|any| any.value).filter(|json| !json.is_empty());
        let Some(spec) = spec.filter(|_| !request.exec_id.is_empty()) else {
            return Err(TaskError::Value {
                what: "an exec without a name or a process",
                value: request.exec_id,
                allowed: "named, with OCI's process in JSON",
            });
        };
        {
            let mut state = container.state();
            if matches!(state.init.phase, Phase::Stopped(_)) || state.ending {
                return Err(container.refuse("", &state.init.phase, "exec in it", "running"));
            }
            if state.execs.contains_key(&request.exec_id) {
                return Err(TaskError::ExecExists {
                    container: request.id,
                    exec: request.exec_id,
                });
            }
            let mut process = Process::new(
                request.stdin,
                request.stdout,
                request.stderr,
                request.terminal,
                Phase::Added,
            );
            process.spec = spec;
            state.execs.insert(request.exec_id.clone(), process);
        }
        self.publisher.publish(&TaskExecAdded {
            container_id: request.id,
            exec_id: request.exec_id,
        });
        Ok(Empty {})
    }

    pub(super) fn start_exec(
        self: &Arc<Self>,
        container: &Arc<Container>,
        exec: &str,
    ) -> Result<StartResponse, TaskError> {
        {
            let mut state = container.state();
            state.process(container, exec)?;
            if state.init.phase != Phase::Running || state.ending || state.paused {
                let is = if state.paused {
                    "paused"
                } else {
                    state.init.phase.word()
                };
                return Err(TaskError::State {
                    what: container.name(""),
                    is: if state.ending { "stopped" } else { is },
                    action: "exec in it",
                    must: "running",
                });
            }
            let process = state.process(container, exec)?;
            if process.phase != Phase::Added {
                return Err(container.refuse(exec, &process.phase, "start", "not started"));
            }
            process.phase = Phase::Starting;
            state.starting += 1;
        }
        let made = self.make_exec(container, exec);
        let mut state = container.state();
        state.starting -= 1;
        let Some(process) = state.execs.get_mut(exec) else {
            // The container was deleted meanwhile, and everything in it killed.
            return Err(TaskError::NoContainer(container.id.clone()));
        };
        let (made, watch) = match made {
            Ok(made) => made,
            Err(error) => {
                process.phase = Phase::Added;
                return Err(error);
            }
        };
        let pid = made.pid;
        process.spec = Vec::new();
        process.pid = pid;
        process.phase = Phase::Running;
        process.io = Some(Arc::new(made.io));
        process.console = made.console;
        self.publisher.publish(&TaskExecStarted {
            container_id: container.id.clone(),
            exec_id: exec.to_owned(),
            pid: pid.cast_unsigned(),
        });
        drop(state);
        let owner = Owner {
            container: container.id.clone(),
            exec: Some(exec.to_owned()),
        };
        if let Some(exit) = watch.claim(pid, owner.clone()) {
            self.ended(owner, pid, exit);
        }
        Ok(StartResponse {
            pid: pid.cast_unsigned(),
        })
    }

    fn make_exec(&self, container: &Container, exec: &str) -> Result<(Made, Watch<'_>), TaskError> {
        let (stdin, stdout, stderr, terminal, spec) = {
            let mut state = container.state();
            let process = state.process(container, exec)?;
            (
                process.stdin.clone(),
                process.stdout.clone(),
                process.stderr.clone(),
                process.terminal,
                process.spec.clone(),
            )
        };
        let stdio = StdioRequest {
            stdin: &stdin,
            stdout: &stdout,
            stderr: &stderr,
            terminal,
            owner: None,
        };
        let name = ProcessName {
            namespace: &self.namespace,
            container: &container.id,
        };
        let (child, io) = self.io.open(&stdio, &name)?;
        let console = terminal.then(|| Console::listen(&self.sockets)).transpose()?;
        let watch = self.reaper.watch();
        let runtime = &container.runtime;
        let pid = runtime.exec(&self.reaper, container.on(), &spec, child, console.as_ref())?;
        let console = attach(console, &io)?;
        Ok((Made { pid, io, console }, watch))
    }

    pub(super) fn delete_exec(&self, container: &Container, exec: &str) -> Result<DeleteResponse, TaskError> {
        let (pid, exit, io) = {
            let mut state = container.state();
            let process = state.process(container, exec)?;
            let exit = match &process.phase {
                Phase::Stopped(exit) => Some(exit.clone()),
                Phase::Added => None,
                phase @ (Phase::Created | Phase::Starting | Phase::Running) => {
                    return Err(container.refuse(exec, phase, "be deleted", "stopped"));
                }
            };
            (process.pid, exit, process.io.take())
        };
        if let Some(io) = io {
            self.drain(&container.name(exec), &io);
        }
        container.state().execs.remove(exec);
        Ok(DeleteResponse {
            pid: pid.cast_unsigned(),
            exit_status: exit.as_ref().map_or(0, |exit| exit.status),
            exited_at: exit.map(|exit| timestamp(exit.at.wall)),
        })
    }
}
