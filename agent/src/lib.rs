//! The node daemon: takes task assignments over a long poll and makes them true on containerd.
//!
//! A module imports only modules of a lower rank; `tests/module_ranks.rs` holds this list against the `use crate::`
//! lines. One direction: link → intake → store → reconcile (apply, plan) → executor → runtime → events → reconcile →
//! store → report → link. The loop closes through the store at run time, never through imports.
//!
//! | rank | modules |
//! | --- | --- |
//! | 0 | `blocking`, `clock`, `config`, `failpoint`, `files`, `outage` |
//! | 1 | `supervise`, `model`, `http` |
//! | 2 | `containerd`, `plan`, `spec`, `host`, `link`, `network`, `store` |
//! | 3 | `runtime`, `volume` |
//! | 4 | `secrets`, `image`, `log` |
//! | 5 | `intake`, `executor`, `events`, `report`, `exec`, `admin`, `janitor` |
//! | 6 | `reconcile` |
//! | 7 | `app` |
//! | 8 | `commands` |

pub mod admin;
pub mod app;
pub mod blocking;
pub mod clock;
pub mod commands;
pub mod config;
pub mod containerd;
pub mod events;
pub mod exec;
pub mod executor;
pub mod failpoint;
pub mod files;
pub mod host;
pub mod http;
pub mod image;
pub mod intake;
pub mod janitor;
pub mod link;
pub mod log;
pub mod model;
pub mod network;
pub mod outage;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod runtime;
pub mod secrets;
pub mod spec;
pub mod store;
pub mod supervise;
pub mod volume;
