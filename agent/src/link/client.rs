//! The way to the control plane, for real.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore_protocol::error::Retry;
use longshore_protocol::poll::{self, PollRequest, PollResponse};
use longshore_protocol::sigv4::Credentials;
use longshore_protocol::{ecs, ssm};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::call::{CallError, Caller, Operation, Signer};
use super::credentials::NodeCredentials;
use super::identity::{Identity, IdentityError, IdentityFiles};
use super::identity_writer::IdentityWriter;
use super::instance::REGISTER;
use super::routes::Ways;
use super::server_time::ServerTime;
use super::{ControlLink, LinkError, lock};
use crate::clock::Clock;
use crate::http::{CertificateClock, Client};

/// How long a poll endpoint is used before it is asked for again.
const POLL_ENDPOINT_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// The longest address of a poll endpoint, and the longest name of a control plane's incarnation: both are kept.
const MAX_ADDRESS: usize = 2048;
const MAX_INCARNATION: usize = 64;
/// Room in an answer beside the assignments.
const POLL_ANSWER_LIMIT: usize = poll::MAX_RESPONSE_BYTES + 64 * 1024;

/// What the link is made from.
pub struct LinkParts {
    /// The HTTP client that trusts as the identity says.
    pub http: Client,
    /// The clock that the client judges certificates by.
    pub certificates: Arc<CertificateClock>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where the identity lies.
    pub files: IdentityFiles,
    /// The identity.
    pub identity: Identity,
    /// The control plane's address: the identity's, or what the settings say instead.
    pub endpoint: String,
    /// What tells this machine from a copy of it.
    pub fingerprint: String,
}

/// The link of a registered node.
pub struct Link {
    pub(super) caller: Caller,
    pub(super) credentials: NodeCredentials,
    endpoint: String,
    pub(super) cluster: String,
    files: IdentityFiles,
    writer: IdentityWriter,
    identity: Arc<Mutex<Identity>>,
    poll_endpoint: Mutex<Option<PollEndpoint>>,
    /// Whether the control plane has said that the container instance is not registered, since it last was.
    pub(super) inactive: watch::Sender<bool>,
    ways: Ways,
}

#[derive(Clone)]
struct PollEndpoint {
    address: String,
    until: Duration,
}

impl Link {
    /// A link; nothing is called yet.
    ///
    /// # Errors
    /// [`IdentityError`] where the key can't be read.
    pub fn new(parts: LinkParts) -> Result<Self, IdentityError> {
        let time = ServerTime::new(parts.clock, parts.certificates, Some(parts.files.clone()));
        let writer = IdentityWriter::new(parts.files.clone());
        let credentials = NodeCredentials::new(
            parts.identity.instance_id.clone(),
            parts.fingerprint,
            parts.endpoint.clone(),
            &parts.files,
            writer.clone(),
        )?;
        Ok(Self {
            caller: Caller {
                http: parts.http,
                region: parts.identity.region.clone(),
                time,
            },
            credentials,
            endpoint: parts.endpoint,
            cluster: parts.identity.cluster.clone(),
            files: parts.files,
            writer,
            identity: Arc::new(Mutex::new(parts.identity)),
            poll_endpoint: Mutex::new(None),
            inactive: watch::Sender::new(false),
            ways: Ways::default(),
        })
    }

    /// Who this machine is, as far as is known now.
    #[must_use]
    pub fn identity(&self) -> Identity {
        lock(&self.identity).clone()
    }

