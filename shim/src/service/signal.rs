//! Kill, CloseIO, ResizePty: what is said to processes that run.

use std::sync::Arc;

use rustix::process::Signal;
use rustix::termios::{Winsize, tcsetwinsize};

use super::container::{Container, Phase};
use super::error::TaskError;
use super::{Shim, UNDEAD};
use crate::api::task::{CloseIoRequest, Empty, KillRequest, ResizePtyRequest};

impl Shim {
    pub(super) fn kill(self: &Arc<Self>, request: &KillRequest) -> Result<Empty, TaskError> {
        let container = self.container(&request.id)?;
        let signal = i32::try_from(request.signal).ok().and_then(signal);
        let signal = signal.ok_or_else(|| TaskError::Value {
            what: "the signal",
            value: request.signal.to_string(),
            allowed: "1 to 31, or a real-time signal of 34 to 64",
        })?;
        let (pid, ending) = {
            let mut state = container.state();
            let ending = state.ending;
            let process = state.process(&container, &request.exec_id)?;
            match &process.phase {
                Phase::Added | Phase::Starting if process.pid == 0 => {
                    return Err(container.refuse(
                        &request.exec_id,
                        &process.phase,
                        "get a signal",
                        "started",
                    ));
                }
                Phase::Stopped(_) => return Err(TaskError::Finished(container.name(&request.exec_id))),
                Phase::Added | Phase::Created | Phase::Starting | Phase::Running => {}
            }
            (process.pid, ending && request.exec_id.is_empty())
        };
        let whole = request.exec_id.is_empty() && request.all;
        let reached = match container.own_cgroup() {
            Some(cgroup) if whole && signal == Signal::KILL => {
                cgroup.kill();
                true
            }
            Some(cgroup) if whole => cgroup.signal(signal) || ending,
            // Reaped already, and only not shown yet: what was asked for has come about.
            Some(_) | None => self.reaper.signal(pid, signal) || ending,
        };
        if signal == Signal::KILL {
            self.let_die(&container);
            if request.exec_id.is_empty() {
                self.watch_death(&container);
            }
        }
        if reached {
            Ok(Empty {})
        } else {
            Err(TaskError::Finished(container.name(&request.exec_id)))
        }
    }

    /// Thaws a container that was frozen, if that keeps it from dying.
    fn let_die(&self, container: &Container) {
        let frozen = |cgroup: &&crate::cgroup::Cgroup| cgroup.holds_back_signals();
        if let Some(cgroup) = container.own_cgroup().filter(frozen) {
            cgroup.thaw();
            container.state().paused = false;
        }
    }

    /// Looks after a while whether a container that got SIGKILL has died of it.
    fn watch_death(self: &Arc<Self>, container: &Arc<Container>) {
        if std::mem::replace(&mut container.state().death_watched, true) {
            return;
        }
        let (shim, container) = (Arc::downgrade(self), Arc::downgrade(container));
        let look = move || {
            if let (Some(shim), Some(container)) = (shim.upgrade(), container.upgrade()) {
                shim.still_alive(&container);
            }
        };
        self.waiting.after(UNDEAD, Box::new(look));
    }

    pub(super) fn close_io(&self, request: &CloseIoRequest) -> Result<Empty, TaskError> {
        let container = self.container(&request.id)?;
        let mut state = container.state();
        let process = state.process(&container, &request.exec_id)?;
        process.stdin_closed |= request.stdin;
        if let Some(io) = process.io.as_ref().filter(|_| request.stdin) {
            io.close_stdin();
        }
        Ok(Empty {})
    }

    pub(super) fn resize(&self, request: &ResizePtyRequest) -> Result<Empty, TaskError> {
        let container = self.container(&request.id)?;
        let mut state = container.state();
        let process = state.process(&container, &request.exec_id)?;
        let size = Winsize {
            ws_row: u16::try_from(request.height).unwrap_or(u16::MAX),
            ws_col: u16::try_from(request.width).unwrap_or(u16::MAX),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // Without a console there is nothing to size, as with containerd's own shim.
        if let Some(console) = &process.console {
            tcsetwinsize(console, size).map_err(|error| TaskError::Resize {
                what: container.name(&request.exec_id),
                source: error.into(),
            })?;
        }
        Ok(Empty {})
    }
}

/// A signal that clients may send: what has a name, and the real-time signals that glibc leaves to others, by which
/// images with systemd are stopped.
#[expect(unsafe_code, reason = "rustix has no safe way to a real-time signal")]
fn signal(number: i32) -> Option<Signal> {
    match number {
        34..=64 => {
            // SAFETY: 34 to 64 are signals of every Linux, and not those that glibc keeps for itself, 32 and 33.
            Some(unsafe { Signal::from_raw_unchecked(number) })
        }
        _ => Signal::from_named_raw(number),
    }
}
