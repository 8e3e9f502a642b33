//! The one function that moves a task's state.
//!
//! Invariants: statuses only go forward, whatever comes in whatever order; a container is STOPPED only by a fact that
//! proves that nothing of it runs, or before it was asked to start; a fact that comes twice changes nothing.

use longshore_protocol::status::{DesiredStatus, ReportedStatus};

use super::{
    ContainerFact, Exit, Fact, Failure, FirstStart, KnownStatus, LiveContainer, Order, OrderError,
    OutOfMemory, TaskState,
};

/// What a fact did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// It moved what planning again would find out.
    Live,
    /// It moved what must be in the store before it is acted on.
    Durable,
}

/// Takes a fact into a task's state, at this wall clock time in milliseconds since 1970.
///
/// # Errors
/// An order that is not to be taken; the state stays as it was.
pub fn apply(state: &mut TaskState, fact: Fact, at_millis: i64) -> Result<Effect, OrderError> {
    let before = state.record.clone();
    let mut effect = match fact {
        Fact::Ordered(order) => ordered(state, &order)?,
        Fact::Admitted => {
            state.live.blocked = None;
            live(&mut state.live.admitted)
        }
        Fact::Blocked(cause) => {
            let changed = state.live.blocked.as_ref() != Some(&cause);
            state.live.blocked = Some(cause);
            if changed { Effect::Live } else { Effect::Nothing }
        }
        Fact::Prepared => live(&mut state.live.prepared),
        Fact::PrepareFailed(failure) => prepare_failed(state, &failure),
        Fact::PullStarted(at) => {
            state.record.pull_started_at.get_or_insert(at);
            Effect::Live
        }
        Fact::Container(index, fact) => container(state, usize::from(index), fact),
        Fact::Listed => live(&mut state.live.listed),
        Fact::Acknowledged { task, containers } => acknowledged(state, task, &containers),
        Fact::TornDown => live(&mut state.record.torn_down),
        Fact::Cleaned => live(&mut state.live.cleaned),
    };
    stop_what_never_ran(state);
    state.record.ran |= state.known() == KnownStatus::Running;
    if state.known() == KnownStatus::Stopped && before.stopped_at.is_none() {
        let last = state
            .record
            .containers
            .iter()
            .filter_map(|each| each.exit.as_ref());
        state.record.stopped_at = Some(last.map(|exit| exit.at_millis).max().unwrap_or(at_millis));
    }
    if durable(&before, state) {
        effect = Effect::Durable;
    }
    Ok(effect)
}

/// Whether what can't be found out again has changed. That the control plane acknowledged something, or that a
/// container was prepared but not started, is no news worth a write where nothing depends on it.
fn durable(before: &super::TaskRecord, state: &TaskState) -> bool {
    let after = &state.record;
    let containers = before.containers.iter().zip(&after.containers).any(|(old, new)| {
        old.started != new.started
            || old.stop_deadline != new.stop_deadline
            || old.exit != new.exit
            || (old.known != new.known && new.known == KnownStatus::Stopped)
            || (old.known < KnownStatus::Created && new.known == KnownStatus::Created && is_a_choice(new))
    });
    containers || before.acknowledged != after.acknowledged || before.reason != after.reason
}

/// Whether a container that is about to start has something that its start alone would not tell a new agent: an
/// address or port, or a stop signal of its image.
fn is_a_choice(container: &super::ContainerRecord) -> bool {
    let network = container.attachment.as_ref();
    let chosen = network.is_some_and(|network| network.namespace.is_some() || !network.bindings.is_empty());
    let image = container.image.as_ref();
    chosen || image.is_some_and(|image| image.config.stop_signal.is_some())
}

fn live(flag: &mut bool) -> Effect {
    match std::mem::replace(flag, true) {
        true => Effect::Nothing,
        false => Effect::Live,
    }
}

