//! A runtime that is a working model: processes that live, obey or ignore signals, and end; events that can be lost.
//!
//! What a container does is its command: `run SECS CODE`, `sleep` (ends on SIGTERM), `graceful CODE`, `stubborn`
//! (ignores SIGTERM), `undead SECS` (ignores SIGKILL for so long), `unstartable`, `uncreatable`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use longshore_agent::model::{ContainerId, Exit, ResolvedTask};
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
    code: Option<(i32, i64)>,
    kill_works_from: i64,
    pid: u32,
}

/// What happened to a container, for the oracles: kept when it is gone.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub starts: u32,
    pub signals: Vec<(i32, i64)>,
    /// When its process ended.
    pub ended_at: Option<i64>,
}

#[derive(Default)]
struct Inner {
    containers: BTreeMap<ContainerId, Container>,
    history: BTreeMap<ContainerId, History>,
    cgroups: Vec<ResourceId>,
    listeners: Vec<mpsc::Sender<RuntimeEvent>>,
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

    /// The machine restarts: no process survives, records do.
    pub fn reboot(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.processes.abort_all();
        inner.cgroups.clear();
        inner.listeners.clear();
        for container in inner.containers.values_mut() {
            container.state = ObservedState::Recorded;
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
        tokio::time::sleep(self.slowness(operation)).await;
        self.world.cross(&format!("< {operation} {subject}")).await;
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
        inner.history.get_mut(id).unwrap().starts += 1;
        if words[0] == "undead" {
            container.kill_works_from = self.world.millis() + i64::try_from(seconds(1).as_millis()).unwrap();
        }
        if words[0] == "run" {
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
        container.code = Some((code, at));
        inner.history.get_mut(id).unwrap().ended_at = Some(at);
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

#[async_trait]
impl Runtime for FakeRuntime {
    async fn version(&self) -> Result<String, RuntimeError> {
        Ok("simulated 1.0".to_owned())
    }

    async fn prepare_task(&self, task: &ResolvedTask) -> Result<(), RuntimeError> {
        let id = task.arn.id.to_string();
        self.enter("prepare", &id).await?;
        {
            let mut inner = self.inner.lock().unwrap();
            if !inner.cgroups.contains(&task.arn.id) {
                inner.cgroups.push(task.arn.id.clone());
            }
        }
        self.leave("prepare", &id, ()).await
    }

    async fn create(&self, create: CreateContainer) -> Result<(), RuntimeError> {
        let subject = create.id.to_string();
        self.enter("create", &subject).await?;
        {
            let mut inner = self.inner.lock().unwrap();
            assert!(
                inner.cgroups.contains(create.id.task()),
                "{subject} is created before its task's cgroup"
            );
            if behaviour(&create.task, &create.id)
                .first()
                .is_some_and(|word| word == "uncreatable")
            {
                return Err(refused("create", &create.id, "simulated refusal"));
            }
            let old = inner.containers.get(&create.id).map(|container| container.state);
            match old {
                None | Some(ObservedState::Recorded) => {}
                Some(state) => panic!("{subject} is made anew while it is {state:?}"),
            }
            inner.pids += 1;
            let container = Container {
                task: create.task,
                state: ObservedState::Recorded,
                code: None,
                kill_works_from: 0,
                pid: inner.pids,
            };
            inner.containers.insert(create.id.clone(), container);
            inner.history.entry(create.id).or_default();
        }
        self.leave("create", &subject, ()).await
    }

    async fn start(&self, id: &ContainerId) -> Result<Started, RuntimeError> {
        let subject = id.to_string();
        self.enter("start", &subject).await?;
        let started = {
            let mut inner = self.inner.lock().unwrap();
            let inner = &mut *inner;
            let Some(container) = inner.containers.get_mut(id) else {
                return Err(RuntimeError::NotFound(subject));
            };
            match container.state {
                ObservedState::Running(started) => started,
                ObservedState::Exited => return Err(refused("start", id, "it has ended")),
                ObservedState::Created => return Err(self.unavailable("start", &subject)),
                ObservedState::Recorded => {
                    if behaviour(&container.task, id)[0] == "unstartable" {
                        return Err(refused("start", id, "exec: \"nothing\": no such file"));
                    }
                    container.state = ObservedState::Created;
                    let pid = container.pid;
                    let slow = self.slowness("start");
                    let at_millis = self.world.millis() + i64::try_from(slow.as_millis()).unwrap();
                    let started = Started { pid, at_millis };
                    // It goes on whatever becomes of the one who asked.
                    match slow.is_zero() {
                        true => self.begin(inner, id, started),
                        false => self.begin_after(inner, id, started, slow),
                    }
                    started
                }
            }
        };
        self.leave("start", &subject, started).await
    }

    async fn kill(&self, id: &ContainerId, signal: i32, scope: SignalScope) -> Result<(), RuntimeError> {
        let subject = id.to_string();
        self.enter("kill", &subject).await?;
        {
            let mut inner = self.inner.lock().unwrap();
            let inner = &mut *inner;
            let Some(container) = inner.containers.get(id) else {
                return Err(RuntimeError::NotFound(subject));
            };
            let words = behaviour(&container.task, id);
            let (pid, works_from) = (container.pid, container.kill_works_from);
            let now = self.world.millis();
            inner.history.get_mut(id).unwrap().signals.push((signal, now));
            let code = match (signal, words[0].as_str()) {
                (9, _) => {
                    assert_eq!(scope, SignalScope::All, "SIGKILL goes to every process");
                    (now >= works_from).then_some(137)
                }
                (_, "stubborn" | "undead") => None,
                (_, "graceful") => Some(words[1].parse().unwrap()),
                (_, _) => Some(128 + signal),
            };
            if let Some(code) = code {
                self.end_after(inner, id, pid, Duration::from_millis(1), code);
            }
        }
        self.leave("kill", &subject, ()).await
    }

    async fn reap(&self, id: &ContainerId) -> Result<Exit, RuntimeError> {
        let subject = id.to_string();
        self.enter("reap", &subject).await?;
        let exit = {
            let inner = self.inner.lock().unwrap();
            let Some(container) = inner.containers.get(id) else {
                return Err(RuntimeError::NotFound(subject));
            };
            assert!(
                !matches!(container.state, ObservedState::Running(_)),
                "{subject} is reaped while it runs"
            );
            Exit {
                code: container.code.map(|(code, _)| code),
                at_millis: container.code.map_or(self.world.millis(), |(_, at)| at),
                out_of_memory: None,
                peak_memory: None,
                reason: None,
            }
        };
        self.leave("reap", &subject, exit).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let subject = id.to_string();
        self.enter("remove", &subject).await?;
        {
            let mut inner = self.inner.lock().unwrap();
            let removed = inner.containers.remove(id);
            if removed.is_some_and(|container| matches!(container.state, ObservedState::Running(_))) {
                let at = self.world.millis();
                inner.history.get_mut(id).unwrap().ended_at = Some(at);
            }
        }
        self.leave("remove", &subject, ()).await
    }

    async fn remove_task(&self, task: &ResourceId) -> Result<(), RuntimeError> {
        self.enter("remove_task", task.as_str()).await?;
        self.inner.lock().unwrap().cgroups.retain(|id| id != task);
        self.leave("remove_task", task.as_str(), ()).await
    }

    async fn list(&self) -> Result<Vec<Observed>, RuntimeError> {
        self.enter("list", "").await?;
        let observed = {
            let inner = self.inner.lock().unwrap();
            let observed = inner.containers.iter().map(|(id, container)| Observed {
                id: id.clone(),
                task: Some(container.task.clone()),
                state: container.state,
            });
            observed.collect()
        };
        self.leave("list", "", observed).await
    }

    async fn events(&self) -> Result<mpsc::Receiver<RuntimeEvent>, RuntimeError> {
        self.enter("events", "").await?;
        let (sender, events) = mpsc::channel(64);
        self.inner.lock().unwrap().listeners.push(sender);
        self.leave("events", "", events).await
    }
}
