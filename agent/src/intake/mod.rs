//! From a poll's answer to what the node has to do: read, judged; once the engine has stored it, it is handed on.
//!
//! Invariants: assignments and cursor are in one transaction, so none is lost or taken twice; an assignment that can't
//! be understood is its own trouble: its task is reported as STOPPED with the reason, and the cursor goes on.

mod depends;
mod limits;
mod parts;
mod resolve;
mod unresolve;

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::poll::{self, Cursor, MAX_ASSIGNMENTS, PollResponse};
use longshore_protocol::status::DesiredStatus;

use crate::model::{Assignment, Body, Order, Report, ResolvedTask};
use crate::store::Write;

pub use resolve::{InvalidTask, Rules, resolve};
pub use unresolve::unresolve;

/// What a task that was stopped before it came here is reported with.
pub const STOPPED_BEFORE: &str = "stopped before it reached this node";

/// Something for the node to do; it is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrival {
    /// A task that is new here.
    New(Assignment),
    /// An order about a task that is here.
    Order(TaskArn, Order),
}

/// What an answer makes of what is known: to be stored, and then taken.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What is to be stored, in one commit; empty where nothing is.
    pub writes: Vec<Write>,
    changed: BTreeMap<TaskArn, Assignment>,
    arrivals: Vec<Arrival>,
    cursor: Cursor,
    /// What the store has once it has the writes.
    stored: Cursor,
}

impl Judged {
    /// The node is another container instance by now, so the cursor is not to be followed.
    pub fn begin_again(&mut self) {
        self.cursor = Cursor::default();
    }

    /// The tasks that are new here.
    pub fn news(&self) -> impl Iterator<Item = &TaskArn> {
        self.arrivals.iter().filter_map(|arrival| match arrival {
            Arrival::New(assignment) => Some(&assignment.arn),
            Arrival::Order(..) => None,
        })
    }

    /// Those of them that have ended here already, as they were reported.
    pub fn ended(&mut self, ended: Vec<Report>) {
        for report in ended {
            let new = self.arrivals.iter_mut().find_map(|arrival| match arrival {
                Arrival::New(new) if new.arn == report.task => Some(new),
                Arrival::New(_) | Arrival::Order(..) => None,
            });
            let changed = self.changed.get_mut(&report.task);
            for assignment in new.into_iter().chain(changed) {
                assignment.end(report.clone());
            }
        }
    }

    /// The tasks that are here and that an order is about.
    pub fn ordered(&self) -> impl Iterator<Item = &TaskArn> {
        self.arrivals.iter().filter_map(|arrival| match arrival {
            Arrival::Order(arn, _) => Some(arn),
            Arrival::New(_) => None,
        })
    }

    /// The orders to stop tasks that are here.
    pub fn stops(&self) -> impl Iterator<Item = (&TaskArn, &Order)> {
        self.arrivals.iter().filter_map(|arrival| match arrival {
            Arrival::Order(arn, order) if order.desired == DesiredStatus::Stopped => Some((arn, order)),
            Arrival::Order(..) | Arrival::New(_) => None,
        })
    }
}

/// Takes answers of polls in.
#[derive(Debug)]
pub struct Intake {
    rules: Rules,
    cursor: Cursor,
    /// The one in the store: another only if assignments are counted from the beginning, and that isn't stored yet.
    stored: Cursor,
    known: BTreeMap<TaskArn, Assignment>,
}

impl Intake {
    /// An intake that knows what the store held.
    #[must_use]
    pub fn new(rules: Rules, cursor: Cursor, known: Vec<Assignment>) -> Self {
        let known = known
            .into_iter()
            .map(|assignment| (assignment.arn.clone(), assignment));
        Self {
            rules,
            stored: cursor.clone(),
            cursor,
            known: known.collect(),
        }
    }

    /// Where in the stream of assignments the node is.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The cursor that a new agent would find.
    #[must_use]
    pub fn stored(&self) -> &Cursor {
        &self.stored
    }

    /// Counts assignments from the beginning. The next answer that is taken has its cursor stored.
    pub fn begin_again(&mut self) {
        self.cursor = Cursor::default();
    }

    /// Whether an answer is about a task that is not here.
    #[must_use]
    pub fn is_news(&self, response: &PollResponse) -> bool {
        let mut tasks = response.assignments.iter().map(|assignment| &assignment.task_arn);
        tasks.any(|arn| !self.known.contains_key(arn))
    }

