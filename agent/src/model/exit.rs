//! How a container ended.

use serde::{Deserialize, Serialize};

use super::Moment;

/// How a container ended, as far as that is known. It is made only when no process of the container is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The kernel's exit code: 128 + n for signal n. `None` where nobody can know it any more; then `reason` says why.
    pub code: Option<i32>,
    /// When, in milliseconds since 1970.
    pub at_millis: i64,
    /// Whether the kernel killed for memory, and whom.
    pub out_of_memory: Option<OutOfMemory>,
    /// The most memory that the container had, in bytes.
    pub peak_memory: Option<u64>,
    /// Why the code is unknown, `ErrorName: text`.
    pub reason: Option<String>,
    /// Which run of the container it ended; 0 is the first.
    #[serde(default)]
    pub run: u32,
    /// When, by the clock that never steps, where the container's shim wrote that down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
}

/// Whom the kernel killed for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutOfMemory {
    /// The container's first process.
    Init,
    /// Another process of it; the first one may have ended for any reason.
    Child,
}
