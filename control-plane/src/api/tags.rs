//! ListTagsForResource, TagResource, UntagResource: for clusters, task definitions, container instances and tasks.

use longshore_protocol::arn::{ClusterArn, ContainerInstanceArn, Scope, TaskArn, TaskDefinitionArn};
use longshore_protocol::ecs;
use longshore_protocol::node::InstanceId;

use super::{Call, task_definitions};
use crate::definition::check_tags;
use crate::error::{ApiError, Code};
use crate::store::{Connection, clusters, definitions, instances, tasks};

/// Something that has tags.
enum Resource {
    Cluster(ClusterArn),
    Definition(TaskDefinitionArn),
    Instance(ContainerInstanceArn),
    Task(TaskArn),
}

/// What a resource is found to have.
struct Found {
    tags: Vec<ecs::Tag>,
    /// The node that it is on, where it is on one.
    node: Option<InstanceId>,
}

impl Resource {
    fn parse(call: &Call, text: Option<&str>) -> Result<Self, ApiError> {
        let text = text.unwrap_or_default();
        let found = (text.parse().map(Self::Cluster))
            .or_else(|_| text.parse().map(Self::Definition))
            .or_else(|_| text.parse().map(Self::Instance))
            .or_else(|_| text.parse().map(Self::Task))
            .map_err(|_| ApiError::invalid("The ARN provided is invalid."))?;
        if *found.scope() == call.plane.scope {
            Ok(found)
        } else {
            Err(found.missing())
        }
    }

    fn scope(&self) -> &Scope {
        match self {
            Self::Cluster(arn) => &arn.scope,
            Self::Definition(arn) => &arn.scope,
            Self::Instance(arn) => &arn.scope,
            Self::Task(arn) => &arn.scope,
        }
    }

    fn missing(&self) -> ApiError {
        match self {
            Self::Cluster(_) => ApiError::cluster_not_found(),
            Self::Definition(_) => task_definitions::unknown(),
            Self::Instance(_) | Self::Task(_) => ApiError::new(
                Code::ResourceNotFound,
                "The specified resource could not be found.",
            ),
        }
    }

    async fn find(&self, connection: &mut Connection) -> Result<Found, ApiError> {
        let found = match self {
            Self::Cluster(arn) => {
                let cluster = clusters::get(connection, &arn.cluster).await?;
                cluster.map(|cluster| Found {
                    tags: cluster.tags,
                    node: None,
                })
            }
            Self::Definition(arn) => {
                let definition = definitions::get(connection, &arn.family, Some(arn.revision)).await?;
                definition.map(|definition| Found {
                    tags: definition.tags,
                    node: None,
                })
            }
            Self::Instance(arn) => {
                let instance = instances::get(connection, &arn.cluster, arn.id.as_str()).await?;
                instance.map(|instance| Found {
                    tags: instance.tags,
                    node: Some(instance.node),
                })
            }
            Self::Task(arn) => match tasks::get(connection, &arn.cluster, arn.id.as_str()).await? {
                Some(task) => {
                    let instance =
                        instances::get(connection, &arn.cluster, task.instance.id.as_str()).await?;
                    Some(Found {
                        tags: task.tags,
                        node: instance.map(|instance| instance.node),
                    })
                }
                None => None,
            },
        };
        found.ok_or_else(|| self.missing())
    }

    async fn store(
        &self,
        connection: &mut Connection,
        tags: Vec<ecs::Tag>,
        now: i64,
    ) -> Result<(), ApiError> {
        match self {
            Self::Cluster(arn) => {
                if let Some(mut cluster) = clusters::get(connection, &arn.cluster).await? {
                    if !cluster.active {
                        return Err(ApiError::invalid(
                            "The specified cluster is inactive. Specify an active cluster and try again.",
                        ));
                    }
                    cluster.tags = tags;
                    clusters::put(connection, &cluster, now).await?;
                }
            }
            Self::Definition(arn) => {
                if let Some(mut found) = definitions::get(connection, &arn.family, Some(arn.revision)).await?
                {
                    found.tags = tags;
                    definitions::put(connection, &found).await?;
                }
            }
            Self::Instance(arn) => instances::set_tags(connection, arn.id.as_str(), &tags).await?,
            Self::Task(arn) => {
                if let Some(mut task) = tasks::get(connection, &arn.cluster, arn.id.as_str()).await? {
                    task.tags = tags;
                    task.version += 1;
                    tasks::update(connection, &task).await?;
                }
            }
        }
        Ok(())
    }
}

pub(super) async fn list(
    call: Call,
    request: ecs::ListTagsForResourceRequest,
) -> Result<ecs::ListTagsForResourceResponse, ApiError> {
    let resource = Resource::parse(&call, request.resource_arn.as_deref())?;
    let mut connection = call.plane.store.read().await?;
    let found = resource.find(&mut connection).await?;
    // A node may read the tags of what is its own; of the rest it learns what its tasks carry.
    if let Some(node) = &found.node {
        call.require_own(node)?;
    } else if call.principal != crate::auth::Principal::Operator {
        return Err(ApiError::denied(
            "A node may read the tags of itself and its tasks only.",
        ));
    }
    Ok(ecs::ListTagsForResourceResponse {
        tags: Some(found.tags),
    })
}

/// Tags that only the platform sets: they stay, and don't count.
fn is_reserved(tag: &ecs::Tag) -> bool {
    let key = tag.key.as_deref().unwrap_or_default();
    key.get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

pub(super) async fn tag(
    call: Call,
    request: ecs::TagResourceRequest,
) -> Result<ecs::TagResourceResponse, ApiError> {
    let resource = Resource::parse(&call, request.resource_arn.as_deref())?;
    let new = request.tags.unwrap_or_default();
    check_tags(&new)?;
    let mut transaction = call.plane.store.write().await?;
    let mut tags = resource.find(&mut transaction).await?.tags;
    tags.retain(|tag| !new.iter().any(|each| each.key == tag.key));
    tags.extend(new);
    let own: Vec<_> = tags.iter().filter(|tag| !is_reserved(tag)).cloned().collect();
    check_tags(&own)?;
    resource.store(&mut transaction, tags, call.now()).await?;
    transaction.commit().await?;
    Ok(ecs::TagResourceResponse {})
}

pub(super) async fn untag(
    call: Call,
    request: ecs::UntagResourceRequest,
) -> Result<ecs::UntagResourceResponse, ApiError> {
    let resource = Resource::parse(&call, request.resource_arn.as_deref())?;
    let keys = request.tag_keys.unwrap_or_default();
    let mut transaction = call.plane.store.write().await?;
    let mut tags = resource.find(&mut transaction).await?.tags;
    tags.retain(|tag| is_reserved(tag) || !tag.key.as_ref().is_some_and(|key| keys.contains(key)));
    resource.store(&mut transaction, tags, call.now()).await?;
    transaction.commit().await?;
    Ok(ecs::UntagResourceResponse {})
}
