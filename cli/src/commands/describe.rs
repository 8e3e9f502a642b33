//! `longshore describe`: everything about tasks, a line a fact.

use longshore_protocol::ecs;

use super::{connect, describe_tasks, tell_failures, text, time};
use crate::args::Tasks;
use crate::error::Error;
use crate::out;
use crate::table::Table;

pub(super) async fn describe(options: &Tasks) -> Result<(), Error> {
    let (client, cluster) = connect(&options.common)?;
    let described = describe_tasks(&client, &cluster, &options.tasks).await?;
    if options.common.json {
        out::json(&described)?;
    } else {
        for task in described.tasks.iter().flatten() {
            out::line(facts(task))?;
            out::line(containers(task))?;
            out::line("")?;
        }
    }
    if tell_failures(described.failures.as_deref()) {
        return Err(Error::Tasks("some tasks are not there".to_owned()));
    }
    Ok(())
}

fn facts(task: &ecs::Task) -> Table {
    let mut table = Table::new(&["TASK", ""]);
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([name.to_owned(), value]);
        }
    };
    let arn = |value: &Option<String>| text(value.as_deref());
    fact("arn", arn(&task.task_arn));
    fact("definition", arn(&task.task_definition_arn));
    fact("node", arn(&task.container_instance_arn));
    fact("group", arn(&task.group));
    fact("startedBy", arn(&task.started_by));
    fact("lastStatus", arn(&task.last_status));
    fact("desiredStatus", arn(&task.desired_status));
    fact("connectivity", arn(&task.connectivity));
    fact("cpu", arn(&task.cpu));
    fact("memory", arn(&task.memory));
    for (name, at) in [
        ("createdAt", task.created_at),
        ("pullStartedAt", task.pull_started_at),
        ("pullStoppedAt", task.pull_stopped_at),
        ("startedAt", task.started_at),
        ("stoppingAt", task.stopping_at),
        ("executionStoppedAt", task.execution_stopped_at),
        ("stoppedAt", task.stopped_at),
    ] {
        fact(name, time(at));
    }
    fact("stopCode", arn(&task.stop_code));
    fact("stoppedReason", arn(&task.stopped_reason));
    for tag in task.tags.iter().flatten() {
        fact(
            "tag",
            format!("{}={}", text(tag.key.as_deref()), text(tag.value.as_deref())),
        );
    }
    table
}

fn containers(task: &ecs::Task) -> Table {
    let header = &[
        "CONTAINER",
        "STATUS",
        "EXIT",
        "CPU",
        "MEMORY",
        "IMAGE",
        "PORTS",
        "GPUS",
        "REASON",
    ];
    let mut table = Table::new(header);
    for each in task.containers.iter().flatten() {
        let ports: Vec<_> = each.network_bindings.iter().flatten().map(binding).collect();
        table.row([
            text(each.name.as_deref()),
            text(each.last_status.as_deref()),
            each.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            text(each.cpu.as_deref()),
            text(each.memory.as_deref().or(each.memory_reservation.as_deref())),
            text(each.image.as_deref()),
            ports.join(", "),
            each.gpu_ids.as_deref().unwrap_or_default().join(", "),
            text(each.reason.as_deref()),
        ]);
    }
    table
}

/// `0.0.0.0:32768→80/tcp`.
fn binding(binding: &ecs::NetworkBinding) -> String {
    let number = |port: Option<i32>| port.map(|port| port.to_string()).unwrap_or_default();
    format!(
        "{}:{}→{}/{}",
        text(binding.bind_ip.as_deref()),
        number(binding.host_port),
        number(binding.container_port),
        text(binding.protocol.as_deref())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_that_are_not_there_have_no_line() {
        let task: ecs::Task = serde_json::from_value(json!({
            "taskArn": "t", "lastStatus": "STOPPED", "stoppedAt": 0, "tags": [{"key": "k", "value": "v"}],
            "containers": [{"name": "a", "exitCode": 0, "memory": "32", "gpuIds": ["g"], "networkBindings": [
                {"bindIP": "0.0.0.0", "hostPort": 32768, "containerPort": 80, "protocol": "tcp"}]}],
        }))
        .unwrap();
        let shown = facts(&task).to_string();
        let names: Vec<_> = shown
            .lines()
            .skip(1)
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        assert_eq!(names, ["arn", "lastStatus", "stoppedAt", "tag"]);
        let shown = containers(&task).to_string();
        let cells: Vec<_> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            cells,
            ["a", "-", "0", "-", "32", "-", "0.0.0.0:32768→80/tcp", "g", "-"]
        );
    }
}
