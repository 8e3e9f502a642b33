//! In which order containers stop: those that depend on others before what they depend on.
//!
//! The order goes through what has ended already: of a chain whose middle is gone, the ends still stop one by one.
//!
//! Invariants: the patience with a container begins when its own stop does, after those before it have ended; a stop
//! that has begun is not taken back; an order to stop by force, which is an order to lose no time, knows no order.

use crate::model::{KnownStatus, TaskState};

/// A container that has to end before the one at `index` is stopped, by name.
pub(super) fn stops_first(state: &TaskState, index: u16) -> Option<&str> {
    let (_, _, record, live) = state.containers().nth(usize::from(index))?;
    let begun = record.stop_deadline.is_some() || live.terminated || live.killed.is_some();
    if begun || state.assignment.force {
        return None;
    }
    let all = above(state, index);
    let mut left = state.containers().zip(all);
    // What has exited and is being asked how holds up nobody: where its shim hangs, that comes only with the last.
    left.find(|((_, _, record, live), above)| *above && record.known < KnownStatus::Stopped && !live.exited)
        .map(|((_, definition, ..), _)| definition.name.as_str())
}

/// Which containers depend on the one at `index`, by however many others.
fn above(state: &TaskState, index: u16) -> Vec<bool> {
    let mut above = vec![false; state.record.containers.len()];
    // Each round finds those that are one edge further away; there are no more rounds than containers.
    for _ in 0..above.len() {
        let is_above = |on: u16| on == index || above.get(usize::from(on)).copied().unwrap_or(false);
        let found = state.containers().map(|(_, definition, ..)| {
            let mut edges = definition.depends_on.iter();
            edges.any(|edge| is_above(edge.on))
        });
        above = found.collect();
    }
    above
}
