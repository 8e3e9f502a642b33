//! What every runtime must do, whatever it is made of: the same cases on the simulated one and on containerd with each
//! shim that is supported. What a model can't have (cgroups, dead shims) is tested where it is.
//!
//! Included by the test programs that have such a runtime.

mod task;

use std::sync::Arc;

use async_trait::async_trait;
use longshore_agent::model::{ContainerId, Exit, ResolvedTask};
use longshore_agent::runtime::{
    CreateContainer, ObservedState, Runtime, RuntimeError, RuntimeEvent, SignalScope,
};
use nix::sys::signal::Signal;
use tokio::sync::mpsc;

pub use task::{container, task};

/// What a container does.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Runs until it is killed, and is deaf to signals before.
    Stays,
    /// Ends at once, with this code.
    Ends(i32),
    /// Ends on SIGTERM, with this code.
    Obeys(i32),
    /// Can be made, and not be started.
    Fails,
}

/// A runtime with a task on it.
#[async_trait]
pub trait Subject: Sized {
    /// A task with a container for each script; nothing of it is made.
    fn new(scripts: &[Script]) -> Self;
    fn runtime(&self) -> &dyn Runtime;
    /// The runtime of an agent that was started since.
    fn another(&self) -> Arc<dyn Runtime>;
    fn task(&self) -> &ResolvedTask;
    fn request(&self, index: u16) -> CreateContainer;
    /// Waits until a container that obeys would obey.
    async fn until_obedient(&self, index: u16, pid: u32);
    /// Proves that nothing is left, after everything was removed.
    async fn end(self);
}

const TERM: i32 = Signal::SIGTERM as i32;
const KILL: i32 = Signal::SIGKILL as i32;

type Events = mpsc::Receiver<RuntimeEvent>;

fn id(subject: &impl Subject, index: u16) -> ContainerId {
    subject.task().container_id(index)
}

async fn state(runtime: &dyn Runtime, id: &ContainerId) -> Option<ObservedState> {
    let list = runtime.list().await.unwrap();
    list.into_iter()
        .find(|each| each.id == *id)
        .map(|each| each.state)
}

/// What a container is doing, and in which run.
async fn runs(runtime: &dyn Runtime, id: &ContainerId) -> (ObservedState, u32) {
    let list = runtime.list().await.unwrap();
    let found = list.into_iter().find(|each| each.id == *id).unwrap();
    (found.state, found.run)
}

async fn start(subject: &impl Subject, index: u16) -> u32 {
    let runtime = subject.runtime();
    runtime.prepare_task(subject.task()).await.unwrap();
    runtime.create(subject.request(index)).await.unwrap();
    runtime.start(&id(subject, index)).await.unwrap().pid
}

async fn exited(events: &mut Events, id: &ContainerId) {
    let wanted = RuntimeEvent::Exited(id.clone());
    let told = async { while events.recv().await.expect("the stream is open") != wanted {} };
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, told)
        .await
        .expect("the end is told");
}

async fn kill(subject: &impl Subject, events: &mut Events, index: u16) -> Exit {
    let id = id(subject, index);
    subject.runtime().kill(&id, KILL, SignalScope::All).await.unwrap();
    exited(events, &id).await;
    subject.runtime().reap(&id).await.unwrap()
}

/// Removes everything, twice, and proves that it has gone.
async fn clear(subject: impl Subject) {
    let runtime = subject.runtime();
    for _ in 0..2 {
        for index in 0..u16::try_from(subject.task().containers.len()).unwrap() {
            runtime.remove(&id(&subject, index)).await.unwrap();
        }
        runtime.remove_task(&subject.task().arn.id).await.unwrap();
    }
    assert!(runtime.list().await.unwrap().is_empty());
    subject.end().await;
}

