//! The control plane as its callers see it: signed requests against the whole HTTP surface, in process.

mod auth;
mod bounds;
mod clock;
mod clones;
mod clusters;
mod instances;
mod invariants;
mod poll;
mod restore;
mod run_task;
mod seeded;
mod server;
mod sessions;
mod tasks;
mod tenancy;
