//! Where the control plane's chance comes from: the ids of what it makes, and which of several equal instances is taken.
//!
//! Limit: secrets do not come from here. They come from the system's generator, whatever a test does.

use uuid::Uuid;

/// Random ids.
pub trait Chance: Send + Sync + std::fmt::Debug + 'static {
    /// A random id (version 4) that nobody was given before.
    fn uuid(&self) -> Uuid;
}

/// The system's random generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}