    /// What tells this machine from a copy of it. Polls must say the same as the credentials do, so this is its one source.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.credentials.fingerprint()
    }

    /// Whether the control plane takes this node's key: gets credentials, as every call does first.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn check_identity(&self) -> Result<(), LinkError> {
        self.credentials.get(&self.caller).await.map(drop)
    }

    /// Trusts so from the next start on.
    ///
    /// # Errors
    /// [`IdentityError`] where it can't be stored.
    pub fn set_trust(&self, trust: &crate::http::Trust) -> Result<(), IdentityError> {
        let mut identity = self.identity();
        identity.set_trust(trust);
        self.files.store(&identity)?;
        *lock(&self.identity) = identity;
        Ok(())
    }

    /// Takes the node off the books; its key is good for nothing afterwards.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn deregister_managed_instance(&self) -> Result<(), LinkError> {
        let input = ssm::DeregisterManagedInstanceRequest {
            instance_id: Some(self.identity().instance_id.into()),
        };
        let operation = Operation::ssm(&self.endpoint, "DeregisterManagedInstance");
        let _: ssm::DeregisterManagedInstanceResult = self.signed(operation, &input).await?;
        Ok(())
    }

    pub(super) async fn ecs<I: Serialize, O: DeserializeOwned>(
        &self,
        name: &'static str,
        input: &I,
    ) -> Result<O, LinkError> {
        self.signed(Operation::ecs(&self.endpoint, name), input).await
    }

    /// Signed by the node's credentials; once more with new ones where those were refused.
    async fn signed<I: Serialize, O: DeserializeOwned>(
        &self,
        operation: Operation<'_>,
        input: &I,
    ) -> Result<O, LinkError> {
        let credentials = self.credentials.get(&self.caller).await?;
        let answer = self
            .caller
            .call(operation, input, Signer::Credentials(&credentials))
            .await;
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(credentials) = self.instead_of(&credentials, &error).await? else {
            return Err(link_error(operation.name, error));
        };
        let answer = self
            .caller
            .call(operation, input, Signer::Credentials(&credentials))
            .await;
        answer.map_err(|error| link_error(operation.name, error))
    }

    /// New credentials, if a call failed because these are of no use any more.
    pub(super) async fn instead_of(
        &self,
        credentials: &Credentials,
        error: &CallError,
    ) -> Result<Option<Credentials>, LinkError> {
        let refused = matches!(
            error,
            CallError::Service {
                retry: Retry::WithNewCredentials,
                ..
            }
        );
        if !refused {
            return Ok(None);
        }
        self.credentials.refused(credentials);
        self.credentials.get(&self.caller).await.map(Some)
    }

    async fn poll_endpoint(&self, instance: &str) -> Result<String, LinkError> {
        let now = self.caller.time.since_boot();
        let known = lock(&self.poll_endpoint).clone();
        if let Some(known) = known.filter(|known| now < known.until) {
            return Ok(known.address);
        }
        let input = ecs::DiscoverPollEndpointRequest {
            container_instance: Some(instance.to_owned()),
            cluster: Some(self.cluster.clone()),
            zone_id: None,
        };
        const NAME: &str = "DiscoverPollEndpoint";
        let answer: ecs::DiscoverPollEndpointResponse = self.ecs(NAME, &input).await?;
        let address = answer.endpoint.ok_or_else(|| LinkError::Unavailable {
            operation: NAME,
            why: "the answer names no endpoint".to_owned(),
        })?;
        self.check_address(&address)
            .map_err(|why| LinkError::Unavailable {
                operation: NAME,
                why: format!(
                    "{:?} is no poll endpoint: {why}",
                    address.chars().take(80).collect::<String>()
                ),
            })?;
        *lock(&self.poll_endpoint) = Some(PollEndpoint {
            address: address.clone(),
            until: now + POLL_ENDPOINT_LIFETIME,
        });
        Ok(address)
    }

    /// Where sessions are dialled: where the node polls.
    pub(super) async fn session_endpoint(&self) -> Result<String, LinkError> {
        let instance = self.identity().container_instance;
        let instance = instance.ok_or_else(|| LinkError::Unavailable {
            operation: "DiscoverPollEndpoint",
            why: "the node is not registered yet".to_owned(),
        })?;
        self.poll_endpoint(&instance.to_string()).await
    }

    /// A control plane that is called by https is polled by https: what is said to it is nobody else's.
    pub(super) fn check_address(&self, address: &str) -> Result<(), &'static str> {
        let url = url::Url::parse(address).map_err(|_| "it can't be read")?;
        match url.scheme() {
            _ if address.len() > MAX_ADDRESS => Err("it is too long"),
            _ if !url.has_host() => Err("it has no host"),
            "https" => Ok(()),
            "http" if !self.endpoint.starts_with("https:") => Ok(()),
            "http" => Err("it is http, and the control plane is https"),
            _ => Err("it is neither http nor https"),
        }
    }

    pub(super) async fn keep(&self, identity: &Identity) -> Result<(), LinkError> {
        let (identity, known) = (identity.clone(), Arc::clone(&self.identity));
        let write = move |files: &IdentityFiles| {
            files.store(&identity)?;
            *lock(&known) = identity;
            Ok(())
        };
        self.writer.write(REGISTER, write).await
    }
}

