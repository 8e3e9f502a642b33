//! Longshore as its users have it: real containerd, real registry, real AWS clients.
//!
//! One binary, since it links the AWS SDK. Each test runs on a host of its own (see `longshore_tests::host`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers of tests may fail like tests"
)]

mod admin;
mod away;
mod aws_cli;
mod clones;
mod deaths;
mod depends;
mod disk;
mod errors;
mod exec;
mod exec_cli;
mod exec_clients;
mod gpu;
mod images;
mod life;
mod link;
mod network;
mod overrides;
mod policies;
mod process;
mod reboot;
mod restarts;
mod restore;
mod shims;
mod stop;
mod system;
