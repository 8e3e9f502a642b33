//! What containers of a task wait for among each other, and how well they are.

use serde::{Deserialize, Serialize};

/// What must have become of a container before another may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Condition {
    /// It runs, or did.
    Start,
    /// It ran and has ended, whatever its exit code.
    Complete,
    /// It ran and has ended with exit code 0.
    Success,
    /// It runs, and its health check says that it is well.
    Healthy,
}

impl Condition {
    /// As ECS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Complete => "COMPLETE",
            Self::Success => "SUCCESS",
            Self::Healthy => "HEALTHY",
        }
    }

    /// As ECS writes it; `None` for any other word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Start, Self::Complete, Self::Success, Self::Healthy]
            .into_iter()
            .find(|condition| condition.as_str() == word)
    }
}

/// An edge: a container waits for this. The edges of a task have no cycle; `intake` sees to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dependency {
    /// The container that is waited for, by its place in the definition.
    pub on: u16,
    /// What must have become of it.
    pub condition: Condition,
}

/// What a container's health check says of it, or what those of a task's essential containers say of the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// It has said nothing yet, there is none, or the container does not run.
    #[default]
    Unknown,
    /// It passes.
    Healthy,
    /// It failed as often in a row as the definition allows.
    Unhealthy,
}

impl Health {
    /// As ECS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}