#[async_trait]
impl ControlLink for Link {
    async fn register_container_instance(
        &self,
        request: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::ContainerInstance, LinkError> {
        let arn = self.identity().container_instance;
        self.register_as(arn.as_ref(), request).await
    }

    async fn deregister_container_instance(
        &self,
        request: ecs::DeregisterContainerInstanceRequest,
    ) -> Result<(), LinkError> {
        let _: ecs::DeregisterContainerInstanceResponse =
            self.ecs("DeregisterContainerInstance", &request).await?;
        Ok(())
    }

    async fn poll(&self, request: &PollRequest) -> Result<PollResponse, LinkError> {
        let endpoint = self
            .poll_endpoint(&request.container_instance.to_string())
            .await?;
        let operation = Operation {
            endpoint: &endpoint,
            path: poll::PATH,
            service: "ecs",
            target: None,
            name: "Poll",
            deadline: Duration::from_secs(u64::from(request.wait_seconds + poll::WAIT_GRACE_SECONDS)),
            limit: POLL_ANSWER_LIMIT,
        };
        let answer: Result<PollResponse, _> = self.signed(operation, request).await;
        if let Err(error) = &answer {
            // It may have moved.
            *lock(&self.poll_endpoint) = None;
            if error.is_inactive() {
                self.inactive.send_replace(true);
            }
        }
        let answer = answer?;
        match answer.cursor.incarnation.len() > MAX_INCARNATION {
            true => Err(LinkError::Unavailable {
                operation: operation.name,
                why: format!("the incarnation has more than {MAX_INCARNATION} characters"),
            }),
            false => Ok(answer),
        }
    }

    async fn submit_task_state_change(
        &self,
        mut request: ecs::SubmitTaskStateChangeRequest,
    ) -> Result<(), LinkError> {
        request.cluster.get_or_insert_with(|| self.cluster.clone());
        let _: ecs::SubmitTaskStateChangeResponse = self.ecs("SubmitTaskStateChange", &request).await?;
        Ok(())
    }

    async fn new_way(&self) {
        self.ways.new_one().await;
    }
}

/// Whether an error is about how a request was signed, so that nobody has looked at what it says.
fn is_about_the_signature(code: &str) -> bool {
    matches!(
        code,
        "InvalidSignatureException" | "IncompleteSignatureException" | "MissingAuthenticationTokenException"
    )
}

/// What a failed call means to those who called.
pub(super) fn link_error(operation: &'static str, error: CallError) -> LinkError {
    match error {
        CallError::Service {
            code,
            message,
            retry,
            retry_after,
        } => match retry {
            Retry::Later => LinkError::Busy {
                operation,
                why: format!("{code}: {message}"),
                retry_after,
            },
            Retry::WithServerTime => LinkError::Unavailable {
                operation,
                why: format!("{code}: {message}"),
            },
            // Fresh credentials were refused too.
            Retry::WithNewCredentials => LinkError::Identity { operation, message },
            // Not a word about the request itself: whoever mends what broke the signature, such as a proxy that changes
            // the Host header, wants to have it then.
            Retry::Never if is_about_the_signature(&code) => LinkError::Unavailable {
                operation,
                why: format!("{code}: {message}"),
            },
            Retry::Never => LinkError::Refused {
                operation,
                code,
                message,
            },
        },
        CallError::Foreign {
            retry_after: after @ Some(_),
            ..
        } => LinkError::Busy {
            operation,
            why: error.to_string(),
            retry_after: after,
        },
        // A failing disk, a proxy's page, a server that is not ready: none of it is the control plane's word.
        CallError::Http(_) | CallError::Address { .. } | CallError::Foreign { .. } | CallError::Key(_) => {
            LinkError::Unavailable {
                operation,
                why: error.to_string(),
            }
        }
    }
}
