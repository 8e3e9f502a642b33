//! What a host says, apart from output.

use serde::Serialize;

use super::{MessageType, Now};
use crate::data_channel::payload::{ChannelClosed, ClientAction, HandshakeRequest};

pub fn request(agent_version: &str) -> HandshakeRequest {
    HandshakeRequest {
        agent_version: agent_version.to_owned(),
        requested_client_actions: vec![ClientAction {
            action_type: "SessionType".to_owned(),
            action_parameters: serde_json::json!({
                "SessionType": "InteractiveCommands",
                "Properties": null,
            }),
        }],
    }
}

pub fn closed(now: Now, session_id: &str, output: String) -> ChannelClosed {
    ChannelClosed {
        message_id: session_id.to_owned(),
        created_date: now.wall.to_string(),
        session_id: session_id.to_owned(),
        message_type: MessageType::ChannelClosed.as_str().to_owned(),
        schema_version: 1,
        output,
        ..ChannelClosed::default()
    }
}

pub fn json(payload: &impl Serialize) -> Vec<u8> {
    // Strings and numbers: nothing in them can fail to be JSON.
    serde_json::to_vec(payload).unwrap_or_default()
}

pub fn milliseconds(wall: jiff::Timestamp) -> u64 {
    // A clock of before 1970 is wrong, and a date must be there.
    u64::try_from(wall.as_millisecond()).unwrap_or(1).max(1)
}
