//! Sessions: how an agent learns that a client wants to talk to a container, and how it says how that ended.
//!
//! `ExecuteCommand` (or Longshore's own `StartLogsSession`) makes a session. The control plane repeats a [`SessionOffer`]
//! in every poll answer until the node's agent has dialled `GET {pollEndpoint}{`[`path`]`}`, a websocket whose upgrade
//! request is signed like a poll. Then:
//!
//! - The relay sends the agent `start_publication` each time a client has joined, and `pause_publication` when it has
//!   lost one. What the client and the agent send each other between these is forwarded as it is, in
//!   [`crate::data_channel`]'s binary messages.
//! - The relay sends `channel_closed` to the agent when the session is to end: it was terminated, no client came in time,
//!   or none came back.
//! - The agent ends a session with `channel_closed`, then one text message, a [`SessionEnd`], and waits for the relay to
//!   close the socket: then the end is stored. It dials again if that does not come.
//! - A session that is over, or that this node doesn't host, is refused with status 404 or 410 at the upgrade: the agent
//!   then kills what is left of it. Any other failure to dial is tried again.
//!
//! Invariants: an offer carries no secret, so it may be repeated and lost; one session has at most one socket a side, and
//! a newer one takes the older one's place.

use serde::{Deserialize, Serialize};

use crate::arn::TaskArn;
use crate::check::{self, Check, Path, Violation};
use crate::{Timestamp, ecs};

/// The prefix of `X-Amz-Target` in calls of Longshore's own operations, which are signed for the service `ecs`.
pub const TARGET: &str = "Longshore";

/// The most offers in one poll answer.
pub const MAX_OFFERS: usize = 32;
/// The most bytes of a command, so that offers leave room for assignments.
pub const MAX_COMMAND_BYTES: usize = 8 * 1024;
/// The most bytes of one message on the relay, either way. Clients in use send less than 3 KiB, Longshore's own 16 and what
/// is around them; the relay's buffers stay as long as the longest.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024;
/// The most bytes of why a session has ended, which are somebody else's at times.
pub const MAX_REASON_BYTES: usize = 1024;
/// Cuts why a session has ended to [`MAX_REASON_BYTES`], at the end of a character.
pub fn cut_reason(reason: &mut String) {
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
}

/// How long a new session waits for its client and its agent, in seconds.
pub const CONNECT_SECONDS: u32 = 60;
/// How often the relay pings both sides, in seconds.
pub const PING_SECONDS: u32 = 30;
/// After how many seconds without a word, or a ping, the relay or a side of it is lost to the other: two pings, and some.
pub const SILENCE_SECONDS: u32 = 75;
/// How long a session goes on without its client, or without its agent, in seconds.
pub const RESUME_SECONDS: u32 = 60;

/// Where the two sides of a session meet. The client's side is `?role=publish_subscribe`, the agent's `?role=agent`.
#[must_use]
pub fn path(session_id: &str) -> String {
    format!("/v1/data-channel/{session_id}")
}

/// What a session is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SessionKind {
    /// A command in the container.
    Exec {
        /// As `ExecuteCommand` got it: to be split as a shell would, and run without one. At most
        /// [`MAX_COMMAND_BYTES`].
        command: String,
        /// Where the cluster's `executeCommandConfiguration` asks for a transcript on the node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transcript: Option<Transcript>,
    },
    /// The container's output so far, one `json_file::Record` a line, without a process.
    Logs {
        /// Go on until the container has ended.
        #[serde(default)]
        follow: bool,
        /// Nothing that was written earlier.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
}

/// Where the node keeps what was shown in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transcript {
    /// A file of its own below the agent's data folder.
    File,
    /// The system's journal.
    Journald,
}

/// A session that waits for its agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionOffer {
    /// `ecs-execute-command-` and 17 hexadecimal digits.
    pub session_id: String,
    /// In which task.
    pub task_arn: TaskArn,
    /// In which of its containers, by name.
    pub container_name: String,
    /// What for.
    #[serde(flatten)]
    pub kind: SessionKind,
}

/// How a session ended, for the audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionEnd {
    /// When, by the node's clock.
    pub ended_at: Timestamp,
    /// What the process exited with (128 + the signal, if by one); absent if it was never started, or was not waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
    /// In words, if not simply by its process's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes that went to the process.
    pub bytes_in: u64,
    /// Bytes that came from it.
    pub bytes_out: u64,
}

/// `Longshore.StartLogsSession`: a session that shows what a container of a task on any node has written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StartLogsSessionRequest {
    /// By name or ARN; absent is `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// By id or ARN. It may be over, as long as its node has its logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// By name; may be absent where the task has only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Go on until the container has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
    /// Nothing that was written earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Check for StartLogsSessionRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.task, &path.member("task"))
    }
}

/// The answer to [`StartLogsSessionRequest`]; as `ExecuteCommand`'s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StartLogsSessionResponse {
    /// The cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_arn: Option<String>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// The container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// Where to dial, and what lets one in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<ecs::Session>,
}
