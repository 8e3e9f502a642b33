//! How runs of containers begin, or don't.

use std::time::Duration;

use longshore_protocol::status::DesiredStatus;

use super::super::{Failure, FirstStart, KnownStatus, Moment, PulledImage, Restarts, Run, TaskState};
use super::container::is_essential;

/// Its image is here, since this wall clock time in milliseconds.
pub(super) fn pulled(state: &mut TaskState, index: usize, image: PulledImage, at_millis: i64) {
    let (Some(record), Some(container)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return;
    };
    // Worth telling while it is not over; a reason that stays would hide why the container ended.
    let fallback = image.fallback.as_ref();
    container.note = fallback.map(|why| format!("using the image that is here: {why}"));
    record.image = Some(image);
    record.known = KnownStatus::Pulled;
    state.record.pull_stopped_at = Some(at_millis);
}

/// A container was seen to run: at this time since boot, which is this wall clock time in milliseconds.
pub(super) fn seen(state: &mut TaskState, index: usize, started: FirstStart, seen: (Duration, i64)) {
    let (Some(record), Some(container)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return;
    };
    record.known = KnownStatus::Running;
    run(&mut record.restarts, &started, seen);
    record.started.get_or_insert(started);
    // It was said that it could not start, and it did. Why its task is stopped stays as it was said.
    record.reason = None;
    container.running_since.get_or_insert(seen.0);
    container.seen_running = container.seen_running.max(Some(seen.0));
    container.failed = false;
    container.note = None;
}

/// Notes the newest run, once. The process is 0 where the run was over before anybody saw it: then nobody knows when it
/// began.
fn run(restarts: &mut Restarts, started: &FirstStart, (seen, now_millis): (Duration, i64)) {
    let is_news = restarts.due.take().is_some();
    let run = restarts.run.as_ref();
    let known = run.is_some_and(|run| run.number == restarts.count);
    if known && !is_news || started.pid == 0 {
        return;
    }
    let age = u64::try_from(now_millis.saturating_sub(started.at_millis)).unwrap_or_default();
    restarts.run = Some(Run {
        number: restarts.count,
        at_millis: started.at_millis,
        begun: Moment {
            boot_id: started.boot_id.clone(),
            since_boot: seen.saturating_sub(Duration::from_millis(age)),
        },
    });
}

pub(super) fn failed(state: &mut TaskState, index: usize, failure: &Failure) {
    let essential = is_essential(state, index);
    let (Some(record), Some(container)) = (
        state.record.containers.get_mut(index),
        state.live.containers.get_mut(index),
    ) else {
        return;
    };
    container.failed = true;
    record.reason.get_or_insert_with(|| failure.to_string());
    if essential {
        state.record.desired = DesiredStatus::Stopped;
        state.record.reason.get_or_insert_with(|| failure.to_string());
    }
}
