//! What the engine's parts have in common.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_protocol::arn::{ResourceId, TaskArn};
use longshore_protocol::poll::{Cursor, HeldTask, InventoryTask, NodeStatus};
use longshore_protocol::shape::{self, Room};
use longshore_protocol::status::InstanceStatus;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::executor::Executor;
use crate::plan::{Admission, Kept, Policy};
use crate::report::Reporter;
use crate::store::Store;

use super::crossing::Crossing;
use super::view::{self, Now, TaskView};

/// How it goes with the control plane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkStatus {
    /// When it last answered a poll, in milliseconds since 1970.
    pub answered_at: Option<i64>,
    /// When the link was last lost or found, in milliseconds since 1970; `None` before the first poll ended.
    pub changed_at: Option<i64>,
    /// Why the last poll failed; `None` if it did not.
    pub error: Option<String>,
    /// What it takes the node for.
    pub instance: Option<InstanceStatus>,
}

type Views = BTreeMap<ResourceId, watch::Receiver<Arc<TaskView>>>;

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) executor: Executor,
    pub(super) reporter: Reporter,
    pub(super) policy: Policy,
    /// Rung when the runtime's list may tell what its events did not.
    pub(super) list_now: Arc<Notify>,
    /// Counts what was given back, so that those who wait ask again.
    pub(super) freed: watch::Sender<u64>,
    /// Counts how often there were too many stopped tasks, so that those that are kept ask whether they have to go.
    pub(super) too_many: watch::Sender<u64>,
    pub(super) crossing: Crossing,
    most_kept: usize,
    kept: Mutex<Kept>,
    admission: Mutex<Admission>,
    cursor: Mutex<Cursor>,
    link: Mutex<LinkStatus>,
    views: Mutex<Views>,
}

