//! Which operation a request calls, who may call it, and what runs it.

use std::future::Future;
use std::sync::Arc;

use http::request::Parts;
use longshore_protocol::arn::is_valid_name;
use longshore_protocol::check::{Check, Path};
use longshore_protocol::sigv4::Authorization;
use longshore_protocol::{ECS_TARGET, SSM_TARGET, session};

use super::body::Held;
use super::{
    Call, MAX_BODY_NODES, activations, base_url, clusters, container_instances, managed_instances, parse,
    register_instance, reports, run_task, sessions, tags, task_definitions, tasks, write,
};
use crate::app::ControlPlane;
use crate::auth::{Access, SignedRequest};
use crate::error::{ApiError, Code};

/// An API that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Ecs,
    Ssm,
    /// Longshore's own operations.
    Longshore,
}

impl Service {
    /// Its name, for tests.
    #[cfg(test)]
    const fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Ssm => "ssm",
            Self::Longshore => "longshore",
        }
    }

    /// The name that a signature's scope must have for a call. Those that a session's client makes later are of SSM, at an
    /// endpoint of ECS.
    fn scope(self, name: &str, signed: Option<&Authorization>) -> &'static str {
        let either = matches!(name, "ResumeSession" | "TerminateSession");
        match self {
            Self::Ssm if either && signed.is_some_and(|signed| signed.scope.service == "ecs") => "ecs",
            Self::Ssm => "ssm",
            Self::Ecs | Self::Longshore => "ecs",
        }
    }
}

macro_rules! operations {
    ($($service:ident $name:literal $access:ident $handler:path,)+) => {
        /// All that is served: service, operation, who may call it. What tests go through.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str, Access)] = &[
            $((Service::$service.name(), $name, Access::$access),)+
        ];

        /// Who may call an operation; `None` if there is none of that name.
        fn access(service: Service, name: &str) -> Option<Access> {
            match (service, name) {
                $((Service::$service, $name) => Some(Access::$access),)+
                _ => None,
            }
        }

        async fn run(service: Service, name: &str, call: Call, body: &[u8]) -> Result<Vec<u8>, ApiError> {
            match (service, name) {
                // Boxed: the futures of forty operations are not to lie in one.
                $((Service::$service, $name) => Box::pin(answer(service, name, call, body, $handler)).await,)+
                _ => {
                    tracing::error!(name, "an operation that was let in has no handler");
                    Err(ApiError::server())
                }
            }
        }
    };
}

operations! {
    Ecs "CreateCluster" Operator clusters::create,
    Ecs "DescribeClusters" Operator clusters::describe,
    Ecs "ListClusters" Operator clusters::list,
    Ecs "UpdateCluster" Operator clusters::update,
    Ecs "DeleteCluster" Operator clusters::delete,
    Ecs "RegisterTaskDefinition" Operator task_definitions::register,
    Ecs "DescribeTaskDefinition" Operator task_definitions::describe,
    Ecs "DeregisterTaskDefinition" Operator task_definitions::deregister,
    Ecs "ListTaskDefinitions" Operator task_definitions::list,
    Ecs "ListTaskDefinitionFamilies" Operator task_definitions::list_families,
    Ecs "RunTask" Operator run_task::run_task,
    Ecs "StartTask" Operator run_task::start_task,
    Ecs "StopTask" Operator tasks::stop,
    Ecs "DescribeTasks" Operator tasks::describe,
    Ecs "ListTasks" Operator tasks::list,
    Ecs "ExecuteCommand" Operator sessions::execute_command,
    Longshore "StartLogsSession" Operator sessions::start_logs,
    Ecs "RegisterContainerInstance" Node register_instance::register,
    Ecs "DescribeContainerInstances" Operator container_instances::describe,
    Ecs "ListContainerInstances" Operator container_instances::list,
    Ecs "DeregisterContainerInstance" Node container_instances::deregister,
    Ecs "UpdateContainerInstancesState" Node container_instances::update_state,
    Ecs "DiscoverPollEndpoint" Node container_instances::discover_poll_endpoint,
    Ecs "SubmitTaskStateChange" Node reports::submit_task,
    Ecs "SubmitContainerStateChange" Node reports::submit_container,
    Ecs "ListTagsForResource" Node tags::list,
    Ecs "TagResource" Operator tags::tag,
    Ecs "UntagResource" Operator tags::untag,
    Ssm "CreateActivation" Operator activations::create,
    Ssm "DescribeActivations" Operator activations::describe,
    Ssm "DeleteActivation" Operator activations::delete,
    Ssm "RegisterManagedInstance" Anonymous managed_instances::register,
    Ssm "RequestManagedInstanceRoleToken" NodeKey managed_instances::role_token,
    Ssm "UpdateManagedInstancePublicKey" NodeKey managed_instances::update_key,
    Ssm "DeregisterManagedInstance" Node managed_instances::deregister,
    Ssm "DescribeInstanceInformation" Operator managed_instances::describe,
    Ssm "AddTagsToResource" Operator managed_instances::add_tags,
    Ssm "ResumeSession" Operator sessions::resume,
    Ssm "TerminateSession" Operator sessions::terminate,
}

