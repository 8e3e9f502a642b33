//! A runtime that is a working model: processes that live, obey or ignore signals, and end; events that can be lost.
//!
//! What a container does is its command: `run SECS CODE`, `once SECS CODE` (can't be started again), `sleep` (ends on SIGTERM), `graceful CODE`, `stubborn`
//! (ignores SIGTERM), `undead SECS` (ignores SIGKILL for so long), `unstartable`, `uncreatable`.

mod calls;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use longshore_agent::model::{ContainerId, Exit, Moment, ResolvedTask};
use longshore_agent::runtime::{
    CreateContainer, Observed, ObservedState, Runtime, RuntimeError, RuntimeEvent, SignalScope, Started,
};
use longshore_protocol::arn::ResourceId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::world::World;

#[derive(Clone, Debug)]
struct Container {
    task: ResolvedTask,
    state: ObservedState,
    /// Which run of it is the newest.
    run: u32,
    /// How the newest run ended, and when by either clock.
    code: Option<(i32, Moment, i64)>,
    kill_works_from: i64,
    pid: u32,
    /// The run that was asked to start, as it is noted where shims keep no exits.
    asked: Option<u32>,
    /// Whether what was set up begins by itself.
    begins: bool,
}

impl Container {
    /// What the list says. Of what was asked to start nothing may be left.
    fn observed(&self) -> ObservedState {
        match self.state {
            ObservedState::Recorded if self.asked == Some(self.run) => ObservedState::Exited,
            state => state,
        }
    }
}

/// What happened to a container, for the oracles: kept when it is gone.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub starts: u32,
    /// When its processes began, in the clock that goes on over reboots.
    pub begun_at: Vec<i64>,
    /// The runs that were begun: none may be there twice.
    pub runs: Vec<u32>,
    pub signals: Vec<(i32, i64)>,
    /// When its process ended.
    pub ended_at: Option<i64>,
    /// With which code.
    pub code: Option<i32>,
    /// Whether the runtime has forgotten how.
    pub forgotten: bool,
    /// Whether it ran when the power was cut.
    pub cut_off: bool,
    /// Whether it was started while it ran.
    pub overlaps: bool,
}

#[derive(Default)]
struct Inner {
    containers: BTreeMap<ContainerId, Container>,
    history: BTreeMap<ContainerId, History>,
    cgroups: Vec<ResourceId>,
    listeners: Vec<mpsc::Sender<RuntimeEvent>>,
    /// Listeners that hear nothing any more, and don't know.
    mute: Vec<mpsc::Sender<RuntimeEvent>>,
    processes: JoinSet<()>,
    pids: u32,
}

pub struct FakeRuntime {
    world: Arc<World>,
    me: Weak<Self>,
    inner: Mutex<Inner>,
    /// Events are dropped with nobody told.
    pub deaf: AtomicBool,
    /// Nothing is answered.
    pub away: AtomicBool,
    was_away: AtomicBool,
    /// Shims keep no exit records: what the daemon forgets is lost.
    pub keeps_no_exits: AtomicBool,
    /// That a start was asked for is not noted.
    pub notes_no_starts: AtomicBool,
    /// How long it takes until an operation that is done is answered.
    pub slow: Mutex<BTreeMap<&'static str, Duration>>,
}

