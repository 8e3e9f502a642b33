//! containerd's shim for Longshore, as the program `containerd-shim-longshore-v1`: containers' processes, their exits on
//! disk, their output in files. Also the log writer alone, as the program `longshore-log`, for other shims.
//!
//! ```text
//! containerd ──ttrpc──▶ daemon ──▶ service ──▶ runtime (runc) · io · cgroup · records · events
//!                          ▲
//!             kernel: children, memory, time
//! ```
//!
//! [`daemon`] is the one thread that waits; [`service`] does what it is asked for, in [`pool`]s of threads that are there
//! while there is work; [`reaper`] knows whose child is whose; [`io`] moves output in a thread of its own. [`start`] and
//! [`delete`] are the commands by which containerd has shims and cleans up after them.
//!
//! Invariant: nothing here needs the agent or containerd to live, so a container's output and exit are kept whatever dies.

pub mod api;
pub mod bundle;
pub mod cgroup;
pub mod clock;
pub mod command;
pub mod daemon;
pub mod delete;
pub mod events;
#[cfg(test)]
mod fuzz;
pub mod io;
pub mod limits;
pub mod log;
pub mod logger;
pub mod memory;
pub mod pool;
pub mod reaper;
pub mod records;
pub mod rootfs;
pub mod runtime;
pub mod service;
pub mod sockets;
pub mod start;
pub mod ttrpc;