    /// What an answer says, and its cursor. It changes nothing.
    #[must_use]
    pub fn judge(&self, response: &PollResponse) -> Judged {
        if response.assignments.len() > MAX_ASSIGNMENTS {
            let count = response.assignments.len();
            tracing::warn!(
                count,
                most = MAX_ASSIGNMENTS,
                "the control plane sent more assignments than it may"
            );
        }
        let mut changed = BTreeMap::new();
        let mut arrivals = Vec::new();
        for assignment in &response.assignments {
            let current = changed
                .get(&assignment.task_arn)
                .or_else(|| self.known.get(&assignment.task_arn));
            let Some((next, arrival)) = judge(assignment, current, &self.rules) else {
                continue;
            };
            changed.extend(next.map(|next| (next.arn.clone(), next)));
            arrivals.push(arrival);
        }
        let mut writes: Vec<_> = changed.values().cloned().map(Write::Assignment).collect();
        let cursor = self.later(&response.cursor);
        if cursor != self.stored {
            writes.push(Write::Cursor(cursor.clone()));
        }
        Judged {
            writes,
            changed,
            arrivals,
            stored: cursor.clone(),
            cursor,
        }
    }

    /// Takes what was judged, now that it is stored; returns what is new in it. A task that was forgotten meanwhile
    /// stays forgotten.
    pub fn take(&mut self, judged: Judged) -> Vec<Arrival> {
        let Judged {
            changed,
            arrivals,
            cursor,
            stored,
            ..
        } = judged;
        (self.cursor, self.stored) = (cursor, stored);
        let is_new = |arn: &TaskArn| {
            let new = |arrival: &Arrival| matches!(arrival, Arrival::New(new) if new.arn == *arn);
            arrivals.iter().any(new)
        };
        for (arn, assignment) in changed {
            if self.known.contains_key(&arn) || is_new(&arn) {
                self.known.insert(arn, assignment);
            }
        }
        arrivals
    }

    /// Notes a task that was adopted from the runtime.
    pub fn adopted(&mut self, assignment: Assignment) {
        self.known.insert(assignment.arn.clone(), assignment);
    }

    /// Forgets a task that is gone, and is not stored any more.
    pub fn forget(&mut self, arn: &TaskArn) {
        self.known.remove(arn);
    }

    /// An answer that was overtaken must not take the cursor back.
    fn later(&self, offered: &Cursor) -> Cursor {
        let overtaken = offered.incarnation == self.cursor.incarnation && offered.cursor < self.cursor.cursor;
        if overtaken {
            self.cursor.clone()
        } else {
            offered.clone()
        }
    }
}

/// What an assignment makes of a task, if it changes it, and what is to be done about it; `None` where that is nothing.
/// An order that changes nothing, or is not taken, is handed on too: it may show that the control plane does not know how a task ended.
fn judge(
    assignment: &poll::Assignment,
    current: Option<&Assignment>,
    rules: &Rules,
) -> Option<(Option<Assignment>, Arrival)> {
    let poll::Assignment {
        task_arn,
        generation,
        desired_status,
        force,
        task,
        ..
    } = assignment;
    let resolved = task
        .as_ref()
        .map(|spec| resolve(task_arn, spec, rules).map(Arc::new));
    match current {
        Some(current) => {
            let order = Order {
                generation: *generation,
                desired: *desired_status,
                force: *force,
                // What can't be understood can't differ from what is known.
                task: resolved.and_then(Result::ok),
            };
            let mut next = current.clone();
            match next.take(&order) {
                Ok(changed) => Some((changed.then_some(next), Arrival::Order(task_arn.clone(), order))),
                Err(error) => {
                    tracing::warn!(task = %task_arn, %error, "an order is not taken");
                    Some((None, Arrival::Order(task_arn.clone(), order)))
                }
            }
        }
        None => {
            let body = body(task_arn, *desired_status, resolved)?;
            let desired = match &body {
                Body::Task(_) => *desired_status,
                Body::Nothing { .. } | Body::Ended(_) => DesiredStatus::Stopped,
            };
            let new = Assignment {
                arn: task_arn.clone(),
                generation: *generation,
                desired,
                force: *force && desired == DesiredStatus::Stopped,
                body,
            };
            Some((Some(new.clone()), Arrival::New(new)))
        }
    }
}

/// What a task that is new here is.
fn body(
    arn: &TaskArn,
    desired: DesiredStatus,
    resolved: Option<Result<Arc<ResolvedTask>, InvalidTask>>,
) -> Option<Body> {
    match (desired, resolved) {
        (DesiredStatus::Stopped, _) => Some(Body::Nothing {
            reason: STOPPED_BEFORE.to_owned(),
        }),
        (DesiredStatus::Running, Some(Ok(task))) => Some(Body::Task(task)),
        (DesiredStatus::Running, Some(Err(error))) => {
            tracing::warn!(task = %arn, %error, "a task can't be understood");
            Some(Body::Nothing {
                reason: format!("InvalidTaskError: {error}"),
            })
        }
        (DesiredStatus::Running, None) => {
            // The control plane thinks that the node has it. The inventory tells otherwise.
            tracing::error!(task = %arn, "a task that is not here is to run, and nobody says what it is");
            None
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
