//! What the runtime's list means to a task.

use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::status::DesiredStatus;

use crate::model::{Assignment, Body, ContainerFact, KnownStatus, ResolvedTask, TaskState};
use crate::runtime::{Observed, ObservedState};

/// Whether a container in this state runs or ran.
pub(super) fn lives(state: ObservedState) -> bool {
    match state {
        ObservedState::Running(_) | ObservedState::Exited => true,
        ObservedState::Recorded | ObservedState::Created => false,
    }
}

/// What the list that was asked for at this time since boot says of a container; `None`: it isn't in there.
pub(super) fn facts(observed: Option<&Observed>, asked: Duration, boot_id: &str) -> Vec<ContainerFact> {
    match observed.map(|each| each.state) {
        None | Some(ObservedState::Recorded) => vec![ContainerFact::NotRunning(asked)],
        // An agent before this one asked to start it, and that may still happen.
        Some(ObservedState::Created) => vec![
            ContainerFact::NotRunning(asked),
            ContainerFact::Created,
            ContainerFact::StartCalled,
        ],
        Some(ObservedState::Running(started)) => vec![ContainerFact::Started {
            run: observed.map_or(0, |each| each.run),
            pid: started.pid,
            at_millis: started.at_millis,
            boot_id: boot_id.to_owned(),
            seen: asked,
        }],
        Some(ObservedState::Exited) => vec![ContainerFact::Exited],
    }
}

/// A task that is known from its containers' records alone. What of it is gone is gone; only an order stops the rest.
pub(super) fn adopted(task: ResolvedTask, observed: &[Observed]) -> TaskState {
    let assignment = Assignment {
        arn: task.arn.clone(),
        generation: 0,
        desired: DesiredStatus::Running,
        force: false,
        body: Body::Task(Arc::new(task)),
    };
    let mut record = TaskState::new(assignment.clone()).record;
    record.ran = true;
    for (index, container) in (0_u16..).zip(&mut record.containers) {
        let run = observed
            .iter()
            .find(|each| each.id.index() == index)
            .map(|each| each.run);
        container.restarts.count = run.unwrap_or_default();
        let there = observed
            .iter()
            .any(|each| each.id.index() == index && lives(each.state));
        if !there {
            container.known = KnownStatus::Stopped;
            container.reason = Some("ContainerVanishedError: it was gone when its task was found".to_owned());
        }
    }
    TaskState::restored(assignment, Some(record))
}
