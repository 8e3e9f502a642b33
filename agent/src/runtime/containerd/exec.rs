//! Sessions' processes, by containerd's Exec.
//!
//! A process gets a cgroup of its own inside the container's, made before it starts and entered right after, and marks
//! that say whose it is ([`spec`]): what it forks in between has those. By both everything of it is found at the end, and
//! by the group alone while a process of the container hangs, whose marks can't be read ([`looks`]). Its
//! streams are FIFOs in a folder of its own, which is made first and removed last, so that an agent that was restarted
//! finds what is left to end.
//!
//! Limits: a process that leaves its cgroup, or forks before it is in it, and loses its marks is not found before its
//! container ends; that takes care.

mod looks;
mod plain;
mod spec;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use longshore_protocol::exit_record;
use rustix::process::Signal;

use super::fifos::Fifos;
use super::{ContainerdRuntime, SLOW, cgroup, refused};
use crate::blocking;
use crate::containerd::services::v1::{
    CloseIoRequest, DeleteProcessRequest, ExecProcessRequest, ResizePtyRequest, StartRequest, WaitRequest,
};
use crate::containerd::types::v1::Status;
use crate::containerd::{CallError, Class, Optional, QUICK, call};
use crate::files::absent_is_none;
use crate::runtime::RuntimeError;
use crate::runtime::exec::{ExecEnd, ExecId, ExecRequest, ExecStreams, Execs, TerminalSize};
pub(super) use looks::Looks;
use plain::plainly;
use spec::{mark, process_spec};

/// What the names of sessions' groups begin with.
const GROUP: &str = "exec-";
/// From SIGHUP to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How soon containerd is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(500);
/// How long it is waited for whose a container's processes are, with those who look before.
const LOOK: Duration = Duration::from_secs(5);
/// 128 + SIGKILL: what a process exits with whose container has ended.
const KILLED: u32 = 137;

/// By what a process is known to be a session's.
#[derive(Clone, Copy)]
enum By {
    Group,
    Mark,
}

impl ContainerdRuntime {
    async fn start_exec(&self, request: &ExecRequest) -> Result<ExecStreams, RuntimeError> {
        let (id, name) = (&request.id, request.id.container.to_string());
        let (record, process) = tokio::join!(self.record(&name), self.process(&name));
        let record = record?.ok_or_else(|| RuntimeError::NotFound(name.clone()))?;
        let runs = process?.is_some_and(|process| process.status() == Status::Running);
        if !runs {
            return Err(RuntimeError::NotFound(name));
        }
        let process = process_spec(&record, request)?;
        let fifos = self.fifos(id);
        let streams = fifos.make(&name, request.terminal.is_some()).await?;
        let container = cgroup(&id.container);
        let nested = self.cgroups.nest(&container, &nested(id));
        nested.map_err(|error| refused("make a session's cgroup", &name, &error))?;
        let mut tasks = self.client.tasks();
        let path = |name: &str| fifos.path(name).to_string_lossy().into_owned();
        let exec = ExecProcessRequest {
            container_id: name.clone(),
            stdin: path(super::fifos::STDIN),
            stdout: path(super::fifos::STDOUT),
            stderr: streams
                .stderr
                .as_ref()
                .map(|_| path(super::fifos::STDERR))
                .unwrap_or_default(),
            terminal: request.terminal.is_some(),
            spec: Some(process),
            exec_id: id.session.clone(),
        };
        call("Exec", &name, SLOW, tasks.exec(exec)).await?;
        let start = StartRequest {
            container_id: name.clone(),
            exec_id: id.session.clone(),
        };
        let started = call("StartExec", &name, SLOW, tasks.start(start)).await?;
        if let Err(error) = self.cgroups.enter(&container, &self::nested(id), started.pid) {
            // It is found by its mark.
            tracing::warn!(session = id.session, %error, "a session's process is not in a group of its own");
        }
        Ok(streams)
    }

    /// Signals what is a session's by its group, or by its marks; says who that was.
    async fn signal_exec(&self, id: &ExecId, by: By, signal: Signal) -> Result<BTreeSet<i32>, RuntimeError> {
        match by {
            By::Group => {
                let signalled = self.cgroups.signal(&group(id), signal);
                signalled.map_err(|error| ending(id, &error))
            }
            By::Mark => self.signal_marked(id, signal).await,
        }
    }

