//! What a node says of a task, and the one function that moves a task by it.
//!
//! Reports may come late, twice, or out of order: each is taken, and none moves anything back.

use longshore_protocol::ecs;
use longshore_protocol::status::{DesiredStatus, ReportedStatus, StopCode, TaskStatus};

use super::{Container, Stop, Task, cut_reason};

/// The most port bindings of a container that are kept: more than a definition of 64 KiB can have, on two addresses each.
const MAX_BINDINGS: usize = 2000;

/// What a node says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Where the task is; `None` where only a container is spoken of.
    pub status: Option<ReportedStatus>,
    /// Why, where the node knows better than we.
    pub reason: Option<String>,
    /// Its containers, as far as there is news.
    pub containers: Vec<ContainerReport>,
    /// Milliseconds since 1970.
    pub pull_started: Option<i64>,
    /// Milliseconds since 1970.
    pub pull_stopped: Option<i64>,
    /// Milliseconds since 1970.
    pub execution_stopped: Option<i64>,
}

/// What a node says of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerReport {
    /// Its name in the definition.
    pub name: String,
    /// Where it is.
    pub status: Option<ReportedStatus>,
    /// The runtime's id.
    pub runtime_id: Option<String>,
    /// The image's digest.
    pub image_digest: Option<String>,
    /// How it ended.
    pub exit_code: Option<i32>,
    /// Why.
    pub reason: Option<String>,
    /// Its ports on the host.
    pub network_bindings: Option<Vec<ecs::NetworkBinding>>,
}

/// What a report did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that was not known.
    Nothing,
    /// The task looks different.
    Changed,
    /// The task is to stop by what its node found; the assignment has to say so too.
    Stops,
    /// The task is over: what is reserved for it is free.
    Ended,
}

/// Takes a report into a task at `now` (milliseconds since 1970).
pub fn apply(task: &mut Task, report: &Report, now: i64) -> Effect {
    let before = task.clone();
    for news in &report.containers {
        if let Some(container) = task.containers.iter_mut().find(|each| each.name == news.name) {
            merge(container, news);
        }
    }
    let times = &mut task.times;
    times.pull_started = times.pull_started.or(report.pull_started);
    times.pull_stopped = times.pull_stopped.or(report.pull_stopped);
    times.execution_stopped = times.execution_stopped.or(report.execution_stopped);
    if before.last < TaskStatus::Stopped {
        climb(task, report, now);
    }
    if *task == before {
        return Effect::Nothing;
    }
    task.version = before.version + 1;
    if before.last < TaskStatus::Stopped && task.last == TaskStatus::Stopped {
        Effect::Ended
    } else if before.desired != task.desired {
        Effect::Stops
    } else {
        Effect::Changed
    }
}

/// Later news of a container wins; what comes late only fills gaps.
fn merge(container: &mut Container, news: &ContainerReport) {
    let late = news.status.is_some_and(|status| status < container.status);
    let keep = |old: &mut Option<String>, new: &Option<String>, most: usize| {
        if let Some(new) = new
            .as_ref()
            .filter(|new| !new.is_empty() && (!late || old.is_none()))
        {
            *old = Some(new.chars().take(most).collect());
        }
    };
    keep(&mut container.runtime_id, &news.runtime_id, 255);
    keep(&mut container.image_digest, &news.image_digest, 255);
    if !late {
        keep(&mut container.reason, &news.reason, super::MAX_REASON);
    }
    // The kernel gives one exit code; the first to arrive is it.
    container.exit_code = container.exit_code.or(news.exit_code);
    if let Some(bindings) = &news.network_bindings
        && (!late || container.network_bindings.is_empty())
    {
        container.network_bindings = bindings.iter().take(MAX_BINDINGS).cloned().collect();
    }
    container.status = container.status.max(news.status.unwrap_or(container.status));
}

