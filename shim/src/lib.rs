//! What runs beside containers. For now the log writer ([`log`]), a library and the program `longshore-log`.
//!
//! Invariant: nothing here needs the agent or containerd to live, so a container's output is kept whatever dies.

pub mod log;