fn ordered(state: &mut TaskState, order: &Order) -> Result<Effect, OrderError> {
    let changed = state.assignment.take(order)?;
    state.record.desired = state.record.desired.max(state.assignment.desired);
    // The order itself is in the store already: `intake` has put it there.
    Ok(if changed { Effect::Live } else { Effect::Nothing })
}

fn acknowledged(state: &mut TaskState, task: ReportedStatus, containers: &[ReportedStatus]) -> Effect {
    let acknowledged = &mut state.record.acknowledged;
    acknowledged.task = acknowledged.task.max(task);
    for (known, new) in acknowledged.containers.iter_mut().zip(containers) {
        *known = (*known).max(*new);
    }
    Effect::Live
}

fn prepare_failed(state: &mut TaskState, failure: &Failure) -> Effect {
    if state.record.ran {
        return Effect::Nothing;
    }
    state.record.reason.get_or_insert_with(|| failure.to_string());
    state.record.desired = DesiredStatus::Stopped;
    Effect::Durable
}

/// A container that is to stop and was never asked to start has nothing to stop: no process is left of it.
fn stop_what_never_ran(state: &mut TaskState) {
    // Before the runtime has been asked, a new agent can't know what the old one asked to start.
    if !state.live.listed {
        return;
    }
    let stopping = state.record.desired == DesiredStatus::Stopped;
    for (container, live) in state.record.containers.iter_mut().zip(&state.live.containers) {
        let untouched = container.known < KnownStatus::Running && !live.start_called && !live.exited;
        if untouched && (stopping || live.failed) {
            container.known = KnownStatus::Stopped;
        }
    }
}

fn container(state: &mut TaskState, index: usize, fact: ContainerFact) -> Effect {
    let Some(essential) = state
        .task()
        .and_then(|task| task.containers.get(index))
        .map(|definition| definition.essential)
    else {
        return Effect::Nothing;
    };
    let desired = &mut state.record.desired;
    let (Some(record), Some(live)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return Effect::Nothing;
    };
    let was = record.known;
    match fact {
        ContainerFact::Pulled(image, at) => {
            if was >= KnownStatus::Pulled {
                return Effect::Nothing;
            }
            // Worth telling while it is not over; a reason that stays would hide why the container ended.
            live.note = image
                .fallback
                .as_ref()
                .map(|why| format!("using the image that is here: {why}"));
            record.image = Some(*image);
            record.known = KnownStatus::Pulled;
            state.record.pull_stopped_at = Some(at);
        }
        ContainerFact::Attached(attachment) => {
            if was >= KnownStatus::Created {
                return Effect::Nothing;
            }
            record.attachment = Some(*attachment);
            live.attached = true;
        }
        ContainerFact::Created => record.known = was.max(KnownStatus::Created),
        ContainerFact::StartCalled => live.start_called |= was < KnownStatus::Running,
        ContainerFact::Started {
            pid,
            at_millis,
            boot_id,
            seen,
        } => {
            if was == KnownStatus::Stopped {
                return Effect::Nothing;
            }
            record.known = KnownStatus::Running;
            record.started.get_or_insert(FirstStart {
                pid,
                at_millis,
                boot_id,
            });
            live.seen_running = live.seen_running.max(Some(seen));
            record.reason = None;
            live.failed = false;
            live.note = None;
        }
        ContainerFact::Failed(failure) => {
            if was >= KnownStatus::Running {
                return Effect::Nothing;
            }
            live.failed = true;
            let reason = failure.to_string();
            record.reason.get_or_insert_with(|| reason.clone());
            if essential {
                *desired = DesiredStatus::Stopped;
                state.record.reason.get_or_insert(reason);
            }
        }
        ContainerFact::Discarded if was < KnownStatus::Running => record.known = KnownStatus::Stopped,
        ContainerFact::Discarded => return Effect::Nothing,
        ContainerFact::Adopted => live.adopted = true,
        ContainerFact::StopDeadline(deadline) => {
            record.stop_deadline.get_or_insert(deadline);
        }
        ContainerFact::Terminated => live.terminated = true,
        ContainerFact::Killed(at) => {
            let times = live.killed.map_or(0, |(times, _)| times);
            live.killed = Some((times.saturating_add(1), at));
        }
        ContainerFact::Exited => return exited(was, live),
        ContainerFact::NotRunning(listed) => {
            // A list that was asked for before the container was last seen to run says nothing.
            if was != KnownStatus::Running || live.seen_running.is_some_and(|seen| seen >= listed) {
                return Effect::Nothing;
            }
            return exited(was, live);
        }
        ContainerFact::Reaped { exit, boot_id } => ended(state, index, exit, &boot_id),
        ContainerFact::Vanished { at_millis, boot_id } => {
            let exit = Exit {
                code: None,
                at_millis,
                out_of_memory: None,
                peak_memory: None,
                reason: Some(
                    "ContainerVanishedError: the runtime does not know the container any more".into(),
                ),
            };
            ended(state, index, exit, &boot_id);
        }
        ContainerFact::TornDown => live.torn_down = true,
    }
    Effect::Live
}

