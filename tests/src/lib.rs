//! The test kit: everything that a test needs of the outside, real.
//!
//! A test gets a [`host::Host`] of its own: a network namespace, a mount namespace with an empty `/run`, a folder, a
//! cgroup parent and a containerd namespace. On it run a private containerd, a registry, the control plane and the agent,
//! each the program that users get. A [`vm::Machine`] is a whole machine instead. Nothing is shared, so tests run in
//! parallel, and each can say whether it left anything behind.
//!
//! Limits: root on Linux, with the packages that `packaging/install-dependencies test` brings.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a kit for tests: what can't be made fails the test, with its reason"
)]

pub mod agent;
pub mod binaries;
pub mod containerd;
pub mod control_plane;
pub mod fuzz;
pub mod host;
pub mod image;
pub mod process;
pub mod programs;
pub mod pty;
pub mod registry;
pub mod seeds;
pub mod viewer;
pub mod vm;
pub mod wait;