    /// Where a process of the container hangs, this may hang with it: it is waited for a while only.
    async fn signal_marked(&self, id: &ExecId, signal: Signal) -> Result<BTreeSet<i32>, RuntimeError> {
        let (cgroups, container, mark) = (self.cgroups.clone(), cgroup(&id.container), mark(id));
        let there = cgroups.pids(&container).map_err(|error| ending(id, &error))?;
        if there.is_empty() {
            return Ok(there);
        }
        let signalling = async {
            let look = self.looks.begin(&id.container).await;
            let signalling = blocking::PROCESSES.run(move || {
                let signalled = cgroups.signal_marked(&container, &mark, signal);
                drop(look);
                signalled
            });
            let signalled = signalling.await.map_err(|error| ending(id, &error))?;
            signalled.map_err(|error| ending(id, &error))
        };
        let signalled = tokio::time::timeout(LOOK, signalling).await;
        signalled.unwrap_or_else(|_| Err(RuntimeError::Unseen(id.container.to_string())))
    }

    /// Until nothing of a session is left. What is in its own group ends whoever can't be looked at.
    async fn end_all(&self, id: &ExecId) -> Result<(), RuntimeError> {
        let (grouped, marked) = tokio::join!(self.end_by(id, By::Group), self.end_by(id, By::Mark));
        grouped.and(marked)
    }