fn climb(task: &mut Task, report: &Report, now: i64) {
    // One that stopped without an exit code never ran.
    let begun =
        |container: &Container| container.status == ReportedStatus::Running || container.exit_code.is_some();
    let all_begun = task.containers.iter().all(begun);
    match report.status {
        Some(ReportedStatus::Stopped) => return end(task, report, now),
        Some(ReportedStatus::Running) => run(task, now),
        Some(ReportedStatus::Pending) | None if all_begun => run(task, now),
        Some(ReportedStatus::Pending) | None => {
            if task.containers.iter().any(begun) {
                task.advance(TaskStatus::Activating);
            }
        }
    }
    let over = |container: &Container| container.essential && container.status == ReportedStatus::Stopped;
    if task.desired == DesiredStatus::Running && task.containers.iter().any(over) {
        let stop = Stop {
            reason: default_reason(cause(task)).to_owned(),
            code: cause(task),
        };
        task.order_stop(stop, now);
        // The node knows: it is where this comes from.
        task.advance(TaskStatus::Stopping);
        task.times.execution_stopped.get_or_insert(now);
    }
}

fn run(task: &mut Task, now: i64) {
    task.advance(TaskStatus::Running);
    task.times.started.get_or_insert(now);
}

fn end(task: &mut Task, report: &Report, now: i64) {
    let code = cause(task);
    let reason = report.reason.as_deref().filter(|reason| !reason.is_empty());
    let stop = Stop {
        reason: cut_reason(reason.unwrap_or(default_reason(code))),
        code,
    };
    if let Some(known) = &mut task.stop {
        // What we concluded from a container, the node may say better; what a user said stays.
        if known.code != StopCode::UserInitiated && reason.is_some() {
            known.reason = stop.reason;
        }
    } else {
        task.order_stop(stop, now);
    }
    if task.times.started.is_some() {
        task.times.execution_stopped.get_or_insert(now);
    }
    task.end(now);
}

/// A task that ran, or whose essential container left an exit code, has ended by that; another one never began.
fn cause(task: &Task) -> StopCode {
    let exited = |container: &Container| container.essential && container.exit_code.is_some();
    if task.times.started.is_some() || task.containers.iter().any(exited) {
        StopCode::EssentialContainerExited
    } else {
        StopCode::TaskFailedToStart
    }
}

