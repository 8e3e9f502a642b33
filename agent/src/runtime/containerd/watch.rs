//! What containerd's events tell of containers, kept until somebody asks how one ended.
//!
//! containerd drops a task whose shim has died: it cleans up, publishes an exit with status 137 (255 when even that
//! failed) and at once a delete with the same time, which nobody asked for, and then knows the task no more. So an
//! unasked delete whose time is the exit's own is a dead shim (tried on 1.6.20), while an exit that was told before, at
//! another time, is the process's own.
//!
//! What was made and never started ends with an exit of 137 as well, when containerd takes it down: because whoever
//! asked for it died meanwhile, say. That is no end of a run, so an exit counts only after a start. Shims tell of a start
//! before its exit (containerd's shim protocol demands both events). A start that was before this agent's time shows in
//! answers of containerd's; an exit can overtake them, so it is kept until one says that the process ran.
//!
//! A list of containerd's takes seconds when a shim hangs, and what it says of a container may be over by then, and
//! another run begun. So beginnings are numbered, and a list says nothing of what began after it was asked for.
//!
//! Invariants: only containers that were started or listed here are kept, so this is bounded by what exists; the first
//! exit of a run counts. All of it is memory: without it the answer is "unknown", never a guess.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_protocol::arn::ResourceId;
use tokio::sync::Notify;

use crate::model::ContainerId;

/// An exit that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub status: u32,
    /// Nanoseconds since 1970: the resolution that events are compared by.
    pub at_nanos: i128,
}

/// Which of all the beginnings here was a container's newest; of one that was only found, none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beginning(u64);

/// What is known of a container's current run.
#[derive(Clone, Debug, Default)]
struct Seen {
    begun: Beginning,
    /// Whether it was made here, and not found.
    ours: bool,
    /// Whether it began to run.
    started: bool,
    /// The first process of this run; 0 while it isn't known.
    pid: u32,
    exit: Option<Told>,
    deleted: Option<Told>,
    out_of_memory: bool,
    killed: bool,
    /// Its shim was killed from here, for it said nothing.
    hung: bool,
    /// What was told before it was known to run, last, and of which process. A list, or another answer, that is still on
    /// its way may say that it ran.
    early: Early,
}

/// An end that came too early to be believed.
#[derive(Clone, Copy, Debug, Default)]
struct Early {
    pid: u32,
    exit: Option<Told>,
    deleted: Option<Told>,
}

impl Early {
    /// What is noted of a process.
    fn of(&mut self, pid: u32) -> &mut Self {
        if self.pid != pid {
            *self = Self {
                pid,
                ..Self::default()
            };
        }
        self
    }
}

impl Seen {
    /// It runs, or ran, as this process. Says whether its end has been told already.
    fn start(&mut self, pid: u32) -> bool {
        self.started = true;
        let early = std::mem::take(&mut self.early);
        if pid != 0 && early.pid == pid {
            self.exit = self.exit.or(early.exit);
            self.deleted = self.deleted.or(early.deleted);
        }
        let ended = self.is_about(pid) && (self.exit.is_some() || self.deleted.is_some());
        if pid != 0 {
            self.pid = pid;
        }
        ended
    }

    /// Whether what is told of a process is about this run: an earlier one's end may be told late.
    fn is_about(&self, pid: u32) -> bool {
        self.started && (self.pid == 0 || pid == 0 || self.pid == pid)
    }
}

/// How a container ended that containerd knows no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The exit was told before the task was dropped.
    Known(Told),
    /// Its shim died; the process's own status is lost.
    ShimDied(Told),
}

/// What events have told.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<HashMap<ContainerId, Seen>>,
    beginnings: AtomicU64,
    changed: Notify,
}

impl Watch {
    /// A container is about to run: what was told of an earlier run is forgotten.
    pub(super) fn begin(&self, id: &ContainerId) {
        let seen = Seen {
            begun: Beginning(1 + self.beginnings.fetch_add(1, Ordering::Relaxed)),
            ours: true,
            ..Seen::default()
        };
        self.lock().insert(id.clone(), seen);
    }

    /// Whether a container was made by this agent since it began.
    pub(super) fn is_ours(&self, id: &ContainerId) -> bool {
        self.lock().get(id).is_some_and(|seen| seen.ours)
    }

    /// A container runs, or ran, as this process; 0 where nobody knows. Says whether its end has been told already.
    pub(super) fn started(&self, id: &ContainerId, pid: u32) -> bool {
        let mut ended = false;
        self.update(id, |seen| ended = seen.start(pid));
        ended
    }

