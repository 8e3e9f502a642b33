//! What runs beside containers: the log writer ([`log`], and the program `longshore-log`), and the I/O of a shim's
//! processes ([`io`]).
//!
//! Invariant: nothing here needs the agent or containerd to live, so a container's output is kept whatever dies.

pub mod io;
pub mod log;