pub async fn every_step_can_be_taken_twice<S: Subject>() {
    let subject = S::new(&[Script::Stays]);
    let (runtime, id) = (subject.runtime(), id(&subject, 0));
    let mut events = runtime.events().await.unwrap();
    for _ in 0..2 {
        runtime.prepare_task(subject.task()).await.unwrap();
    }
    assert_eq!(state(runtime, &id).await, None);
    for _ in 0..2 {
        runtime.create(subject.request(0)).await.unwrap();
        assert_eq!(state(runtime, &id).await, Some(ObservedState::Recorded));
    }
    let first = runtime.start(&id).await.unwrap();
    let second = runtime.start(&id).await.unwrap();
    assert_eq!(first.pid, second.pid);
    assert!(matches!(state(runtime, &id).await, Some(ObservedState::Running(it)) if it.pid == first.pid));
    let exit = kill(&subject, &mut events, 0).await;
    assert_eq!((exit.code, exit.reason.as_deref()), (Some(137), None));
    assert_eq!(runtime.reap(&id).await.unwrap(), exit);
    assert_eq!(state(runtime, &id).await, Some(ObservedState::Exited));
    clear(subject).await;
}

pub async fn an_exit_is_told_to_all_and_its_code_is_the_processes<S: Subject>() {
    let subject = S::new(&[Script::Ends(42)]);
    let mut listeners = [
        subject.runtime().events().await.unwrap(),
        subject.runtime().events().await.unwrap(),
    ];
    start(&subject, 0).await;
    for events in &mut listeners {
        exited(events, &id(&subject, 0)).await;
    }
    let exit = subject.runtime().reap(&id(&subject, 0)).await.unwrap();
    assert_eq!(
        (exit.code, exit.out_of_memory, exit.reason),
        (Some(42), None, None)
    );
    assert!(exit.at_millis > 1_700_000_000_000, "{}", exit.at_millis);
    clear(subject).await;
}

pub async fn signals_are_sent_and_to_what_has_ended_are_nothing<S: Subject>() {
    let subject = S::new(&[Script::Obeys(7), Script::Stays]);
    let (runtime, first, second) = (subject.runtime(), id(&subject, 0), id(&subject, 1));
    let mut events = runtime.events().await.unwrap();
    let pid = start(&subject, 0).await;
    start(&subject, 1).await;
    subject.until_obedient(0, pid).await;
    for id in [&second, &first] {
        runtime.kill(id, TERM, SignalScope::Init).await.unwrap();
    }
    exited(&mut events, &first).await;
    assert_eq!(runtime.reap(&first).await.unwrap().code, Some(7));
    assert!(matches!(
        state(runtime, &second).await,
        Some(ObservedState::Running(_))
    ));
    runtime.kill(&first, TERM, SignalScope::Init).await.unwrap();
    runtime.kill(&first, KILL, SignalScope::All).await.unwrap();
    assert_eq!(kill(&subject, &mut events, 1).await.code, Some(137));
    clear(subject).await;
}

pub async fn what_can_not_be_started_is_refused_and_stays_a_record<S: Subject>() {
    let subject = S::new(&[Script::Fails]);
    let (runtime, id) = (subject.runtime(), id(&subject, 0));
    runtime.prepare_task(subject.task()).await.unwrap();
    let none = runtime.start(&id).await.unwrap_err();
    assert!(matches!(none, RuntimeError::NotFound(_)), "{none:?}");
    let none = runtime.reap(&id).await.unwrap_err();
    assert!(matches!(none, RuntimeError::NotFound(_)), "{none:?}");
    runtime.create(subject.request(0)).await.unwrap();
    for _ in 0..2 {
        let refused = runtime.start(&id).await.unwrap_err();
        assert!(matches!(refused, RuntimeError::Refused { .. }), "{refused:?}");
        assert!(!refused.is_transient());
        assert_eq!(state(runtime, &id).await, Some(ObservedState::Recorded));
    }
    clear(subject).await;
}

