//! The bytes: frames, and the messages in them that are ttrpc's own.

use prost::Message;

/// Bytes of a header.
pub const HEADER: usize = 10;
/// The most bytes of a message: ttrpc's own limit.
pub const MAX_MESSAGE: usize = 4 << 20;

/// A frame's type: a call.
pub const REQUEST: u8 = 1;
/// A frame's type: its answer.
pub const RESPONSE: u8 = 2;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes follow.
    pub length: usize,
    /// Which call it belongs to.
    pub stream: u32,
    /// [`REQUEST`] or [`RESPONSE`]; others are for streaming, which the shim API has not.
    pub kind: u8,
}

impl Header {
    /// Reads the ten bytes.
    #[must_use]
    pub fn parse(bytes: &[u8; HEADER]) -> Self {
        let [a, b, c, d, e, f, g, h, kind, _flags] = *bytes;
        Self {
            length: u32::from_be_bytes([a, b, c, d]) as usize,
            stream: u32::from_be_bytes([e, f, g, h]),
            kind,
        }
    }
}

/// A whole frame.
#[must_use]
pub fn frame(stream: u32, kind: u8, message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(HEADER + length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&[kind, 0]);
    // A Vec grows: there is always room.
    let _ = message.encode(&mut bytes);
    bytes
}

/// A call.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// The service.
    #[prost(string, tag = "1")]
    pub service: String,
    /// The method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// What the method takes.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// How long the client will wait, in nanoseconds; 0 is without end. The client itself gives up then.
    #[prost(int64, tag = "4")]
    pub timeout_nano: i64,
}

/// An answer.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// How it went; none is well.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// What the method gives.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// What went wrong: a code of gRPC's and a text.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// A [`Code`].
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What failed, on what.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// gRPC's codes, those that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[expect(missing_docs, reason = "gRPC's own names")]
pub enum Code {
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
}

/// What a buffer of bytes begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Less than a frame.
    Incomplete,
    /// A frame, with the message's place in the buffer.
    Frame(Header, std::ops::Range<usize>),
    /// A frame that is longer than any may be: the connection can't be read on.
    TooLong(Header),
}

/// Looks for a frame at the beginning of a buffer.
#[must_use]
pub fn parse(buffer: &[u8]) -> Parsed {
    let Some(header) = buffer.first_chunk::<HEADER>().map(Header::parse) else {
        return Parsed::Incomplete;
    };
    if header.length > MAX_MESSAGE {
        return Parsed::TooLong(header);
    }
    let end = HEADER + header.length;
    if buffer.len() < end {
        Parsed::Incomplete
    } else {
        Parsed::Frame(header, HEADER..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_is_found_again_however_much_follows(
            stream: u32, payload in prop::collection::vec(any::<u8>(), 0..300), rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let request = Request {
                service: "s".into(), method: "m".into(), payload, timeout_nano: 5,
            };
            let mut bytes = frame(stream, REQUEST, &request);
            let whole = bytes.len();
            for cut in 0..whole {
                prop_assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete);
            }
            bytes.extend(rest);
            let Parsed::Frame(header, place) = parse(&bytes) else { panic!("a frame") };
            prop_assert_eq!((header.stream, header.kind, place.end), (stream, REQUEST, whole));
            prop_assert_eq!(Request::decode(&bytes[place]).unwrap(), request);
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            match parse(&bytes) {
                Parsed::TooLong(header) => prop_assert!(header.length > MAX_MESSAGE),
                Parsed::Frame(_, place) => prop_assert!(place.end <= bytes.len()),
                Parsed::Incomplete => {}
            }
        }
    }
}
