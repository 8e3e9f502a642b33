//! Images on a real containerd from a real registry: pulled, unpacked, shared, held, and what happens when something
//! breaks on the way.
//!
//! Needs root (layers are mounted to be unpacked), `containerd`, `ctr` and `docker-registry`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like the tests themselves"
)]

mod behaviors;
mod climbing;
mod faults;
mod holding;
mod hostile;
mod images;
mod lab;
mod logins;
mod loopback;
mod pulls;
mod relay;
mod rogue;
