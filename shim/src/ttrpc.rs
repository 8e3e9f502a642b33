//! ttrpc, the protocol between containerd and shims: protobuf messages in frames on a Unix socket.
//!
//! A frame is ten bytes of header (length, stream, type, flags; big-endian) and so many bytes of a message. A client
//! opens a stream with each request, by an odd number; the server answers on the same stream, in any order.
//!
//! [`mod@frame`] has the bytes, [`mod@server`] the shim's side, [`mod@client`] a client that publishes events and that
//! tests speak with.
//!
//! Why our own: only unary calls are needed, and the crate's server keeps a pool of threads for every connection. Here a
//! connection that is idle costs a file descriptor, and a call that waits for a container's end no thread.

pub mod client;
pub mod frame;
pub mod server;

pub use frame::{Code, Status};
