//! What containerd's failures mean to a caller.

use tonic::Code;

use crate::http::chain;

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// containerd is away, restarting or too slow: the same call may succeed later.
    Unavailable,
    /// What was asked for does not exist.
    NotFound,
    /// What was to be made exists.
    AlreadyExists,
    /// It is not in a state in which that can be done, such as a container that still runs.
    FailedPrecondition,
    /// The request is wrong and always will be.
    Invalid,
    /// containerd, its shim or its runtime tried and failed; the message is theirs.
    Failed,
}

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("containerd {operation} {subject}: {message}")]
pub struct CallError {
    /// Which call.
    pub operation: &'static str,
    /// On what.
    pub subject: String,
    /// What can be done about it.
    pub class: Class,
    /// containerd's words, or the transport's.
    pub message: String,
}

impl CallError {
    /// Sorts a status. One with a cause was made on this side, by a transport that broke, whatever its code says.
    pub(crate) fn from_status(operation: &'static str, subject: &str, status: &tonic::Status) -> Self {
        let (class, message) = match std::error::Error::source(status) {
            Some(cause) => (Class::Unavailable, chain(cause)),
            None => (class(status.code()), status.message().to_owned()),
        };
        Self {
            operation,
            subject: subject.to_owned(),
            class,
            message,
        }
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.class {
            Class::Unavailable => true,
            Class::NotFound
            | Class::AlreadyExists
            | Class::FailedPrecondition
            | Class::Invalid
            | Class::Failed => false,
        }
    }
}

fn class(code: Code) -> Class {
    match code {
        Code::NotFound => Class::NotFound,
        Code::AlreadyExists => Class::AlreadyExists,
        Code::FailedPrecondition => Class::FailedPrecondition,
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Class::Invalid,
        Code::Unavailable
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::ResourceExhausted => Class::Unavailable,
        Code::Ok
        | Code::Unknown
        | Code::Internal
        | Code::DataLoss
        | Code::PermissionDenied
        | Code::Unauthenticated => Class::Failed,
    }
}

/// Makes "there is none" an answer.
pub trait Optional<T> {
    /// `None` where the failure is [`Class::NotFound`].
    fn optional(self) -> Result<Option<T>, CallError>;
}

impl<T> Optional<T> for Result<T, CallError> {
    fn optional(self) -> Result<Option<T>, CallError> {
        match self {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.class == Class::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_says_is_kept_and_sorted() {
        let status = tonic::Status::new(Code::Unknown, "runc create failed: no such file");
        let error = CallError::from_status("Start", "c", &status);
        assert_eq!(error.class, Class::Failed);
        assert_eq!(
            error.to_string(),
            "containerd Start c: runc create failed: no such file"
        );
        assert!(!error.is_transient());
    }

    #[test]
    fn a_missing_thing_can_be_an_answer() {
        let error = CallError::from_status("Get", "c", &tonic::Status::not_found("none"));
        assert!(Err::<(), _>(error).optional().unwrap().is_none());
        let error = CallError::from_status("Get", "c", &tonic::Status::unavailable("away"));
        assert!(Err::<(), _>(error).optional().is_err());
    }
}