pub async fn another_agent_finds_what_runs_and_how_it_ended<S: Subject>() {
    let subject = S::new(&[Script::Obeys(33)]);
    let id = id(&subject, 0);
    let pid = start(&subject, 0).await;
    subject.until_obedient(0, pid).await;
    let agent = subject.another();
    let mut events = agent.events().await.unwrap();
    let list = agent.list().await.unwrap();
    let [found] = list.as_slice() else {
        panic!("one container: {list:?}")
    };
    assert_eq!((&found.id, found.task.as_ref()), (&id, Some(subject.task())));
    assert!(matches!(found.state, ObservedState::Running(it) if it.pid == pid));
    agent.kill(&id, TERM, SignalScope::Init).await.unwrap();
    exited(&mut events, &id).await;
    let exit = agent.reap(&id).await.unwrap();
    assert_eq!(exit.code, Some(33));
    let third = subject.another();
    assert_eq!(state(third.as_ref(), &id).await, Some(ObservedState::Exited));
    assert_eq!(third.reap(&id).await.unwrap(), exit);
    clear(subject).await;
}

pub async fn what_ended_unheard_is_found_and_not_run_again<S: Subject>() {
    let subject = S::new(&[Script::Ends(5)]);
    let id = id(&subject, 0);
    let mut events = subject.runtime().events().await.unwrap();
    start(&subject, 0).await;
    exited(&mut events, &id).await;
    // An agent that does not know whether its start was heard.
    let agent = subject.another();
    let mut events = agent.events().await.unwrap();
    assert_eq!(state(agent.as_ref(), &id).await, Some(ObservedState::Exited));
    if agent.start(&id).await.is_ok() {
        exited(&mut events, &id).await;
    }
    assert_eq!(agent.reap(&id).await.unwrap().code, Some(5));
    clear(subject).await;
}

pub async fn containers_of_a_task_come_and_go_apart<S: Subject>() {
    let subject = S::new(&[Script::Stays, Script::Stays, Script::Ends(3)]);
    let mut events = subject.runtime().events().await.unwrap();
    for index in 0..3 {
        start(&subject, index).await;
    }
    exited(&mut events, &id(&subject, 2)).await;
    assert_eq!(
        subject.runtime().reap(&id(&subject, 2)).await.unwrap().code,
        Some(3)
    );
    // The first member goes, running, and the second doesn't mind.
    subject.runtime().remove(&id(&subject, 0)).await.unwrap();
    assert_eq!(state(subject.runtime(), &id(&subject, 0)).await, None);
    assert!(matches!(
        state(subject.runtime(), &id(&subject, 1)).await,
        Some(ObservedState::Running(_))
    ));
    assert_eq!(kill(&subject, &mut events, 1).await.code, Some(137));
    clear(subject).await;
}

pub async fn what_has_begun_is_not_discarded<S: Subject>() {
    let subject = S::new(&[Script::Stays, Script::Ends(5), Script::Stays]);
    let (runtime, ends, never) = (subject.runtime(), id(&subject, 1), id(&subject, 2));
    let mut events = runtime.events().await.unwrap();
    // Agents that gave up a start before it was answered.
    let pid = start(&subject, 0).await;
    for agent in [subject.another(), subject.another()] {
        let begun = agent.discard(&id(&subject, 0), 0).await.unwrap();
        assert!(
            matches!(begun, Some(ObservedState::Running(it)) if it.pid == pid),
            "{begun:?}"
        );
    }
    start(&subject, 1).await;
    exited(&mut events, &ends).await;
    for agent in [subject.another(), subject.another()] {
        let begun = agent.discard(&ends, 0).await.unwrap();
        assert_eq!(begun, Some(ObservedState::Exited));
        assert_eq!(agent.reap(&ends).await.unwrap().code, Some(5));
    }
    // A run that was to follow, and was not asked for.
    assert_eq!(runtime.discard(&ends, 1).await.unwrap(), None);
    assert_eq!(state(runtime, &ends).await, None);
    runtime.create(subject.request(2)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(runtime.discard(&never, 0).await.unwrap(), None);
    }
    assert_eq!(state(runtime, &never).await, None);
    assert_eq!(kill(&subject, &mut events, 0).await.code, Some(137));
    clear(subject).await;
}

