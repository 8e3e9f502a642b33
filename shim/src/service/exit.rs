//! Ends: a process was reaped; what must be done before anybody may know.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use longshore_protocol::exit_record::{ExitRecord, VERSION};

use super::container::{Container, Phase};
use super::output::settle;
use super::query::waited;
use super::{Shim, UNDEAD};
use crate::api::events::TaskExit;
use crate::api::timestamp;
use crate::cgroup::{Cgroup, Emptied};
use crate::clock::{self, Clock};
use crate::reaper::{Exit, Owner};
use crate::records;

/// How often a record that could not be written is tried again, and undead processes are looked at.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an exit waits for output that a client or a logger is slow to take.
const OUTPUT: Duration = Duration::from_secs(1);
/// How long a container's end waits for those of its execs, which were killed with it.
const EXECS: Duration = Duration::from_secs(2);
/// The status of what SIGKILL ends.
const KILLED: (u32, i32) = (137, 9);

impl Shim {
    /// A process of a container was reaped. Returns at once; the rest is done by the pool.
    pub fn ended(self: &Arc<Self>, owner: Owner, pid: i32, exit: Exit) {
        let shim = Arc::clone(self);
        let pool = match owner.exec {
            None => &self.exits,
            Some(_) => &self.exec_exits,
        };
        // Its bound is the number of processes.
        if let Err(job) = pool.submit(Box::new(move || shim.end_of(&owner, pid, exit))) {
            job();
        }
    }

    fn end_of(self: &Arc<Self>, owner: &Owner, pid: i32, exit: Exit) {
        let Ok(container) = self.container(&owner.container) else {
            return;
        };
        let ends = container.state().ends(owner.exec.as_deref(), pid, &exit);
        if !ends {
            return;
        }
        match &owner.exec {
            None => self.container_ended(&container, exit),
            Some(exec) => self.exec_ended(&container, exec, exit),
        }
    }

    fn exec_ended(self: &Arc<Self>, container: &Arc<Container>, exec: &str, exit: Exit) {
        let there = {
            let mut state = container.state();
            let Ok(process) = state.process(container, exec) else {
                return;
            };
            Arc::downgrade(&process.there)
        };
        let record = record(container, Some(exec), &exit);
        self.write(container, record, there);
        self.show(container, exec, exit);
    }

    fn container_ended(self: &Arc<Self>, container: &Arc<Container>, exit: Exit) {
        let undead = self.empty(container);
        let until = clock::monotonic() + EXECS;
        while undead.is_empty() && execs_run(container) && clock::monotonic() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut record = record(container, None, &exit);
        record.undead = undead;
        if !record.undead.is_empty() {
            let text = format!(
                "container {}: processes {:?} did not die of SIGKILL",
                container.id, record.undead
            );
            self.logger.warn(&text);
        }
        // What was made and never started has ended no run: whoever finds a record may not start it again.
        let never_ran = container.state().never_ran;
        if !never_ran {
            if record.undead.is_empty() {
                let there = Arc::downgrade(&container.state().init.there);
                self.write(container, record, there);
            } else {
                let written = self.try_write(container, &record);
                self.look_again(container, record, written);
            }
        }
        self.publish_oom(container);
        self.show(container, "", exit);
    }

    /// Kills what is left of a container; what did not die.
    fn empty(&self, container: &Container) -> Vec<i32> {
        let Some(cgroup) = container.own_cgroup() else {
            return Vec::new();
        };
        let until = clock::monotonic() + UNDEAD;
        loop {
            let left = until.saturating_sub(clock::monotonic());
            match cgroup.empty(left) {
                Emptied::Undead(pids) => return pids,
                // An exec that is being started may still come in.
                Emptied::Empty if container.state().starting > 0 && !left.is_zero() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Emptied::Empty => return Vec::new(),
            }
        }
    }

    /// Writes a record, if there shall be any; false if it is not on disk.
    fn try_write(&self, container: &Container, record: &ExitRecord) -> bool {
        let Some(folder) = &container.exits else {
            return true;
        };
        let _record = container.record.lock().unwrap_or_else(PoisonError::into_inner);
        let written = records::write(folder, record);
        if record.exec.is_none() {
            // One with undead processes is not the last.
            container.state().owes_record = written.is_err() || !record.undead.is_empty();
        }
        if let Err(error) = &written {
            self.logger.error("an exit is shown without its record", error);
        }
        written.is_ok()
    }

    /// Writes the last record of a process, or sees to it that it is tried again, as long as that is `there`.
    fn write(self: &Arc<Self>, container: &Arc<Container>, record: ExitRecord, there: Weak<()>) {
        if !self.try_write(container, &record) {
            let (shim, container) = (Arc::downgrade(self), Arc::downgrade(container));
            let again = move || {
                // What was deleted needs none: whoever deleted it knows how it ended, and has removed what there was.
                if let (Some(shim), Some(container)) = (shim.upgrade(), container.upgrade())
                    && there.strong_count() > 0
                    && shim.has(&container)
                {
                    shim.write(&container, record, there);
                }
            };
            self.waiting.after(AGAIN, Box::new(again));
        }
    }

