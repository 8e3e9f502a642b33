//! A control plane that is a working model of the poll and the reports, and checks what it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore_agent::link::{ControlLink, LinkError};
use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs;
use longshore_protocol::poll::{Assignment, Cursor, PollRequest, PollResponse, TaskSpec};
use longshore_protocol::status::{DesiredStatus, InstanceStatus, ReportedStatus};
use tokio::sync::Notify;

use crate::world::World;

mod calls;

/// How late an answer may come, or once more: nobody waits longer for it, in milliseconds.
const LATEST: i64 = 40_000;

#[derive(Default)]
struct Inner {
    seq: u64,
    rows: BTreeMap<String, Assignment>,
    /// What each task is, whatever a backup has forgotten since.
    specs: BTreeMap<String, TaskSpec>,
    restored: u64,
    polls: Vec<PollRequest>,
    reports: Vec<(i64, ecs::SubmitTaskStateChangeRequest)>,
    refuse: Vec<String>,
    backup: Option<(u64, BTreeMap<String, Assignment>)>,
    /// From which report on it knows what it was told: it comes back from a backup without what came since.
    known_from: usize,
    /// From which report on a task counts as over.
    live_from: usize,
    /// The newest answers to polls, and when they were given.
    answers: VecDeque<(i64, PollResponse)>,
}

pub struct FakeLink {
    world: Arc<World>,
    inner: Mutex<Inner>,
    news: Notify,
    pub down: AtomicBool,
    /// Whether it says again and again, at once, what was acknowledged long ago.
    pub stuck: AtomicBool,
    /// Whether a cursor of before it came back is good for nothing until the list of tasks has come with it.
    pub withholds: AtomicBool,
    /// How many of a hundred answers say all of it again, in another order.
    pub again_percent: AtomicU64,
    /// How many of a hundred polls are answered with what one before was, or should have been.
    pub late_percent: AtomicU64,
    /// How long the answer to a report is on its way, in milliseconds.
    pub acknowledges_after: AtomicU64,
    pub calls: AtomicUsize,
    /// Polls and reports that were tried.
    pub calls_made: AtomicUsize,
    pub most_calls: AtomicUsize,
}

impl Inner {
    fn is_over(&self, row: &Assignment) -> bool {
        let task = Some(row.task_arn.to_string());
        let mut reports = self.reports.iter().skip(self.live_from);
        reports.any(|(_, report)| report.task == task && report.status.as_deref() == Some("STOPPED"))
    }

    /// Whether a cursor is an older one of the same incarnation than that of the poll before.
    fn goes_back(&self, cursor: &Cursor) -> bool {
        let before = self.polls.last().map(|poll| &poll.cursor);
        before.is_some_and(|before| before.incarnation == cursor.incarnation && cursor.cursor < before.cursor)
    }
}

