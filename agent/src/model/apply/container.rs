//! What happens to a container.

use super::super::{
    ContainerFact, ContainerRecord, FirstStart, Health, KnownStatus, LiveContainer, Moment, StopDeadline,
    TaskState,
};
use super::{Effect, beginning, ending, live};

/// Takes a fact about the container at `index` into the task's state, at this wall clock time in milliseconds since 1970.
pub(super) fn apply(state: &mut TaskState, index: usize, fact: ContainerFact, now_millis: i64) -> Effect {
    let (Some(record), Some(container)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return Effect::Nothing;
    };
    let was = record.known;
    let begins = begins(record);
    let runs = was == KnownStatus::Running && !begins;
    match fact {
        ContainerFact::Pulled(image, at) if was < KnownStatus::Pulled => {
            beginning::pulled(state, index, *image, at)
        }
        ContainerFact::Attached(attachment) if was < KnownStatus::Created || record.restarts.awaited() => {
            record.attachment = Some(*attachment);
            container.attached = true;
        }
        ContainerFact::Created if was < KnownStatus::Created => record.known = KnownStatus::Created,
        ContainerFact::StartCalled if begins => return live(&mut container.start_called),
        // A list that was asked for while an earlier run went on says nothing of the newest.
        ContainerFact::Started {
            run,
            pid,
            at_millis,
            boot_id,
            seen,
        } if was < KnownStatus::Stopped && run >= record.restarts.count => {
            let started = FirstStart {
                pid,
                at_millis,
                boot_id,
                since_boot: Some(seen),
            };
            beginning::seen(state, index, started, (seen, now_millis));
        }
        ContainerFact::Health(health) if runs && !container.exited => return said(container, health),
        ContainerFact::Failed(failure) if begins => beginning::failed(state, index, &failure),
        ContainerFact::Discarded if begins => ending::never_began(state, index),
        ContainerFact::Adopted => return live(&mut container.adopted),
        ContainerFact::StopDeadline(deadline) => stop_deadline(state, index, deadline),
        ContainerFact::Terminated => return live(&mut container.terminated),
        ContainerFact::Killed(at) => {
            let times = container.killed.map_or(1, |(times, _)| times.saturating_add(1));
            container.killed = Some((times, at));
        }
        ContainerFact::Exited if was < KnownStatus::Stopped => return live(&mut container.exited),
        // A list that was asked for before the container was last seen to run says nothing.
        ContainerFact::NotRunning(asked)
            if runs && container.seen_running.is_none_or(|seen| seen < asked) =>
        {
            return live(&mut container.exited);
        }
        ContainerFact::StillRuns(seen) if was == KnownStatus::Running => {
            container.exited = false;
            container.seen_running = container.seen_running.max(Some(seen));
        }
        ContainerFact::Reaped { exit, boot_id, seen } if was < KnownStatus::Stopped => {
            let now = Moment {
                boot_id,
                since_boot: seen,
            };
            return ending::ended(state, index, exit, &now);
        }
        ContainerFact::Vanished { at_millis, boot_id } if was < KnownStatus::Stopped => {
            ending::vanished(state, index, at_millis, &boot_id);
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
        | ContainerFact::StillRuns(_)
        | ContainerFact::Reaped { .. }
        | ContainerFact::Vanished { .. } => return Effect::Nothing,
    }
    Effect::Live
}

fn said(container: &mut LiveContainer, health: Health) -> Effect {
    match std::mem::replace(&mut container.health, health) == health {
        true => Effect::Nothing,
        false => Effect::Live,
    }
}

/// Whether a run of it is to begin, its first or one by its restart policy.
fn begins(record: &ContainerRecord) -> bool {
    record.known < KnownStatus::Running || record.restarts.awaited()
}

pub(super) fn is_essential(state: &TaskState, index: usize) -> bool {
    let definition = state.task().and_then(|task| task.containers.get(index));
    definition.is_some_and(|definition| definition.essential)
}

fn stop_deadline(state: &mut TaskState, index: usize, deadline: StopDeadline) {
    if let Some(record) = state.record.containers.get_mut(index) {
        record.stop_deadline.get_or_insert(deadline);
    }
}
