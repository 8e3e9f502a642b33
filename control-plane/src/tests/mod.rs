//! The control plane as its callers see it: signed requests against the whole HTTP surface, in process.

mod auth;
mod bounds;
mod clusters;
mod instances;
mod invariants;
mod poll;
mod run_task;
mod server;
mod tasks;
