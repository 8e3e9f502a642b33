//! Session Manager's data channel: the binary messages of an exec session, to the byte.
//!
//! A websocket carries them, one a binary message, between the client (`session-manager-plugin`, or `longshore exec`)
//! and the agent that hosts the session; what relays them reads none. There is no published specification: this follows
//! what the clients in use send and take.
//!
//! - Here: the frame, [`Message`].
//! - [`payload`]: what is in it, and the text by which a client opens the channel.
//! - [`sender`] and [`receiver`]: numbers, acknowledgements and repetition, without sockets or clocks, for either side.
//! - [`host`] and [`client`]: each side, whole, and without process, terminal or socket.
//!
//! Invariants: reading never panics nor takes memory; what is read and written again is the same, byte for byte, padding
//! aside. A message that can't be read is dropped without an answer: its sender sends it again if it was a good one.

use aws_lc_rs::digest;
use uuid::Uuid;

pub mod client;
pub mod host;
mod line;
pub mod payload;
pub mod receiver;
pub mod sender;

pub use payload::PayloadType;

/// Bytes before the payload's length. Clients in use die of any other number in the first field.
const HEADER: usize = 116;
/// Bytes before the payload.
pub const OVERHEAD: usize = HEADER + 4;
/// Bytes of the type's name.
const TYPE: usize = 32;
/// The bit of the first message of a direction.
pub const SYN: u64 = 1;
/// The bit that goes with [`SYN`] on messages that have no number of their own.
pub const FIN: u64 = 2;

/// Who says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// From the client, numbered.
    InputStreamData,
    /// From the host of the session, numbered.
    OutputStreamData,
    /// Either way: a numbered message has come.
    Acknowledge,
    /// From the relay or the host: the session is over.
    ChannelClosed,
    /// To whom sends: not now.
    PausePublication,
    /// To whom sends: go on.
    StartPublication,
    /// From the host to a relay.
    AgentSessionState,
}

impl MessageType {
    const ALL: [(Self, &str); 7] = [
        (Self::InputStreamData, "input_stream_data"),
        (Self::OutputStreamData, "output_stream_data"),
        (Self::Acknowledge, "acknowledge"),
        (Self::ChannelClosed, "channel_closed"),
        (Self::PausePublication, "pause_publication"),
        (Self::StartPublication, "start_publication"),
        (Self::AgentSessionState, "agent_session_state"),
    ];

    /// Its name in a message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let named = Self::ALL.iter().find(|(this, _)| *this == self);
        named.map_or("", |(_, name)| name)
    }

    fn named(name: &[u8]) -> Option<Self> {
        let this = Self::ALL.iter().find(|(_, known)| known.as_bytes() == name);
        this.map(|(this, _)| *this)
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who says what.
    pub message_type: MessageType,
    /// When it was first sent: milliseconds since 1970, at least 1.
    pub created: u64,
    /// Its place in its direction, from 0; 0 in what is not numbered.
    pub sequence: i64,
    /// [`SYN`] and [`FIN`]. Nobody reads them.
    pub flags: u64,
    /// Its own, kept when it is sent again.
    pub id: Uuid,
    /// What the payload is.
    pub payload_type: PayloadType,
    /// Any bytes.
    pub payload: &'a [u8],
}

/// Bytes that are no message. Whoever gets it drops it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// Cut off.
    #[error("a data channel message of {0} bytes is too short: {OVERHEAD} come before the payload")]
    Short(usize),
    /// The first field.
    #[error("a data channel message says that its header has {0} bytes, not {HEADER}")]
    Header(u32),
    /// None of the seven.
    #[error("a data channel message has an unknown type, {0:?}")]
    Type(String),
    /// It has no date.
    #[error("a data channel message has no date of creation")]
    Created,
    /// Cut off, or two in one.
    #[error("a data channel message has a payload of {is} bytes and says {said}")]
    Length {
        /// What is there.
        is: usize,
        /// What it says.
        said: u32,
    },
    /// Damaged.
    #[error("the payload of a data channel message does not have the digest that it says")]
    Digest,
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// [`InvalidMessage`] if it is none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, InvalidMessage> {
        let split = bytes.split_first_chunk::<OVERHEAD>();
        let (head, payload) = split.ok_or(InvalidMessage::Short(bytes.len()))?;
        let header = u32::from_be_bytes(field(head, 0));
        if header as usize != HEADER {
            return Err(InvalidMessage::Header(header));
        }
        let name: [u8; TYPE] = field(head, 4);
        let name = trimmed(&name);
        let unknown = || InvalidMessage::Type(String::from_utf8_lossy(name).into_owned());
        let message_type = MessageType::named(name).ok_or_else(unknown)?;
        let created = u64::from_be_bytes(field(head, 40));
        if created == 0 {
            return Err(InvalidMessage::Created);
        }
        let (is, said) = (payload.len(), u32::from_be_bytes(field(head, 116)));
        if said as usize != is {
            return Err(InvalidMessage::Length { is, said });
        }
        if is > 0 && digest_of(payload) != field::<32>(head, 80) {
            return Err(InvalidMessage::Digest);
        }
        Ok(Self {
            message_type,
            created,
            sequence: i64::from_be_bytes(field(head, 48)),
            flags: u64::from_be_bytes(field(head, 56)),
            id: Uuid::from_bytes(swapped(field(head, 64))),
            payload_type: PayloadType(u32::from_be_bytes(field(head, 112))),
            payload,
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OVERHEAD + self.payload.len());
        let mut name = [b' '; TYPE];
        let said = self.message_type.as_str().as_bytes();
        name[..said.len()].copy_from_slice(said);
        bytes.extend_from_slice(&(HEADER as u32).to_be_bytes());
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&1_u32.to_be_bytes());
        bytes.extend_from_slice(&self.created.max(1).to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        bytes.extend_from_slice(&swapped(*self.id.as_bytes()));
        bytes.extend_from_slice(&digest_of(self.payload));
        bytes.extend_from_slice(&self.payload_type.0.to_be_bytes());
        // No websocket here takes messages of 4 GiB.
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(self.payload);
        bytes
    }
}

/// Some bytes of what comes before the payload.
fn field<const N: usize>(head: &[u8; OVERHEAD], at: usize) -> [u8; N] {
    std::array::from_fn(|index| head[at + index])
}

/// A name without its padding: spaces, or zeros as some write.
fn trimmed(name: &[u8]) -> &[u8] {
    let padding = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    let begin = name.iter().position(|byte| !padding(byte)).unwrap_or(name.len());
    let end = name
        .iter()
        .rposition(|byte| !padding(byte))
        .map_or(begin, |last| last + 1);
    &name[begin..end]
}

/// A UUID as it is sent, or as it was: its second half comes first.
fn swapped(id: [u8; 16]) -> [u8; 16] {
    std::array::from_fn(|index| id[(index + 8) % 16])
}

fn digest_of(payload: &[u8]) -> [u8; 32] {
    let sum = digest::digest(&digest::SHA256, payload);
    std::array::from_fn(|index| sum.as_ref()[index])
}

#[cfg(test)]
mod tests;
