//! How many stopped tasks are kept for people who want to read their logs: apart from how long.
//!
//! A node that runs a task a second would hold ten thousand of them after three hours, in memory and on disk. Beyond the
//! limit the oldest go at once, a tenth of them, so that others are not disturbed for each.
//!
//! Which are the oldest goes by when they would go anyway, since boot: the wall clock may have been another when they
//! stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_protocol::arn::ResourceId;

/// The stopped tasks that could go.
#[derive(Debug, Default)]
pub struct Kept {
    /// When each is to go, since boot.
    due: BTreeMap<ResourceId, Duration>,
    /// Those that have to go before.
    too_many: BTreeSet<ResourceId>,
}

impl Kept {
    /// Keeps one more. Says whether these are more than `most`, so that some have to go.
    pub fn keep(&mut self, task: &ResourceId, due: Duration, most: usize) -> bool {
        self.due.insert(task.clone(), due);
        if self.due.len() <= most {
            return false;
        }
        let mut oldest: Vec<_> = self.due.iter().map(|(task, due)| (*due, task.clone())).collect();
        oldest.sort_unstable();
        oldest.truncate(oldest.len() - (most - most / 10));
        for (_, task) in oldest {
            self.due.remove(&task);
            self.too_many.insert(task);
        }
        true
    }

    /// Whether a task has to go.
    #[must_use]
    pub fn has_to_go(&self, task: &ResourceId) -> bool {
        self.too_many.contains(task)
    }

    /// A task is not there any more.
    pub fn forget(&mut self, task: &ResourceId) {
        self.due.remove(task);
        self.too_many.remove(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u64) -> ResourceId {
        ResourceId::from_random(uuid::Uuid::from_u128(number.into()))
    }

    fn keep(kept: &mut Kept, number: u64, most: usize) -> bool {
        kept.keep(&task(number), Duration::from_secs(number), most)
    }

    #[test]
    fn the_oldest_tenth_goes_when_there_are_too_many() {
        let mut kept = Kept::default();
        for number in (1..=20).rev() {
            assert!(!keep(&mut kept, number, 20));
        }
        assert!(!keep(&mut kept, 1, 20), "it is there already");
        assert!(keep(&mut kept, 21, 20));
        let gone = |kept: &Kept| {
            (1..=21)
                .filter(|number| kept.has_to_go(&task(*number)))
                .collect::<Vec<_>>()
        };
        assert_eq!(gone(&kept), [1, 2, 3]);
        assert_eq!(kept.due.len(), 18);
        kept.forget(&task(21));
        kept.forget(&task(1));
        assert_eq!((kept.due.len(), gone(&kept)), (17, vec![2, 3]));
        assert!(
            !keep(&mut kept, 1, 20),
            "one of before says nothing of one that comes later"
        );
        assert!(!kept.has_to_go(&task(1)));
    }

    #[test]
    fn none_may_be_kept_at_all() {
        let mut kept = Kept::default();
        assert!(keep(&mut kept, 5, 0));
        assert!(kept.has_to_go(&task(5)));
    }
}
