//! The real engine on a simulated machine: time is tokio's paused one, faults and crashes are planted, and the store is
//! the real one on a real disk.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

#[path = "../contract/mod.rs"]
mod contract;
mod contracts;
mod crashes;
mod delays;
mod depends;
mod disk;
#[path = "../faulty_disk/mod.rs"]
mod faulty_disk;
mod forgetful;
mod life;
mod link;
mod machine;
mod node;
mod outages;
mod reboot;
mod restarts;
mod runtime;
mod seeded;
mod specs;
mod stops;
mod trouble;
mod world;
