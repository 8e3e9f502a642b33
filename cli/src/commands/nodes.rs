//! `longshore nodes`: the machines of a cluster and what they have left.

use longshore_protocol::ecs;

use super::{connect, describe_instances, short, text};
use crate::args::Nodes;
use crate::error::Error;
use crate::out;
use crate::table::Table;

pub(super) async fn nodes(options: &Nodes) -> Result<(), Error> {
    let (client, cluster) = connect(&options.common)?;
    let instances = describe_instances(&client, &cluster).await?;
    match options.common.json {
        true => out::json(&ecs::DescribeContainerInstancesResponse {
            container_instances: Some(instances),
            failures: Some(Vec::new()),
        })?,
        false => out::line(table(&instances))?,
    }
    Ok(())
}

fn table(instances: &[ecs::ContainerInstance]) -> Table {
    let header = &[
        "NODE",
        "INSTANCE",
        "STATUS",
        "AGENT",
        "TASKS",
        "CPU LEFT",
        "MEMORY LEFT",
        "GPUS LEFT",
        "VERSION",
    ];
    let mut table = Table::new(header);
    for each in instances {
        let tasks = each.running_tasks_count.unwrap_or(0) + each.pending_tasks_count.unwrap_or(0);
        let connected = if each.agent_connected == Some(true) {
            "connected"
        } else {
            "away"
        };
        let version = each
            .version_info
            .as_ref()
            .and_then(|info| info.agent_version.as_deref());
        table.row([
            short(each.container_instance_arn.as_deref()),
            text(each.ec2_instance_id.as_deref()),
            text(each.status.as_deref()),
            connected.to_owned(),
            tasks.to_string(),
            left(each, "CPU", amount),
            left(each, "MEMORY", amount),
            left(each, "GPU", count),
            text(version),
        ]);
    }
    table
}

/// `left of all`, by what is registered and what remains; nothing where the machine has none.
fn left(instance: &ecs::ContainerInstance, name: &str, value: fn(&ecs::Resource) -> i64) -> String {
    let find = |resources: &Option<Vec<ecs::Resource>>| {
        let found = resources
            .iter()
            .flatten()
            .find(|each| each.name.as_deref() == Some(name));
        found.map(value)
    };
    match (
        find(&instance.remaining_resources),
        find(&instance.registered_resources),
    ) {
        (Some(left), Some(all)) => format!("{left} of {all}"),
        _ => String::new(),
    }
}

fn amount(resource: &ecs::Resource) -> i64 {
    resource.integer_value.unwrap_or(0).into()
}

fn count(resource: &ecs::Resource) -> i64 {
    resource.string_set_value.as_ref().map_or(0, Vec::len) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_is_one_line() {
        let resources = |cpu: i32, gpus: &[&str]| {
            json!([{"name": "CPU", "type": "INTEGER", "integerValue": cpu},
                {"name": "GPU", "type": "STRINGSET", "stringSetValue": gpus}])
        };
        let node: ecs::ContainerInstance = serde_json::from_value(json!({
            "containerInstanceArn": "arn:aws:ecs:r:a:container-instance/default/0b", "ec2InstanceId": "mi-1",
            "status": "ACTIVE", "agentConnected": true, "runningTasksCount": 2, "pendingTasksCount": 1,
            "registeredResources": resources(2048, &["a", "b"]), "remainingResources": resources(1024, &["b"]),
            "versionInfo": {"agentVersion": "0.1.0"},
        }))
        .unwrap();
        let text = table(&[node]).to_string();
        let cells: Vec<_> = text
            .lines()
            .nth(1)
            .unwrap()
            .split("  ")
            .filter(|cell| !cell.is_empty())
            .collect();
        let cells: Vec<_> = cells.iter().map(|cell| cell.trim()).collect();
        assert_eq!(
            cells,
            [
                "0b",
                "mi-1",
                "ACTIVE",
                "connected",
                "3",
                "1024 of 2048",
                "-",
                "1 of 2",
                "0.1.0"
            ]
        );
    }
}