impl FakeLink {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            inner: Mutex::default(),
            news: Notify::new(),
            down: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            withholds: AtomicBool::new(false),
            again_percent: AtomicU64::new(0),
            late_percent: AtomicU64::new(0),
            acknowledges_after: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            calls_made: AtomicUsize::new(0),
            most_calls: AtomicUsize::new(0),
        })
    }

    pub fn assign(&self, arn: &TaskArn, desired: DesiredStatus, force: bool, task: Option<TaskSpec>) {
        let mut inner = self.inner.lock().unwrap();
        inner.seq += 1;
        let seq = inner.seq;
        let old = inner.rows.get(&arn.to_string());
        let generation = old.map_or(0, |row| row.generation) + 1;
        let task = task
            .map(Box::new)
            .or_else(|| old.and_then(|row| row.task.clone()));
        let row = Assignment {
            seq,
            task_arn: arn.clone(),
            generation,
            desired_status: desired,
            force,
            task,
        };
        if let Some(task) = &row.task {
            inner.specs.insert(arn.to_string(), task.as_ref().clone());
        }
        inner.rows.insert(arn.to_string(), row);
        drop(inner);
        self.news.notify_one();
    }

    pub fn run(&self, arn: &TaskArn, task: TaskSpec) {
        self.assign(arn, DesiredStatus::Running, false, Some(task));
    }

    pub fn stop(&self, arn: &TaskArn) {
        self.assign(arn, DesiredStatus::Stopped, false, None);
    }

    pub fn refuse_reports_of(&self, arn: &TaskArn) {
        self.inner.lock().unwrap().refuse.push(arn.to_string());
    }

    /// Comes back from a backup: a new incarnation, that gives out every row again.
    pub fn restore(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.restored += 1;
        inner.live_from = inner.reports.len();
        drop(inner);
        self.news.notify_one();
    }

    /// Orders a task to stop, if it isn't over.
    pub fn stop_with(&self, arn: &TaskArn, force: bool) {
        if self.status(arn).as_deref() != Some("STOPPED") {
            self.assign(arn, DesiredStatus::Stopped, force, None);
        }
    }

    pub fn back_up(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.backup = Some((inner.seq, inner.rows.clone()));
    }

    /// Comes back as it was at the backup: what came since is forgotten.
    pub fn restore_backup(&self) {
        let mut inner = self.inner.lock().unwrap();
        if let Some((seq, rows)) = inner.backup.clone() {
            (inner.seq, inner.rows) = (seq, rows);
            inner.known_from = inner.reports.len();
        }
        drop(inner);
        self.restore();
    }

    /// The tasks that the node has acknowledged and that are not over.
    pub fn acknowledged_tasks(&self) -> Vec<TaskArn> {
        let inner = self.inner.lock().unwrap();
        let incarnation = (inner.restored + 1).to_string();
        let polls = inner.polls.iter().map(|poll| &poll.cursor);
        let cursor = polls
            .filter(|cursor| cursor.incarnation == incarnation)
            .map(|cursor| cursor.cursor)
            .max()
            .unwrap_or(0);
        let over = |row: &&Assignment| {
            let task = Some(row.task_arn.to_string());
            let mut reports = inner.reports.iter();
            reports.any(|(_, report)| report.task == task && report.status.as_deref() == Some("STOPPED"))
        };
        let rows = inner.rows.values().filter(|row| row.seq <= cursor);
        rows.filter(|row| !over(row))
            .map(|row| row.task_arn.clone())
            .collect()
    }

    /// The orders that stand: their tasks' ends have not been told since they were given.
    pub fn standing(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let rows = inner.rows.values().filter(|row| !inner.is_over(row));
        rows.map(|row| row.task_arn.to_string()).collect()
    }

    pub fn polls(&self) -> Vec<PollRequest> {
        self.inner.lock().unwrap().polls.clone()
    }

    pub fn acknowledged(&self) -> u64 {
        self.inner
            .lock()
            .unwrap()
            .polls
            .iter()
            .map(|poll| poll.cursor.cursor)
            .max()
            .unwrap_or(0)
    }

    /// The reports of a task that were taken, in order.
    pub fn reports(&self, arn: &TaskArn) -> Vec<ecs::SubmitTaskStateChangeRequest> {
        let inner = self.inner.lock().unwrap();
        let of = inner
            .reports
            .iter()
            .filter(|(_, report)| report.task == Some(arn.to_string()));
        of.map(|(_, report)| report.clone()).collect()
    }

    pub fn last(&self, arn: &TaskArn) -> Option<ecs::SubmitTaskStateChangeRequest> {
        self.reports(arn).pop()
    }

    pub fn status(&self, arn: &TaskArn) -> Option<String> {
        self.last(arn)?.status
    }

    pub fn told_at(&self, arn: &TaskArn, status: &str) -> Option<i64> {
        let inner = self.inner.lock().unwrap();
        let mut told = inner.reports.iter();
        let found = told.find(|(_, report)| {
            report.task == Some(arn.to_string()) && report.status.as_deref() == Some(status)
        });
        found.map(|(at, _)| *at)
    }

    fn unavailable(&self, operation: &'static str) -> LinkError {
        LinkError::Unavailable {
            operation,
            why: "simulated".to_owned(),
        }
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    fn answer(&self, request: &PollRequest) -> Option<PollResponse> {
        let inner = self.inner.lock().unwrap();
        let incarnation = (inner.restored + 1).to_string();
        let known = match request.cursor.incarnation == incarnation {
            true => request.cursor.cursor,
            false => 0,
        };
        let standing = inner.rows.values().filter(|row| !inner.is_over(row));
        let mut assignments: Vec<_> = standing.cloned().collect();
        assignments.sort_by_key(|row| row.seq);
        let cursor = assignments.last()?.seq;
        if cursor <= known {
            return None;
        }
        if self.world.roll() % 100 < self.again_percent.load(Ordering::Relaxed) {
            assignments.reverse();
        } else {
            assignments.retain(|row| row.seq > known);
        }
        let cursor = Cursor { incarnation, cursor };
        Some(PollResponse {
            assignments,
            ..PollResponse::nothing(cursor, InstanceStatus::Active)
        })
    }

    /// The cursor is the control plane's own also where it has nothing for the node.
    fn nothing_more(&self, request: &PollRequest) -> PollResponse {
        let incarnation = (self.inner.lock().unwrap().restored + 1).to_string();
        let cursor = match request.cursor.incarnation == incarnation {
            true => request.cursor.clone(),
            false => Cursor {
                incarnation,
                cursor: 0,
            },
        };
        PollResponse::nothing(cursor, InstanceStatus::Active)
    }

    /// An answer that was on its way for long, or comes once more.
    fn late(&self) -> Option<PollResponse> {
        let percent = self.late_percent.load(Ordering::Relaxed);
        if percent == 0 || self.world.roll() % 100 >= percent {
            return None;
        }
        let mut inner = self.inner.lock().unwrap();
        let oldest = self.world.millis() - LATEST;
        inner.answers.retain(|(given, _)| *given >= oldest);
        let count = u64::try_from(inner.answers.len()).unwrap();
        let which = usize::try_from(self.world.roll().checked_rem(count)?).unwrap();
        inner.answers.get(which).map(|(_, answer)| answer.clone())
    }

    /// At once: that the list is wanted, or the cursor that comes for it.
    fn withheld(&self, request: &PollRequest) -> Option<PollResponse> {
        let inner = self.inner.lock().unwrap();
        let incarnation = (inner.restored + 1).to_string();
        let foreign = request.cursor.incarnation != incarnation;
        (foreign && self.withholds.load(Ordering::Relaxed)).then(|| {
            let lists = request.inventory.tasks.is_some();
            let given = Cursor {
                incarnation,
                cursor: inner.seq,
            };
            let cursor = if lists { given } else { request.cursor.clone() };
            PollResponse {
                want_inventory: !lists,
                ..PollResponse::nothing(cursor, InstanceStatus::Active)
            }
        })
    }

    /// Statuses of a task and of its containers never step back.
    /// Told late that its task ran, an essential container may be told to run once more: the answer to its end was lost.
    fn check(
        before: Option<&ecs::SubmitTaskStateChangeRequest>,
        new: &ecs::SubmitTaskStateChangeRequest,
        task: Option<&TaskSpec>,
    ) {
        let late = |container: &ecs::ContainerStateChange| {
            let definitions = task.map(|task| &task.containers);
            let mut definitions = definitions.into_iter().flatten().map(|each| &each.definition);
            new.status.as_deref() == Some("RUNNING")
                && container.status.as_deref() == Some("RUNNING")
                && definitions
                    .any(|each| each.name == container.container_name && each.essential.unwrap_or(true))
        };
        let status = |text: &Option<String>| text.as_deref().unwrap().parse::<ReportedStatus>().unwrap();
        let Some(before) = before else { return };
        assert!(
            status(&new.status) >= status(&before.status),
            "{before:?} then {new:?}"
        );
        let pairs = before
            .containers
            .iter()
            .flatten()
            .zip(new.containers.iter().flatten());
        for (old, new) in pairs {
            assert!(
                status(&new.status) >= status(&old.status) || late(new),
                "{old:?} then {new:?}"
            );
        }
        if status(&before.status) == ReportedStatus::Stopped {
            // A new agent does not know whether one before it had asked for a start that failed.
            let without_ids = |report: &ecs::SubmitTaskStateChangeRequest| {
                let mut report = report.clone();
                for container in report.containers.iter_mut().flatten() {
                    container.runtime_id = None;
                }
                report
            };
            assert_eq!(
                without_ids(before),
                without_ids(new),
                "STOPPED is told twice, and differently"
            );
        }
    }
}
