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
        match client.ecs::<_, ecs::StopTaskResponse>("StopTask", &request).await {
            Ok(answer) => stopped.extend(answer.task),
            // The others shall be stopped all the same.
            Err(error) if error.is_about_the_request() => out::note(format_args!("{task}: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    match options.common.json {
        true => out::json(&serde_json::json!({ "tasks": stopped }))?,
        false if stopped.is_empty() => {}
        false => out::line(ps::table(&stopped))?,
    }
    let (left, all) = (options.tasks.len() - stopped.len(), options.tasks.len());
    match left {
        0 => Ok(()),
        left => Err(Error::Tasks(format!(
            "{left} of {all} tasks could not be stopped"
        ))),
    }
}
