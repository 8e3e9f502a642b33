//! The sample: a task from a small image in a local registry, watched from RunTask to its log, and if nobody sits at
//! a terminal, to its end.

use std::path::Path;
use std::time::Duration;

use longshore_protocol::ecs;
use serde_json::json;
use tokio::time::Instant;

use super::UpError;
use crate::admin::{self, LogQuery};
use crate::api::Client;
use crate::commands::{describe_tasks, register_definition};
use crate::input::task_id;
use crate::progress::Progress;

/// The repository and tag in the local registry.
pub const REPOSITORY: &str = "longshore/sample";
/// The tag there.
pub const TAG: &str = "1";
const FAMILY: &str = "longshore-sample";
const CONTAINER: &str = "hello";
/// What the sample says first.
const GREETING: &str = "Hello from Longshore";
/// Says a few lines, then waits; ends well when it is asked to.
const SCRIPT: &str = "\
trap 'echo \"Told to stop: bye.\"; exit 0' TERM
echo \"$GREETING: container $(hostname), $(uname -m), $(nproc) CPUs.\"
echo \"Up since $(date -u +%H:%M:%S) UTC; process 1 is $(cat /proc/1/comm).\"
while :; do sleep 1 & wait $!; done";
/// How long a step may take: a pull from loopback and a start take about a second.
const DEADLINE: Duration = Duration::from_secs(120);
/// How often the task is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// A sample task that runs.
#[derive(Debug)]
pub struct Sample {
    /// Its ARN.
    pub task: String,
}

impl Sample {
    /// Runs the sample until it is RUNNING and has said something, and shows both.
    ///
    /// # Errors
    /// [`UpError::Sample`] where the task does something else, [`UpError::Api`], [`UpError::Admin`].
    pub async fn run(
        client: &Client,
        cluster: &str,
        image: &str,
        admin_socket: &Path,
        progress: &Progress,
    ) -> Result<Self, UpError> {
        let definition = definition(image)?;
        let revision = register_definition(client, &definition).await?;
        progress.done(format_args!("task definition  {}", task_id(&revision)));
        let request = ecs::RunTaskRequest {
            cluster: Some(cluster.to_owned()),
            task_definition: Some(revision),
            launch_type: Some("EXTERNAL".to_owned()),
            // Whoever tries the system looks inside.
            enable_execute_command: Some(true),
            client_token: Some(uuid::Uuid::new_v4().to_string()),
            ..Default::default()
        };
        let answer: ecs::RunTaskResponse = client.ecs("RunTask", &request).await?;
        let task = answer
            .tasks
            .unwrap_or_default()
            .into_iter()
            .next()
            .and_then(|task| task.task_arn);
        let Some(task) = task else {
            let why = serde_json::to_string(&answer.failures).unwrap_or_default();
            return Err(failed(format!("RunTask placed nothing: {why}")));
        };
        let sample = Self { task };
        progress.done(format_args!("task             {}", task_id(&sample.task)));
        sample.wait_for(client, cluster, "RUNNING", progress).await?;
        sample.show_log(admin_socket, progress).await?;
        Ok(sample)
    }

    /// Stops it and checks how it ended.
    ///
    /// # Errors
    /// As [`Sample::run`].
    pub async fn stop(&self, client: &Client, cluster: &str, progress: &Progress) -> Result<(), UpError> {
        let request = ecs::StopTaskRequest {
            cluster: Some(cluster.to_owned()),
            task: Some(self.task.clone()),
            reason: Some("the sample was seen".to_owned()),
            force: None,
        };
        let _: ecs::StopTaskResponse = client.ecs("StopTask", &request).await?;
        let stopped = self.wait_for(client, cluster, "STOPPED", progress).await?;
        let codes: Vec<_> = stopped
            .containers
            .iter()
            .flatten()
            .map(|container| container.exit_code)
            .collect();
        match codes.as_slice() {
            [Some(0)] => Ok(()),
            other => Err(failed(format!(
                "it should have ended with exit code 0, but there is {other:?}"
            ))),
        }
    }

