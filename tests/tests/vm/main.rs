//! Longshore on a machine as most users have it: systemd as the first process, cgroup v2, containerd as a service, and a
//! power supply that fails. The machine is emulated (see `longshore_tests::vm`), so each test takes minutes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests may fail like tests"
)]

mod clock;
mod disk;
mod node;
mod plane;
mod power;
mod scenarios;
mod services;
mod sessions;
