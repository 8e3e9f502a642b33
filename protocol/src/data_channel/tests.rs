use proptest::prelude::*;
use uuid::{Uuid, uuid};

use super::payload::*;
use super::*;
use crate::sigv4::hex;

mod client;
mod host;
mod network;
mod receiver;
mod refused;
mod sender;

const ID: Uuid = uuid!("00112233-4455-4677-8899-aabbccddeeff");
/// As another implementation writes them.
const INPUT: &str = "\
    00000074696e7075745f73747265616d5f646174612020202020202020202020\
    20202020000000010000018bcfe5687b000000000000000500000000000000\
    008899aabbccddeeff00112233445546771d887ce0f8672e4914d9000e801cd7\
    4ecd805dd9366c0bc42dc16adc0197dc2f00000001000000036c730d";
const OUTPUT: &str = "\
    000000746f75747075745f73747265616d5f6461746120202020202020202020\
    20202020000000010000018bcfe5687b000000000000000000000000000000\
    018899aabbccddeeff0011223344554677d53ca1ea7dce87c11432052a8550ed\
    2615cf715ca843c89710ed83325b691cba00000003000000157b22636f6c7322\
    3a38302c22726f7773223a32347d";

fn message(message_type: MessageType, sequence: i64, payload: &[u8]) -> Message<'_> {
    Message {
        message_type,
        created: 1_700_000_000_123,
        sequence,
        flags: 0,
        id: ID,
        payload_type: PayloadType::OUTPUT,
        payload,
    }
}

#[test]
fn messages_are_as_other_implementations_write_them() {
    let input = message(MessageType::InputStreamData, 5, b"ls\r");
    assert_eq!(hex(&input.encode()), INPUT);
    assert_eq!(Message::decode(&input.encode()).unwrap(), input);
    let size = serde_json::to_vec(&Size { cols: 80, rows: 24 }).unwrap();
    let output = Message {
        flags: SYN,
        payload_type: PayloadType::SIZE,
        ..message(MessageType::OutputStreamData, 0, &size)
    };
    assert_eq!(hex(&output.encode()), OUTPUT);
}

#[test]
fn names_may_be_padded_with_zeros() {
    let mut bytes = message(MessageType::Acknowledge, 0, b"{}").encode();
    bytes[4 + "acknowledge".len()..36].fill(0);
    let read = Message::decode(&bytes).unwrap();
    assert_eq!(read.message_type, MessageType::Acknowledge);
}

#[test]
fn a_message_that_is_none_is_named() {
    let good = message(MessageType::InputStreamData, 5, b"ls\r").encode();
    let bad = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        Message::decode(&bytes).unwrap_err()
    };
    assert_eq!(bad(3, &[0]), InvalidMessage::Header(0));
    assert_eq!(bad(0, &[255; 4]), InvalidMessage::Header(u32::MAX));
    assert_eq!(bad(4, &[b' '; 32]), InvalidMessage::Type(String::new()));
    assert_eq!(bad(40, &[0; 8]), InvalidMessage::Created);
    assert_eq!(bad(119, &[4]), InvalidMessage::Length { is: 3, said: 4 });
    assert_eq!(bad(120, b"L"), InvalidMessage::Digest);
    assert_eq!(bad(80, &[0]), InvalidMessage::Digest);
}

#[test]
fn payloads_are_as_clients_have_them() {
    let acknowledge = Acknowledge::of(MessageType::OutputStreamData, ID, 0);
    assert_eq!(
        serde_json::to_string(&acknowledge).unwrap(),
        r#"{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"00112233-4455-4677-8899-aabbccddeeff","AcknowledgedMessageSequenceNumber":0,"IsSequentialMessage":true}"#
    );
    let response = r#"{"ClientVersion":"1.2.0.0","ProcessedClientActions":[
        {"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""},
        {"ActionType":"Other","ActionStatus":0,"ActionResult":3,"Error":"Unsupported"}],"Errors":null}"#;
    let response: HandshakeResponse = serde_json::from_str(response).unwrap();
    let actions = response.processed_client_actions.unwrap();
    assert_eq!(actions[0].action_status, SUCCESS);
    assert_eq!(
        (actions[1].action_status, &actions[1].action_result),
        (0, &3.into())
    );
    let open = r#"{"MessageSchemaVersion":"1.0","RequestId":"r","TokenValue":"t","ClientId":"c","Other":[]}"#;
    let open: OpenDataChannel = serde_json::from_str(open).unwrap();
    assert_eq!((&*open.token_value, open.client_version), ("t", None));
    assert_eq!(
        serde_json::from_str::<ChannelClosed>("{}").unwrap(),
        ChannelClosed::default()
    );
}

fn any_message() -> impl Strategy<Value = (MessageType, u64, i64, u64, u128, u32, Vec<u8>)> {
    let types = prop::sample::select(MessageType::ALL.map(|(this, _)| this).to_vec());
    (
        types,
        1_u64..,
        any::<i64>(),
        any::<u64>(),
        any::<u128>(),
        any::<u32>(),
        any::<Vec<u8>>(),
    )
}

fn made(parts: &(MessageType, u64, i64, u64, u128, u32, Vec<u8>)) -> Message<'_> {
    let (message_type, created, sequence, flags, id, payload_type, payload) = parts;
    Message {
        message_type: *message_type,
        created: *created,
        sequence: *sequence,
        flags: *flags,
        id: Uuid::from_u128(*id),
        payload_type: PayloadType(*payload_type),
        payload,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(parts in any_message()) {
        let message = made(&parts);
        let bytes = message.encode();
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
        for end in 0..bytes.len() {
            prop_assert!(Message::decode(&bytes[..end]).is_err(), "cut off at {}", end);
        }
    }

    #[test]
    fn a_payload_that_changed_on_the_way_is_refused(parts in any_message(), at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let mut bytes = made(&parts).encode();
        if bytes.len() > OVERHEAD {
            let at = OVERHEAD + at.index(bytes.len() - OVERHEAD);
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(Message::decode(&bytes), Err(InvalidMessage::Digest));
        }
    }

    #[test]
    fn what_is_read_is_written_the_same(mut bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..OVERHEAD, with: u8) {
        let _ = Message::decode(&bytes);
        // One byte off a good one.
        let good = made(&(MessageType::InputStreamData, 7, 1, 0, 5, 1, std::mem::take(&mut bytes))).encode();
        let mut bytes = good;
        bytes[at] = with;
        if let Ok(message) = Message::decode(&bytes) {
            let again = message.encode();
            // The schema's version and the padding are not kept.
            prop_assert_eq!(&again[..4], &bytes[..4]);
            prop_assert_eq!(&again[40..80], &bytes[40..80]);
            prop_assert_eq!(&again[112..], &bytes[112..]);
        }
    }
}
