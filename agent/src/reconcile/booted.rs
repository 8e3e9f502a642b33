//! Notices that the machine was restarted, before anything is done to a task.

use crate::config::ResumeOnBoot;
use crate::model::{Boot, KnownStatus, TaskState, judge_boot};
use crate::store::Write;

/// This boot and the last one, and what the difference means to tasks.
pub(super) struct Booted {
    boot: Boot,
    before: Option<Boot>,
    resume: ResumeOnBoot,
    writes: Vec<Write>,
}

impl Booted {
    pub(super) fn new(boot: Boot, before: Option<Boot>, resume: ResumeOnBoot) -> Self {
        if before
            .as_ref()
            .is_some_and(|before| before.boot_id != boot.boot_id)
        {
            tracing::warn!("the machine was restarted: what ran does not run any more");
        }
        Self {
            boot,
            before,
            resume,
            writes: Vec::new(),
        }
    }

    /// Takes into a task's state that it may have run in another boot.
    pub(super) fn judge(&mut self, state: &mut TaskState) {
        if judge_boot(state, &self.boot, self.before.as_ref(), self.resume) {
            let arn = state.assignment.arn.clone();
            let why = state.record.reason.as_deref().unwrap_or_default();
            tracing::warn!(task = %arn, why, "a task is not resumed");
            self.writes.push(Write::Record(arn, state.record.clone()));
        } else if self.is_new() && state.known() < KnownStatus::Stopped {
            tracing::info!(task = %state.assignment.arn, "a task is looked after in the new boot");
        }
    }

    fn is_new(&self) -> bool {
        self.before
            .as_ref()
            .is_some_and(|before| before.boot_id != self.boot.boot_id)
    }

    /// Whether containers must wait for [`Booted::writes`]: where no boot was known before, nothing was judged by it.
    pub(super) fn comes_first(&self) -> bool {
        self.before.as_ref().is_some_and(|before| *before != self.boot)
    }

    /// What is to be stored at once, in one piece: after it, nobody knows the last boot any more.
    pub(super) fn writes(&mut self) -> Vec<Write> {
        let mut writes = std::mem::take(&mut self.writes);
        if self.before.as_ref() != Some(&self.boot) {
            writes.push(Write::Boot(self.boot.clone()));
        }
        writes
    }
}
