//! `longshore-agent status`, `tasks` and `logs`: questions to the agent that runs here.

use std::io::Write as _;

use clap::Args;
use longshore_protocol::json_file::{Record, Stream};

use super::{Failure, block_on, print};
use crate::admin::{AdminClient, LogQuery, Status, Tasks};
use crate::config::Config;

/// Which output to show.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// The task's id or ARN
    task: String,
    /// The container, where the task has several
    #[arg(short, long, value_name = "CONTAINER")]
    container: Option<String>,
    /// Go on with what is printed from now on
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
}

pub(super) fn status(config: &Config, json: bool) -> Result<(), Failure> {
    let status: Status = ask(config, "/v1/status")?;
    match json {
        true => print(&lines(&status)?),
        false => print(&status_text(&status)),
    }
}

pub(super) fn tasks(config: &Config, json: bool) -> Result<(), Failure> {
    let tasks: Tasks = ask(config, "/v1/tasks")?;
    match json {
        true => print(&lines(&tasks)?),
        false => print(&tasks_text(&tasks)),
    }
}

pub(super) fn logs(config: &Config, args: &LogsArgs) -> Result<(), Failure> {
    let query = LogQuery {
        task: args.task.clone(),
        container: args.container.clone(),
        follow: args.follow,
        tail: args.tail,
    };
    block_on(async {
        let mut lines = client(config).logs(&query).await?;
        while let Some(record) = lines.next::<Record>().await? {
            match write(&record) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(Failure::Output(error)),
                Ok(()) => {}
            }
        }
        Ok(())
    })
}

/// Each stream goes where the container sent it.
fn write(record: &Record) -> std::io::Result<()> {
    match record.stream {
        Stream::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(record.log.as_bytes())?;
            out.flush()
        }
        Stream::Stderr => std::io::stderr().lock().write_all(record.log.as_bytes()),
    }
}

fn client(config: &Config) -> AdminClient {
    AdminClient::new(&config.admin_socket)
}

fn ask<T: serde::de::DeserializeOwned>(config: &Config, path: &str) -> Result<T, Failure> {
    block_on(async { Ok(client(config).get(path).await?) })
}

fn lines<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Output(error.into()))?;
    Ok(text + "\n")
}

fn status_text(status: &Status) -> String {
    let link = match (status.connected, &status.last_error) {
        (true, _) => format!("connected since {}", status.since),
        (false, Some(error)) => format!("not connected since {}: {error}", status.since),
        (false, None) => format!("not connected yet, since {}", status.since),
    };
    let absent = || "none yet".to_owned();
    let mut rows = vec![
        ("control plane", format!("{}, {link}", status.endpoint)),
        ("node", status.instance_id.clone()),
        ("cluster", status.cluster.clone()),
        (
            "container instance",
            status.container_instance_arn.clone().unwrap_or_else(absent),
        ),
        ("agent", status.agent_version.clone()),
        (
            "runtime",
            match status.runtime_version.as_str() {
                "" => "does not answer".to_owned(),
                version => version.to_owned(),
            },
        ),
        ("tasks", status.tasks.to_string()),
    ];
    rows.extend(status.trouble.iter().map(|trouble| ("trouble", trouble.clone())));
    rows.extend(status.warnings.iter().map(|warning| ("warning", warning.clone())));
    rows.iter()
        .map(|(name, value)| format!("{name:<20}{value}\n"))
        .collect()
}

fn tasks_text(tasks: &Tasks) -> String {
    let mut rows = vec![
        [
            "TASK",
            "DEFINITION",
            "CONTAINER",
            "STATUS",
            "RESTARTS",
            "EXIT",
            "REASON",
        ]
        .map(str::to_owned),
    ];
    for task in &tasks.tasks {
        let last = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
        for container in &task.containers {
            rows.push([
                last(&task.task_arn),
                last(&task.task_definition_arn),
                container.name.clone(),
                container.last_status.clone(),
                container.restart_count.to_string(),
                container
                    .exit_code
                    .map(|code| code.to_string())
                    .unwrap_or_default(),
                container.reason.clone().unwrap_or_default(),
            ]);
        }
    }
    table(&rows)
}

/// Columns as wide as their widest cell; the last one runs free.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{ContainerView, TaskView};

    #[test]
    fn tasks_are_a_table_with_a_row_a_container() {
        let container = |name: &str, exit_code| ContainerView {
            name: name.to_owned(),
            runtime_id: "x-0".to_owned(),
            last_status: "STOPPED".to_owned(),
            health_status: "UNKNOWN".to_owned(),
            restart_count: 2,
            exit_code,
            reason: None,
        };
        let tasks = Tasks {
            tasks: vec![TaskView {
                task_arn: "arn:aws:ecs:us-east-1:000000000000:task/default/0a".to_owned(),
                task_definition_arn: "arn:aws:ecs:us-east-1:000000000000:task-definition/web:3".to_owned(),
                last_status: "STOPPED".to_owned(),
                health_status: "UNKNOWN".to_owned(),
                desired_status: "STOPPED".to_owned(),
                containers: vec![container("app", Some(0)), container("sidecar", None)],
            }],
        };
        assert_eq!(
            tasks_text(&tasks),
            "TASK  DEFINITION  CONTAINER  STATUS   RESTARTS  EXIT  REASON\n\
             0a    web:3       app        STOPPED  2         0\n\
             0a    web:3       sidecar    STOPPED  2\n"
        );
    }

    #[test]
    fn a_lost_link_is_told_with_its_reason() {
        let status = Status {
            agent_version: "0.1.0".to_owned(),
            runtime_version: String::new(),
            instance_id: "mi-0123456789abcdef0".to_owned(),
            container_instance_arn: None,
            cluster: "default".to_owned(),
            endpoint: "http://127.0.0.1:8474".to_owned(),
            connected: false,
            since: "2026-01-01T00:00:00Z".to_owned(),
            last_error: Some("no answer".to_owned()),
            trouble: Some("agent.db can't be written".to_owned()),
            tasks: 2,
            warnings: vec!["ECS_X: is no setting".to_owned()],
        };
        let text = status_text(&status);
        assert!(
            text.contains("not connected since 2026-01-01T00:00:00Z: no answer"),
            "{text}"
        );
        assert!(text.contains("runtime             does not answer"), "{text}");
        assert!(
            text.contains("trouble             agent.db can't be written"),
            "{text}"
        );
        assert!(
            text.contains("warning             ECS_X: is no setting"),
            "{text}"
        );
    }
}
