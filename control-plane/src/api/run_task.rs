//! RunTask and StartTask: what is asked for is judged as a whole before anything is placed.
//!
//! Members that can't work here yet are refused by name. Everything that is placed is placed in one transaction,
//! under the write lock: nothing is given twice, and a client token binds exactly what was started by it.

use longshore_protocol::ecs;
use longshore_protocol::status::InstanceStatus;

use super::placement::{Order, Pool};
use super::{Call, hash_of, refs, task_definitions, tasks as shown};
use crate::definition::{self, check_tags};
use crate::error::{ApiError, Code};
use crate::store::client_tokens::{self, Use};
use crate::store::clusters::Cluster;
use crate::store::definitions::Definition;
use crate::store::{Connection, instances, tasks};
use crate::tasks::Task;
use crate::tasks::retention::CLIENT_TOKENS;

/// The most characters of `group` (the model has no limit; ECS stores 255).
const MAX_GROUP: usize = 255;

/// What RunTask and StartTask have in common.
struct Wanted {
    task_definition: String,
    overrides: ecs::TaskOverride,
    group: Option<String>,
    started_by: Option<String>,
    tags: Vec<ecs::Tag>,
    propagate_tags: bool,
    managed_tags: bool,
    enable_execute_command: bool,
}

fn unsupported(member: &str) -> ApiError {
    ApiError::invalid(format!("{member} is not supported by this control plane."))
}

pub(super) fn refuse(members: &[(&str, bool)]) -> Result<(), ApiError> {
    match members.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(unsupported(name)),
        None => Ok(()),
    }
}

