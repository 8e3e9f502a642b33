//! What can't be done, and by which code clients are told.

use crate::bundle::BundleError;
use crate::io::IoError;
use crate::rootfs::MountError;
use crate::runtime::{ConsoleError, OptionsError, RuntimeError};
use crate::ttrpc::Code;

/// A request that was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum TaskError {
    #[error("the request can't be decoded")]
    Request(#[source] prost::DecodeError),
    #[error("{what} is {value:?}: it must be {allowed}")]
    Value {
        what: &'static str,
        value: String,
        allowed: &'static str,
    },
    #[error("container {0} not found in this shim")]
    NoContainer(String),
    #[error("exec {exec} of container {container} not found")]
    NoExec { container: String, exec: String },
    #[error("{0} has already ended: process already finished")]
    Finished(String),
    #[error("container {0} already exists in this shim")]
    Exists(String),
    #[error("exec {exec} of container {container} already exists")]
    ExecExists { container: String, exec: String },
    #[error("{what} is {is}: to {action} it must be {must}")]
    State {
        what: String,
        is: &'static str,
        action: &'static str,
        must: &'static str,
    },
    #[error("container {0} did not end after it was killed: delete it again once it has")]
    StillThere(String),
    #[error("container {0} is still being created: delete it again once it is")]
    StillCreating(String),
    #[error("checkpoints are not supported by this shim")]
    NoCheckpoints,
    #[error("the shim can't note container {id} in its bundle")]
    Notes {
        id: String,
        #[source]
        source: std::sync::Arc<std::io::Error>,
    },
    #[error("can't set the size of the console of {what}")]
    Resize {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl TaskError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Request(_) | Self::Value { .. } | Self::Options(_) => Code::InvalidArgument,
            Self::Bundle(error) => match error {
                BundleError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                    Code::NotFound
                }
                BundleError::Read { .. } | BundleError::Parse { .. } | BundleError::Relative { .. } => {
                    Code::InvalidArgument
                }
            },
            Self::NoContainer(_) | Self::NoExec { .. } | Self::Finished(_) => Code::NotFound,
            Self::Exists(_) | Self::ExecExists { .. } => Code::AlreadyExists,
            Self::State { .. } => Code::FailedPrecondition,
            Self::NoCheckpoints => Code::Unimplemented,
            Self::StillThere(_) | Self::StillCreating(_) => Code::DeadlineExceeded,
            Self::Runtime(RuntimeError::Run { .. }) => Code::Internal,
            // As containerd's own shim has it: what the OCI runtime refuses is unknown.
            Self::Runtime(
                RuntimeError::Refused { .. } | RuntimeError::File { .. } | RuntimeError::Fifo { .. },
            ) => Code::Unknown,
            Self::Notes { .. } | Self::Resize { .. } | Self::Mount(_) | Self::Io(_) | Self::Console(_) => {
                Code::Unknown
            }
        }
    }
}
