//! CreateCluster, DescribeClusters, ListClusters, UpdateCluster, DeleteCluster.

use longshore_protocol::arn::{ClusterArn, is_valid_name};
use longshore_protocol::ecs;

use super::page::Page;
use super::{Call, exec_logging, refs};
use crate::definition::check_tags;
use crate::error::{ApiError, Code};
use crate::store::clusters::{self, Cluster, Counts};

/// What goes beyond the stored cluster.
#[derive(Clone, Copy, Default)]
struct Include {
    settings: bool,
    configuration: bool,
    statistics: bool,
    tags: bool,
}

pub(super) fn arn(call: &Call, name: &str) -> String {
    let arn = ClusterArn {
        scope: call.plane.scope.clone(),
        cluster: name.to_owned(),
    };
    arn.to_string()
}

fn show(call: &Call, cluster: &Cluster, counts: Counts, include: Include) -> ecs::Cluster {
    let statistic = |name: &str, value: i32| ecs::KeyValuePair {
        name: Some(name.to_owned()),
        value: Some(value.to_string()),
    };
    let statistics = || {
        vec![
            statistic("runningEC2TasksCount", 0),
            statistic("pendingEC2TasksCount", 0),
            statistic("runningFargateTasksCount", 0),
            statistic("pendingFargateTasksCount", 0),
            statistic("runningExternalTasksCount", counts.running),
            statistic("pendingExternalTasksCount", counts.pending),
        ]
    };
    ecs::Cluster {
        cluster_arn: Some(arn(call, &cluster.name)),
        cluster_name: Some(cluster.name.clone()),
        status: Some(if cluster.active { "ACTIVE" } else { "INACTIVE" }.to_owned()),
        registered_container_instances_count: Some(counts.instances),
        running_tasks_count: Some(counts.running),
        pending_tasks_count: Some(counts.pending),
        active_services_count: Some(0),
        statistics: Some(if include.statistics { statistics() } else { vec![] }),
        tags: Some(if include.tags {
            cluster.tags.clone()
        } else {
            vec![]
        }),
        settings: Some(if include.settings {
            cluster.settings.clone()
        } else {
            vec![]
        }),
        configuration: cluster.configuration.clone().filter(|_| include.configuration),
        capacity_providers: Some(vec![]),
        default_capacity_provider_strategy: Some(vec![]),
        ..ecs::Cluster::default()
    }
}

/// What can't be had here is refused by name.
fn refuse(request: &ecs::CreateClusterRequest) -> Result<(), ApiError> {
    let given = [
        (
            "capacityProviders",
            request
                .capacity_providers
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
        ),
        (
            "defaultCapacityProviderStrategy",
            request
                .default_capacity_provider_strategy
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
        ),
        (
            "serviceConnectDefaults",
            request.service_connect_defaults.is_some(),
        ),
    ];
    for (name, given) in given {
        if given {
            return Err(ApiError::invalid(format!(
                "{name} is not supported by this control plane."
            )));
        }
    }
    Ok(())
}

fn settings(given: Option<Vec<ecs::ClusterSetting>>) -> Result<Vec<ecs::ClusterSetting>, ApiError> {
    let given = given.unwrap_or_default();
    for setting in &given {
        let value = setting.value.as_deref().unwrap_or_default();
        if setting.name.as_deref() != Some("containerInsights") || value != "disabled" {
            return Err(ApiError::invalid(format!(
                "The setting {} = {value} is not supported: only containerInsights = disabled is.",
                setting.name.as_deref().unwrap_or_default()
            )));
        }
    }
    if given.is_empty() {
        return Ok(vec![ecs::ClusterSetting {
            name: Some("containerInsights".to_owned()),
            value: Some("disabled".to_owned()),
        }]);
    }
    Ok(given)
}

pub(super) async fn create(
    call: Call,
    request: ecs::CreateClusterRequest,
) -> Result<ecs::CreateClusterResponse, ApiError> {
    let name = request
        .cluster_name
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    if !is_valid_name(&name) || !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(ApiError::invalid(format!(
            "Cluster name {name:?} is invalid: up to 255 letters, digits, hyphens and underscores, beginning with a \
             letter or digit."
        )));
    }
    refuse(&request)?;
    let tags = request.tags.unwrap_or_default();
    check_tags(&tags)?;
    request
        .configuration
        .as_ref()
        .map(exec_logging::check)
        .transpose()?;
    let new = Cluster {
        name,
        active: true,
        settings: settings(request.settings)?,
        configuration: request.configuration,
        tags,
    };
    let mut transaction = call.plane.store.write().await?;
    let known = clusters::get(&mut transaction, &new.name)
        .await?
        .filter(|known| known.active);
    let cluster = match known {
        Some(known) => known,
        None => {
            clusters::put(&mut transaction, &new, call.now()).await?;
            new
        }
    };
    let counts = clusters::counts(&mut transaction, &cluster.name).await?;
    transaction.commit().await?;
    let include = Include {
        settings: true,
        configuration: true,
        tags: true,
        statistics: false,
    };
    Ok(ecs::CreateClusterResponse {
        cluster: Some(show(&call, &cluster, counts, include)),
    })
}

