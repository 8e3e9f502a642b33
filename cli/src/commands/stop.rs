//! `longshore stop`: StopTask, for each task that is named.

use longshore_protocol::ecs;

use super::{connect, ps};
use crate::args::Stop;
use crate::error::Error;
use crate::out;

pub(super) async fn stop(options: &Stop) -> Result<(), Error> {
    let (client, cluster) = connect(&options.common)?;
    let mut stopped = Vec::new();
    for task in &options.tasks {
        let request = ecs::StopTaskRequest {
            cluster: Some(cluster.clone()),
            task: Some(task.clone()),
            reason: options.reason.clone(),
            force: options.force.then_some(true),
        };
        let answer: ecs::StopTaskResponse = client.ecs("StopTask", &request).await?;
        stopped.extend(answer.task);
    }
    match options.common.json {
        true => out::json(&serde_json::json!({ "tasks": stopped }))?,
        false => out::line(ps::table(&stopped))?,
    }
    Ok(())
}
