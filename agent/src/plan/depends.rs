//! What a container waits for among those of its task: whether its edges hold, may still come true, or never will.
//!
//! Invariants: an edge that never can come true is found as soon as that is certain, whatever the others say; COMPLETE
//! and SUCCESS ask for an exit code that is known; a container that is being restarted has not ended. Time runs against
//! an edge from the first start of the container that it points at, as in ECS, and never against START.

use std::time::Duration;

use crate::model::{
    Condition, ContainerFact, ContainerRecord, Dependency, Failure, Health, KnownStatus, LiveContainer,
    ResolvedContainer, TaskState, boot_of,
};

use super::{Now, Plan, decide};

/// What a container's edges say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edges {
    /// It may be made and started.
    Hold,
    /// It has to wait.
    Open {
        /// For what, in words.
        cause: String,
        /// Until when that may come true, since boot: the earliest such moment of all open edges.
        until: Option<Duration>,
    },
    /// It can't run any more.
    Never(Failure),
}

/// What has become of an edge.
enum Verdict {
    Holds,
    Open {
        /// What the other container has to do yet.
        cause: &'static str,
        until: Option<Duration>,
    },
    /// What the other container did instead.
    Never(String),
}

/// Judges the edges of the container at `index`.
pub(super) fn edges(state: &TaskState, index: u16, now: Now<'_>) -> Edges {
    let Some((_, definition, ..)) = state.containers().nth(usize::from(index)) else {
        return Edges::Hold;
    };
    let mut open: Option<(String, Option<Duration>)> = None;
    for edge in &definition.depends_on {
        // `intake` takes none that points nowhere.
        let Some((_, other, record, live)) = state.containers().nth(usize::from(edge.on)) else {
            continue;
        };
        match judge(*edge, other, record, live, now) {
            Verdict::Holds => {}
            Verdict::Open { cause, until } => {
                let cause = format!("waiting for '{}' to {cause}", other.name);
                let (_, earliest) = open.get_or_insert((cause, until));
                *earliest = [*earliest, until].into_iter().flatten().min();
            }
            Verdict::Never(why) => return Edges::Never(never(definition, other, edge.condition, &why)),
        }
    }
    match open {
        Some((cause, until)) => Edges::Open { cause, until },
        None => Edges::Hold,
    }
}

/// Takes into a plan what edges say that do not hold: what is waited for, or that it is in vain.
pub(super) fn tell(edges: &Edges, index: u16, plan: &mut Plan) {
    match edges {
        Edges::Hold => {}
        Edges::Open { cause, until } => {
            plan.wait(index, cause.clone(), *until);
            if let Some(until) = *until {
                plan.wake_at(until);
            }
        }
        Edges::Never(failure) => {
            let failed = ContainerFact::Failed(failure.clone());
            plan.decisions.push(decide(index, failed));
        }
    }
}

fn never(
    definition: &ResolvedContainer,
    other: &ResolvedContainer,
    condition: Condition,
    why: &str,
) -> Failure {
    let (name, other, condition) = (&definition.name, &other.name, condition.as_str());
    Failure {
        name: "TaskDependencyError",
        text: format!("container '{name}' depends on '{other}' with {condition}, but '{other}' {why}"),
    }
}

fn judge(
    edge: Dependency,
    other: &ResolvedContainer,
    record: &ContainerRecord,
    live: &LiveContainer,
    now: Now<'_>,
) -> Verdict {
    let verdict = match record.known {
        KnownStatus::Stopped => return ended(edge.condition, record),
        KnownStatus::Running if is_to_run_in_this_boot(record, now) => begins(edge.condition),
        KnownStatus::Running => running(edge.condition, live),
        KnownStatus::None | KnownStatus::Pulled | KnownStatus::Created => begins(edge.condition),
    };
    match verdict {
        Verdict::Open { cause, .. } => in_time(cause, edge.condition, other, record, live, now),
        decided @ (Verdict::Holds | Verdict::Never(_)) => decided,
    }
}

/// Whether a container that ran when the machine was restarted has yet to run again: what it was in another boot is worth
/// nothing to those that depend on it.
fn is_to_run_in_this_boot(record: &ContainerRecord, now: Now<'_>) -> bool {
    record.restarts.awaited() && boot_of(record).is_some_and(|boot| boot != now.boot_id)
}

fn begins(condition: Condition) -> Verdict {
    open(match condition {
        Condition::Start => "run",
        Condition::Complete => "run and end",
        Condition::Success => "run and exit with 0",
        Condition::Healthy => "run and become HEALTHY",
    })
}

fn open(cause: &'static str) -> Verdict {
    Verdict::Open { cause, until: None }
}

fn running(condition: Condition, live: &LiveContainer) -> Verdict {
    match condition {
        Condition::Start => Verdict::Holds,
        Condition::Complete => open("end"),
        Condition::Success => open("exit with 0"),
        Condition::Healthy if live.health == Health::Healthy && !live.exited => Verdict::Holds,
        Condition::Healthy => open("become HEALTHY"),
    }
}

fn ended(condition: Condition, record: &ContainerRecord) -> Verdict {
    if record.started.is_none() {
        return Verdict::Never("never ran".to_owned());
    }
    let code = record.exit.as_ref().and_then(|exit| exit.code);
    match (condition, code) {
        (Condition::Start, _) | (Condition::Complete, Some(_)) | (Condition::Success, Some(0)) => {
            Verdict::Holds
        }
        (Condition::Success, Some(code)) => Verdict::Never(format!("exited with {code}")),
        (Condition::Complete | Condition::Success, None) => {
            Verdict::Never("ended with an exit code that nobody knows".to_owned())
        }
        (Condition::Healthy, _) => Verdict::Never("ended before it was HEALTHY".to_owned()),
    }
}

/// Holds an open edge to the `startTimeout` of the container that it points at.
fn in_time(
    cause: &'static str,
    condition: Condition,
    other: &ResolvedContainer,
    record: &ContainerRecord,
    live: &LiveContainer,
    now: Now<'_>,
) -> Verdict {
    let timeout = other.start_timeout.filter(|_| condition != Condition::Start);
    let (Some(timeout), Some(since)) = (timeout, first_ran(record, live, now)) else {
        return open(cause);
    };
    let until = since + timeout;
    // Its process has ended: how will be known in a moment, and counts as of now.
    if now.since_boot < until || live.exited {
        let until = Some(until).filter(|_| !live.exited);
        return Verdict::Open { cause, until };
    }
    let seconds = timeout.as_secs();
    Verdict::Never(format!("did not {cause} within its startTimeout of {seconds} s"))
}

/// When a container first ran in this boot of the machine, since boot.
fn first_ran(record: &ContainerRecord, live: &LiveContainer, now: Now<'_>) -> Option<Duration> {
    let first = record.started.as_ref()?;
    let durable = first.since_boot.filter(|_| first.boot_id == now.boot_id);
    durable.or(live.running_since)
}
