//! What a caller is told when a request fails: ECS's and SSM's own codes and texts.
//!
//! Every failure of the boundary is an [`ApiError`]; [`Code`] fixes its wire name and HTTP status in one place, so
//! whether a client tries again follows from the code alone ([`longshore_protocol::error::retry_class`]).

use http::StatusCode;

use crate::store::StoreError;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal $status:ident,)+) => {
        /// The codes that are answered, by their wire names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// The wire name, as `__type` has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }
        }
    };
}

codes! {
    /// The operation is not served.
    UnknownOperation = "UnknownOperationException" BAD_REQUEST,
    /// The body is no JSON of the right shape.
    Serialization = "SerializationException" BAD_REQUEST,
    /// The body is larger than is read.
    TooLarge = "RequestEntityTooLargeException" PAYLOAD_TOO_LARGE,
    /// Too much at once; the same request may be tried again.
    Throttling = "ThrottlingException" BAD_REQUEST,
    /// Not signed.
    MissingAuthenticationToken = "MissingAuthenticationTokenException" BAD_REQUEST,
    /// The `Authorization` header can't be read.
    IncompleteSignature = "IncompleteSignatureException" BAD_REQUEST,
    /// No such key, or a token that is not ours.
    UnrecognizedClient = "UnrecognizedClientException" BAD_REQUEST,
    /// The credentials are over.
    ExpiredToken = "ExpiredTokenException" BAD_REQUEST,
    /// The signature is wrong, or was made at another time or for another place.
    InvalidSignature = "InvalidSignatureException" BAD_REQUEST,
    /// The caller may not do that.
    AccessDenied = "AccessDeniedException" BAD_REQUEST,
    /// The request can't be done as it is.
    Client = "ClientException" BAD_REQUEST,
    /// A member is wrong.
    InvalidParameter = "InvalidParameterException" BAD_REQUEST,
    /// No such cluster.
    ClusterNotFound = "ClusterNotFoundException" BAD_REQUEST,
    /// A cluster that still has instances.
    ClusterContainsContainerInstances = "ClusterContainsContainerInstancesException" BAD_REQUEST,
    /// A cluster that still has tasks.
    ClusterContainsTasks = "ClusterContainsTasksException" BAD_REQUEST,
    /// A client token that was used for something else.
    Conflict = "ConflictException" BAD_REQUEST,
    /// The agent of a task's node is not connected.
    TargetNotConnected = "TargetNotConnectedException" BAD_REQUEST,
    /// No such resource.
    ResourceNotFound = "ResourceNotFoundException" BAD_REQUEST,
    /// Something here failed; the same request may be tried again.
    Server = "ServerException" INTERNAL_SERVER_ERROR,
    /// SSM: a member is wrong.
    Validation = "ValidationException" BAD_REQUEST,
    /// SSM: wrong code, used up, or over.
    InvalidActivation = "InvalidActivation" BAD_REQUEST,
    /// SSM: no such activation.
    InvalidActivationId = "InvalidActivationId" BAD_REQUEST,
    /// SSM: no such managed instance.
    InvalidInstanceId = "InvalidInstanceId" BAD_REQUEST,
    /// SSM: no such resource to tag.
    InvalidResourceId = "InvalidResourceId" BAD_REQUEST,
    /// SSM: more tags than a resource can have.
    TooManyTags = "TooManyTagsError" BAD_REQUEST,
    /// SSM: a filter that is not known.
    InvalidFilter = "InvalidFilter" BAD_REQUEST,
    /// SSM: likewise, of DescribeInstanceInformation.
    InvalidFilterKey = "InvalidFilterKey" BAD_REQUEST,
    /// SSM: a page token that is not ours.
    InvalidNextToken = "InvalidNextToken" BAD_REQUEST,
    /// SSM: no such session.
    DoesNotExist = "DoesNotExistException" BAD_REQUEST,
    /// To nodes, of Longshore's own: the container instance was deregistered; register again, without its ARN.
    InactiveInstance = "InactiveInstanceException" BAD_REQUEST,
    /// Poll: a later poll of the same run was seen already.
    StalePoll = "StalePollException" BAD_REQUEST,
    /// To nodes, at a data channel: no such session of a task of theirs.
    SessionNotFound = "SessionNotFoundException" NOT_FOUND,
    /// To nodes, at a data channel: it is over.
    SessionOver = "SessionOverException" GONE,
}

/// The most characters of a message: it goes into logs and onto people's screens.
pub const MAX_MESSAGE: usize = 1000;

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ApiError {
    /// Which.
    pub code: Code,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// Only with [`Code::Conflict`]: what it is about.
    pub resource_ids: Vec<String>,
}

impl ApiError {
    /// An error of this code. A message that repeats too much of the request is cut.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self {
            code,
            message,
            resource_ids: Vec::new(),
        }
    }

    /// `InvalidParameterException`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameter, message)
    }

    /// `ClientException`.
    pub fn client(message: impl Into<String>) -> Self {
        Self::new(Code::Client, message)
    }

    /// `AccessDeniedException`.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Code::AccessDenied, message)
    }

    /// `ClusterNotFoundException`.
    #[must_use]
    pub fn cluster_not_found() -> Self {
        Self::new(Code::ClusterNotFound, "Cluster not found.")
    }

    /// `ServerException`. What went wrong is for the log; the caller can only try again.
    #[must_use]
    pub fn server() -> Self {
        Self::new(
            Code::Server,
            "The control plane failed to serve the request. Try again; its log says why.",
        )
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self::server()
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<crate::definition::Refusal> for ApiError {
    fn from(refusal: crate::definition::Refusal) -> Self {
        let code = match refusal.code {
            "ClientException" => Code::Client,
            _ => Code::InvalidParameter,
        };
        Self::new(code, refusal.message)
    }
}