    /// Whether a container was not deleted. There may be another of its name, which runs anew.
    fn has(&self, container: &Arc<Container>) -> bool {
        self.container(&container.id)
            .is_ok_and(|there| Arc::ptr_eq(&there, container))
    }

    /// Shows an exit to everybody, once what the process has written is where it goes: clients stop reading at the exit.
    fn show(&self, container: &Container, exec: &str, exit: Exit) {
        let (io, stdout, stderr) = {
            let mut state = container.state();
            let Ok(process) = state.process(container, exec) else {
                return;
            };
            (process.io.clone(), process.stdout.clone(), process.stderr.clone())
        };
        // Delete waits longer, and says what is missing.
        settle(io, [&stdout, &stderr], OUTPUT);
        let mut state = container.state();
        if exec.is_empty() {
            state.paused = false;
        }
        let Ok(process) = state.process(container, exec) else {
            return;
        };
        let pid = process.pid;
        process.console = None;
        process.phase = Phase::Stopped(exit.clone());
        let waiters = std::mem::take(&mut process.waiters);
        let name = if exec.is_empty() { &container.id } else { exec };
        self.publisher.publish(&TaskExit {
            container_id: container.id.clone(),
            id: name.to_owned(),
            pid: pid.cast_unsigned(),
            exit_status: exit.status,
            exited_at: Some(timestamp(exit.at.wall)),
        });
        drop(state);
        for waiter in waiters {
            waiter.answer(&waited(&exit));
        }
    }

    /// Writes the record of a container anew once what did not die has died. Until then it is tried again here if it is not
    /// `written`, so that none is written after that one.
    fn look_again(self: &Arc<Self>, container: &Arc<Container>, mut record: ExitRecord, written: bool) {
        let (shim, container) = (Arc::downgrade(self), Arc::downgrade(container));
        let look = move || {
            let (Some(shim), Some(container)) = (shim.upgrade(), container.upgrade()) else {
                return;
            };
            if !shim.has(&container) {
                return;
            }
            match container.own_cgroup().map(|cgroup| cgroup.empty(Duration::ZERO)) {
                Some(Emptied::Undead(_)) => {
                    let written = written || shim.try_write(&container, &record);
                    shim.look_again(&container, record, written);
                }
                Some(Emptied::Empty) | None => {
                    record.undead.clear();
                    let there = Arc::downgrade(&container.state().init.there);
                    shim.write(&container, record, there);
                }
            }
        };
        self.waiting.after(AGAIN, Box::new(look));
    }

    /// A container got SIGKILL some time ago. If its first process has not even been reaped, a record says so.
    pub(super) fn still_alive(self: &Arc<Self>, container: &Arc<Container>) {
        {
            let mut state = container.state();
            state.death_watched = false;
            if state.ending || matches!(state.init.phase, Phase::Stopped(_)) {
                return;
            }
        }
        let exit = Exit {
            status: KILLED.0,
            signal: Some(KILLED.1),
            at: Clock::new().now(),
        };
        let mut record = record(container, None, &exit);
        record.undead = container
            .own_cgroup()
            .map(|cgroup| cgroup.processes().into_iter().collect())
            .unwrap_or_default();
        let pid = container.state().init.pid;
        if !record.undead.contains(&pid) {
            record.undead.push(pid);
        }
        let text = format!(
            "container {}: processes {:?} do not die of SIGKILL",
            container.id, record.undead
        );
        self.logger.warn(&text);
        let _record = container.record.lock().unwrap_or_else(PoisonError::into_inner);
        let ending = container.state().ending;
        if let Some(folder) = container.exits.as_ref().filter(|_| !ending)
            && let Err(error) = records::write(folder, &record)
        {
            self.logger.error("undead processes", &error);
        }
    }
}

fn execs_run(container: &Container) -> bool {
    let state = container.state();
    let mut execs = state.execs.values();
    execs.any(|exec| exec.phase == Phase::Running || exec.phase == Phase::Starting)
}

fn record(container: &Container, exec: Option<&str>, exit: &Exit) -> ExitRecord {
    let memory = match exec {
        None => container.cgroup().and_then(Cgroup::memory),
        Some(_) => None,
    };
    ExitRecord {
        version: VERSION,
        container: container.id.clone(),
        exec: exec.map(str::to_owned),
        status: exit.status,
        signal: exit.signal,
        exited_at: exit.at.clone(),
        memory,
        undead: Vec::new(),
    }
}
