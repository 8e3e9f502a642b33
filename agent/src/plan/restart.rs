//! The next run of a container that has ended: after its pause, with the network that it had.

use longshore_protocol::status::DesiredStatus;

use crate::model::{Step, TaskState, boot_of, times};

use super::depends::{self, Edges};
use super::{Now, Plan};

pub(super) fn plan(state: &TaskState, index: u16, now: Now<'_>, plan: &mut Plan) {
    let position = usize::from(index);
    let (Some(container), Some(live)) = (
        state.record.containers.get(position),
        state.live.containers.get(position),
    ) else {
        return;
    };
    if live.failed || state.record.desired == DesiredStatus::Stopped {
        // It may have been asked for, so only if nothing of it is left, it is STOPPED.
        plan.steps.push(Step::Discard(index));
        return;
    }
    if let Some(due) = &container.restarts.due
        && due.boot_id == now.boot_id
        && due.since_boot > now.since_boot
        && !live.start_called
    {
        plan.wake_at(due.since_boot);
        plan.wait(index, waiting(state, position), Some(due.since_boot));
        return;
    }
    let same_boot = boot_of(container) == Some(now.boot_id);
    // After a restart of the machine containers come up in their order again; a restart in between asks nobody, as in ECS.
    if !same_boot && !live.start_called {
        let edges = depends::edges(state, index, now);
        depends::tell(&edges, index, plan);
        if edges != Edges::Hold {
            return;
        }
    }
    plan.wants_admission |= !state.live.admitted;
    if !state.live.admitted {
        if let Some(cause) = &state.live.blocked {
            plan.wait(index, cause.clone(), None);
        }
        return;
    }
    let had_network = container.attachment.is_some();
    let next = match (same_boot, live.attached, live.adopted) {
        _ if live.start_called => Step::Start(index),
        // Of another boot there is neither cgroup nor network.
        (false, ..) if !state.live.prepared => {
            if !plan.steps.contains(&Step::PrepareTask) {
                plan.steps.push(Step::PrepareTask);
            }
            return;
        }
        (false, false, _) => Step::Attach(index),
        (true, false, false) if had_network => Step::Adopt(index),
        (true | false, true | false, true | false) => Step::Start(index),
    };
    plan.steps.push(next);
}

fn waiting(state: &TaskState, position: usize) -> String {
    let restarts = state
        .record
        .containers
        .get(position)
        .map(|record| &record.restarts);
    let code = restarts.and_then(|restarts| restarts.last_exit.as_ref()?.code);
    let count = restarts.map_or(0, |restarts| restarts.count);
    let ended = code.map_or_else(
        || "it ended".to_owned(),
        |code| format!("it ended with exit code {code}"),
    );
    format!("{ended} and is to be restarted, for the {} time", ordinal(count))
}

fn ordinal(count: u32) -> String {
    let suffix = match (count % 10, count % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        (_, _) => "th",
    };
    format!("{count}{suffix}")
}

/// What is worth telling of a container that runs again; `None` of one that was never restarted.
#[must_use]
pub fn history(state: &TaskState, index: u16) -> Option<String> {
    let restarts = &state.record.containers.get(usize::from(index))?.restarts;
    if restarts.count == 0 || restarts.awaited() {
        return None;
    }
    let last = restarts.last_exit.as_ref();
    let how = match last.map(|exit| (exit.code, exit.reason.as_deref())) {
        Some((Some(code), _)) => format!(", last after exit code {code}"),
        Some((None, Some(reason))) => format!(", last after {reason}"),
        Some((None, None)) | None => String::new(),
    };
    Some(format!("restarted {}{how}", times(restarts.count)))
}

#[cfg(test)]
mod tests;
