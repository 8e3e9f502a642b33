//! The shim as a whole: called by hand over ttrpc, and by a real containerd through `ctr`.
//!
//! Each test has namespaces and folders of its own, so be root, and run them with nextest.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what it expected"
)]

mod attach;
mod bad_input;
mod clients;
mod crash;
mod ends;
mod execs;
mod groups;
mod kit;
mod memory;
mod output;
mod rootfs;
mod starts;
mod storms;
mod through_containerd;
mod undead;
