//! `longshore ps`: the tasks of a cluster.

use longshore_protocol::ecs;

use super::{connect, describe_tasks, list_tasks, short, text, time};
use crate::args::Ps;
use crate::error::Error;
use crate::out;
use crate::table::Table;

pub(super) async fn ps(options: &Ps) -> Result<(), Error> {
    let (client, cluster) = connect(&options.common)?;
    let mut arns = list_tasks(&client, &cluster, "RUNNING").await?;
    // What is being stopped already wants to be STOPPED, yet still runs.
    arns.extend(list_tasks(&client, &cluster, "STOPPED").await?);
    let mut described = describe_tasks(&client, &cluster, &arns).await?;
    let tasks = described.tasks.get_or_insert_default();
    if !options.all {
        tasks.retain(|task| task.last_status.as_deref() != Some("STOPPED"));
    }
    tasks.sort_by_key(|task| task.created_at.map(longshore_protocol::Timestamp::as_millis));
    match options.common.json {
        true => out::json(&described)?,
        false => out::line(table(described.tasks.as_deref().unwrap_or_default()))?,
    }
    Ok(())
}

/// One line a task.
pub(super) fn table(tasks: &[ecs::Task]) -> Table {
    let mut table = Table::new(&[
        "TASK",
        "DEFINITION",
        "STATUS",
        "CONTAINERS",
        "STARTED",
        "NODE",
        "WHY",
    ]);
    for task in tasks {
        let containers: Vec<_> = task.containers.iter().flatten().map(container).collect();
        table.row([
            short(task.task_arn.as_deref()),
            short(task.task_definition_arn.as_deref()),
            status(task),
            containers.join(", "),
            time(task.started_at),
            short(task.container_instance_arn.as_deref()),
            why(task),
        ]);
    }
    table
}

/// Where the task is, and where it goes if that is elsewhere.
fn status(task: &ecs::Task) -> String {
    let (last, desired) = (
        text(task.last_status.as_deref()),
        text(task.desired_status.as_deref()),
    );
    match desired.as_str() {
        "STOPPED" if last != "STOPPED" => format!("{last} → STOPPED"),
        _ => last,
    }
}

/// `web RUNNING`, `job 0`.
fn container(container: &ecs::Container) -> String {
    let name = text(container.name.as_deref());
    match container.exit_code {
        Some(code) => format!("{name} exit {code}"),
        None => format!("{name} {}", text(container.last_status.as_deref())),
    }
}

/// Why it stopped, or what it waits for.
pub(crate) fn why(task: &ecs::Task) -> String {
    let reasons = task
        .containers
        .iter()
        .flatten()
        .filter_map(|each| each.reason.as_deref());
    let reasons: Vec<_> = task
        .stopped_reason
        .as_deref()
        .into_iter()
        .chain(reasons)
        .collect();
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_task_is_one_line() {
        let task: ecs::Task = serde_json::from_value(json!({
            "taskArn": "arn:aws:ecs:r:a:task/default/0a", "taskDefinitionArn": "arn:aws:ecs:r:a:task-definition/web:3",
            "lastStatus": "RUNNING", "desiredStatus": "STOPPED", "startedAt": 1_700_000_000.5,
            "containerInstanceArn": "arn:aws:ecs:r:a:container-instance/default/0b", "stoppedReason": "Task stopped by user",
            "containers": [{"name": "a", "lastStatus": "RUNNING"}, {"name": "b", "lastStatus": "STOPPED", "exitCode": 3,
                "reason": "OutOfMemoryError"}],
        }))
        .unwrap();
        let text = table(&[task]).to_string();
        assert_eq!(
            text.lines().nth(1).unwrap(),
            "0a    web:3       RUNNING → STOPPED  a RUNNING, b exit 3  2023-11-14 22:13:20Z  0b    \
             Task stopped by user; OutOfMemoryError"
        );
    }
}
