//! What to do next: a pure function of a task's state and the time.
//!
//! Invariants: no effect, no clock, no log; the same state gives the same plan, so asking twice does no harm; a plan
//! names everything that should be going on, and what is going on but isn't named is to be given up.

mod admission;
mod depends;
mod kept;
mod order;
mod restart;
mod start;
mod stop;

use std::time::Duration;

use longshore_protocol::status::DesiredStatus;

use crate::model::{ContainerFact, Fact, KnownStatus, Step, TaskState};

pub use admission::{Admission, Needs};
pub use kept::Kept;
pub use restart::history;

/// The time, as a plan may know it.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// Random per boot of the machine.
    pub boot_id: &'a str,
    /// Since this boot.
    pub since_boot: Duration,
    /// The wall clock, in milliseconds since 1970.
    pub at_millis: i64,
}

/// The node's settings that a plan follows.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Between the stop signal and SIGKILL, where the container says nothing.
    pub stop_timeout: Duration,
    /// How long a stopped task's log files are kept.
    pub cleanup_wait: Duration,
    /// Whether this task is not kept any longer once it has stopped: there is no room for it.
    pub forget: bool,
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Decisions: to be applied, and stored, before a new plan is made. While there is one, there are no steps.
    pub decisions: Vec<Fact>,
    /// What should be going on.
    pub steps: Vec<Step>,
    /// What containers wait for.
    pub waits: Vec<Wait>,
    /// Whether the task's ports and GPUs are to be asked for.
    pub wants_admission: bool,
    /// When to plan again if nothing happens, since boot.
    pub wake: Option<Duration>,
}

/// What a container waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Which container.
    pub index: u16,
    /// In words.
    pub cause: String,
    /// When it is over at the latest, since boot.
    pub until: Option<Duration>,
}

impl Plan {
    fn wake_at(&mut self, moment: Duration) {
        self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
    }

    fn wait(&mut self, index: u16, cause: impl Into<String>, until: Option<Duration>) {
        self.waits.push(Wait {
            index,
            cause: cause.into(),
            until,
        });
    }
}

/// What to do next about a task.
#[must_use]
pub fn plan(state: &TaskState, now: Now<'_>, policy: Policy) -> Plan {
    let mut plan = Plan::default();
    if !state.live.listed {
        for (index, ..) in state.containers() {
            plan.wait(index, "waiting for containerd to tell what runs", None);
        }
        return plan;
    }
    if state.known() == KnownStatus::Stopped {
        tear_down(state, now, policy, &mut plan);
        return plan;
    }
    for (index, _, container, live) in state.containers() {
        match container.known {
            KnownStatus::Stopped => {}
            _ if live.exited => plan.steps.push(Step::Reap(index)),
            KnownStatus::Running if container.restarts.awaited() => {
                restart::plan(state, index, now, &mut plan)
            }
            KnownStatus::Running => running(state, index, now, policy, &mut plan),
            KnownStatus::None | KnownStatus::Pulled | KnownStatus::Created => {
                match state.record.desired {
                    // Whether it runs is not known: only if nothing of it is left, it is STOPPED.
                    _ if live.failed => plan.steps.push(Step::Discard(index)),
                    DesiredStatus::Stopped => plan.steps.push(Step::Discard(index)),
                    DesiredStatus::Running => start::plan(state, index, now, &mut plan),
                }
            }
        }
    }
    if !plan.decisions.is_empty() {
        plan.steps.clear();
    }
    plan
}

fn running(state: &TaskState, index: u16, now: Now<'_>, policy: Policy, plan: &mut Plan) {
    match state.record.desired {
        DesiredStatus::Stopped => match order::stops_first(state, index) {
            Some(other) => {
                let cause = format!("waiting for '{other}' to end, which depends on it");
                plan.wait(index, cause, None);
            }
            None => stop::plan(state, index, now, policy, plan),
        },
        DesiredStatus::Running => {
            let position = usize::from(index);
            let adopted = state
                .live
                .containers
                .get(position)
                .is_some_and(|live| live.attached || live.adopted);
            let attached = state
                .record
                .containers
                .get(position)
                .is_some_and(|each| each.attachment.is_some());
            if attached && !adopted {
                plan.steps.push(Step::Adopt(index));
            }
        }
    }
}

/// After the last container has ended. What others may need (ports, addresses, GPUs, disk) is given back at once; log
/// files stay for a while, and for as long as the control plane does not know.
fn tear_down(state: &TaskState, now: Now<'_>, policy: Policy, plan: &mut Plan) {
    if !state.record.torn_down {
        let left = state.containers().filter(|(.., live)| !live.torn_down);
        plan.steps.extend(left.map(|(index, ..)| Step::TearDown(index)));
        if plan.steps.is_empty() {
            plan.steps.push(Step::TearDownTask);
        }
        return;
    }
    // Once that is done, an order may still have come that is answered before the task goes.
    if !state.is_acknowledged() || state.live.cleaned {
        return;
    }
    if policy.forget {
        plan.steps.push(Step::Clean);
        return;
    }
    let wait = i64::try_from(policy.cleanup_wait.as_millis()).unwrap_or(i64::MAX);
    let stopped_at = state.record.stopped_at.unwrap_or(now.at_millis);
    // The wall clock is asked once, for what went by before this agent; it may step while the rest goes by.
    let Some(due) = state.live.clean_due else {
        let left = stopped_at.saturating_add(wait).saturating_sub(now.at_millis);
        let left = Duration::from_millis(left.clamp(0, wait).unsigned_abs());
        plan.decisions.push(Fact::CleanDue(now.since_boot + left));
        return;
    };
    if due <= now.since_boot {
        plan.steps.push(Step::Clean);
    } else {
        plan.wake_at(due);
    }
}

fn decide(index: u16, fact: ContainerFact) -> Fact {
    Fact::Container(index, fact)
}

#[cfg(test)]
mod tests;