    /// The same by a list, asked for when this was its newest beginning. `None`: another run was begun meanwhile, or the
    /// container was removed, so the list says nothing of it.
    pub(super) fn listed(&self, id: &ContainerId, begun: Beginning, ran_as: Option<u32>) -> Option<bool> {
        let mut ended = None;
        self.update(id, |seen| {
            if seen.begun == begun {
                ended = Some(ran_as.is_some_and(|pid| seen.start(pid)));
            }
        });
        ended
    }

    /// A container is known to be there. Says which was its newest beginning.
    pub(super) fn know(&self, id: &ContainerId) -> Beginning {
        self.lock().entry(id.clone()).or_default().begun
    }

    pub(super) fn forget(&self, id: &ContainerId) {
        self.lock().remove(id);
    }

    /// Says whether this is the end of a run.
    pub(super) fn exited(&self, id: &ContainerId, pid: u32, told: Told) -> bool {
        let mut ended = false;
        self.update(id, |seen| {
            ended = seen.is_about(pid);
            if ended {
                seen.exit.get_or_insert(told);
            } else if !seen.started {
                seen.early.of(pid).exit.get_or_insert(told);
            }
        });
        ended
    }

    pub(super) fn deleted(&self, id: &ContainerId, pid: u32, told: Told) {
        self.update(id, |seen| {
            if seen.is_about(pid) {
                seen.deleted = Some(told);
            } else if !seen.started {
                seen.early.of(pid).deleted = Some(told);
            }
        });
    }

    pub(super) fn out_of_memory(&self, id: &ContainerId) {
        self.update(id, |seen| seen.out_of_memory = true);
    }

    /// SIGKILL was sent from here, so that an exit by it needs no other cause.
    pub(super) fn killed(&self, id: &ContainerId) {
        self.update(id, |seen| seen.killed = true);
    }

    /// The shim of a task was killed from here.
    pub(super) fn hung(&self, task: &ResourceId) {
        for (_, seen) in self.lock().iter_mut().filter(|(id, _)| id.task() == task) {
            seen.hung = true;
        }
    }

    pub(super) fn was_hung(&self, id: &ContainerId) -> bool {
        self.lock().get(id).is_some_and(|seen| seen.hung)
    }

    pub(super) fn was_out_of_memory(&self, id: &ContainerId) -> bool {
        self.lock().get(id).is_some_and(|seen| seen.out_of_memory)
    }

    pub(super) fn was_killed(&self, id: &ContainerId) -> bool {
        self.lock().get(id).is_some_and(|seen| seen.killed)
    }