impl FakeRuntime {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            world: Arc::clone(world),
            me: me.clone(),
            inner: Mutex::default(),
            deaf: AtomicBool::new(false),
            away: AtomicBool::new(false),
            was_away: AtomicBool::new(false),
            keeps_no_exits: AtomicBool::new(false),
            notes_no_starts: AtomicBool::new(false),
            slow: Mutex::default(),
        })
    }

    pub fn history(&self, id: &ContainerId) -> History {
        self.inner
            .lock()
            .unwrap()
            .history
            .get(id)
            .cloned()
            .unwrap_or_default()
    }

    pub fn running(&self) -> usize {
        let inner = self.inner.lock().unwrap();
        inner
            .containers
            .values()
            .filter(|each| matches!(each.state, ObservedState::Running(_)))
            .count()
    }

    /// What is left of everything: records and cgroups.
    pub fn leftovers(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let records = inner.containers.keys().map(ToString::to_string);
        records
            .chain(inner.cgroups.iter().map(|id| format!("cgroup {id}")))
            .collect()
    }

    /// Takes a record away behind the agent's back.
    pub fn lose(&self, id: &ContainerId) {
        self.inner.lock().unwrap().containers.remove(id);
    }

    /// The machine restarts: no process survives; records do, and what the shims wrote down.
    pub fn reboot(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.processes.abort_all();
        inner.cgroups.clear();
        inner.listeners.clear();
        // What began and was not heard of before the cut may be begun anew.
        for history in inner.history.values_mut() {
            history.runs.clear();
        }
        let at = self.world.millis();
        let inner = &mut *inner;
        for (id, container) in &mut inner.containers {
            if matches!(container.state, ObservedState::Running(_)) {
                let history = inner.history.get_mut(id).unwrap();
                history.ended_at = Some(at);
                history.forgotten = true;
                history.cut_off = true;
            }
            if container.state != ObservedState::Exited {
                container.state = ObservedState::Recorded;
            }
        }
    }

    /// The daemon ends. Its processes go on; what it forgets is how those ended that have ended, and it may end with
    /// nobody told.
    pub fn go_away(&self, forgets_exits: bool, says_so: bool) {
        self.away.store(true, Ordering::Relaxed);
        self.was_away.store(true, Ordering::Relaxed);
        let mut inner = self.inner.lock().unwrap();
        let inner = &mut *inner;
        if forgets_exits {
            for (id, container) in &mut inner.containers {
                if container.state == ObservedState::Exited {
                    container.state = ObservedState::Recorded;
                    container.code = None;
                    inner.history.get_mut(id).unwrap().forgotten = true;
                }
            }
        }
        for listener in std::mem::take(&mut inner.listeners) {
            if says_so {
                // One whose queue is full has lost its events all the same.
                let _ = listener.try_send(RuntimeEvent::Lost);
            } else {
                inner.mute.push(listener);
            }
        }
    }

    pub fn was_never_away(&self) -> bool {
        !self.was_away.load(Ordering::Relaxed)
    }

    pub fn running_ids(&self) -> Vec<ContainerId> {
        let inner = self.inner.lock().unwrap();
        let running = inner
            .containers
            .iter()
            .filter(|(_, each)| matches!(each.state, ObservedState::Running(_)));
        running.map(|(id, _)| id.clone()).collect()
    }

    /// How it ended, or as if it had.
    pub fn exit_of(&self, id: &ContainerId) -> Exit {
        let inner = self.inner.lock().unwrap();
        let ended = inner
            .containers
            .get(id)
            .and_then(|container| container.code.as_ref());
        Exit {
            code: Some(ended.map_or(0, |(code, ..)| *code)),
            at_millis: self.world.wall_millis(),
            moment: None,
            run: inner.containers.get(id).map_or(0, |container| container.run),
            out_of_memory: None,
            peak_memory: None,
            reason: None,
        }
    }

    pub fn break_events(&self) {
        for listener in std::mem::take(&mut self.inner.lock().unwrap().listeners) {
            listener.try_send(RuntimeEvent::Lost).unwrap();
        }
    }

    async fn enter(&self, operation: &'static str, subject: &str) -> Result<(), RuntimeError> {
        self.world.cross(&format!("> {operation} {subject}")).await;
        if self.away.load(Ordering::Relaxed) || self.world.faulty() {
            return Err(self.unavailable(operation, subject));
        }
        Ok(())
    }

    /// A fault here is an answer that was lost: what was asked for is done all the same.
    async fn leave<T>(&self, operation: &'static str, subject: &str, value: T) -> Result<T, RuntimeError> {
        let what = format!("< {operation} {subject}");
        let _busy = self.world.busy(&what);
        tokio::time::sleep(self.slowness(operation)).await;
        self.world.cross(&what).await;
        match self.world.faulty() {
            true => Err(self.unavailable(operation, subject)),
            false => Ok(value),
        }
    }

    fn unavailable(&self, operation: &'static str, subject: &str) -> RuntimeError {
        RuntimeError::Unavailable {
            operation,
            subject: subject.to_owned(),
            why: "simulated".to_owned(),
        }
    }

    fn begin_after(&self, inner: &mut Inner, id: &ContainerId, started: Started, after: Duration) {
        let (me, id) = (self.me.clone(), id.clone());
        inner.processes.spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(me) = me.upgrade() {
                me.begin(&mut me.inner.lock().unwrap(), &id, started);
            }
        });
    }

    /// A process begins to do what its command says.
    fn begin(&self, inner: &mut Inner, id: &ContainerId, started: Started) {
        let Some(container) = inner.containers.get_mut(id) else {
            return;
        };
        let words = behaviour(&container.task, id);
        let seconds = |at: usize| Duration::from_secs_f64(words[at].parse().unwrap());
        container.state = ObservedState::Running(started);
        let run = container.run;
        let history = inner.history.get_mut(id).unwrap();
        history.overlaps |= history.starts > 0 && history.ended_at.is_none();
        history.starts += 1;
        history.ended_at = None;
        history.begun_at.push(self.world.millis());
        if history.runs.contains(&run) {
            self.world.blame(format!("run {run} of {id} is run twice"));
        }
        history.runs.push(run);
        if words[0] == "undead" {
            container.kill_works_from = self.world.millis() + i64::try_from(seconds(1).as_millis()).unwrap();
        }
        if words[0] == "run" || words[0] == "once" {
            self.end_after(inner, id, started.pid, seconds(1), words[2].parse().unwrap());
        }
    }

    fn slowness(&self, operation: &str) -> Duration {
        self.slow
            .lock()
            .unwrap()
            .get(operation)
            .copied()
            .unwrap_or_default()
    }

    fn end_after(&self, inner: &mut Inner, id: &ContainerId, pid: u32, after: Duration, code: i32) {
        let (me, id) = (self.me.clone(), id.clone());
        inner.processes.spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(me) = me.upgrade() {
                me.end(&id, pid, code);
            }
        });
    }

    fn end(&self, id: &ContainerId, pid: u32, code: i32) {
        let at = self.world.millis();
        let mut inner = self.inner.lock().unwrap();
        let Some(container) = inner.containers.get_mut(id) else {
            return;
        };
        if container.pid != pid || !matches!(container.state, ObservedState::Running(_)) {
            return;
        }
        container.state = ObservedState::Exited;
        container.code = Some((code, self.world.moment(), self.world.wall_millis()));
        self.world.note(&format!("{id} ends with {code}"));
        let history = inner.history.get_mut(id).unwrap();
        history.ended_at = Some(at);
        history.code = Some(code);
        self.tell(&mut inner, id);
    }

    fn tell(&self, inner: &mut Inner, id: &ContainerId) {
        if !self.deaf.load(Ordering::Relaxed) {
            inner
                .listeners
                .retain(|listener| listener.try_send(RuntimeEvent::Exited(id.clone())).is_ok());
        }
    }
}

fn refused(operation: &'static str, id: &ContainerId, why: &str) -> RuntimeError {
    RuntimeError::Refused {
        operation,
        subject: id.to_string(),
        why: why.to_owned(),
    }
}

fn behaviour(task: &ResolvedTask, id: &ContainerId) -> Vec<String> {
    task.containers[usize::from(id.index())]
        .command
        .clone()
        .unwrap_or_default()
}