fn given<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// What of RunTask goes beyond StartTask.
fn check_run(request: &ecs::RunTaskRequest) -> Result<(), ApiError> {
    let strategy = given(request.capacity_provider_strategy.as_ref());
    if request.launch_type.is_some() && strategy {
        return Err(ApiError::invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    if let Some(other) = request
        .launch_type
        .as_deref()
        .filter(|launch_type| *launch_type != "EXTERNAL")
    {
        return Err(ApiError::invalid(format!(
            "Launch type {other} is not supported: this control plane runs tasks on EXTERNAL instances only."
        )));
    }
    let random = |strategy: &ecs::PlacementStrategy| {
        strategy.r#type.as_deref() == Some("random") && strategy.field.is_none()
    };
    let placed_otherwise = request
        .placement_strategy
        .iter()
        .flatten()
        .any(|each| !random(each));
    if placed_otherwise {
        return Err(ApiError::invalid(
            "placementStrategy other than random is not supported by this control plane.",
        ));
    }
    refuse(&[
        ("capacityProviderStrategy", strategy),
        (
            "placementConstraints",
            given(request.placement_constraints.as_ref()),
        ),
        ("platformVersion", request.platform_version.is_some()),
    ])
}

fn check_token(token: Option<&str>) -> Result<(), ApiError> {
    let Some(token) = token else { return Ok(()) };
    let fits = (1..=64).contains(&token.len()) && token.bytes().all(|byte| (33..=126).contains(&byte));
    if fits {
        return Ok(());
    }
    Err(ApiError::invalid(
        "clientToken must be 1 to 64 ASCII characters in the range of 33-126.",
    ))
}

/// Reads what RunTask and StartTask have in common, by the same names.
macro_rules! wanted {
    ($request:expr) => {{
        let request = &$request;
        refuse(&[
            ("referenceId", request.reference_id.is_some()),
            (
                "volumeConfigurations",
                given(request.volume_configurations.as_ref()),
            ),
        ])?;
        check_network(request.network_configuration.as_ref())?;
        Wanted {
            task_definition: request.task_definition.clone().unwrap_or_default(),
            overrides: request.overrides.clone().unwrap_or_default(),
            group: request.group.clone(),
            started_by: request.started_by.clone(),
            tags: request.tags.clone().unwrap_or_default(),
            propagate_tags: propagates(request.propagate_tags.as_deref())?,
            managed_tags: request.enable_ecs_managed_tags == Some(true),
            enable_execute_command: request.enable_execute_command == Some(true),
        }
        .checked()?
    }};
}

impl Wanted {
    fn checked(self) -> Result<Self, ApiError> {
        check_tags(&self.tags)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-/_".contains(c);
        if let Some(by) = self
            .started_by
            .as_deref()
            .filter(|by| by.len() > 128 || !by.chars().all(allowed))
        {
            return Err(ApiError::invalid(format!(
                "startedBy must be up to 128 letters, digits, hyphens, slashes and underscores, but is {by:?}."
            )));
        }
        if let Some(group) = self.group.as_deref() {
            if group.is_empty() || group.chars().count() > MAX_GROUP {
                return Err(ApiError::invalid(format!(
                    "group must have 1 to {MAX_GROUP} characters."
                )));
            }
            if group.starts_with("service:") {
                return Err(ApiError::invalid(
                    "The group prefix service: is reserved for the tasks of services.",
                ));
            }
        }
        Ok(self)
    }

    /// The tags of the task: the call's win over the definition's, and those that ECS manages come on top.
    fn task_tags(&self, definition: &Definition, cluster: &str) -> Vec<ecs::Tag> {
        let mut tags = self.tags.clone();
        if self.propagate_tags {
            let inherited = definition
                .tags
                .iter()
                .filter(|tag| !self.tags.iter().any(|own| own.key == tag.key));
            tags.extend(inherited.cloned());
        }
        if self.managed_tags {
            tags.push(ecs::Tag {
                key: Some("aws:ecs:clusterName".to_owned()),
                value: Some(cluster.to_owned()),
            });
        }
        tags
    }

    /// The definition, judged together with the overrides, and the order made of it.
    async fn order(
        &self,
        connection: &mut Connection,
        call: &Call,
        cluster: &Cluster,
    ) -> Result<Order, ApiError> {
        let found = task_definitions::find(connection, call, &self.task_definition).await?;
        let definition = found.ok_or_else(|| ApiError::client("TaskDefinition not found."))?;
        if !definition.is_active() {
            return Err(ApiError::invalid("TaskDefinition is inactive"));
        }
        let compatible = definition
            .body
            .compatibilities
            .iter()
            .flatten()
            .any(|each| each == "EXTERNAL");
        if !compatible {
            return Err(ApiError::invalid(
                "Task definition does not support launch_type EXTERNAL.",
            ));
        }
        definition::check_overrides(&definition.body, &self.overrides)?;
        let family = definition.body.family.as_deref().unwrap_or_default();
        let tags = self.task_tags(&definition, &cluster.name);
        Ok(Order {
            cluster: cluster.name.clone(),
            group: self.group.clone().unwrap_or_else(|| format!("family:{family}")),
            started_by: self.started_by.clone(),
            overrides: self.overrides.clone(),
            demand: crate::scheduler::Demand::of(&definition.body, &self.overrides)?,
            definition: definition.body,
            tags,
            enable_execute_command: self.enable_execute_command,
        })
    }
}

fn check_network(given: Option<&ecs::NetworkConfiguration>) -> Result<(), ApiError> {
    match given {
        // An empty one configures nothing.
        Some(network) if network.awsvpc_configuration.is_some() => Err(ApiError::invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
        _ => Ok(()),
    }
}

fn propagates(word: Option<&str>) -> Result<bool, ApiError> {
    match word {
        Some("TASK_DEFINITION") => Ok(true),
        Some("SERVICE") => Err(ApiError::invalid(
            "propagateTags SERVICE is only for the tasks of services.",
        )),
        _ => Ok(false),
    }
}

pub(super) async fn run_task(
    call: Call,
    request: ecs::RunTaskRequest,
) -> Result<ecs::RunTaskResponse, ApiError> {
    let count = request.count.unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(ApiError::invalid(format!(
            "count must be between 1 and 10, but is {count}."
        )));
    }
    check_run(&request)?;
    check_token(request.client_token.as_deref())?;
    let wanted = wanted!(request);
    let mut transaction = call.plane.store.write().await?;
    let cluster =
        refs::active_cluster(&mut transaction, &call.plane.scope, request.cluster.as_deref()).await?;
    let hash = hash_of(&request)?;
    let token = request.client_token.as_deref();
    if let Some(token) = token
        && let Some(tasks) = started_before(&mut transaction, &call, &cluster.name, token, &hash).await?
    {
        return Ok(ecs::RunTaskResponse {
            tasks: Some(tasks.iter().map(|task| shown::show(&call, task, true)).collect()),
            failures: Some(vec![]),
        });
    }
    let order = wanted.order(&mut transaction, &call, &cluster).await?;
    let (mut started, mut failures) = (Vec::new(), Vec::new());
    let mut pool = Pool::of_cluster(&mut transaction, &call, &cluster.name).await?;
    for _ in 0..count {
        match pool.place(&mut transaction, &call, &order).await? {
            Ok(task) => started.push(task),
            Err(reasons) => failures.extend(reasons),
        }
    }
    if let Some(token) = token.filter(|_| !started.is_empty()) {
        let task_arns = started.iter().map(|task| task.arn.to_string()).collect();
        let new = Use {
            request_hash: hash,
            task_arns,
        };
        client_tokens::put(&mut transaction, &cluster.name, token, &new, call.now()).await?;
    }
    transaction.commit().await?;
    Ok(ecs::RunTaskResponse {
        tasks: Some(announce(&call, &started)),
        failures: Some(failures),
    })
}

/// What this token started, if it did.
async fn started_before(
    connection: &mut Connection,
    call: &Call,
    cluster: &str,
    token: &str,
    hash: &str,
) -> Result<Option<Vec<Task>>, ApiError> {
    let since = call.plane.watched.before(CLIENT_TOKENS);
    let Some(known) = client_tokens::get(connection, cluster, token, since).await? else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for arn in &known.task_arns {
        let id = refs::task(&call.plane.scope, cluster, arn)?;
        found.extend(tasks::get(connection, cluster, id.as_str()).await?);
    }
    if found.is_empty() {
        // A token lives no longer than its tasks.
        return Ok(None);
    }
    if known.request_hash != *hash {
        return Err(ApiError {
            resource_ids: known.task_arns,
            ..ApiError::new(
                Code::Conflict,
                "The client token was used for a RunTask call with other parameters.",
            )
        });
    }
    Ok(Some(found))
}

/// Wakes the nodes of tasks that were just committed, and shows the tasks.
fn announce(call: &Call, started: &[Task]) -> Vec<ecs::Task> {
    for task in started {
        call.plane.hub.wake(task.instance.id.as_str());
        tracing::info!(task = %task.arn, instance = %task.instance.id, "a task was placed");
    }
    started.iter().map(|task| shown::show(call, task, true)).collect()
}

pub(super) async fn start_task(
    call: Call,
    request: ecs::StartTaskRequest,
) -> Result<ecs::StartTaskResponse, ApiError> {
    let wanted = wanted!(request);
    let references = request.container_instances.unwrap_or_default();
    if !(1..=10).contains(&references.len()) {
        return Err(ApiError::invalid(
            "containerInstances must have 1 to 10 elements.",
        ));
    }
    let mut transaction = call.plane.store.write().await?;
    let cluster =
        refs::active_cluster(&mut transaction, &call.plane.scope, request.cluster.as_deref()).await?;
    let order = wanted.order(&mut transaction, &call, &cluster).await?;
    let (mut started, mut failures) = (Vec::new(), Vec::new());
    for reference in &references {
        let id = refs::container_instance(&call.plane.scope, &cluster.name, reference)?;
        let found = instances::get(&mut transaction, &cluster.name, id.as_str()).await?;
        let failure = |reason: &str| ecs::Failure {
            arn: Some(reference.clone()),
            reason: Some(reason.to_owned()),
            detail: None,
        };
        match found {
            None => failures.push(failure("MISSING")),
            Some(instance) if instance.status == InstanceStatus::Inactive => {
                failures.push(failure("INACTIVE"))
            }
            Some(instance) => {
                let mut pool = Pool::of_one(&mut transaction, &call, instance).await?;
                match pool.place(&mut transaction, &call, &order).await? {
                    Ok(task) => started.push(task),
                    Err(reasons) => failures.extend(reasons),
                }
            }
        }
    }
    transaction.commit().await?;
    Ok(ecs::StartTaskResponse {
        tasks: Some(announce(&call, &started)),
        failures: Some(failures),
    })
}
