//! What has to be true when everything is at rest: what the client was told, the control plane, the agent, and containerd
//! with the host.

use std::time::{Duration, SystemTime};

use aws_sdk_ecs::types::{Container, Resource};
use serde_json::Value;

use crate::client::{LINES, Run};
use crate::ends::{Seen, lie};
use crate::leftovers;
use crate::system::System;

/// How long after it began the container ends by which others are told to stop.
const ENDS_AFTER: Duration = Duration::from_secs(1);
/// What times of files lag behind the clock.
const TICK: Duration = Duration::from_millis(20);

/// What is not yet at rest; empty when everything is.
pub async fn unrest(system: &System, runs: &[Run]) -> Vec<String> {
    let mut left: Vec<String> = runs.iter().filter_map(still_going).collect();
    if !left.is_empty() {
        return left;
    }
    left.extend(held(system).await);
    left.extend(system.left().await);
    left.extend(leftovers::at_rest(system));
    left.extend(
        runs.iter()
            .filter_map(|run| agent_differs(&agents_tasks(system), run)),
    );
    left
}

fn still_going(run: &Run) -> Option<String> {
    let task = run.last.as_ref()?;
    let ended = task.last_status() == Some("STOPPED");
    (!ended).then(|| {
        let containers: Vec<_> = task.containers().iter().map(Container::last_status).collect();
        format!(
            "task {} ({:?}): {:?}, containers {containers:?}",
            run.arn,
            run.kind,
            task.last_status()
        )
    })
}

/// What the control plane takes for used although nothing runs.
async fn held(system: &System) -> Vec<String> {
    let Ok(list) = system.ecs.list_container_instances().send().await else {
        return vec!["the control plane does not answer".to_owned()];
    };
    let arns = list.container_instance_arns;
    let describe = system.ecs.describe_container_instances();
    let Ok(answer) = describe.set_container_instances(arns).send().await else {
        return vec!["the control plane does not answer".to_owned()];
    };
    let mut left = Vec::new();
    let instances = answer.container_instances.unwrap_or_default();
    if instances.len() != 1 {
        left.push(format!("{} container instances", instances.len()));
    }
    for instance in instances {
        let counts = (instance.running_tasks_count(), instance.pending_tasks_count());
        if counts != (0, 0) {
            left.push(format!("running and pending tasks: {counts:?}"));
        }
        let (mut all, mut free) = (
            values(instance.registered_resources()),
            values(instance.remaining_resources()),
        );
        all.sort();
        free.sort();
        if all != free {
            left.push(format!("resources: {all:?}, free {free:?}"));
        }
    }
    left
}

fn values(resources: &[Resource]) -> Vec<String> {
    let value = |resource: &Resource| {
        let mut set = resource.string_set_value().to_vec();
        set.sort();
        format!("{:?}={}{set:?}", resource.name(), resource.integer_value())
    };
    resources.iter().map(value).collect()
}

/// The tasks that the agent has, by its own account.
pub fn agents_tasks(system: &System) -> Value {
    let output = system.agent.ask("tasks", &["--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// How the agent's view of a task differs from what the client was told. A task that was stopped before it came to the
/// agent is none of its.
fn agent_differs(view: &Value, run: &Run) -> Option<String> {
    let Some(tasks) = view["tasks"].as_array() else {
        return Some("the agent does not answer".to_owned());
    };
    let told = run.last.as_ref()?;
    let own = tasks.iter().find(|task| task["taskArn"] == run.arn.as_str());
    let Some(own) = own else {
        return (starts(run, None) > 0).then(|| format!("the agent has forgotten {}", run.arn));
    };
    let same_end = |container: &Container| {
        let known = own["containers"].as_array().into_iter().flatten();
        let mut known = known.filter(|known| known["name"].as_str() == container.name());
        known.any(|known| {
            let code = known["exitCode"].as_i64();
            known["lastStatus"] == "STOPPED" && code == container.exit_code().map(i64::from)
        })
    };
    // Of a task whose end came with the first word of it, the agent has no containers.
    let never_ran = own["containers"] == Value::Array(Vec::new())
        && starts(run, None) == 0
        && told
            .containers()
            .iter()
            .all(|container| container.exit_code().is_none());
    let same = own["lastStatus"] == "STOPPED" && (never_ran || told.containers().iter().all(same_end));
    (!same).then(|| format!("the agent has {own}, the client was told {told:?}"))
}

/// What is wrong with what was told of a task that has ended.
pub fn lies(system: &System, run: &Run) -> Vec<String> {
    let mut lies = run.faults.clone();
    let Some(task) = &run.last else { return lies };
    for container in task.containers() {
        let name = container.name().unwrap_or_default();
        let seen = Seen {
            kind: run.kind,
            name,
            stopped: run.stopped,
            shim_killed: run.shim_killed,
            started: starts(run, Some(name)),
            stopped_early: stopped_early(run, name),
            code: container.exit_code(),
            reason: container.reason().unwrap_or_default(),
        };
        lies.extend(lie(&seen).map(|what| format!("{what}: {seen:?}, {container:?}")));
    }
    if run.kind == crate::plan::Kind::Lines && !run.shim_killed {
        lies.extend(lines_lie(system, run));
    }
    lies
}

/// How often a container started, by its own witness; all of them without a name.
fn starts(run: &Run, name: Option<&str>) -> usize {
    let entries = std::fs::read_dir(&run.witness).into_iter().flatten().flatten();
    let of = entries.filter(|entry| name.is_none_or(|name| entry.file_name() == name));
    of.map(|entry| {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        text.lines().count()
    })
    .sum()
}

/// Whether a container may have been told to stop before it began, by its own witness: the client had asked for that, or its
/// neighbour, which ends a second after it began, had not begun or may have ended.
fn stopped_early(run: &Run, name: &str) -> bool {
    let began = |name: &str| std::fs::metadata(run.witness.join(name)).and_then(|file| file.modified());
    let Ok(own) = began(name) else { return true };
    let neighbour = || match began("app") {
        Ok(began) => began + ENDS_AFTER,
        Err(_) => SystemTime::UNIX_EPOCH,
    };
    let neighbour = (run.kind == crate::plan::Kind::Several && name != "app").then(neighbour);
    let told = run.stop_asked.into_iter().chain(neighbour).min();
    told.is_some_and(|told| told <= own + TICK)
}

/// The lines of a writer: all of them if it came to its end, else the first ones, each once and in order.
fn lines_lie(system: &System, run: &Run) -> Option<String> {
    if starts(run, None) == 0 {
        return None;
    }
    // Standard output alone: an OCI runtime that could not begin, as when its containerd died, says so on the other.
    let logs = system.agent.ask("logs", &[run.id(), "-c", "app"]).stdout;
    let logs = String::from_utf8_lossy(&logs);
    let numbers: Vec<_> = logs.lines().map(str::to_owned).collect();
    let wrong = numbers
        .iter()
        .enumerate()
        .find(|(place, line)| **line != format!("line {place}"));
    if let Some((place, line)) = wrong {
        return Some(format!("{}: line {place} in its log is {line:?}", run.arn));
    }
    let app = run.last.as_ref()?.containers().first()?;
    let whole = app.exit_code() == Some(0);
    (whole && numbers.len() != LINES)
        .then(|| format!("{}: {} of {LINES} lines are in its log", run.arn, numbers.len()))
}

/// What the logs say of a task.
pub fn history(system: &System, run: &Run) -> String {
    let logs = [system.agent.output(), system.containerd.output()].join("\n");
    let lines = logs.lines().filter(|line| line.contains(run.id()));
    lines.map(|line| format!("{line}\n")).collect()
}