fn exited(was: KnownStatus, container: &mut LiveContainer) -> Effect {
    match was {
        KnownStatus::Stopped => Effect::Nothing,
        KnownStatus::None | KnownStatus::Pulled | KnownStatus::Created | KnownStatus::Running => {
            live(&mut container.exited)
        }
    }
}

/// A container has ended, and nothing of it is left.
fn ended(state: &mut TaskState, index: usize, mut exit: Exit, boot_id: &str) {
    let Some(record) = state.record.containers.get_mut(index) else {
        return;
    };
    if record.known == KnownStatus::Stopped {
        return;
    }
    // Nobody saw it start (the agent died meanwhile), but what has ended did run.
    let started = record.started.get_or_insert_with(|| FirstStart {
        pid: 0,
        at_millis: 0,
        boot_id: boot_id.to_owned(),
    });
    if exit.code.is_none() && started.boot_id != boot_id {
        exit.reason = Some("HostRebooted: the machine was restarted while the container ran".into());
    }
    record.known = KnownStatus::Running;
    state.record.ran |= state.known() == KnownStatus::Running;
    let Some(record) = state.record.containers.get_mut(index) else {
        return;
    };
    record.known = KnownStatus::Stopped;
    if exit.out_of_memory == Some(OutOfMemory::Init) {
        exit.code.get_or_insert(137);
    }
    record.reason = evidence(&exit);
    let at = exit.at_millis;
    record.exit = Some(exit);
    let essential = state
        .task()
        .and_then(|task| task.containers.get(index))
        .is_some_and(|definition| definition.essential);
    if essential {
        state.record.desired = DesiredStatus::Stopped;
        state.record.execution_stopped_at.get_or_insert(at);
    }
}

/// Why a container ended as it did, where that needs saying.
fn evidence(exit: &Exit) -> Option<String> {
    const KILLED: &str = "OutOfMemoryError: Container killed due to memory usage";
    match (exit.out_of_memory, exit.code) {
        // A shell whose child was killed passes its 137 on.
        (Some(OutOfMemory::Init), _) | (Some(OutOfMemory::Child), Some(137)) => Some(KILLED.to_owned()),
        (Some(OutOfMemory::Child), Some(code)) if code != 0 => Some(format!(
            "ChildOutOfMemory: the kernel killed a process of the container for memory; its first process then \
             exited with {code}"
        )),
        (Some(OutOfMemory::Child) | None, None) => Some(
            exit.reason
                .clone()
                .unwrap_or_else(|| "ExitStatusLost: nobody saw how the container ended".to_owned()),
        ),
        (Some(OutOfMemory::Child) | None, Some(_)) => exit.reason.clone(),
    }
}
