//! How runs of containers end: for good, or to be followed by another.

use longshore_protocol::status::DesiredStatus;

use super::super::boot::{LOST, runs_again};
use super::super::restart::{Verdict, judge};
use super::super::{Exit, FirstStart, Health, KnownStatus, Moment, OutOfMemory, TaskState};
use super::Effect;
use super::container::is_essential;

/// A run has ended, and nothing of it is left.
pub(super) fn ended(state: &mut TaskState, index: usize, mut exit: Exit, now: &Moment) -> Effect {
    let (Some(record), Some(live)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return Effect::Nothing;
    };
    // More than is known here: the store that knew was lost.
    record.restarts.count = record.restarts.count.max(exit.run);
    if exit.run < record.restarts.count {
        // The end of an earlier run is known, and is what the newest one follows.
        return forget(&mut live.exited);
    }
    live.health = Health::Unknown;
    let cut_off = was_cut_off(state, index, &exit, now);
    // Nobody may have seen it begin, and the machine may have been restarted since it ended.
    let boot_id = exit.moment.as_ref().map_or(&now.boot_id, |ended| &ended.boot_id);
    ran(state, index, boot_id);
    if exit.out_of_memory == Some(OutOfMemory::Init) {
        exit.code.get_or_insert(137);
    }
    if cut_off && exit.code.is_none() {
        exit.reason = Some(LOST.to_owned());
    }
    match verdict(state, index, &exit, cut_off) {
        Verdict::Again { steady } => again(state, index, exit, steady && !cut_off, cut_off, now),
        Verdict::Over(why) => {
            let reason = evidence(&exit).or(why);
            over(state, index, exit, reason);
        }
    }
    Effect::Live
}

fn forget(flag: &mut bool) -> Effect {
    match std::mem::take(flag) {
        true => Effect::Live,
        false => Effect::Nothing,
    }
}

/// Whether a run was going on when the machine went down, for all that anybody had stored.
fn was_cut_off(state: &TaskState, index: usize, exit: &Exit, now: &Moment) -> bool {
    let Some(record) = state.record.containers.get(index) else {
        return false;
    };
    let this_boot = exit
        .moment
        .as_ref()
        .is_some_and(|moment| moment.boot_id == now.boot_id);
    let run = record.restarts.run.as_ref();
    let boot_id = match run {
        Some(run) => (run.number == exit.run).then_some(&run.begun.boot_id),
        None => record.started.as_ref().map(|started| &started.boot_id),
    };
    !this_boot && boot_id.is_some_and(|boot_id| *boot_id != now.boot_id)
}

/// What has ended did run, though nobody may have seen it start (the agent died meanwhile).
fn ran(state: &mut TaskState, index: usize, boot_id: &str) {
    let (Some(record), Some(live)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return;
    };
    live.failed = false;
    record.started.get_or_insert_with(|| FirstStart {
        pid: 0,
        at_millis: 0,
        boot_id: boot_id.to_owned(),
        since_boot: None,
    });
    record.known = KnownStatus::Running;
    let false_reason = record.reason.take();
    if false_reason.is_some() && state.record.reason == false_reason {
        state.record.reason = None;
    }
    state.record.ran |= state.known() == KnownStatus::Running;
}

fn verdict(state: &TaskState, index: usize, exit: &Exit, cut_off: bool) -> Verdict {
    let definition = state.task().and_then(|task| task.containers.get(index));
    let (Some(definition), Some(record)) = (definition, state.record.containers.get(index)) else {
        return Verdict::Over(None);
    };
    if state.record.desired == DesiredStatus::Stopped {
        return Verdict::Over(None);
    }
    // The task goes on: otherwise it was told to stop when this boot began.
    if cut_off && runs_again(definition, exit.code.is_some()) {
        return Verdict::Again { steady: false };
    }
    match &definition.restart_policy {
        Some(policy) => judge(policy, record, exit),
        None => Verdict::Over(None),
    }
}

fn again(state: &mut TaskState, index: usize, exit: Exit, steady: bool, at_once: bool, now: &Moment) {
    let (Some(record), Some(live)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return;
    };
    // That the machine was restarted is nothing that waiting would mend.
    let pause = match at_once {
        true => std::time::Duration::ZERO,
        false => record.restarts.pause(steady),
    };
    record.restarts.again(exit, pause, steady || at_once, now);
    record.known = KnownStatus::Running;
    live.exited = false;
    live.start_called = false;
}

/// The runtime does not know the container any more; nothing of it runs.
pub(super) fn vanished(state: &mut TaskState, index: usize, at_millis: i64, boot_id: &str) {
    const WHY: &str = "ContainerVanishedError: the runtime does not know the container any more";
    let Some(record) = state.record.containers.get(index) else {
        return;
    };
    let restarts = &record.restarts;
    let mut exit = Exit {
        code: None,
        at_millis,
        out_of_memory: None,
        peak_memory: None,
        reason: Some(WHY.to_owned()),
        run: restarts.count,
        moment: None,
    };
    if restarts.awaited()
        && let Some(last) = &restarts.last_exit
    {
        return over(state, index, last.clone(), Some(WHY.to_owned()));
    }
    let now = Moment {
        boot_id: boot_id.to_owned(),
        since_boot: std::time::Duration::ZERO,
    };
    if was_cut_off(state, index, &exit, &now) {
        exit.reason = Some(LOST.to_owned());
    }
    ran(state, index, boot_id);
    let reason = evidence(&exit);
    over(state, index, exit, reason);
}

/// A run that was to begin will not, and nothing of the container runs: it ended with the run before, if there was one.
pub(super) fn never_began(state: &mut TaskState, index: usize) {
    let Some(record) = state.record.containers.get_mut(index) else {
        return;
    };
    let last = record.restarts.last_exit.clone();
    match last.filter(|_| record.restarts.awaited()) {
        Some(exit) => {
            let reason = record.reason.take().or_else(|| evidence(&exit));
            over(state, index, exit, reason);
        }
        None => record.known = KnownStatus::Stopped,
    }
}

/// A container has ended for good.
fn over(state: &mut TaskState, index: usize, exit: Exit, reason: Option<String>) {
    let (Some(record), Some(live)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return;
    };
    live.health = Health::Unknown;
    record.known = KnownStatus::Stopped;
    record.restarts.due = None;
    record.reason = reason;
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
