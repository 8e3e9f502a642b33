//! The messages of containerd's shim API (`containerd.task.v2.Task`), of its events, and of the metrics in them.
//!
//! Field numbers are those of containerd's and of the cgroups project's own `.proto` files, 1.6 to 2.x; what is not used
//! here is not here, and readers pass over it.
//!
//! Why not generated: the generated crates carry reflection, or an RPC framework of their own, both of which weigh more
//! than the whole of this shim.

pub mod events;
pub mod metrics_v1;
pub mod metrics_v2;
pub mod task;

pub use prost::Message;
pub use prost_types::{Any, Timestamp};

/// A message in an [`Any`], by containerd's type names, which have no host in front.
#[must_use]
pub fn any(type_url: &str, message: &impl Message) -> Any {
    Any {
        type_url: type_url.to_owned(),
        value: message.encode_to_vec(),
    }
}

/// A time as the API has it.
#[must_use]
pub fn timestamp(time: jiff::Timestamp) -> Timestamp {
    Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}