fn default_reason(code: StopCode) -> &'static str {
    match code {
        StopCode::EssentialContainerExited => "Essential container in task exited",
        StopCode::TaskFailedToStart => "Task failed to start",
        StopCode::UserInitiated => "Task stopped by user",
        StopCode::ServiceSchedulerInitiated => "Task stopped by its service's scheduler",
        StopCode::TerminationNotice => "Container instance is gone",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::task;
    use super::*;
    use proptest::prelude::*;

    fn container(name: &str, status: ReportedStatus, exit_code: Option<i32>) -> ContainerReport {
        ContainerReport {
            name: name.into(),
            status: Some(status),
            runtime_id: None,
            image_digest: None,
            exit_code,
            reason: None,
            network_bindings: None,
        }
    }

    fn report(status: Option<ReportedStatus>, containers: Vec<ContainerReport>) -> Report {
        Report {
            status,
            containers,
            ..Report::default()
        }
    }

    fn any_status() -> impl Strategy<Value = ReportedStatus> {
        proptest::sample::select(ReportedStatus::ALL)
    }

    fn any_report() -> impl Strategy<Value = Report> {
        let containers = proptest::collection::vec(
            ("[ab]", any_status(), proptest::option::of(0..255_i32))
                .prop_map(|(name, status, code)| container(&name, status, code)),
            0..3,
        );
        (proptest::option::of(any_status()), containers).prop_map(|(status, list)| report(status, list))
    }

    #[derive(Clone, Debug)]
    enum Event {
        Report(Report),
        Stop,
        StopKnown,
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![8 => any_report().prop_map(Event::Report), 1 => Just(Event::Stop), 1 => Just(Event::StopKnown)]
    }

    proptest! {
        #[test]
        fn nothing_ever_steps_back(events in proptest::collection::vec(any_event(), 0..12)) {
            let mut task = task();
            for (now, event) in (10..).zip(events) {
                let before = task.clone();
                match event {
                    Event::Report(report) => { apply(&mut task, &report, now); }
                    Event::Stop => {
                        task.order_stop(Stop { code: StopCode::UserInitiated, reason: "u".into() }, now);
                    }
                    Event::StopKnown => { task.stop_is_known(); }
                }
                prop_assert!(task.last >= before.last);
                prop_assert!(task.desired >= before.desired);
                prop_assert_eq!(task.version, before.version + i64::from(task != before));
                for (new, old) in task.containers.iter().zip(&before.containers) {
                    prop_assert!(new.status >= old.status);
                    prop_assert!(old.exit_code.is_none() || new.exit_code == old.exit_code);
                }
                if let Some(stop) = &before.stop {
                    prop_assert_eq!(stop.code, task.stop.as_ref().unwrap().code);
                }
                let over = task.last == TaskStatus::Stopped;
                prop_assert_eq!(over, task.times.stopped.is_some());
                prop_assert!(!over || (task.desired == DesiredStatus::Stopped && task.stop.is_some()));
            }
        }

        #[test]
        fn a_report_taken_twice_is_taken_once(reports in proptest::collection::vec(any_report(), 1..6)) {
            let mut task = task();
            for report in &reports {
                apply(&mut task, report, 10);
                prop_assert_eq!(apply(&mut task, report, 20), Effect::Nothing);
            }
        }
    }

    #[test]
    fn a_report_is_kept_as_far_as_it_makes_sense() {
        let mut task = task();
        let mut wild = container("a", ReportedStatus::Running, None);
        wild.network_bindings = Some(vec![ecs::NetworkBinding::default(); 20_000]);
        let wild = report(None, vec![wild]);
        apply(&mut task, &wild, 5);
        assert_eq!(task.containers[0].network_bindings.len(), MAX_BINDINGS);
        assert_eq!(apply(&mut task, &wild, 6), Effect::Nothing);
    }

    #[test]
    fn some_containers_running_is_activating_and_all_is_running() {
        let mut task = task();
        let running = |name| report(None, vec![container(name, ReportedStatus::Running, None)]);
        assert_eq!(apply(&mut task, &running("b"), 5), Effect::Changed);
        assert_eq!((task.last, task.times.started), (TaskStatus::Activating, None));
        apply(&mut task, &running("a"), 6);
        assert_eq!((task.last, task.times.started), (TaskStatus::Running, Some(6)));
    }

    #[test]
    fn a_dependency_that_has_done_its_work_holds_up_nothing_and_stops_nothing() {
        let mut task = task();
        let mut seen = vec![task.last];
        let pending = ReportedStatus::Pending;
        let (running, stopped) = (ReportedStatus::Running, ReportedStatus::Stopped);
        for (now, (status, a, b)) in (5..).zip([
            (pending, pending, (running, None)),
            (pending, pending, (stopped, Some(0))),
            (running, running, (stopped, Some(0))),
        ]) {
            let containers = vec![container("a", a, None), container("b", b.0, b.1)];
            assert_eq!(
                apply(&mut task, &report(Some(status), containers), now),
                Effect::Changed
            );
            seen.push(task.last);
        }
        assert_eq!(
            seen,
            [
                TaskStatus::Pending,
                TaskStatus::Activating,
                TaskStatus::Activating,
                TaskStatus::Running
            ]
        );
        assert_eq!(
            (task.desired, task.times.started),
            (DesiredStatus::Running, Some(7))
        );
        let stop = Stop {
            code: StopCode::UserInitiated,
            reason: "u".into(),
        };
        task.order_stop(stop, 8);
        assert_eq!(task.last, TaskStatus::Deactivating);
        task.stop_is_known();
        assert_eq!(task.last, TaskStatus::Stopping);
    }

    #[test]
    fn a_dependency_that_failed_is_why_the_task_did_not_start() {
        let mut task = task();
        let failed = "TaskDependencyError: container 'a' depends on 'b' with SUCCESS, but 'b' exited with 4";
        let mut a = container("a", ReportedStatus::Stopped, None);
        a.reason = Some(failed.into());
        let b = |status, code| container("b", status, code);
        apply(
            &mut task,
            &report(
                Some(ReportedStatus::Pending),
                vec![b(ReportedStatus::Running, None)],
            ),
            5,
        );
        let mut end = report(
            Some(ReportedStatus::Stopped),
            vec![a, b(ReportedStatus::Stopped, Some(4))],
        );
        end.reason = Some(failed.into());
        assert_eq!(apply(&mut task, &end, 6), Effect::Ended);
        let stop = task.stop.unwrap();
        assert_eq!(
            (stop.code, stop.reason.as_str()),
            (StopCode::TaskFailedToStart, failed)
        );
        assert_eq!((task.containers[0].exit_code, task.times.started), (None, None));
    }

    #[test]
    fn an_essential_exit_stops_the_task_and_is_its_cause() {
        let mut task = task();
        apply(&mut task, &report(Some(ReportedStatus::Running), vec![]), 5);
        let exit = report(None, vec![container("a", ReportedStatus::Stopped, Some(3))]);
        assert_eq!(apply(&mut task, &exit, 6), Effect::Stops);
        assert_eq!(
            (task.last, task.desired),
            (TaskStatus::Stopping, DesiredStatus::Stopped)
        );
        assert_eq!(
            apply(&mut task, &report(Some(ReportedStatus::Stopped), vec![]), 7),
            Effect::Ended
        );
        assert_eq!(task.stop.unwrap().code, StopCode::EssentialContainerExited);
        assert_eq!(task.containers[0].exit_code, Some(3));
        assert_eq!(
            (task.times.execution_stopped, task.times.stopped),
            (Some(6), Some(7))
        );
    }

    #[test]
    fn what_never_ran_failed_to_start() {
        let mut task = task();
        let mut end = report(
            Some(ReportedStatus::Stopped),
            vec![container("a", ReportedStatus::Stopped, None)],
        );
        end.containers[0].reason = Some("CannotPullContainerError: no such image".into());
        assert_eq!(apply(&mut task, &end, 5), Effect::Ended);
        let stop = task.stop.unwrap();
        assert_eq!(
            (stop.code, stop.reason.as_str()),
            (StopCode::TaskFailedToStart, "Task failed to start")
        );
        assert_eq!(task.times.started, None);
        assert!(
            task.containers[0]
                .reason
                .as_ref()
                .unwrap()
                .starts_with("CannotPull")
        );
    }

    #[test]
    fn a_short_task_that_ran_before_it_was_seen_running_did_not_fail_to_start() {
        let mut task = task();
        let end = report(
            Some(ReportedStatus::Stopped),
            vec![container("a", ReportedStatus::Stopped, Some(0))],
        );
        apply(&mut task, &end, 5);
        assert_eq!(task.stop.unwrap().code, StopCode::EssentialContainerExited);
    }

    #[test]
    fn the_users_reason_stays_and_a_late_report_fills_gaps() {
        let mut task = task();
        task.order_stop(
            Stop {
                code: StopCode::UserInitiated,
                reason: "mine".into(),
            },
            5,
        );
        let mut end = report(Some(ReportedStatus::Stopped), vec![]);
        end.reason = Some("theirs".into());
        apply(&mut task, &end, 6);
        assert_eq!(task.stop.as_ref().unwrap().reason, "mine");
        let late = report(
            Some(ReportedStatus::Running),
            vec![container("b", ReportedStatus::Running, Some(143))],
        );
        assert_eq!(apply(&mut task, &late, 9), Effect::Changed);
        assert_eq!((task.last, task.times.started), (TaskStatus::Stopped, None));
        assert_eq!(task.containers[1].exit_code, Some(143));
    }
}