pub(super) async fn describe(
    call: Call,
    request: ecs::DescribeClustersRequest,
) -> Result<ecs::DescribeClustersResponse, ApiError> {
    let wanted = request
        .clusters
        .filter(|list| !list.is_empty())
        .unwrap_or_else(|| vec!["default".to_owned()]);
    if wanted.len() > 100 {
        return Err(ApiError::invalid("clusters must have at most 100 elements."));
    }
    let asked = |field: &str| request.include.iter().flatten().any(|each| each == field);
    let include = Include {
        settings: asked("SETTINGS"),
        configuration: asked("CONFIGURATIONS"),
        statistics: asked("STATISTICS"),
        tags: asked("TAGS"),
    };
    let mut connection = call.plane.store.read().await?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for reference in &wanted {
        let cluster = match refs::cluster_name(&call.plane.scope, Some(reference)) {
            Ok(name) => clusters::get(&mut connection, &name).await?,
            Err(error) if error.code == Code::ClusterNotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(cluster) = cluster {
            let counts = clusters::counts(&mut connection, &cluster.name).await?;
            found.push(show(&call, &cluster, counts, include));
        } else {
            let arn = if reference.starts_with("arn:") {
                reference.clone()
            } else {
                arn(&call, reference)
            };
            failures.push(ecs::Failure {
                arn: Some(arn),
                reason: Some("MISSING".to_owned()),
                detail: None,
            });
        }
    }
    Ok(ecs::DescribeClustersResponse {
        clusters: Some(found),
        failures: Some(failures),
    })
}

pub(super) async fn list(
    call: Call,
    request: ecs::ListClustersRequest,
) -> Result<ecs::ListClustersResponse, ApiError> {
    let page = Page::read(
        &call,
        "ListClusters",
        &[],
        request.next_token.as_deref(),
        request.max_results,
    )?;
    let mut connection = call.plane.store.read().await?;
    let mut names = clusters::list(&mut connection, &page.after, page.fetch()).await?;
    let next_token = page.finish(&mut names, String::clone);
    Ok(ecs::ListClustersResponse {
        cluster_arns: Some(names.iter().map(|name| arn(&call, name)).collect()),
        next_token,
    })
}

pub(super) async fn update(
    call: Call,
    request: ecs::UpdateClusterRequest,
) -> Result<ecs::UpdateClusterResponse, ApiError> {
    if request.service_connect_defaults.is_some() {
        return Err(ApiError::invalid(
            "serviceConnectDefaults is not supported by this control plane.",
        ));
    }
    request
        .configuration
        .as_ref()
        .map(exec_logging::check)
        .transpose()?;
    let mut transaction = call.plane.store.write().await?;
    let mut cluster =
        refs::active_cluster(&mut transaction, &call.plane.scope, request.cluster.as_deref()).await?;
    if request.settings.is_some() {
        cluster.settings = settings(request.settings)?;
    }
    if request.configuration.is_some() {
        cluster.configuration = request.configuration;
    }
    clusters::put(&mut transaction, &cluster, call.now()).await?;
    let counts = clusters::counts(&mut transaction, &cluster.name).await?;
    transaction.commit().await?;
    let include = Include {
        settings: true,
        configuration: true,
        ..Include::default()
    };
    Ok(ecs::UpdateClusterResponse {
        cluster: Some(show(&call, &cluster, counts, include)),
    })
}

pub(super) async fn delete(
    call: Call,
    request: ecs::DeleteClusterRequest,
) -> Result<ecs::DeleteClusterResponse, ApiError> {
    let mut transaction = call.plane.store.write().await?;
    let mut cluster = refs::cluster(&mut transaction, &call.plane.scope, request.cluster.as_deref()).await?;
    let counts = clusters::counts(&mut transaction, &cluster.name).await?;
    if counts.instances > 0 {
        return Err(ApiError::new(
            Code::ClusterContainsContainerInstances,
            "The Cluster cannot be deleted while Container Instances are active or draining.",
        ));
    }
    if counts.alive > 0 {
        return Err(ApiError::new(
            Code::ClusterContainsTasks,
            "The Cluster cannot be deleted while Tasks are active.",
        ));
    }
    cluster.active = false;
    clusters::put(&mut transaction, &cluster, call.now()).await?;
    transaction.commit().await?;
    Ok(ecs::DeleteClusterResponse {
        cluster: Some(show(&call, &cluster, counts, Include::default())),
    })
}