    /// How a container ended, once events leave no doubt; the caller bounds the wait.
    pub(super) async fn ending(&self, id: &ContainerId) -> Ending {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that nothing falls between.
            changed.as_mut().enable();
            if let Some(ending) = self.lock().get(id).and_then(certain) {
                return ending;
            }
            changed.await;
        }
    }

    /// The exit that was told, whatever it is worth.
    pub(super) fn told(&self, id: &ContainerId) -> Option<Told> {
        self.lock().get(id).and_then(|seen| seen.exit)
    }

    fn update(&self, id: &ContainerId, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.lock().get_mut(id) {
            change(seen);
        }
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Seen>> {
        // Every change is a single step, so a panic elsewhere leaves nothing half done.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What containerd reports when it cleans up after a shim.
const CLEANUP_STATUS: [u32; 2] = [137, 255];

/// Whether an exit can be one that nobody but containerd has seen.
pub(super) fn is_clean_up(told: Told) -> bool {
    CLEANUP_STATUS.contains(&told.status)
}

fn certain(seen: &Seen) -> Option<Ending> {
    match (seen.exit, seen.deleted) {
        (Some(exit), Some(deleted)) if exit == deleted && is_clean_up(exit) => Some(Ending::ShimDied(exit)),
        (Some(exit), Some(_)) => Some(Ending::Known(exit)),
        (Some(exit), None) => (!is_clean_up(exit)).then_some(Ending::Known(exit)),
        // The exit that came before the delete was told before anybody listened.
        (None, Some(deleted)) if is_clean_up(deleted) => Some(Ending::ShimDied(deleted)),
        (None, Some(deleted)) => Some(Ending::Known(deleted)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ContainerId {
        "0123456789abcdef0123456789abcdef-0".parse().unwrap()
    }

    fn told(status: u32, at_nanos: i128) -> Told {
        Told { status, at_nanos }
    }

    fn run(watch: &Watch) {
        watch.begin(&id());
        watch.started(&id(), 7);
    }

    #[test]
    fn what_never_ran_has_no_end() {
        let watch = Watch::default();
        watch.know(&id());
        assert!(!watch.exited(&id(), 6, told(137, 0)));
        watch.deleted(&id(), 6, told(0, 0));
        watch.begin(&id());
        assert!(!watch.exited(&id(), 6, told(137, 0)));
        assert_eq!(watch.told(&id()), None);
        assert!(!watch.started(&id(), 7));
        assert!(watch.exited(&id(), 7, told(3, 1)));
        assert_eq!(watch.told(&id()), Some(told(3, 1)));
    }

    #[tokio::test]
    async fn an_end_that_overtakes_the_answer_that_it_runs_is_kept() {
        let watch = Watch::default();
        watch.know(&id());
        assert!(!watch.exited(&id(), 7, told(0, 3)), "nobody has said that it ran");
        watch.deleted(&id(), 7, told(0, 3));
        assert!(watch.started(&id(), 7), "it has ended");
        assert_eq!(watch.ending(&id()).await, Ending::Known(told(0, 3)));

        let watch = Watch::default();
        watch.know(&id());
        watch.exited(&id(), 7, told(137, 3));
        watch.exited(&id(), 8, told(0, 4));
        assert!(!watch.started(&id(), 9), "those were earlier processes");
        assert_eq!(watch.told(&id()), None);
    }

    #[test]
    fn a_list_says_nothing_of_a_run_that_was_begun_after_it_was_asked_for() {
        let watch = Watch::default();
        run(&watch);
        let asked = watch.know(&id());
        watch.exited(&id(), 7, told(1, 1));
        assert_eq!(watch.listed(&id(), asked, Some(7)), Some(true));
        watch.begin(&id());
        assert_eq!(watch.listed(&id(), asked, Some(7)), None);
        watch.started(&id(), 8);
        assert_eq!(watch.listed(&id(), asked, Some(7)), None);
        assert!(watch.exited(&id(), 8, told(2, 2)));
        let asked = watch.know(&id());
        watch.forget(&id());
        assert_eq!(watch.listed(&id(), asked, Some(8)), None);
    }

    #[tokio::test]
    async fn a_clean_up_of_containerds_is_a_dead_shim() {
        let watch = Watch::default();
        run(&watch);
        watch.exited(&id(), 7, told(137, 5));
        watch.deleted(&id(), 7, told(137, 5));
        assert_eq!(watch.ending(&id()).await, Ending::ShimDied(told(137, 5)));
    }

    #[tokio::test]
    async fn an_exit_told_before_the_shim_died_is_the_processes_own() {
        let watch = Watch::default();
        run(&watch);
        watch.exited(&id(), 7, told(137, 3));
        watch.exited(&id(), 7, told(137, 5));
        watch.deleted(&id(), 7, told(137, 5));
        assert_eq!(watch.ending(&id()).await, Ending::Known(told(137, 3)));
    }

    #[tokio::test]
    async fn doubt_waits_for_the_next_event() {
        let watch = Watch::default();
        run(&watch);
        watch.exited(&id(), 7, told(137, 5));
        let id = id();
        let (ending, ()) = tokio::join!(watch.ending(&id), async {
            tokio::task::yield_now().await;
            watch.deleted(&id, 7, told(137, 5));
        });
        assert_eq!(ending, Ending::ShimDied(told(137, 5)));
    }

    #[tokio::test]
    async fn a_new_run_forgets_the_one_before() {
        let watch = Watch::default();
        run(&watch);
        watch.exited(&id(), 7, told(1, 1));
        watch.killed(&id());
        run(&watch);
        assert_eq!(watch.told(&id()), None);
        assert!(!watch.was_killed(&id()));
        watch.exited(&id(), 7, told(2, 2));
        assert_eq!(watch.ending(&id()).await, Ending::Known(told(2, 2)));
    }

    #[test]
    fn the_end_of_an_earlier_run_that_is_told_late_is_not_this_ones() {
        let watch = Watch::default();
        run(&watch);
        watch.begin(&id());
        assert!(!watch.exited(&id(), 7, told(1, 1)), "nothing runs yet");
        watch.started(&id(), 8);
        assert!(!watch.exited(&id(), 7, told(1, 1)));
        watch.deleted(&id(), 7, told(1, 1));
        assert_eq!(watch.told(&id()), None);
        assert!(watch.exited(&id(), 8, told(2, 2)));
        assert_eq!(watch.told(&id()), Some(told(2, 2)));
    }

    #[test]
    fn strangers_are_not_kept() {
        let watch = Watch::default();
        watch.exited(&id(), 7, told(1, 1));
        watch.out_of_memory(&id());
        assert_eq!(watch.told(&id()), None);
        assert!(!watch.was_out_of_memory(&id()));
    }
}
