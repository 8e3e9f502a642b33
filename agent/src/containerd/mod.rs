//! A thin typed client over containerd's gRPC services: one channel, one namespace, a deadline on every call, and
//! failures sorted by what a caller can do about them.
//!
//! Invariants: making a [`Client`] touches nothing; the channel connects at the first call and again after it broke,
//! so a restart of containerd costs the calls in flight and nothing else. Nothing is tried again here, but [`prepare`].
//!
//! Limits: a message is at most 16 MiB, which is containerd's own bound.

mod error;
mod lease;
mod snapshot;

use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::introspection_client::IntrospectionClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::version_client::VersionClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

pub use containerd_client::{events, services, types};
pub use error::{CallError, Class, Optional};
pub use lease::{GC_EXPIRE_LABEL, Resource};
pub use snapshot::prepare;

/// For calls that only read or write containerd's database.
pub const QUICK: Duration = Duration::from_secs(15);

/// containerd's own bound on a gRPC message (`max_recv_message_size`).
const MESSAGE_LIMIT: usize = 16 << 20;

/// The channel with the namespace on every call.
pub type Service = InterceptedService<Channel, Scope>;

/// What is said with every call.
#[derive(Clone, Debug)]
pub struct Scope {
    namespace: MetadataValue<Ascii>,
    lease: Option<MetadataValue<Ascii>>,
}

impl tonic::service::Interceptor for Scope {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        let metadata = request.metadata_mut();
        metadata.insert("containerd-namespace", self.namespace.clone());
        if let Some(lease) = &self.lease {
            metadata.insert("containerd-lease", lease.clone());
        }
        Ok(request)
    }
}

/// Speaks to one containerd in one namespace. Cloning is cheap and shares the connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    scope: Scope,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(&self) -> $client<Service> {
                    $client::with_interceptor(self.channel.clone(), self.scope.clone())
                        .max_decoding_message_size(MESSAGE_LIMIT)
                }
            )*
        }
    };
}

services! {
    /// Container records.
    containers: ContainersClient;
    /// The content store: blobs by digest.
    content: ContentClient;
    /// Unpacks layers.
    diff: DiffClient;
    /// What happens.
    events: EventsClient;
    /// Names of images.
    images: ImagesClient;
    /// What containerd is made of, and where it keeps things.
    introspection: IntrospectionClient;
    /// What the garbage collector must leave alone.
    leases: LeasesClient;
    /// File systems of layers and containers.
    snapshots: SnapshotsClient;
    /// Running containers.
    tasks: TasksClient;
    /// Which containerd this is.
    version: VersionClient;
}

impl Client {
    /// A client for the containerd that listens on the unix socket `address`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Class::Invalid`] for a namespace that isn't printable ASCII.
    pub fn new(address: &Path, namespace: &str) -> Result<Self, CallError> {
        let scope = Scope {
            namespace: ascii("namespace", namespace)?,
            lease: None,
        };
        let address: PathBuf = address.to_owned();
        let connector = tower::service_fn(move |_| {
            let address = address.clone();
            async move { UnixStream::connect(address).await.map(TokioIo::new) }
        });
        // The URI names nobody: the connector knows where to go.
        let channel = Endpoint::from_static("http://containerd").connect_with_connector_lazy(connector);
        Ok(Self { channel, scope })
    }

    /// The same client, but everything that its calls make is held by a lease.
    ///
    /// # Errors
    /// [`Class::Invalid`] for an id that isn't printable ASCII.
    pub fn with_lease(&self, id: &str) -> Result<Self, CallError> {
        let mut client = self.clone();
        client.scope.lease = Some(ascii("lease", id)?);
        Ok(client)
    }
}

/// Waits for a call's answer, at most for `deadline`. `operation` and `subject` are for whoever reads the error.
///
/// # Errors
/// What containerd answered, or [`Class::Unavailable`] if it didn't.
pub async fn call<T>(
    operation: &'static str,
    subject: &str,
    deadline: Duration,
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CallError::from_status(operation, subject, &status)),
        Err(_) => Err(CallError {
            operation,
            subject: subject.to_owned(),
            class: Class::Unavailable,
            message: format!("no answer within {} s", deadline.as_secs()),
        }),
    }
}

fn ascii(what: &'static str, text: &str) -> Result<MetadataValue<Ascii>, CallError> {
    text.parse().map_err(|_| CallError {
        operation: "set up the client",
        subject: text.to_owned(),
        class: Class::Invalid,
        message: format!("the {what} must be printable ASCII"),
    })
}

#[cfg(test)]
mod tests {
    use containerd_client::services::v1::GetContainerRequest;

    use super::*;

    #[tokio::test]
    async fn a_socket_where_nobody_listens_is_unavailable() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(&folder.path().join("none.sock"), "test").unwrap();
        let request = GetContainerRequest { id: "c".to_owned() };
        let error = call("Get", "c", QUICK, client.containers().get(request))
            .await
            .unwrap_err();
        assert_eq!(error.class, Class::Unavailable, "{error}");
        assert!(error.message.contains("No such file"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_containerd_that_does_not_answer_is_unavailable_after_the_deadline() {
        let silence = std::future::pending::<Result<tonic::Response<()>, tonic::Status>>();
        let error = call("Get", "c", QUICK, silence).await.unwrap_err();
        assert_eq!(error.class, Class::Unavailable);
        assert_eq!(error.to_string(), "containerd Get c: no answer within 15 s");
    }

    #[tokio::test]
    async fn a_namespace_that_no_header_can_carry_is_refused() {
        let error = Client::new(Path::new("/nowhere"), "new\nline").unwrap_err();
        assert_eq!(error.class, Class::Invalid);
    }
}
