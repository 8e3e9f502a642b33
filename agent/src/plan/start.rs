//! Towards RUNNING: image, network, record, process, each as soon as the one before is there.

use crate::model::{KnownStatus, Step, TaskState};

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
    // Once it was asked to start, nothing holds it back.
    let edges = match live.start_called {
        true => Edges::Hold,
        false => depends::edges(state, index, now),
    };
    depends::tell(&edges, index, plan);
    if matches!(edges, Edges::Never(_)) {
        return;
    }
    if let Some(note) = &live.note {
        plan.wait(index, note.clone(), None);
    }
    // The image needs none of what other tasks may hold, so it is fetched meanwhile.
    if container.known == KnownStatus::None {
        plan.steps.push(Step::Pull(index));
    }
    let admitted = state.live.admitted;
    plan.wants_admission |= !admitted;
    if !admitted {
        if let Some(cause) = &state.live.blocked {
            plan.wait(index, cause.clone(), None);
        }
        return;
    }
    if !state.live.prepared && !plan.steps.contains(&Step::PrepareTask) {
        plan.steps.push(Step::PrepareTask);
    }
    if matches!(edges, Edges::Open { .. }) {
        return;
    }
    let next = match container.known {
        KnownStatus::Pulled if !live.attached => Step::Attach(index),
        KnownStatus::Pulled if state.live.prepared => Step::Create(index),
        KnownStatus::Created => Step::Start(index),
        KnownStatus::None | KnownStatus::Pulled | KnownStatus::Running | KnownStatus::Stopped => return,
    };
    plan.steps.push(next);
}
