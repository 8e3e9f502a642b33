//! The runtime on a real containerd. Each test has a containerd of its own and leaves nothing behind.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like the tests themselves"
)]

mod broken_off;
#[path = "../contract/mod.rs"]
mod contract;
mod contracts;
mod daemon;
mod execs;
mod given_up;
mod in_the_way;
mod inside;
mod life;
mod loss;
mod overtaken;
mod records;
mod sessions;
mod speed;
mod stage;
mod versions;
