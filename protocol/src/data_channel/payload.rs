//! What is in the messages of a data channel, and the text by which a client opens it.
//!
//! Member names are as the clients spell them. What a client leaves out, or adds, is no error: they differ by version.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::MessageType;

/// What a payload is. Unknown ones are passed on as they are: whoever reads acknowledges and ignores them. A client in use
/// writes each that it does not know to the terminal, so nothing that it did not ask for is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PayloadType(
    /// The number in the message.
    pub u32,
);

impl PayloadType {
    /// What [`MessageType::Acknowledge`] and [`MessageType::ChannelClosed`] have.
    pub const NONE: Self = Self(0);
    /// Bytes of a terminal, or of a standard stream.
    pub const OUTPUT: Self = Self(1);
    /// [`Size`].
    pub const SIZE: Self = Self(3);
    /// [`HandshakeRequest`].
    pub const HANDSHAKE_REQUEST: Self = Self(5);
    /// [`HandshakeResponse`].
    pub const HANDSHAKE_RESPONSE: Self = Self(6);
    /// [`HandshakeComplete`].
    pub const HANDSHAKE_COMPLETE: Self = Self(7);
    /// A number of four bytes, big endian; [`END_OF_INPUT`] is the one that is used here.
    pub const FLAG: Self = Self(10);
    /// Bytes of a standard error that has a stream of its own.
    pub const STDERR: Self = Self(11);
    /// `EXIT_CODE: `, and a number.
    pub const EXIT_CODE: Self = Self(12);
}

/// The text message by which a client opens the channel: the only one of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    /// `1.0`.
    #[serde(default)]
    pub message_schema_version: String,
    /// Of this message.
    #[serde(default)]
    pub request_id: String,
    /// What lets the client in.
    pub token_value: String,
    /// The same for all sockets of one client.
    #[serde(default)]
    pub client_id: String,
    /// Four numbers; older clients don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
}

/// The payload of [`MessageType::Acknowledge`]. What counts is the number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Acknowledge {
    /// The type's name.
    #[serde(rename = "AcknowledgedMessageType", default)]
    pub message_type: String,
    /// The id.
    #[serde(rename = "AcknowledgedMessageId", default)]
    pub id: String,
    /// The number.
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
    /// Always so.
    #[serde(rename = "IsSequentialMessage", default)]
    pub sequential: bool,
}

impl Acknowledge {
    /// That a message has come.
    #[must_use]
    pub fn of(message_type: MessageType, id: Uuid, sequence: i64) -> Self {
        Self {
            message_type: message_type.as_str().to_owned(),
            id: id.to_string(),
            sequence,
            sequential: true,
        }
    }
}

/// The payload of [`MessageType::ChannelClosed`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChannelClosed {
    /// As the message's.
    pub message_id: String,
    /// RFC 3339.
    pub created_date: String,
    /// Nobody reads it.
    pub destination_id: String,
    /// The session.
    pub session_id: String,
    /// `channel_closed`.
    pub message_type: String,
    /// 1.
    pub schema_version: u32,
    /// Why, for the user to read; empty at a session's normal end.
    pub output: String,
}

/// The first message of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    /// Four numbers.
    pub agent_version: String,
    /// What the client is to do.
    pub requested_client_actions: Vec<ClientAction>,
}

/// What a client is to do, or to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClientAction {
    /// `SessionType`, for one.
    pub action_type: String,
    /// As the action has them.
    pub action_parameters: Value,
}

/// The client's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    /// Four numbers.
    #[serde(default)]
    pub client_version: String,
    /// One for each action.
    #[serde(default)]
    pub processed_client_actions: Option<Vec<ProcessedAction>>,
    /// What went wrong.
    #[serde(default)]
    pub errors: Option<Vec<String>>,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessedAction {
    /// As asked.
    #[serde(default)]
    pub action_type: String,
    /// [`SUCCESS`], or not. A client in use says 0 of what it does not know.
    #[serde(default)]
    pub action_status: i64,
    /// As the action has it; of a failed one, anything.
    #[serde(default)]
    pub action_result: Value,
    /// For the user.
    #[serde(default)]
    pub error: Option<String>,
}

/// What a client of Longshore's own adds to its answer, without being asked: that it takes an exit code and a standard
/// error of its own, may end its input and go on, counts exactly, and acknowledges copies. Clients in use do none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Offer {
    /// The process gets a terminal; else pipes.
    pub terminal: bool,
}

impl Offer {
    const ACTION: &str = "LongshoreExec";

    /// As a member of the answer.
    #[must_use]
    pub fn action(&self) -> ProcessedAction {
        ProcessedAction {
            action_type: Self::ACTION.to_owned(),
            action_status: SUCCESS,
            // A boolean: nothing in it can fail to be JSON.
            action_result: serde_json::to_value(self).unwrap_or_default(),
            error: None,
        }
    }

    /// What a member of the answer offers, if it is one that does.
    #[must_use]
    pub fn read(action: &ProcessedAction) -> Option<Self> {
        let offers = action.action_type == Self::ACTION && action.action_status == SUCCESS;
        offers.then(|| serde_json::from_value(action.action_result.clone()).ok())?
    }
}

/// The handshake is over: the terminal's bytes come next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// Nanoseconds.
    pub handshake_time_to_complete: u64,
    /// The client writes it to the terminal, unless it is empty.
    pub customer_message: String,
}

/// The client's window. It comes once the client is ready for output, and then whenever the window changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Characters across.
    pub cols: u32,
    /// Lines.
    pub rows: u32,
}

/// [`ProcessedAction::action_status`] of an action that was done.
pub const SUCCESS: i64 = 1;
/// [`PayloadType::FLAG`] from the client: the session is to end.
pub const TERMINATE_SESSION: u32 = 2;
/// [`PayloadType::FLAG`] from the client: what it sends has ended, and the process's standard input is to be closed. Only
/// where the handshake agreed on it.
pub const END_OF_INPUT: u32 = 0x4c53_0001;
