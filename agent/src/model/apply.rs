//! The one function that moves a task's state.
//!
//! Invariants: statuses only go forward, whatever comes in whatever order; a container is STOPPED only by a fact that
//! proves that nothing of it runs, or before it was asked to start; a fact that comes twice changes nothing.

mod beginning;
mod container;
mod ending;

use longshore_protocol::status::{DesiredStatus, ReportedStatus};

use super::{ContainerRecord, Fact, Failure, KnownStatus, Order, OrderError, TaskRecord, TaskState};

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
        Fact::Container(index, fact) => container::apply(state, usize::from(index), fact, at_millis),
        Fact::Listed => live(&mut state.live.listed),
        Fact::Acknowledged { task, containers } => acknowledged(state, task, &containers),
        Fact::TornDown => live(&mut state.record.torn_down),
        Fact::CleanDue(due) => {
            state.live.clean_due.get_or_insert(due);
            Effect::Live
        }
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
fn durable(before: &TaskRecord, state: &TaskState) -> bool {
    let after = &state.record;
    let containers = before.containers.iter().zip(&after.containers).any(|(old, new)| {
        old.started != new.started
            || old.stop_deadline != new.stop_deadline
            || old.exit != new.exit
            || old.restarts != new.restarts
            || (old.known != new.known && new.known == KnownStatus::Stopped)
            || (old.known < KnownStatus::Created && new.known == KnownStatus::Created && is_a_choice(new))
    });
    containers || before.acknowledged != after.acknowledged || before.reason != after.reason
}

/// Whether a container that is about to start has something that its start alone would not tell a new agent: an
/// address or port, or a stop signal of its image.
fn is_a_choice(container: &ContainerRecord) -> bool {
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
    let taken = state.assignment.take(order);
    state.record.desired = state.record.desired.max(state.assignment.desired);
    // The order itself is in the store already: `intake` has put it there. An older one tells as much.
    if state.known() == KnownStatus::Stopped {
        // Whoever still orders something does not know that it has ended: restored from a backup, perhaps, or shown a list
        // of before the end. An order stands until its end is told.
        let told = &mut state.record.acknowledged.task;
        *told = (*told).min(ReportedStatus::Running);
        return Ok(Effect::Live);
    }
    Ok(if taken? { Effect::Live } else { Effect::Nothing })
}

/// What was never so can't have been acknowledged.
fn acknowledged(state: &mut TaskState, task: ReportedStatus, containers: &[ReportedStatus]) -> Effect {
    let known = state.known().reported();
    let acknowledged = &mut state.record.acknowledged;
    acknowledged.task = acknowledged.task.max(task.min(known));
    let pairs = acknowledged
        .containers
        .iter_mut()
        .zip(&state.record.containers)
        .zip(containers);
    for ((status, container), new) in pairs {
        *status = (*status).max((*new).min(container.known.reported()));
    }
    Effect::Live
}

fn prepare_failed(state: &mut TaskState, failure: &Failure) -> Effect {
    let awaited = |record: &ContainerRecord| record.restarts.awaited();
    // It was to stop before, or has: that is not why.
    if state.record.desired == DesiredStatus::Stopped {
        return Effect::Nothing;
    }
    if state.record.ran && !state.record.containers.iter().any(awaited) {
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
    for index in 0..state.record.containers.len() {
        // What one of them ends with may stop the others.
        let stopping = state.record.desired == DesiredStatus::Stopped;
        let (Some(container), Some(live)) = (
            state.record.containers.get(index),
            state.live.containers.get(index),
        ) else {
            continue;
        };
        let begins = container.known < KnownStatus::Running || container.restarts.awaited();
        let untouched = begins && !live.start_called && !live.exited;
        if untouched && (stopping || live.failed) {
            ending::never_began(state, index);
        }
    }
}

#[cfg(test)]
mod tests;
