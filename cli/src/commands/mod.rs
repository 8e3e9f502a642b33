//! The commands of the client, one file each.

mod activate;
mod describe;
mod exec;
mod logs;
mod nodes;
mod ps;
mod run;
mod stop;

use std::path::Path;
use std::process::ExitCode;

pub(crate) use activate::ROLE;
use longshore_protocol::ecs;
pub(crate) use ps::why;
pub(crate) use run::register as register_definition;

use crate::api::{ApiError, Client};
use crate::args::{Command, Common};
use crate::error::Error;
use crate::settings::{Settings, default_up_dir};

/// Carries a command out, with the exit code if nothing is wrong with it.
///
/// # Errors
/// What the exit code tells; see [`crate::error::EXIT_CODES`].
pub async fn carry_out(command: Command) -> Result<ExitCode, Error> {
    let done = match command {
        Command::Exec(options) => return exec::exec(&options).await,
        Command::Up(options) => crate::up::up(options).await.map_err(Error::from),
        Command::Run(options) => run::run(options).await,
        Command::Ps(options) => ps::ps(&options).await,
        Command::Describe(options) => describe::describe(&options).await,
        Command::Logs(options) => logs::logs(&options).await,
        Command::Stop(options) => stop::stop(&options).await,
        Command::Nodes(options) => nodes::nodes(&options).await,
        Command::Activate(options) => activate::activate(&options).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// The folder that `up` takes where nobody says.
#[must_use]
pub fn up_dir() -> std::path::PathBuf {
    default_up_dir(nix::unistd::geteuid().is_root(), |name| std::env::var(name).ok())
}

/// A client and the cluster that is meant.
fn connect(common: &Common) -> Result<(Client, String), Error> {
    connect_to(common.env.as_deref(), common.cluster.as_deref())
}

fn connect_to(folder: Option<&Path>, cluster: Option<&str>) -> Result<(Client, String), Error> {
    let settings = Settings::find(folder, &up_dir(), |name| std::env::var(name).ok())?;
    let cluster = cluster.unwrap_or(&settings.cluster).to_owned();
    Ok((Client::new(settings)?, cluster))
}

/// The most tasks or instances that one call describes.
const DESCRIBED_AT_ONCE: usize = 100;

/// The ARNs of tasks with a desired status, all pages.
pub async fn list_tasks(client: &Client, cluster: &str, desired: &str) -> Result<Vec<String>, ApiError> {
    let mut arns = Vec::new();
    let mut next_token = None;
    loop {
        let request = ecs::ListTasksRequest {
            cluster: Some(cluster.to_owned()),
            desired_status: Some(desired.to_owned()),
            next_token,
            ..Default::default()
        };
        let page: ecs::ListTasksResponse = client.ecs("ListTasks", &request).await?;
        arns.extend(page.task_arns.unwrap_or_default());
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            return Ok(arns);
        }
    }
}

/// Tasks by id or ARN, and those that are not there.
pub async fn describe_tasks(
    client: &Client,
    cluster: &str,
    ids: &[String],
) -> Result<ecs::DescribeTasksResponse, ApiError> {
    let mut all = ecs::DescribeTasksResponse::default();
    for ids in ids.chunks(DESCRIBED_AT_ONCE) {
        let request = ecs::DescribeTasksRequest {
            cluster: Some(cluster.to_owned()),
            tasks: Some(ids.to_vec()),
            include: Some(vec!["TAGS".to_owned()]),
        };
        let some: ecs::DescribeTasksResponse = client.ecs("DescribeTasks", &request).await?;
        all.tasks
            .get_or_insert_default()
            .extend(some.tasks.unwrap_or_default());
        all.failures
            .get_or_insert_default()
            .extend(some.failures.unwrap_or_default());
    }
    Ok(all)
}

/// The container instances of a cluster, all pages.
pub async fn describe_instances(
    client: &Client,
    cluster: &str,
) -> Result<Vec<ecs::ContainerInstance>, ApiError> {
    let mut instances = Vec::new();
    let mut next_token = None;
    loop {
        let request = ecs::ListContainerInstancesRequest {
            cluster: Some(cluster.to_owned()),
            next_token,
            ..Default::default()
        };
        let page: ecs::ListContainerInstancesResponse =
            client.ecs("ListContainerInstances", &request).await?;
        let arns = page.container_instance_arns.unwrap_or_default();
        if !arns.is_empty() {
            let request = ecs::DescribeContainerInstancesRequest {
                cluster: Some(cluster.to_owned()),
                container_instances: Some(arns),
                ..Default::default()
            };
            let some: ecs::DescribeContainerInstancesResponse =
                client.ecs("DescribeContainerInstances", &request).await?;
            instances.extend(some.container_instances.unwrap_or_default());
        }
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            return Ok(instances);
        }
    }
}

/// The last part of an ARN: what people type.
fn short(arn: Option<&str>) -> String {
    crate::input::task_id(arn.unwrap_or_default()).to_owned()
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

/// A time as people read it: UTC, to the second.
fn time(value: Option<longshore_protocol::Timestamp>) -> String {
    let shown = |time: longshore_protocol::Timestamp| {
        let time = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?;
        Some(time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
    };
    value.and_then(shown).unwrap_or_default()
}

/// What RunTask or DescribeTasks could not do, on standard error; whether there was anything.
fn tell_failures(failures: Option<&[ecs::Failure]>) -> bool {
    let failures = failures.unwrap_or_default();
    for failure in failures {
        let detail = failure
            .detail
            .as_deref()
            .map(|detail| format!(" ({detail})"))
            .unwrap_or_default();
        let (arn, reason) = (text(failure.arn.as_deref()), text(failure.reason.as_deref()));
        crate::out::note(format_args!("{arn}: {reason}{detail}"));
    }
    !failures.is_empty()
}
