//! The way to the control plane. Everything is dialled from here; a node opens no port.
//!
//! Calls are awsJson1_1 and the poll is JSON, both signed by SigV4 with temporary credentials, which the node gets by its
//! RSA key. Invariant: only the control plane's own error answers are taken for its word; whatever else comes back is a
//! failure of the way, to be tried again. What it may answer with is bounded, in bytes, in time, in depth and in count
//! (`call`, `client`), and no redirect is followed.

mod answer;
mod call;
mod client;
mod credentials;
mod dial;
mod identity;
mod identity_writer;
mod instance;
mod key;
mod register;
mod rest;
mod routes;
mod server_time;

pub use client::{Link, LinkParts};
pub use dial::DialError;
pub use identity::{Identity, IdentityError, IdentityFiles};
pub use key::{KeyError, NodeKey};
pub use register::{Activation, RegisterError, register};
pub use rest::rest;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use longshore_protocol::ecs;
use longshore_protocol::poll::{PollRequest, PollResponse};

/// The code for a container instance that is not registered.
const INACTIVE: &str = "InactiveInstanceException";

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The way or the other end failed: again later, with backoff, for ever.
    #[error("{operation}: {why}")]
    Unavailable {
        /// Which call.
        operation: &'static str,
        /// What failed.
        why: String,
    },
    /// The control plane has no time for this call (5xx, 429): again later, and what it is asked for besides may succeed.
    #[error("{operation}: {why}")]
    Busy {
        /// Which call.
        operation: &'static str,
        /// Its words.
        why: String,
        /// How long it wants to be left alone; five minutes at most.
        retry_after: Option<Duration>,
    },
    /// The control plane understood and refused; the same call will be refused again.
    #[error("{operation}: {code}: {message}")]
    Refused {
        /// Which call.
        operation: &'static str,
        /// The API's error code.
        code: String,
        /// Its words.
        message: String,
    },
    /// The control plane does not take this node (deregistered, key unknown): an operator must act.
    #[error(
        "{operation}: the control plane does not know this node: {message}; what runs here goes on; \
         to make it a node again, create an activation, stop the agent, and run `longshore-agent register`"
    )]
    Identity {
        /// Which call.
        operation: &'static str,
        /// Its words.
        message: String,
    },
}

impl LinkError {
    /// Whether the same call can succeed later without anybody doing something.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Busy { .. } => true,
            Self::Refused { .. } | Self::Identity { .. } => false,
        }
    }

    /// How long the control plane wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            Self::Unavailable { .. } | Self::Refused { .. } | Self::Identity { .. } => None,
        }
    }

    /// Whether the container instance that this node was is not registered any more, or is another one now.
    #[must_use]
    pub fn is_inactive(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == INACTIVE)
    }
}

/// The calls that an agent makes.
#[async_trait]
pub trait ControlLink: Send + Sync + 'static {
    /// Registers the container instance, or again with the ARN that it has; answers with the instance.
    async fn register_container_instance(
        &self,
        request: ecs::RegisterContainerInstanceRequest,
    ) -> Result<ecs::ContainerInstance, LinkError>;

    /// Takes the container instance off the books.
    async fn deregister_container_instance(
        &self,
        request: ecs::DeregisterContainerInstanceRequest,
    ) -> Result<(), LinkError>;

    /// One long poll. Dropping the future gives the poll up.
    async fn poll(&self, request: &PollRequest) -> Result<PollResponse, LinkError>;

    /// Reports a task's state.
    async fn submit_task_state_change(
        &self,
        request: ecs::SubmitTaskStateChangeRequest,
    ) -> Result<(), LinkError>;

    /// Waits until there may be another way than the one that failed. A link that can't tell waits for ever.
    async fn new_way(&self) {
        std::future::pending().await
    }
}

/// The sockets of sessions.
#[async_trait]
pub trait SessionLink: Send + Sync + 'static {
    /// Opens the agent's side of a session.
    async fn dial(&self, session_id: &str) -> Result<Box<dyn crate::http::Connection>, DialError>;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is half done under these locks, so a panic elsewhere leaves good values.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
