//! How many stopped tasks are kept for people who want to read their logs: apart from how long.
//!
//! A node that runs a task a second would hold ten thousand of them after three hours, in memory and on disk. Beyond the
//! limit the oldest go at once, a tenth of them, so that others are not disturbed for each.

use std::collections::BTreeMap;

use longshore_protocol::arn::ResourceId;

/// The stopped tasks that could go.
#[derive(Debug, Default)]
pub struct Kept {
    /// When each stopped, in milliseconds since 1970.
    stopped: BTreeMap<ResourceId, i64>,
}

impl Kept {
    /// Keeps one more. If these are more than `most`: what stopped until then, in milliseconds since 1970, has to go.
    pub fn keep(&mut self, task: &ResourceId, stopped_at: i64, most: usize) -> Option<i64> {
        self.stopped.insert(task.clone(), stopped_at);
        if self.stopped.len() <= most {
            return None;
        }
        let mut times: Vec<_> = self.stopped.values().copied().collect();
        times.sort_unstable();
        let left = most - most / 10;
        let until = times.get(times.len() - left - 1).copied()?;
        self.stopped.retain(|_, stopped_at| *stopped_at > until);
        Some(until)
    }

    /// A task is not there any more.
    pub fn forget(&mut self, task: &ResourceId) {
        self.stopped.remove(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u128) -> ResourceId {
        ResourceId::from_random(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn the_oldest_tenth_goes_when_there_are_too_many() {
        let mut kept = Kept::default();
        for number in (1..=20_i64).rev() {
            assert_eq!(kept.keep(&task(number.unsigned_abs().into()), number, 20), None);
        }
        assert_eq!(kept.keep(&task(1), 1, 20), None, "it is there already");
        assert_eq!(kept.keep(&task(21), 21, 20), Some(3));
        assert_eq!(kept.stopped.len(), 18);
        kept.forget(&task(21));
        assert_eq!(kept.stopped.len(), 17);
    }

    #[test]
    fn none_may_be_kept_at_all() {
        assert_eq!(Kept::default().keep(&task(1), 5, 0), Some(5));
    }
}