    async fn end_by(&self, id: &ExecId, by: By) -> Result<(), RuntimeError> {
        let begun = self.clock.since_boot();
        let mut pause = Duration::from_millis(1);
        let mut left = self.signal_exec(id, by, Signal::HUP).await?;
        while !left.is_empty() {
            let waited = self.clock.since_boot().saturating_sub(begun);
            if waited >= GRACE + super::KILL_WAIT {
                let (subject, pids) = (id.to_string(), left.into_iter().collect());
                return Err(RuntimeError::Unkillable { subject, pids });
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
            left = match waited < GRACE {
                // What was just being forked gets one too.
                true => self.signal_exec(id, by, Signal::HUP).await?,
                false => self.signal_exec(id, by, Signal::KILL).await?,
            };
        }
        Ok(())
    }

    /// Has containerd forget a process, which the shim may just be seeing the end of, or starting after all.
    async fn delete_exec(&self, id: &ExecId) -> Result<(), RuntimeError> {
        let request = DeleteProcessRequest {
            container_id: id.container.to_string(),
            exec_id: id.session.clone(),
        };
        let until = self.clock.since_boot() + super::KILL_WAIT;
        let mut pause = Duration::from_millis(5);
        loop {
            let mut tasks = self.client.tasks();
            let deleted = tasks.delete_process(request.clone());
            let error = match call("DeleteProcess", &id.session, SLOW, deleted).await.optional() {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if error.class != Class::FailedPrecondition || self.clock.since_boot() >= until {
                return Err(error.into());
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
            self.end_all(id).await?;
        }
    }

    fn fifos(&self, id: &ExecId) -> Fifos {
        Fifos::new(&self.settings.exec_folder, &id.session)
    }

    /// Whether a container's first process has ended, or is about to.
    async fn has_ended(&self, name: &str) -> bool {
        match self.process(name).await {
            Ok(Some(process)) => process.status() != Status::Running || is_exiting(process.pid),
            Ok(None) => true,
            // Nobody knows; then it is the process's own end.
            Err(_) => false,
        }
    }
}

#[async_trait]
impl Execs for ContainerdRuntime {
    async fn exec(&self, request: ExecRequest) -> Result<ExecStreams, RuntimeError> {
        let started = self.start_exec(&request).await;
        started.map_err(|error| plainly(error, &request.args))
    }

    async fn wait_exec(&self, id: &ExecId) -> Result<ExecEnd, RuntimeError> {
        let name = id.container.to_string();
        let code = loop {
            let request = WaitRequest {
                container_id: name.clone(),
                exec_id: id.session.clone(),
            };
            let mut tasks = self.client.tasks();
            // As long as the session lasts, which is bounded elsewhere.
            let waited = tasks.wait(request).await;
            match waited.map_err(|status| CallError::from_status("WaitExec", &id.session, &status)) {
                Ok(answer) => break answer.into_inner().exit_status,
                Err(error) if error.class == Class::Unavailable => self.clock.sleep(AGAIN).await,
                Err(error) if error.class == Class::NotFound => return Err(RuntimeError::NotFound(name)),
                Err(error) => return Err(error.into()),
            }
        };
        let container_ended = code == KILLED && self.has_ended(&name).await;
        Ok(ExecEnd {
            code,
            container_ended,
        })
    }

    async fn resize(&self, id: &ExecId, size: TerminalSize) -> Result<(), RuntimeError> {
        let request = ResizePtyRequest {
            container_id: id.container.to_string(),
            exec_id: id.session.clone(),
            width: size.columns.into(),
            height: size.rows.into(),
        };
        let mut tasks = self.client.tasks();
        call("ResizePty", &id.session, QUICK, tasks.resize_pty(request))
            .await
            .optional()?;
        Ok(())
    }

    async fn close_input(&self, id: &ExecId) -> Result<(), RuntimeError> {
        let request = CloseIoRequest {
            container_id: id.container.to_string(),
            exec_id: id.session.clone(),
            stdin: true,
        };
        let mut tasks = self.client.tasks();
        call("CloseIO", &id.session, QUICK, tasks.close_io(request))
            .await
            .optional()?;
        Ok(())
    }

    async fn end_exec(&self, id: &ExecId) -> Result<(), RuntimeError> {
        self.end_all(id).await
    }

    async fn remove_exec(&self, id: &ExecId) -> Result<(), RuntimeError> {
        self.end_all(id).await?;
        // Of one that never began the shim has nothing; it may hang, and be why.
        if !self.fifos(id).are_there().await? {
            return Ok(());
        }
        self.delete_exec(id).await?;
        self.cgroups
            .remove(&group(id))
            .map_err(|error| ending(id, &error))?;
        let (container, session) = (id.container.to_string(), id.session.clone());
        self.exits(move |exits| {
            let name = exit_record::file_name(&container, Some(&session));
            let path = exits.folder().join(name);
            absent_is_none(std::fs::remove_file(&path)).map_err(RuntimeError::file("remove", &path))
        })
        .await?;
        self.fifos(id).remove().await
    }

    async fn leftovers(&self) -> Result<Vec<ExecId>, RuntimeError> {
        super::fifos::all(&self.settings.exec_folder).await
    }
}

fn ending(id: &ExecId, error: &dyn std::error::Error) -> RuntimeError {
    refused("end a session", &id.to_string(), error)
}

fn nested(id: &ExecId) -> String {
    format!("{GROUP}{}", id.session)
}

/// A session's own group.
fn group(id: &ExecId) -> String {
    format!("{}/{}", cgroup(&id.container), nested(id))
}

/// Whether a process is about to end, or has: the kernel ends those of a container before its first has quite gone.
fn is_exiting(pid: u32) -> bool {
    /// The kernel's PF_EXITING.
    const EXITING: u32 = 4;
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) else {
        return true;
    };
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace();
    let state = fields.next();
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u32>().ok());
    matches!(state, Some("Z" | "X")) || flags.is_some_and(|flags| flags & EXITING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::containerd::alone;

    const ID: &str = "0123456789abcdef0123456789abcdef-0";

    /// Time does not go by itself while a thread blocks.
    async fn a_minute() {
        for _ in 0..600 {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn processes_that_can_not_be_looked_at_hold_up_no_end_of_a_session_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let id = ExecId {
            container: ID.parse().unwrap(),
            session: "s".to_owned(),
        };
        let group = cgroup(&id.container);
        let runtime = alone::runtime(folder.path(), &group);
        let hanging = blocking::PROCESSES.fill().await;
        // Of nobody it is known at once that there is none.
        tokio::select! {
            ended = runtime.end_exec(&id) => ended.unwrap(),
            () = a_minute() => panic!("it waits for what others look at"),
        }
        let procs = folder.path().join("longshore").join(group).join("cgroup.procs");
        std::fs::write(procs, std::process::id().to_string()).unwrap();
        for _ in 0..2 {
            let error = tokio::select! {
                ended = runtime.end_exec(&id) => ended.unwrap_err(),
                () = a_minute() => panic!("it waits for what others look at"),
            };
            assert!(error.to_string().contains("looked at"), "{error}");
        }
        drop(hanging);
        // None of them is the session's.
        runtime.end_exec(&id).await.unwrap();
    }

    #[test]
    fn a_process_that_is_no_more_is_exiting_and_this_one_is_not() {
        assert!(!is_exiting(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        while !is_exiting(pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_exiting(pid));
    }
}
