//! The control plane: serves the ECS Task API for EXTERNAL tasks to stock clients, and places tasks on nodes.
//!
//! - [`api`]: the HTTP surface, one file per group of operations.
//! - [`auth`]: who calls: SigV4, node credentials, node keys.
//! - [`definition`], [`scheduler`]: pure rules of what a task may be, and where it goes.
//! - [`tasks`]: the ladder that a task climbs, and what moves it.
//! - [`agents`]: the nodes: the long poll, liveness, inventories.
//! - [`sessions`]: clients that talk to a container by its node: tokens, the relay, the audit.
//! - [`store`]: what is durable.
//! - [`app`] puts these together, [`server`] listens, [`config`] reads the command line.
//!
//! Invariants: a task's row, its resources and its assignment are written in one transaction; an answer is given after
//! the commit. Nothing is kept in memory that can't be learned again from the next polls.

pub mod agents;
pub mod api;
pub mod app;
pub mod auth;
pub mod chance;
pub mod clock;
pub mod config;
pub mod definition;
pub mod error;
mod files;
pub mod scheduler;
pub mod server;
mod sessions;
pub mod store;
pub mod tasks;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
