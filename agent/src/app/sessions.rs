//! What sessions know of the node's tasks.

use std::sync::Arc;

use longshore_protocol::arn::TaskArn;

use super::answers::Desk;
use crate::admin::LogQuery;
use crate::config::ExecConfig;
use crate::exec::{Containers, Records, Settings};
use crate::model::{ContainerId, KnownStatus};
use crate::reconcile::TaskView;

impl Containers for Desk {
    fn running(&self, task: &TaskArn, container: &str) -> Result<ContainerId, String> {
        let (view, index) = find(self, task, container)?;
        let takes_commands = view.state.task().is_some_and(|task| task.enable_execute_command);
        if !takes_commands {
            return Err("the task was not run with enableExecuteCommand".to_owned());
        }
        let record = view.state.record.containers.get(usize::from(index));
        match record.map(|record| record.known) {
            Some(KnownStatus::Running) => Ok(view.state.container_id(index)),
            Some(known) => Err(format!(
                "container {container} does not run: it is {}",
                known.as_str()
            )),
            None => Err(format!("container {container} does not run")),
        }
    }

    fn known(&self, task: &TaskArn, container: &str) -> Result<ContainerId, String> {
        let (view, index) = find(self, task, container)?;
        Ok(view.state.container_id(index))
    }

    fn records(&self, task: &TaskArn, container: &str, follow: bool) -> Result<Records, String> {
        let query = query(task, container, follow);
        self.records(&query).map_err(|refusal| refusal.to_string())
    }
}

fn find(desk: &Desk, task: &TaskArn, container: &str) -> Result<(Arc<TaskView>, u16), String> {
    let found = desk.find(&query(task, container, false));
    let (view, index, _) = found.map_err(|refusal| refusal.to_string())?;
    Ok((view, index))
}

fn query(task: &TaskArn, container: &str, follow: bool) -> LogQuery {
    LogQuery {
        task: task.to_string(),
        container: Some(container.to_owned()),
        follow,
        tail: None,
    }
}

/// From the agent's settings.
pub(super) fn settings(config: &ExecConfig) -> Settings {
    Settings {
        most: config.max_sessions,
        idle: config.idle_timeout,
        longest: config.max_duration,
    }
}