/// Who may make the call whose head this is; `None` if it names no operation.
pub(super) fn access_of(parts: &Parts) -> Option<Access> {
    let (service, name) = target(parts)?;
    access(service, name)
}

/// Serves one call of the API.
pub(super) async fn dispatch(
    plane: &Arc<ControlPlane>,
    parts: &Parts,
    body: Held,
) -> Result<Vec<u8>, ApiError> {
    let (service, name) = target(parts).ok_or_else(|| unknown(parts))?;
    let access = access(service, name).ok_or_else(|| unknown(parts))?;
    let signed = SignedRequest { parts, body: &body };
    let authorization = authorization(parts);
    let scope = service.scope(name, authorization.as_ref());
    let principal = plane
        .auth
        .authenticate(&plane.store, &signed, scope, access)
        .await?;
    let call = Call {
        principal,
        key_id: authorization
            .map(|signed| signed.access_key_id)
            .unwrap_or_default(),
        machine: plane.auth.machine(&signed, scope),
        base_url: base_url(plane, parts),
        plane: Arc::clone(plane),
    };
    let name = name.to_owned();
    let done = plane
        .operations
        .spawn(async move { run(service, &name, call, &body).await });
    done.await.unwrap_or_else(|error| {
        tracing::error!(%error, "an operation ended without an answer");
        Err(ApiError::server())
    })
}

/// Runs an operation for whoever a test says that it is, with nothing signed.
#[cfg(test)]
pub(crate) async fn call_as(
    plane: &Arc<ControlPlane>,
    (principal, machine): (crate::auth::Principal, Option<String>),
    name: &str,
    body: &serde_json::Value,
) -> Result<serde_json::Value, ApiError> {
    let call = Call {
        plane: Arc::clone(plane),
        principal,
        key_id: String::new(),
        machine,
        base_url: String::new(),
    };
    let answer = run(Service::Ecs, name, call, body.to_string().as_bytes()).await?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

fn authorization(parts: &Parts) -> Option<Authorization> {
    let header = parts.headers.get(http::header::AUTHORIZATION)?;
    header.to_str().ok()?.parse().ok()
}

fn target(parts: &Parts) -> Option<(Service, &str)> {
    let (prefix, name) = target_words(parts)?;
    match prefix {
        ECS_TARGET => Some((Service::Ecs, name)),
        SSM_TARGET => Some((Service::Ssm, name)),
        session::TARGET => Some((Service::Longshore, name)),
        _ => None,
    }
}

/// `PREFIX.Operation`.
fn target_words(parts: &Parts) -> Option<(&str, &str)> {
    parts.headers.get("x-amz-target")?.to_str().ok()?.split_once('.')
}

/// What is not served, by its name where it has one.
pub(super) fn unknown(parts: &Parts) -> ApiError {
    let text = match target_words(parts) {
        Some((_, name)) if parts.uri.path() == "/" && is_valid_name(name) => {
            format!("{name} is not served by this control plane.")
        }
        _ => format!(
            "{} {} with this X-Amz-Target is no call that this control plane serves.",
            parts.method,
            parts.uri.path()
        ),
    };
    ApiError::new(Code::UnknownOperation, text)
}

async fn answer<Request, Answer, Handler, Done>(
    service: Service,
    name: &str,
    call: Call,
    body: &[u8],
    handler: Handler,
) -> Result<Vec<u8>, ApiError>
where
    Request: serde::de::DeserializeOwned + serde::Serialize + Check,
    Answer: serde::Serialize,
    Handler: FnOnce(Call, Request) -> Done,
    Done: Future<Output = Result<Answer, ApiError>>,
{
    let request: Request = parse(body, MAX_BODY_NODES)?;
    request.check(&Path::ROOT).map_err(|violation| {
        let code = match (service, name) {
            (Service::Ecs, "RegisterTaskDefinition") => Code::Client,
            (Service::Ecs | Service::Longshore, _) => Code::InvalidParameter,
            (Service::Ssm, _) => Code::Validation,
        };
        ApiError::new(code, violation.to_string())
    })?;
    write(&handler(call, request).await?)
}
