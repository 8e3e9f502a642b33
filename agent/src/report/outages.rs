//! What becomes of reports while the link is down, and when it is back. Time is simulated.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use async_trait::async_trait;
use longshore_protocol::arn::TaskArn;
use longshore_protocol::poll::{PollRequest, PollResponse};
use longshore_protocol::status::ReportedStatus;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::model::sample;

/// tokio's paused clock.
struct Paused(Instant);

#[async_trait]
impl Clock for Paused {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
    fn since_boot(&self) -> Duration {
        self.0.elapsed()
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
    fn random(&self, bound: u64) -> u64 {
        // The worst that jitter can do.
        bound
    }
}

/// How calls fare.
enum Way {
    Refuses,
    Hangs,
    Throttles(Duration),
    /// Answers after 20 ms.
    Works,
}

struct Plane {
    way: Mutex<Way>,
    /// A task whose reports it can't take.
    poisoned: Option<TaskArn>,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    last: Mutex<BTreeMap<String, String>>,
    out_of_order: AtomicBool,
}

/// Counts a call as under way, also where it is given up.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl ControlLink for Plane {
    async fn register_container_instance(
        &self,
        _: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::ContainerInstance, LinkError> {
        Err(unavailable())
    }
    async fn deregister_container_instance(
        &self,
        _: ecs::DeregisterContainerInstanceRequest,
    ) -> Result<(), LinkError> {
        Err(unavailable())
    }
    async fn poll(&self, _: &PollRequest) -> Result<PollResponse, LinkError> {
        Err(unavailable())
    }
    async fn submit_task_state_change(
        &self,
        request: ecs::SubmitTaskStateChangeRequest,
    ) -> Result<(), LinkError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(now, Ordering::Relaxed);
        let _under_way = UnderWay(&self.at_once);
        let hangs = match &*self.way.lock().unwrap() {
            Way::Refuses => return Err(unavailable()),
            Way::Throttles(pause) => return Err(busy(Some(*pause))),
            Way::Hangs => true,
            Way::Works => false,
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (task, status) = (request.task.unwrap(), request.status.unwrap());
        if self
            .poisoned
            .as_ref()
            .is_some_and(|poisoned| poisoned.to_string() == task)
        {
            return Err(busy(None));
        }
        let before = self.last.lock().unwrap().insert(task, status.clone());
        let back = before.as_deref() == Some("STOPPED") && status != "STOPPED";
        self.out_of_order.fetch_or(back, Ordering::Relaxed);
        Ok(())
    }
}

fn unavailable() -> LinkError {
    LinkError::Unavailable {
        operation: "SubmitTaskStateChange",
        why: "simulated".to_owned(),
    }
}

fn busy(retry_after: Option<Duration>) -> LinkError {
    LinkError::Busy {
        operation: "SubmitTaskStateChange",
        why: "simulated".to_owned(),
        retry_after,
    }
}

struct Stage {
    plane: Arc<Plane>,
    reporter: Arc<Reporter>,
    tasks: JoinSet<()>,
}

impl Stage {
    fn new(way: Way, poisoned: Option<TaskArn>) -> Self {
        let plane = Arc::new(Plane {
            way: Mutex::new(way),
            poisoned,
            calls: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            last: Mutex::default(),
            out_of_order: AtomicBool::new(false),
        });
        let reporter = Reporter::new(Arc::clone(&plane) as _, Arc::new(Paused(Instant::now())));
        Self {
            plane,
            reporter: Arc::new(reporter),
            tasks: JoinSet::new(),
        }
    }

    /// A task that is RUNNING and then STOPPED, as its actor reports it.
    fn task(&mut self, number: u128) {
        let reporter = Arc::clone(&self.reporter);
        self.tasks.spawn(async move {
            for status in [ReportedStatus::Running, ReportedStatus::Stopped] {
                let report = Report {
                    task: sample::arn(number),
                    cluster: None,
                    status,
                    reason: None,
                    pull_started_at: None,
                    pull_stopped_at: None,
                    execution_stopped_at: None,
                    containers: Vec::new(),
                };
                reporter.deliver(&report, &AtomicU64::new(0)).await;
            }
        });
    }

    fn set(&self, way: Way) {
        *self.plane.way.lock().unwrap() = way;
    }

    /// As the poll does.
    fn link_is_back(&self) {
        self.set(Way::Works);
        self.reporter.control_plane_answers(true);
    }

    async fn all_told(&mut self) -> Duration {
        let begun = Instant::now();
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
        assert!(
            self.plane
                .last
                .lock()
                .unwrap()
                .values()
                .all(|status| status == "STOPPED")
        );
        assert!(!self.plane.out_of_order.load(Ordering::Relaxed));
        assert!(self.plane.most_at_once.load(Ordering::Relaxed) <= PARALLEL);
        begun.elapsed()
    }
}

async fn outage_of(hours: u64, way: Way, tasks: u128) -> (Duration, usize) {
    let mut stage = Stage::new(way, None);
    for number in 0..tasks {
        stage.task(number);
    }
    tokio::time::sleep(Duration::from_secs(hours * 3600)).await;
    let calls = stage.plane.calls.load(Ordering::Relaxed);
    stage.link_is_back();
    let took = stage.all_told().await;
    assert_eq!(
        stage.plane.last.lock().unwrap().len(),
        usize::try_from(tasks).unwrap()
    );
    (took, calls)
}

#[tokio::test(start_paused = true)]
async fn after_a_long_outage_the_final_states_arrive_within_two_seconds() {
    let (took, _) = outage_of(7 * 24, Way::Refuses, 100).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    // Calls that hang in the old link are given up.
    let (took, _) = outage_of(7 * 24, Way::Hangs, 100).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_are_reported_within_ten_seconds_and_did_not_storm_the_dead_link() {
    for way in [Way::Refuses, Way::Hangs] {
        let (took, calls) = outage_of(24, way, 1000).await;
        assert!(took < Duration::from_secs(10), "{took:?}");
        // A try a minute, a few more at the beginning.
        assert!((10..24 * 60 + 100).contains(&calls), "{calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_poll_the_reports_find_out_by_themselves() {
    let mut stage = Stage::new(Way::Refuses, None);
    for number in 0..100 {
        stage.task(number);
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    stage.set(Way::Works);
    let took = stage.all_told().await;
    assert!(took < Duration::from_secs(65), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_wants_to_be_left_alone_is() {
    let mut stage = Stage::new(Way::Throttles(Duration::from_secs(120)), None);
    for number in 0..200 {
        stage.task(number);
    }
    tokio::time::sleep(Duration::from_secs(119)).await;
    assert!(stage.plane.calls.load(Ordering::Relaxed) <= PARALLEL);
    stage.set(Way::Works);
    let took = stage.all_told().await;
    assert!(took < Duration::from_secs(150), "{took:?}");
}

// Invariant 9: a stuck task is alone.
#[tokio::test(start_paused = true)]
async fn a_report_that_never_gets_through_keeps_no_other_waiting() {
    let mut stage = Stage::new(Way::Works, Some(sample::arn(0)));
    stage.task(0);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let calls = stage.plane.calls.load(Ordering::Relaxed);
    assert!((10..150).contains(&calls), "{calls}");
    let begun = Instant::now();
    for number in 1..100 {
        stage.task(number);
    }
    for _ in 1..100 {
        stage.tasks.join_next().await.unwrap().unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
