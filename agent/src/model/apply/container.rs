//! What happens to a container.

use std::time::Duration;

use longshore_protocol::status::DesiredStatus;

use super::super::{
    ContainerFact, Exit, Failure, FirstStart, Health, KnownStatus, OutOfMemory, StopDeadline, TaskState,
};
use super::{Effect, live};

/// Takes a fact about the container at `index` into the task's state.
pub(super) fn apply(state: &mut TaskState, index: usize, fact: ContainerFact) -> Effect {
    let (Some(record), Some(container)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return Effect::Nothing;
    };
    let was = record.known;
    match fact {
        ContainerFact::Pulled(image, at) if was < KnownStatus::Pulled => {
            // Worth telling while it is not over; a reason that stays would hide why the container ended.
            container.note = image
                .fallback
                .as_ref()
                .map(|why| format!("using the image that is here: {why}"));
            record.image = Some(*image);
            record.known = KnownStatus::Pulled;
            state.record.pull_stopped_at = Some(at);
        }
        ContainerFact::Attached(attachment) if was < KnownStatus::Created => {
            record.attachment = Some(*attachment);
            container.attached = true;
        }
        ContainerFact::Created if was < KnownStatus::Created => record.known = KnownStatus::Created,
        ContainerFact::StartCalled if was < KnownStatus::Running => return live(&mut container.start_called),
        ContainerFact::Started {
            pid,
            at_millis,
            boot_id,
            seen,
        } if was < KnownStatus::Stopped => {
            let first = FirstStart {
                pid,
                at_millis,
                boot_id,
                since_boot: Some(seen),
            };
            started(state, index, first, seen);
        }
        ContainerFact::Health(health) if was == KnownStatus::Running && !container.exited => {
            return changed(&mut container.health, health);
        }
        ContainerFact::Failed(failure) if was < KnownStatus::Running => failed(state, index, &failure),
        ContainerFact::Discarded if was < KnownStatus::Running => record.known = KnownStatus::Stopped,
        ContainerFact::Adopted => return live(&mut container.adopted),
        ContainerFact::StopDeadline(deadline) => stop_deadline(state, index, deadline),
        ContainerFact::Terminated => return live(&mut container.terminated),
        ContainerFact::Killed(at) => {
            let times = container.killed.map_or(0, |(times, _)| times);
            container.killed = Some((times.saturating_add(1), at));
        }
        ContainerFact::Exited if was < KnownStatus::Stopped => return live(&mut container.exited),
        // A list that was asked for before the container was last seen to run says nothing.
        ContainerFact::NotRunning(asked)
            if was == KnownStatus::Running && container.seen_running.is_none_or(|seen| seen < asked) =>
        {
            return live(&mut container.exited);
        }
        ContainerFact::Reaped { exit, boot_id } if was < KnownStatus::Stopped => {
            ended(state, index, exit, &boot_id);
        }
        ContainerFact::Vanished { at_millis, boot_id } if was < KnownStatus::Stopped => {
            ended(state, index, vanished(at_millis), &boot_id);
        }
        ContainerFact::TornDown => return live(&mut container.torn_down),
        // It came too late: the container is further already.
        ContainerFact::Pulled(..)
        | ContainerFact::Attached(_)
        | ContainerFact::Created
        | ContainerFact::StartCalled
        | ContainerFact::Started { .. }
        | ContainerFact::Health(_)
        | ContainerFact::Failed(_)
        | ContainerFact::Discarded
        | ContainerFact::Exited
        | ContainerFact::NotRunning(_)
        | ContainerFact::Reaped { .. }
        | ContainerFact::Vanished { .. } => return Effect::Nothing,
    }
    Effect::Live
}

fn changed<T: PartialEq>(old: &mut T, new: T) -> Effect {
    match *old == new {
        true => Effect::Nothing,
        false => {
            *old = new;
            Effect::Live
        }
    }
}

/// A container runs: so it was seen at this time since boot.
fn started(state: &mut TaskState, index: usize, first: FirstStart, seen: Duration) {
    let (Some(record), Some(container)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return;
    };
    record.known = KnownStatus::Running;
    record.started.get_or_insert(first);
    container.running_since.get_or_insert(seen);
    container.seen_running = container.seen_running.max(Some(seen));
    container.failed = false;
    container.note = None;
    // It was said that it could not start, and it did.
    let false_reason = record.reason.take();
    if false_reason.is_some() && state.record.reason == false_reason {
        state.record.reason = None;
    }
}

fn is_essential(state: &TaskState, index: usize) -> bool {
    let definition = state.task().and_then(|task| task.containers.get(index));
    definition.is_some_and(|definition| definition.essential)
}

fn failed(state: &mut TaskState, index: usize, failure: &Failure) {
    let essential = is_essential(state, index);
    let (Some(record), Some(container)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return;
    };
    container.failed = true;
    record.reason.get_or_insert_with(|| failure.to_string());
    if essential {
        state.record.desired = DesiredStatus::Stopped;
        state.record.reason.get_or_insert_with(|| failure.to_string());
    }
}

fn stop_deadline(state: &mut TaskState, index: usize, deadline: StopDeadline) {
    if let Some(record) = state.record.containers.get_mut(index) {
        record.stop_deadline.get_or_insert(deadline);
    }
}

fn vanished(at_millis: i64) -> Exit {
    Exit {
        code: None,
        at_millis,
        out_of_memory: None,
        peak_memory: None,
        reason: Some("ContainerVanishedError: the runtime does not know the container any more".to_owned()),
    }
}

/// A container has ended, and nothing of it is left.
fn ended(state: &mut TaskState, index: usize, mut exit: Exit, boot_id: &str) {
    if let Some(container) = state.live.containers.get_mut(index) {
        container.health = Health::Unknown;
    }
    let Some(record) = state.record.containers.get_mut(index) else {
        return;
    };
    // Nobody saw it start (the agent died meanwhile), but what has ended did run.
    let started = record.started.get_or_insert_with(|| FirstStart {
        pid: 0,
        at_millis: 0,
        boot_id: boot_id.to_owned(),
        since_boot: None,
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
    let false_reason = record.reason.take();
    if false_reason.is_some() && state.record.reason == false_reason {
        state.record.reason = None;
    }
    record.reason = evidence(&exit);
    let at = exit.at_millis;
    record.exit = Some(exit);
    if is_essential(state, index) {
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
