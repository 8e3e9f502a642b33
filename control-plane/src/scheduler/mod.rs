//! Where a task goes: pure, from what it needs and what the instances have to spare.
//!
//! Invariants: what doesn't fit is never placed; whether something fits doesn't depend on the order of the
//! candidates; each GPU goes to one container. The store takes the resources afterwards by a guarded update, and asks
//! again where another task was faster.
//!
//! Limits: random among those that fit. Strategies and constraints come later; both refuse at the API until then.

mod demand;
mod place;

pub use demand::{Demand, GpuDemand};
pub use place::{Candidate, Failure, GpuGrant, Placement, Reason, place};

#[cfg(test)]
mod tests;
