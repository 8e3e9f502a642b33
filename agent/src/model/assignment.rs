//! What the control plane wants of a task.
//!
//! ```text
//!                 older, not STOPPED      refused
//!                 equal and identical     nothing
//!  a new order    equal but different     named error
//!                 newer                   taken
//!                 STOPPED, any            taken
//! ```
//!
//! What a task is never changes once the node has it; only where it is to go does, and only forward.

use std::sync::Arc;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::status::DesiredStatus;

use super::{Report, ResolvedTask};

/// What is to become of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// Which task.
    pub arn: TaskArn,
    /// Of the newest order; 0 for a task that was adopted from the runtime with no order.
    pub generation: u64,
    /// Where it is to go.
    pub desired: DesiredStatus,
    /// Whether to kill at once.
    pub force: bool,
    /// What it is.
    pub body: Body,
}

/// What a task is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A task that can run.
    Task(Arc<ResolvedTask>),
    /// Nothing to run: it was stopped before it came here, or can't be understood. It is reported as STOPPED.
    Nothing {
        /// Why, as it is reported.
        reason: String,
    },
    /// It ran here, has ended, and was forgotten; whoever orders it does not know that. It never runs again, and is
    /// reported as it was.
    Ended(Box<Report>),
}

impl Body {
    /// The task, where there is one.
    #[must_use]
    pub fn task(&self) -> Option<&Arc<ResolvedTask>> {
        match self {
            Self::Task(task) => Some(task),
            Self::Nothing { .. } | Self::Ended(_) => None,
        }
    }
}

/// An order about a task that the node has already.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its generation.
    pub generation: u64,
    /// Where the task is to go.
    pub desired: DesiredStatus,
    /// Whether to kill at once; only with STOPPED.
    pub force: bool,
    /// What the task is, where the order says it again.
    pub task: Option<Arc<ResolvedTask>>,
}

/// An order that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A newer one was taken before.
    #[error("{arn}: an order of generation {offered} came after one of generation {known}; it is ignored")]
    Older {
        /// About which task.
        arn: Box<TaskArn>,
        /// The generation that is obeyed.
        known: u64,
        /// The one that came.
        offered: u64,
    },
    /// The same generation says something else.
    #[error(
        "{arn}: two orders of generation {generation} differ in {member}; the first is obeyed. \
         Has a control plane been restored from a backup?"
    )]
    Conflict {
        /// About which task.
        arn: Box<TaskArn>,
        /// The generation of both.
        generation: u64,
        /// The member in which they differ.
        member: &'static str,
    },
}

impl Assignment {
    /// Makes it that of a task that has ended already, with its last report.
    pub fn end(&mut self, report: Report) {
        self.desired = DesiredStatus::Stopped;
        self.body = Body::Ended(Box::new(report));
    }

    /// Takes an order into account. Says whether anything changed.
    ///
    /// # Errors
    /// The order is not to be taken; the assignment stays as it is. The same order will be refused again.
    pub fn take(&mut self, order: &Order) -> Result<bool, OrderError> {
        let before = (self.generation, self.desired, self.force);
        if order.desired != DesiredStatus::Stopped {
            self.judge(order)?;
        }
        self.generation = self.generation.max(order.generation);
        self.desired = self.desired.max(order.desired);
        self.force |= order.force && order.desired == DesiredStatus::Stopped;
        Ok(before != (self.generation, self.desired, self.force))
    }

    fn judge(&self, order: &Order) -> Result<(), OrderError> {
        if order.generation < self.generation {
            return Err(OrderError::Older {
                arn: Box::new(self.arn.clone()),
                known: self.generation,
                offered: order.generation,
            });
        }
        let conflict = |member| {
            Err(OrderError::Conflict {
                arn: Box::new(self.arn.clone()),
                generation: order.generation,
                member,
            })
        };
        if order.generation > self.generation {
            return Ok(());
        }
        if order.desired != self.desired {
            return conflict("desiredStatus");
        }
        match (&order.task, self.body.task()) {
            (Some(offered), Some(known)) if offered != known => conflict("task"),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }
}