    /// Watches the task until it has a status, and shows each on its way.
    async fn wait_for(
        &self,
        client: &Client,
        cluster: &str,
        status: &str,
        progress: &Progress,
    ) -> Result<ecs::Task, UpError> {
        let begun = Instant::now();
        let mut shown = String::new();
        loop {
            let ids = std::slice::from_ref(&self.task);
            let task = describe_tasks(client, cluster, ids)
                .await?
                .tasks
                .unwrap_or_default()
                .into_iter()
                .next();
            let task = task.ok_or_else(|| failed("the control plane has forgotten the task".to_owned()))?;
            let now = task.last_status.clone().unwrap_or_default();
            let why = crate::commands::why(&task);
            if now != shown {
                progress.done(format_args!(
                    "status           {now} after {:.1} s",
                    begun.elapsed().as_secs_f64()
                ));
                shown.clone_from(&now);
            }
            if now == status {
                return Ok(task);
            }
            if now == "STOPPED" {
                return Err(failed(format!("it stopped instead of running: {why}")));
            }
            if begun.elapsed() > DEADLINE {
                return Err(failed(format!(
                    "it is {now} and not {status} after {} s: {why}",
                    DEADLINE.as_secs()
                )));
            }
            progress.say(format!("waiting for {status}: {now} {why}"));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Shows what the task says first, and checks that it is what it should say.
    async fn show_log(&self, admin_socket: &Path, progress: &Progress) -> Result<(), UpError> {
        progress.say("reading its log");
        let query = LogQuery {
            task: task_id(&self.task),
            container: Some(CONTAINER),
            follow: true,
        };
        let read = async {
            let mut logs = admin::logs(admin_socket, &query).await?;
            let mut lines = Vec::new();
            while lines.len() < 2 {
                let Some(record) = logs.next().await? else { break };
                lines.push(record.log.trim_end().to_owned());
            }
            Ok::<_, UpError>(lines)
        };
        let lines = tokio::time::timeout(DEADLINE, read).await;
        let lines = lines.map_err(|_| failed(format!("no log after {} s", DEADLINE.as_secs())))??;
        for line in &lines {
            progress.done(format_args!("log              {line}"));
        }
        match lines.first().is_some_and(|line| line.starts_with(GREETING)) && lines.len() == 2 {
            true => Ok(()),
            false => Err(failed(format!(
                "its log should begin with {GREETING:?}, but is {lines:?}"
            ))),
        }
    }
}

fn failed(why: String) -> UpError {
    UpError::Sample { why }
}

fn definition(image: &str) -> Result<ecs::RegisterTaskDefinitionRequest, UpError> {
    let definition = json!({
        "family": FAMILY,
        "requiresCompatibilities": ["EXTERNAL"],
        "containerDefinitions": [{
            "name": CONTAINER,
            "image": image,
            "memory": 64,
            "command": ["sh", "-c", SCRIPT],
            "environment": [{"name": "GREETING", "value": GREETING}],
            "stopTimeout": 10,
        }],
    });
    serde_json::from_value(definition).map_err(|error| failed(error.to_string()))
}

/// What to copy to look around: for the AWS CLI and for ours, which goes by `longshore`.
#[must_use]
pub fn lines_to_copy(env_file: &Path, longshore: &Path, sample: Option<&Sample>) -> String {
    let env_file = crate::env_file::quote(&env_file.to_string_lossy());
    let longshore = crate::env_file::quote(&longshore.to_string_lossy());
    let mut lines = vec![
        "In another terminal, as root:".to_owned(),
        String::new(),
        format!("  . {env_file}"),
        "  aws ecs list-container-instances".to_owned(),
        "  aws ecs list-tasks".to_owned(),
    ];
    if let Some(sample) = sample {
        let task = task_id(&sample.task);
        lines.push(format!("  aws ecs describe-tasks --tasks {task}"));
        lines.push(format!(
            "  aws ecs run-task --task-definition {FAMILY} --launch-type EXTERNAL"
        ));
        lines.push(format!("  aws ecs stop-task --task {task}"));
        lines.push(format!("  {longshore} logs {task} --follow"));
    }
    lines.push(format!("  {longshore} ps"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_protocol::check::{Check as _, Path as Where};

    #[test]
    fn the_sample_is_a_sound_definition() {
        let definition = definition("127.0.0.1:5000/longshore/sample:1").unwrap();
        definition.check(&Where::ROOT).unwrap();
        let again = serde_json::to_value(&definition).unwrap();
        assert_eq!(again["containerDefinitions"][0]["command"][2], SCRIPT);
    }

    #[test]
    fn the_script_is_a_shell_s_and_ends_well_on_sigterm() {
        let checked = std::process::Command::new("/bin/sh")
            .args(["-n", "-c", SCRIPT])
            .status()
            .unwrap();
        assert!(checked.success());
    }

    #[test]
    fn the_lines_name_the_file_and_the_task() {
        let sample = Sample {
            task: "arn:aws:ecs:r:a:task/default/0a".into(),
        };
        let text = lines_to_copy(Path::new("/a b/env"), Path::new("/c d/longshore"), Some(&sample));
        assert!(
            text.contains("\n  . '/a b/env'\n") && text.contains("--tasks 0a\n"),
            "{text}"
        );
        assert!(text.ends_with("\n  '/c d/longshore' ps"), "{text}");
    }
}