/// The container runs again: another process, and the record of its earlier end gone with it.
pub async fn a_container_is_run_again_and_its_runs_are_told_apart<S: Subject>() {
    let subject = S::new(&[Script::Obeys(7)]);
    let (runtime, id) = (subject.runtime(), id(&subject, 0));
    let mut events = runtime.events().await.unwrap();
    let mut pids = vec![start(&subject, 0).await];
    for run in 0..3 {
        subject.until_obedient(0, pids[pids.len() - 1]).await;
        let early = runtime.restart(&id, run + 1).await.unwrap_err();
        assert!(matches!(early, RuntimeError::Runs(_)), "{early:?}");
        runtime.kill(&id, TERM, SignalScope::Init).await.unwrap();
        exited(&mut events, &id).await;
        let exit = runtime.reap(&id).await.unwrap();
        assert_eq!(
            (exit.code, exit.run, exit.reason.as_deref()),
            (Some(7), run, None)
        );
        assert_eq!(runs(runtime, &id).await, (ObservedState::Exited, run));
        if run == 2 {
            break;
        }
        let first = runtime.restart(&id, run + 1).await.unwrap();
        assert!(!pids.contains(&first.pid), "{first:?} {pids:?}");
        let again = runtime.restart(&id, run + 1).await.unwrap();
        assert_eq!(again.pid, first.pid);
        let runs = runs(runtime, &id).await;
        assert!(
            matches!(runs, (ObservedState::Running(it), number) if it.pid == first.pid && number == run + 1)
        );
        let lives = runtime.reap(&id).await.unwrap_err();
        assert!(matches!(lives, RuntimeError::Runs(_)), "{lives:?}");
        pids.push(first.pid);
    }
    clear(subject).await;
}

/// Agents that die after each step of a restart, and know no more than its number.
pub async fn another_agent_can_take_any_step_of_a_restart_again<S: Subject>() {
    let subject = S::new(&[Script::Ends(5)]);
    let id = id(&subject, 0);
    let mut events = subject.runtime().events().await.unwrap();
    start(&subject, 0).await;
    exited(&mut events, &id).await;
    assert_eq!(subject.runtime().reap(&id).await.unwrap().run, 0);
    for run in 1..4 {
        // The number is in the store, and nothing was asked for: the end is that of the run before.
        let agent = subject.another();
        assert_eq!(runs(agent.as_ref(), &id).await, (ObservedState::Exited, run - 1));
        assert_eq!(agent.reap(&id).await.unwrap().run, run - 1);
        let mut events = agent.events().await.unwrap();
        agent.restart(&id, run).await.unwrap();
        exited(&mut events, &id).await;
        // It ended before anybody heard that it began, and is not run again.
        let agent = subject.another();
        let mut events = agent.events().await.unwrap();
        assert_eq!(runs(agent.as_ref(), &id).await, (ObservedState::Exited, run));
        if agent.restart(&id, run).await.is_ok() {
            exited(&mut events, &id).await;
        }
        let exit = agent.reap(&id).await.unwrap();
        assert_eq!((exit.code, exit.run), (Some(5), run));
        // Nor is it after its end is on its record.
        let agent = subject.another();
        let mut events = agent.events().await.unwrap();
        agent.list().await.unwrap();
        if agent.restart(&id, run).await.is_ok() {
            exited(&mut events, &id).await;
        }
        assert_eq!(agent.reap(&id).await.unwrap(), exit);
    }
    clear(subject).await;
}

/// The cases as tests of a module, on one kind of subject.
macro_rules! contract {
    ($module:ident, $subject:ty, $test:meta) => {
        mod $module {
            use super::*;
            $crate::contract::cases! { $subject, $test,
                every_step_can_be_taken_twice
                an_exit_is_told_to_all_and_its_code_is_the_processes
                signals_are_sent_and_to_what_has_ended_are_nothing
                what_can_not_be_started_is_refused_and_stays_a_record
                another_agent_finds_what_runs_and_how_it_ended
                what_ended_unheard_is_found_and_not_run_again
                containers_of_a_task_come_and_go_apart
                what_has_begun_is_not_discarded
                a_container_is_run_again_and_its_runs_are_told_apart
                another_agent_can_take_any_step_of_a_restart_again
            }
        }
    };
}

macro_rules! cases {
    ($subject:ty, $test:meta, $($case:ident)*) => {
        $(
            #[$test]
            async fn $case() {
                $crate::contract::$case::<$subject>().await;
            }
        )*
    };
}

pub(crate) use {cases, contract};
