//! Every type that crosses a wire between Longshore's pieces, and between them and their clients.
//!
//! - [`ecs`] and [`ssm`]: the shapes of the AWS APIs that are served, generated from the facts of the service models.
//! - [`node`]: how a node gets its identity (the SSM calls that the public model does not list).
//! - [`poll`]: the long poll by which an agent learns what to run.
//! - [`arn`], [`status`], [`Timestamp`]: names, ladders and times.
//! - [`sigv4`]: AWS Signature Version 4, for signing and for checking.
//! - [`shape`]: what JSON may be before it is read.
//! - [`error`]: errors of the awsJson1_1 protocol.
//! - [`json_file`]: the log files that the log writer makes and the agent reads.
//! - [`settings_file`]: the file of the agent's settings, in which others look up where it is.
//! - [`exit_record`]: how the shim tells the agent of a process's end, on disk.
//! - [`data_channel`]: the messages of an exec session.
//!
//! Invariants: nothing here opens a socket, reads a file, asks for the time or starts a runtime. Readers take unknown
//! members and ignore them, as AWS does; what a request must have is said by [`check::Check`].

pub mod arn;
pub mod check;
pub mod data_channel;
pub mod error;
pub mod exit_record;
pub mod json_file;
pub mod node;
pub mod poll;
pub mod session;
pub mod settings_file;
pub mod shape;
pub mod sigv4;
pub mod status;
mod timestamp;

#[allow(clippy::too_many_lines, reason = "generated: one check a member")]
mod generated {
    pub mod ecs;
    pub mod ssm;
}

pub use generated::{ecs, ssm};
pub use timestamp::{InvalidTimestamp, Timestamp};

/// The media type of awsJson1_1 requests and answers.
pub const AWS_JSON: &str = "application/x-amz-json-1.1";
/// The prefix of `X-Amz-Target` in calls of the ECS API; the operation's name follows the dot.
pub const ECS_TARGET: &str = "AmazonEC2ContainerServiceV20141113";
/// The prefix of `X-Amz-Target` in calls of the SSM API.
pub const SSM_TARGET: &str = "AmazonSSM";
