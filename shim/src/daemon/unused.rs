//! A shim that nobody will ever call again: one whose containerd was killed between `start` and Create, or between the
//! last Delete and Shutdown; or whose containerd gave up a container that was being created. Not every containerd finds such
//! a shim when it comes back.

use std::time::Duration;

/// How long a shim stays that has no connection, and no container but what has ended and was forgotten. containerd connects as soon as it has the address, and
/// holds on to the connection.
const UNUSED: Duration = Duration::from_secs(60);

/// Since when a shim has had no connection and no container that goes on.
#[derive(Debug, Default)]
pub(super) struct Unused {
    since: Option<Duration>,
}

/// What came of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is used.
    Used,
    /// It is not; look again after this time at the latest.
    Again(Duration),
    /// It has not been for so long that it may end. If it can't, this comes again only after as long a time.
    Forgotten,
}

impl Unused {
    pub(super) fn look(&mut self, now: Duration, is_unused: bool) -> Look {
        if !is_unused {
            self.since = None;
            return Look::Used;
        }
        let since = *self.since.get_or_insert(now);
        let left = (since + UNUSED).saturating_sub(now);
        if left.is_zero() {
            self.since = None;
            return Look::Forgotten;
        }
        Look::Again(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shim_that_is_unused_all_the_time_is_forgotten() {
        let mut unused = Unused::default();
        let at = Duration::from_secs;
        assert_eq!(unused.look(at(100), true), Look::Again(UNUSED));
        assert_eq!(unused.look(at(159), true), Look::Again(at(1)));
        assert_eq!(unused.look(at(159), false), Look::Used);
        assert_eq!(unused.look(at(170), true), Look::Again(UNUSED));
        assert_eq!(unused.look(at(230), true), Look::Forgotten);
        assert_eq!(
            unused.look(at(230), true),
            Look::Again(UNUSED),
            "no loop that burns"
        );
    }
}
