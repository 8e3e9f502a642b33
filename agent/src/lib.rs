//! The node daemon: takes task assignments over a long poll and makes them true on containerd.
//!
//! A module imports only modules of a lower rank; `tests/module_ranks.rs` holds this list against the `use crate::`
//! lines. One direction: link → intake → store → reconcile (apply, plan) → executor → runtime → events → reconcile →
//! store → report → link. The loop closes through the store at run time, never through imports.
//!
//! | rank | modules |
//! | --- | --- |
//! | 0 | `clock` |
//! | 1 | `supervise`, `model`, `config`, `http` |
//! | 2 | `containerd`, `plan`, `spec`, `host`, `link`, `network`, `store` |
//! | 3 | `runtime`, `volume` |
//! | 4 | `secrets`, `image` |
//! | 5 | `intake`, `executor`, `events`, `report`, `log`, `admin`, `janitor` |
//! | 6 | `reconcile` |
//! | 7 | `app` |

pub mod clock;
pub mod config;
pub mod containerd;
pub mod http;
pub mod image;
pub mod link;
pub mod model;
pub mod network;
pub mod runtime;
pub mod spec;
pub mod supervise;
