//! What the engine asks of the fake runtime.

use async_trait::async_trait;

use super::*;

impl FakeRuntime {
    async fn begin_run(&self, id: &ContainerId, run: u32, subject: String) -> Result<Started, RuntimeError> {
        if let Some(started) = self.set_up(id, run, &subject)? {
            return self.leave("start", &subject, started).await;
        }
        if self.keeps_no_exits.load(Ordering::Relaxed) {
            // It is noted that it was asked for, and then it is asked for.
            self.world.cross_at_once(&format!("= start {subject}")).await;
        }
        let started = {
            let mut inner = self.inner.lock().unwrap();
            let inner = &mut *inner;
            let container = inner.containers.get_mut(id);
            let Some(container) = container.filter(|each| each.state == ObservedState::Created) else {
                return Err(self.unavailable("start", &subject));
            };
            let slow = self.slowness("start");
            let at_millis = self.world.millis() + i64::try_from(slow.as_millis()).unwrap();
            let pid = container.pid;
            let started = Started { pid, at_millis };
            // It goes on whatever becomes of the one who asked.
            container.begins = true;
            match slow.is_zero() {
                true => self.begin(inner, id, started),
                false => self.begin_after(inner, id, started, slow),
            }
            started
        };
        self.leave("start", &subject, started).await
    }

    /// Up to where its process is to begin; where it has begun already, there is nothing to do.
    fn set_up(&self, id: &ContainerId, run: u32, subject: &str) -> Result<Option<Started>, RuntimeError> {
        let mut inner = self.inner.lock().unwrap();
        let inner = &mut *inner;
        let Some(container) = inner.containers.get_mut(id) else {
            return Err(RuntimeError::NotFound(subject.to_owned()));
        };
        match container.state {
            ObservedState::Running(started) => Ok(Some(started)),
            ObservedState::Exited => {
                assert_eq!(
                    container.run, run,
                    "what has ended is of the run that is asked for"
                );
                Err(refused("start", id, "it has ended"))
            }
            ObservedState::Created if container.begins => Err(self.unavailable("start", subject)),
            ObservedState::Created => Ok(None),
            ObservedState::Recorded if container.asked == Some(run) => {
                let at_millis = self.world.millis();
                self.tell(inner, id);
                Ok(Some(Started { pid: 0, at_millis }))
            }
            ObservedState::Recorded => {
                let words = behaviour(&container.task, id);
                if words[0] == "unstartable" || words[0] == "once" && run > 0 {
                    return Err(refused("start", id, "exec: \"nothing\": no such file"));
                }
                container.state = ObservedState::Created;
                container.begins = false;
                let notes = !self.notes_no_starts.load(Ordering::Relaxed);
                if notes && self.keeps_no_exits.load(Ordering::Relaxed) {
                    container.asked = Some(run);
                }
                Ok(None)
            }
        }
    }
}

/// What still ran is killed, and nobody asks with which code it ended.
fn take_away(inner: &mut Inner, id: &ContainerId, at_millis: i64) {
    let removed = inner.containers.remove(id);
    if removed.is_some_and(|container| matches!(container.state, ObservedState::Running(_))) {
        let history = inner.history.get_mut(id).unwrap();
        history.ended_at = Some(at_millis);
        history.code = Some(137);
    }
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
            let old = inner.containers.get(&create.id).map(Container::observed);
            match old {
                None | Some(ObservedState::Recorded) => {}
                Some(state) => panic!("{subject} is made anew while it is {state:?}"),
            }
            inner.pids += 1;
            let container = Container {
                task: create.task,
                state: ObservedState::Recorded,
                run: 0,
                code: None,
                kill_works_from: 0,
                pid: inner.pids,
                asked: None,
                begins: false,
            };
            inner.containers.insert(create.id.clone(), container);
            inner.history.entry(create.id).or_default();
        }
        self.leave("create", &subject, ()).await
    }

    async fn start(&self, id: &ContainerId) -> Result<Started, RuntimeError> {
        let subject = id.to_string();
        self.enter("start", &subject).await?;
        self.begin_run(id, 0, subject).await
    }

    async fn restart(&self, id: &ContainerId, run: u32) -> Result<Started, RuntimeError> {
        let subject = id.to_string();
        self.enter("restart", &subject).await?;
        {
            let mut inner = self.inner.lock().unwrap();
            let inner = &mut *inner;
            let Some(container) = inner.containers.get_mut(id) else {
                return Err(RuntimeError::NotFound(subject));
            };
            if container.run < run {
                match container.state {
                    ObservedState::Running(_) | ObservedState::Created => {
                        return Err(RuntimeError::Runs(subject));
                    }
                    ObservedState::Exited | ObservedState::Recorded => {}
                }
                inner.pids += 1;
                container.pid = inner.pids;
                container.run = run;
                container.code = None;
                container.state = ObservedState::Recorded;
            }
        }
        self.begin_run(id, run, subject).await
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
            if matches!(container.state, ObservedState::Running(_)) {
                assert!(
                    container.run > 0,
                    "{subject} is reaped while it runs for the first time"
                );
                return Err(RuntimeError::Runs(subject));
            }
            Exit {
                code: container.code.as_ref().map(|(code, ..)| *code),
                at_millis: container
                    .code
                    .as_ref()
                    .map_or(self.world.wall_millis(), |(.., wall)| *wall),
                out_of_memory: None,
                peak_memory: None,
                reason: None,
                run: container.run,
                moment: container.code.as_ref().map(|(_, moment, _)| moment.clone()),
            }
        };
        self.leave("reap", &subject, exit).await
    }

    async fn discard(&self, id: &ContainerId, run: u32) -> Result<Option<ObservedState>, RuntimeError> {
        let subject = id.to_string();
        self.enter("discard", &subject).await?;
        let begun = {
            let mut inner = self.inner.lock().unwrap();
            let container = inner.containers.get(id).filter(|each| each.run == run);
            let begun = container.map(Container::observed).filter(|state| match state {
                ObservedState::Running(_) | ObservedState::Exited => true,
                ObservedState::Recorded | ObservedState::Created => false,
            });
            if begun.is_none() {
                take_away(&mut inner, id, self.world.millis());
            }
            begun
        };
        self.leave("discard", &subject, begun).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let subject = id.to_string();
        self.enter("remove", &subject).await?;
        take_away(&mut self.inner.lock().unwrap(), id, self.world.millis());
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
                run: container.run,
                state: container.observed(),
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