/// None of these is left half-changed by a panic, and none is held across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        store: Store,
        executor: Executor,
        reporter: Reporter,
        policy: Policy,
        most_kept: usize,
        cursor: Cursor,
    ) -> Self {
        Self {
            store,
            executor,
            reporter,
            policy,
            list_now: Arc::new(Notify::new()),
            freed: watch::Sender::new(0),
            too_many: watch::Sender::new(0),
            crossing: Crossing::default(),
            most_kept,
            kept: Mutex::default(),
            admission: Mutex::default(),
            cursor: Mutex::new(cursor),
            link: Mutex::default(),
            views: Mutex::default(),
        }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.executor.clock.as_ref()
    }

    pub(super) fn now(&self) -> Now {
        Now {
            since_boot: self.clock().since_boot(),
            at_millis: self.clock().now().as_millisecond(),
        }
    }

    pub(super) fn admission(&self) -> MutexGuard<'_, Admission> {
        lock(&self.admission)
    }

    /// Gives back what a task had, and tells those who wait.
    pub(super) fn release(&self, task: &ResourceId) {
        self.admission().release(task);
        self.freed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A stopped task could go, and will at this time since boot. If there are too many of them, they are told.
    pub(super) fn keep(&self, task: &ResourceId, due: Duration) {
        let too_many = lock(&self.kept).keep(task, due, self.most_kept);
        if too_many {
            self.too_many.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Whether a stopped task is one of those that were too many.
    pub(super) fn has_to_go(&self, task: &ResourceId) -> bool {
        lock(&self.kept).has_to_go(task)
    }

    /// A task is not there any more.
    pub(super) fn forget(&self, task: &ResourceId) {
        lock(&self.kept).forget(task);
        self.crossing.stop_leaving(task);
    }

    pub(super) fn cursor(&self) -> Cursor {
        lock(&self.cursor).clone()
    }

    pub(super) fn set_cursor(&self, cursor: Cursor) {
        *lock(&self.cursor) = cursor;
    }

    pub(super) fn link_status(&self) -> LinkStatus {
        lock(&self.link).clone()
    }

    pub(super) fn note_link(&self, change: impl FnOnce(&mut LinkStatus)) {
        let now = self.clock().now().as_millisecond();
        let mut link = lock(&self.link);
        let was_lost = link.error.is_some();
        change(&mut link);
        if link.changed_at.is_none() || was_lost != link.error.is_some() {
            link.changed_at = Some(now);
        }
    }

    pub(super) fn add_view(&self, id: ResourceId, view: watch::Receiver<Arc<TaskView>>) {
        lock(&self.views).insert(id, view);
    }

    pub(super) fn remove_view(&self, arn: &TaskArn) {
        lock(&self.views).remove(&arn.id);
    }

    pub(super) fn view(&self, id: &ResourceId) -> Option<Arc<TaskView>> {
        lock(&self.views).get(id).map(|view| Arc::clone(&view.borrow()))
    }

    pub(super) fn watch(&self, id: &ResourceId) -> Option<watch::Receiver<Arc<TaskView>>> {
        lock(&self.views).get(id).cloned()
    }

    pub(super) fn views(&self) -> Vec<watch::Receiver<Arc<TaskView>>> {
        lock(&self.views).values().cloned().collect()
    }

    pub(super) fn tasks(&self) -> Vec<Arc<TaskView>> {
        let views = self.views();
        let tasks = views.iter().map(|view| Arc::clone(&view.borrow()));
        tasks
            .map(|view| Arc::new(view.with_causes(&self.executor.progress)))
            .collect()
    }

    pub(super) fn inventory(&self) -> Vec<InventoryTask> {
        self.views()
            .iter()
            .filter_map(|view| view.borrow().inventory())
            .collect()
    }

    /// As many of these tasks, whole, as fit into `most` bytes and [`shape::MAX_NODES`]; the first whatever its size.
    pub(super) fn held(&self, wanted: &[TaskArn], most: usize) -> Vec<HeldTask> {
        let views = wanted.iter().filter_map(|arn| self.view(&arn.id));
        fitting(views.filter_map(|view| view.held()), most)
    }

    pub(super) fn node_status(&self) -> NodeStatus {
        view::node_status(&self.tasks(), self.now(), self.store.trouble())
    }
}

/// The first of them, and those after it that fit with it into `most` bytes and what a control plane reads.
fn fitting(all: impl Iterator<Item = HeldTask>, most: usize) -> Vec<HeldTask> {
    let mut room = Room::new(most, shape::MAX_NODES);
    let mut some = Vec::new();
    for held in all {
        // What can't be written can't be sent either.
        let Ok(json) = serde_json::to_vec(&held) else {
            continue;
        };
        if !room.take(&json) {
            break;
        }
        some.push(held);
    }
    some
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use longshore_protocol::status::DesiredStatus;

    use super::*;
    use crate::model::{Assignment, Body, TaskState, sample};

    #[test]
    fn bodies_are_cut_to_what_fits_and_one_always_goes() {
        let task = Arc::new(sample::task(vec![sample::container("app", true)]));
        let assignment = Assignment {
            arn: task.arn.clone(),
            generation: 3,
            desired: DesiredStatus::Running,
            force: false,
            body: Body::Task(task),
        };
        let view = TaskView {
            state: TaskState::new(assignment),
            stored: crate::model::KnownStatus::None,
            waits: Vec::new(),
            causes: Vec::new(),
        };
        let held = view.held().unwrap();
        assert_eq!(
            (held.generation, held.state.status.as_deref()),
            (3, Some("PENDING"))
        );
        let size = serde_json::to_vec(&held).unwrap().len() + 1;
        let all = || std::iter::repeat_n(held.clone(), 5);
        assert_eq!(fitting(all(), 0).len(), 1);
        assert_eq!(fitting(all(), 3 * size).len(), 3);
        assert_eq!(fitting(all(), 3 * size - 1).len(), 2);
        let mut odd = held.clone();
        odd.task.volumes = vec![longshore_protocol::ecs::Volume::default(); 20_000];
        let odd = std::iter::repeat_n(odd, 5);
        assert_eq!(fitting(odd, usize::MAX).len(), 3, "by objects");
    }
}
