//! What is going on right now, for people who wait for it. In memory only.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::ContainerId;

/// Why a container is where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// In words.
    pub text: String,
    /// How far it is, 0 to 100, where that can be said.
    pub percent: Option<u8>,
    /// When it is given up, since boot, where it is.
    pub until: Option<Duration>,
}

/// The causes of all containers that wait for something.
#[derive(Debug, Default)]
pub struct Progress {
    causes: Mutex<BTreeMap<ContainerId, Cause>>,
}

impl Progress {
    /// Notes a cause; `None` when it is over.
    pub fn set(&self, container: &ContainerId, cause: Option<Cause>) {
        let mut causes = self.lock();
        match cause {
            Some(cause) => causes.insert(container.clone(), cause),
            None => causes.remove(container),
        };
    }

    /// A container's cause.
    #[must_use]
    pub fn get(&self, container: &ContainerId) -> Option<Cause> {
        self.lock().get(container).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Cause>> {
        // A panic while it was held can't have left the map half-changed.
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
