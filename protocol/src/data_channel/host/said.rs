//! What a host says, apart from output.

use super::{MessageType, Now};
use crate::data_channel::payload::{ChannelClosed, ClientAction, HandshakeRequest};
use crate::session::cut_reason;

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

pub fn closed(now: Now, session_id: &str, mut output: String) -> ChannelClosed {
    // It may be of others: a runtime's words, or a program's name.
    cut_reason(&mut output);
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
