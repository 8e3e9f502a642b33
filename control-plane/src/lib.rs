//! The control plane.

pub mod definition;
pub mod scheduler;
