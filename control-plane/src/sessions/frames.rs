//! What the relay says itself, in the data channel's messages.

use longshore_protocol::Timestamp;
use longshore_protocol::data_channel::payload::ChannelClosed;
use longshore_protocol::data_channel::{FIN, Message, MessageType, PayloadType, SYN};
use uuid::Uuid;

use crate::clock::Clock;

/// The client is there, or there again: go on.
pub(super) fn start(clock: &dyn Clock) -> Vec<u8> {
    frame(clock, MessageType::StartPublication, Uuid::new_v4(), &[])
}

/// The client is not there: wait.
pub(super) fn pause(clock: &dyn Clock) -> Vec<u8> {
    frame(clock, MessageType::PausePublication, Uuid::new_v4(), &[])
}

/// The session is over; with what the user is to read, or nothing.
pub(super) fn closed(clock: &dyn Clock, session: &str, output: &str) -> Vec<u8> {
    let id = Uuid::new_v4();
    let closed = ChannelClosed {
        message_id: id.to_string(),
        created_date: Timestamp::from_millis(clock.now_millis()).to_string(),
        destination_id: String::new(),
        session_id: session.to_owned(),
        message_type: MessageType::ChannelClosed.as_str().to_owned(),
        schema_version: 1,
        output: output.to_owned(),
    };
    // Strings and a number: nothing in it can fail to be JSON.
    let payload = serde_json::to_vec(&closed).unwrap_or_default();
    frame(clock, MessageType::ChannelClosed, id, &payload)
}

fn frame(clock: &dyn Clock, message_type: MessageType, id: Uuid, payload: &[u8]) -> Vec<u8> {
    let message = Message {
        message_type,
        created: u64::try_from(clock.now_millis()).unwrap_or(1),
        sequence: 0,
        flags: SYN | FIN,
        id,
        payload_type: PayloadType::NONE,
        payload,
    };
    message.encode()
}
