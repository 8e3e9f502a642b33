//! What a request calls things by: names, ids, ARNs.

use longshore_protocol::arn::{ClusterArn, ContainerInstanceArn, ResourceId, Scope, TaskArn, is_valid_name};

use crate::error::ApiError;
use crate::store::Connection;
use crate::store::clusters::{self, Cluster};

/// The cluster that a request names; absent is `default`.
pub(super) fn cluster_name(scope: &Scope, reference: Option<&str>) -> Result<String, ApiError> {
    let reference = reference.filter(|text| !text.is_empty()).unwrap_or("default");
    if reference.starts_with("arn:") {
        let arn: ClusterArn = reference
            .parse()
            .map_err(|_| ApiError::invalid("Unsupported resource type: cluster"))?;
        return if arn.scope == *scope {
            Ok(arn.cluster)
        } else {
            Err(ApiError::cluster_not_found())
        };
    }
    if is_valid_name(reference) {
        return Ok(reference.to_owned());
    }
    Err(ApiError::invalid(format!(
        "Cluster must match ^[a-zA-Z0-9\\-_]{{1,255}}$, but was {reference}"
    )))
}

/// The cluster that a request names, which must be there.
pub(super) async fn cluster(
    connection: &mut Connection,
    scope: &Scope,
    reference: Option<&str>,
) -> Result<Cluster, ApiError> {
    let name = cluster_name(scope, reference)?;
    clusters::get(connection, &name)
        .await?
        .ok_or_else(ApiError::cluster_not_found)
}

/// The cluster that a request names, which must be in use.
pub(super) async fn active_cluster(
    connection: &mut Connection,
    scope: &Scope,
    reference: Option<&str>,
) -> Result<Cluster, ApiError> {
    let cluster = cluster(connection, scope, reference).await?;
    if cluster.active {
        return Ok(cluster);
    }
    Err(ApiError::client("The referenced cluster was inactive."))
}

/// The id of the task that a request names by id or ARN.
pub(super) fn task(scope: &Scope, cluster: &str, reference: &str) -> Result<ResourceId, ApiError> {
    if !reference.starts_with("arn:") {
        return reference
            .parse()
            .map_err(|_| ApiError::invalid("Task Identifier is invalid"));
    }
    let arn: TaskArn = reference
        .parse()
        .map_err(|_| ApiError::invalid("Task Identifier is invalid"))?;
    same_cluster(scope, cluster, &arn.scope, &arn.cluster)?;
    Ok(arn.id)
}

/// The id of the container instance that a request names by id or ARN.
pub(super) fn container_instance(
    scope: &Scope,
    cluster: &str,
    reference: &str,
) -> Result<ResourceId, ApiError> {
    let invalid = || ApiError::invalid("Container instance identifier is invalid");
    if !reference.starts_with("arn:") {
        return reference.parse().map_err(|_| invalid());
    }
    let arn: ContainerInstanceArn = reference.parse().map_err(|_| invalid())?;
    same_cluster(scope, cluster, &arn.scope, &arn.cluster)?;
    Ok(arn.id)
}

fn same_cluster(scope: &Scope, cluster: &str, of: &Scope, named: &str) -> Result<(), ApiError> {
    if of != scope {
        return Err(ApiError::invalid(format!(
            "Invalid identifier: Identifier is for region {} and account {}, not for {} and {}",
            of.region, of.account, scope.region, scope.account
        )));
    }
    if named != cluster {
        return Err(ApiError::invalid(format!(
            "Invalid identifier: Identifier is for cluster {named}. Your cluster is {cluster}"
        )));
    }
    Ok(())
}

/// A family, and a revision where one was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DefinitionRef {
    pub(super) family: String,
    pub(super) revision: Option<i32>,
}

/// The task definition that a request names: `family`, `family:revision`, or an ARN with or without a revision.
/// `None` if nothing can have that name.
pub(super) fn task_definition(scope: &Scope, reference: &str) -> Result<Option<DefinitionRef>, ApiError> {
    let name = if reference.starts_with("arn:") {
        let prefix = format!(
            "arn:{}:ecs:{}:{}:task-definition/",
            scope.partition, scope.region, scope.account
        );
        match reference.strip_prefix(&prefix) {
            Some(name) => name,
            None => return Ok(None),
        }
    } else {
        reference
    };
    let (family, revision) = match name.split_once(':') {
        None => (name, None),
        Some((family, number)) => {
            let parsed = number.parse().ok().filter(|revision: &i32| *revision > 0);
            let bad = || ApiError::invalid(format!("Invalid revision number. Number: {number}"));
            (family, Some(parsed.ok_or_else(bad)?))
        }
    };
    Ok(is_valid_name(family).then(|| DefinitionRef {
        family: family.to_owned(),
        revision,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope::new("us-east-1", "000000000000")
    }

    #[test]
    fn clusters_go_by_name_or_arn() {
        let name = |text| cluster_name(&scope(), text);
        assert_eq!(name(None).unwrap(), "default");
        assert_eq!(
            name(Some("arn:aws:ecs:us-east-1:000000000000:cluster/c")).unwrap(),
            "c"
        );
        assert_eq!(
            name(Some("arn:aws:ecs:us-east-1:000000000001:cluster/c")).unwrap_err(),
            ApiError::cluster_not_found()
        );
        assert!(
            name(Some("a b"))
                .unwrap_err()
                .message
                .starts_with("Cluster must match")
        );
        assert!(name(Some("arn:aws:ecs:us-east-1:000000000000:task/c/1")).is_err());
    }

    #[test]
    fn a_task_of_another_cluster_is_told_so() {
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/b/{}", "a".repeat(32));
        assert_eq!(
            task(&scope(), "a", &arn).unwrap_err().message,
            "Invalid identifier: Identifier is for cluster b. Your cluster is a"
        );
        assert!(task(&scope(), "b", &arn).is_ok());
        assert_eq!(
            task(&scope(), "b", "x").unwrap_err().message,
            "Task Identifier is invalid"
        );
    }

    #[test]
    fn definitions_go_by_family_revision_or_arn() {
        let of = |text| task_definition(&scope(), text);
        let found = |revision| {
            Some(DefinitionRef {
                family: "f".into(),
                revision,
            })
        };
        assert_eq!(of("f").unwrap(), found(None));
        assert_eq!(of("f:3").unwrap(), found(Some(3)));
        assert_eq!(
            of("arn:aws:ecs:us-east-1:000000000000:task-definition/f").unwrap(),
            found(None)
        );
        assert_eq!(
            of("arn:aws:ecs:us-east-1:000000000000:task-definition/f:3").unwrap(),
            found(Some(3))
        );
        assert_eq!(
            of("arn:aws:ecs:eu-west-1:000000000000:task-definition/f:3").unwrap(),
            None
        );
        assert_eq!(
            of("f:foo").unwrap_err().message,
            "Invalid revision number. Number: foo"
        );
    }
}
