//! `longshore run`: RegisterTaskDefinition from a file, RunTask, and on demand the wait for the end.

use std::time::Duration;

use longshore_protocol::ecs;

use super::{connect, describe_tasks, ps, tell_failures};
use crate::api::Client;
use crate::args::Run;
use crate::error::Error;
use crate::progress::Progress;
use crate::{input, out};

/// How often a task is looked at while it is waited for.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn run(options: Run) -> Result<(), Error> {
    let overrides = input::overrides(&options.overrides)?;
    let definition = options.file.as_deref().map(input::task_definition).transpose()?;
    let (client, cluster) = connect(&options.common)?;
    let task_definition = match definition {
        Some(definition) => Some(register(&client, &definition).await?),
        None => options.task_definition,
    };
    let request = ecs::RunTaskRequest {
        cluster: Some(cluster.clone()),
        task_definition,
        count: Some(options.count),
        launch_type: Some("EXTERNAL".to_owned()),
        overrides,
        enable_execute_command: options.enable_execute_command.then_some(true),
        // A call that is made again must not start the tasks again.
        client_token: Some(uuid::Uuid::new_v4().to_string()),
        ..Default::default()
    };
    let answer: ecs::RunTaskResponse = client.ecs("RunTask", &request).await?;
    let tasks = answer.tasks.clone().unwrap_or_default();
    let ended = match options.wait && !tasks.is_empty() {
        true => wait(&client, &cluster, &tasks).await?,
        false => tasks,
    };
    match options.common.json {
        true => out::json(&ecs::RunTaskResponse {
            tasks: Some(ended.clone()),
            failures: answer.failures.clone(),
        })?,
        false if ended.is_empty() => {}
        false => out::line(ps::table(&ended))?,
    }
    if tell_failures(answer.failures.as_deref()) {
        let placed = ended.len();
        return Err(Error::Tasks(format!(
            "{placed} of {} tasks were placed",
            options.count
        )));
    }
    if options.wait && !ended.iter().all(ended_well) {
        return Err(Error::Tasks("a task did not end with exit code 0".to_owned()));
    }
    Ok(())
}

/// Registers a definition, and gives the ARN of its revision.
pub(crate) async fn register(
    client: &Client,
    definition: &ecs::RegisterTaskDefinitionRequest,
) -> Result<String, crate::api::ApiError> {
    let answer: ecs::RegisterTaskDefinitionResponse =
        client.ecs("RegisterTaskDefinition", definition).await?;
    let arn = answer
        .task_definition
        .and_then(|definition| definition.task_definition_arn);
    Ok(arn.unwrap_or_default())
}

/// Whether every container ran and ended with 0.
fn ended_well(task: &ecs::Task) -> bool {
    task.containers
        .iter()
        .flatten()
        .all(|container| container.exit_code == Some(0))
}

/// Waits until all have stopped.
async fn wait(client: &Client, cluster: &str, tasks: &[ecs::Task]) -> Result<Vec<ecs::Task>, Error> {
    let ids: Vec<_> = tasks.iter().filter_map(|task| task.task_arn.clone()).collect();
    let progress = Progress::start();
    loop {
        let described = describe_tasks(client, cluster, &ids).await?;
        if tell_failures(described.failures.as_deref()) {
            return Err(Error::Tasks("a task is no longer known".to_owned()));
        }
        let tasks = described.tasks.unwrap_or_default();
        let stopped = tasks
            .iter()
            .filter(|task| task.last_status.as_deref() == Some("STOPPED"))
            .count();
        if stopped == ids.len() {
            return Ok(tasks);
        }
        let waits = tasks
            .iter()
            .find(|task| task.last_status.as_deref() != Some("STOPPED"));
        let status = waits
            .and_then(|task| task.last_status.clone())
            .unwrap_or_default();
        let why = waits
            .map(ps::why)
            .filter(|why| !why.is_empty())
            .map(|why| format!(": {why}"))
            .unwrap_or_default();
        progress.say(format!("{stopped} of {} stopped; {status}{why}", ids.len()));
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exit_codes_of_0_end_well() {
        let task = |codes: &[Option<i32>]| ecs::Task {
            containers: Some(
                codes
                    .iter()
                    .map(|code| ecs::Container {
                        exit_code: *code,
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        };
        assert!(ended_well(&task(&[Some(0), Some(0)])));
        assert!(!ended_well(&task(&[Some(0), Some(1)])));
        assert!(!ended_well(&task(&[Some(0), None])));
    }
}
