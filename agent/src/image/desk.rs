//! Who waits for which pull, who holds which image, and which leases stand for that. No effects: a lock over maps.
//!
//! Invariants: a name has at most one pull; a pull ends when its last waiter leaves; whoever waits when it lands holds
//! the image from the same moment on, so that no clean-up falls between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::PullProgress;
use super::digest::Digest;
use super::failure::Failure;
use super::progress::Progress;
use super::pull::Ready;
use crate::model::ContainerId;

/// Images whose documents have been read and are remembered: a node runs a few dozen.
const REMEMBERED: usize = 128;

/// An image that was had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Had {
    /// The image.
    pub ready: Arc<Ready>,
    /// Why it isn't the registry's, if it isn't.
    pub fallback: Option<String>,
}

/// How a pull ended.
pub type Outcome = Result<Had, Failure>;

/// A lease that keeps an image's snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldLease {
    /// Its id.
    pub id: String,
    /// The image's name.
    pub name: String,
    /// What the name stood for.
    pub digest: Digest,
}

struct Flight {
    id: u64,
    holders: Vec<ContainerId>,
    chain_id: Option<Digest>,
    token: CancellationToken,
    progress: watch::Receiver<PullProgress>,
    outcome: watch::Receiver<Option<Outcome>>,
}

struct Held {
    chain_id: Digest,
    flight: u64,
}

#[derive(Default)]
struct State {
    flights: HashMap<String, Flight>,
    next: u64,
    held: HashMap<ContainerId, Held>,
    leases: HashMap<Digest, HoldLease>,
    ready: HashMap<Digest, Arc<Ready>>,
}

/// See the module.
#[derive(Default)]
pub struct Desk(Mutex<State>);

/// A place among those who wait for a pull. Dropping it gives it up, and what came of it.
pub struct Seat {
    desk: Arc<Desk>,
    name: String,
    flight: u64,
    holder: ContainerId,
    kept: bool,
    /// How far it is.
    pub progress: watch::Receiver<PullProgress>,
    /// How it ended.
    pub outcome: watch::Receiver<Option<Outcome>>,
}

/// A pull that someone has to make.
pub struct Takeoff {
    /// Of which image.
    pub name: String,
    /// Told how far it is.
    pub progress: Progress,
    /// Cancelled when nobody waits any more.
    pub token: CancellationToken,
    flight: u64,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Desk {
    /// Waits for the pull of `name`, for `holder`. The first one gets a [`Takeoff`].
    pub fn join(self: &Arc<Self>, name: &str, holder: &ContainerId) -> (Seat, Option<Takeoff>) {
        let mut state = self.lock();
        let mut takeoff = None;
        if !state.flights.contains_key(name) {
            let flight = state.next;
            state.next += 1;
            let (progress, watched) = Progress::new();
            let (sender, outcome) = watch::channel(None);
            let token = CancellationToken::new();
            takeoff = Some(Takeoff {
                name: name.to_owned(),
                progress,
                token: token.clone(),
                flight,
                outcome: sender,
            });
            state.flights.insert(
                name.to_owned(),
                Flight {
                    id: flight,
                    holders: Vec::new(),
                    chain_id: None,
                    token,
                    progress: watched,
                    outcome,
                },
            );
        }
        let next = state.next;
        let flight = state.flights.get_mut(name);
        let (id, progress, outcome) = match flight {
            Some(flight) => {
                flight.holders.push(holder.clone());
                (flight.id, flight.progress.clone(), flight.outcome.clone())
            }
            // It was put there above; a seat in no flight ends at once.
            None => (next, Progress::new().1, watch::channel(None).1),
        };
        let seat = Seat {
            desk: Arc::clone(self),
            name: name.to_owned(),
            flight: id,
            holder: holder.clone(),
            kept: false,
            progress,
            outcome,
        };
        (seat, takeoff)
    }

    /// Says which snapshot a pull will end with, so that its lease is left alone; gives the lease, if there is one.
    pub fn reserve(&self, takeoff: &Takeoff, chain_id: &Digest) -> Option<HoldLease> {
        let mut state = self.lock();
        if let Some(flight) = state.flights.get_mut(&takeoff.name)
            && flight.id == takeoff.flight
        {
            flight.chain_id = Some(chain_id.clone());
        }
        state.leases.get(chain_id).cloned()
    }

    /// Ends a pull: whoever still waits holds the image and hears of it.
    pub fn land(&self, takeoff: Takeoff, outcome: Outcome) {
        let mut state = self.lock();
        let waited_for = state
            .flights
            .get(&takeoff.name)
            .is_some_and(|flight| flight.id == takeoff.flight);
        if !waited_for {
            return;
        }
        let Some(flight) = state.flights.remove(&takeoff.name) else {
            return;
        };
        if let Ok(had) = &outcome {
            for holder in flight.holders {
                let held = Held {
                    chain_id: had.ready.chain_id.clone(),
                    flight: flight.id,
                };
                state.held.insert(holder, held);
            }
        }
        takeoff.outcome.send_replace(Some(outcome));
    }

    /// Lets go; gives the snapshot that was held.
    pub fn release(&self, holder: &ContainerId) -> Option<Digest> {
        self.lock().held.remove(holder).map(|held| held.chain_id)
    }

    /// Keeps a lease in mind; false if there is another one for the same snapshot.
    pub fn adopt(&self, chain_id: Digest, lease: HoldLease) -> bool {
        let mut state = self.lock();
        match state.leases.contains_key(&chain_id) {
            true => false,
            false => {
                state.leases.insert(chain_id, lease);
                true
            }
        }
    }

    /// Whether a lease is one that is kept in mind.
    pub fn owns(&self, id: &str) -> bool {
        self.lock().leases.values().any(|lease| lease.id == id)
    }

    /// The lease of a snapshot that nobody holds or is about to hold.
    pub fn idle_lease(&self, chain_id: &Digest) -> Option<HoldLease> {
        let state = self.lock();
        (!state.in_use(chain_id)).then(|| state.leases.get(chain_id).cloned())?
    }

    /// Forgets such a lease, for good: whoever comes later makes another.
    pub fn forget_idle_lease(&self, chain_id: &Digest) -> Option<HoldLease> {
        let mut state = self.lock();
        match state.in_use(chain_id) {
            true => None,
            false => state.leases.remove(chain_id),
        }
    }

    /// An image whose documents were read before, by its digest.
    #[must_use]
    pub fn recall(&self, digest: &Digest) -> Option<Arc<Ready>> {
        self.lock().ready.get(digest).cloned()
    }

    /// Remembers one.
    pub fn remember(&self, ready: &Arc<Ready>) {
        let mut state = self.lock();
        if state.ready.len() >= REMEMBERED {
            state.ready.clear();
        }
        state.ready.insert(ready.target.digest.clone(), Arc::clone(ready));
    }

    /// Ends every pull.
    pub fn cancel_all(&self) {
        for flight in self.lock().flights.values() {
            flight.token.cancel();
        }
    }

    fn leave(&self, seat: &Seat) {
        let mut state = self.lock();
        if state
            .held
            .get(&seat.holder)
            .is_some_and(|held| held.flight == seat.flight)
        {
            state.held.remove(&seat.holder);
        }
        let Some(flight) = state
            .flights
            .get_mut(&seat.name)
            .filter(|flight| flight.id == seat.flight)
        else {
            return;
        };
        if let Some(place) = flight.holders.iter().position(|holder| *holder == seat.holder) {
            flight.holders.swap_remove(place);
        }
        if flight.holders.is_empty() {
            flight.token.cancel();
            state.flights.remove(&seat.name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn in_use(&self, chain_id: &Digest) -> bool {
        self.held.values().any(|held| held.chain_id == *chain_id)
            || self
                .flights
                .values()
                .any(|flight| flight.chain_id.as_ref() == Some(chain_id))
    }
}

impl Seat {
    /// Keeps what came of it.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.kept {
            self.desk.leave(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::walk::Target;
    use crate::model::ImageConfig;

    fn holder(index: u16) -> ContainerId {
        format!("0123456789abcdef0123456789abcdef-{index}")
            .parse()
            .unwrap()
    }

    fn had(name: &str) -> Had {
        let digest = Digest::sha256(name.as_bytes());
        Had {
            ready: Arc::new(Ready {
                target: Target {
                    media_type: String::new(),
                    digest: digest.clone(),
                    size: 1,
                },
                chain_id: digest,
                config: ImageConfig::default(),
            }),
            fallback: None,
        }
    }

    fn lease(name: &str) -> HoldLease {
        HoldLease {
            id: name.to_owned(),
            name: name.to_owned(),
            digest: Digest::sha256(name.as_bytes()),
        }
    }

    #[test]
    fn many_wait_for_one_pull_and_hold_the_image_when_it_lands() {
        let desk = Arc::new(Desk::default());
        let (first, takeoff) = desk.join("a", &holder(0));
        let (second, none) = desk.join("a", &holder(1));
        assert!(none.is_none());
        let had = had("a");
        let chain = had.ready.chain_id.clone();
        assert!(desk.adopt(chain.clone(), lease("a")));
        assert!(!desk.adopt(chain.clone(), lease("b")));
        desk.land(takeoff.unwrap(), Ok(had.clone()));
        for seat in [first, second] {
            assert_eq!(*seat.outcome.borrow(), Some(Ok(had.clone())));
            seat.keep();
        }
        assert_eq!(desk.release(&holder(0)), Some(chain.clone()));
        assert!(
            desk.forget_idle_lease(&chain).is_none(),
            "the second still holds it"
        );
        desk.release(&holder(1));
        assert!(desk.idle_lease(&chain).is_some());
        assert_eq!(desk.forget_idle_lease(&chain), Some(lease("a")));
        assert!(desk.idle_lease(&chain).is_none());
        assert!(desk.join("a", &holder(2)).1.is_some(), "the next one pulls anew");
    }

    #[test]
    fn a_pull_ends_with_its_last_waiter_and_leaves_no_hold() {
        let desk = Arc::new(Desk::default());
        let (first, takeoff) = desk.join("a", &holder(0));
        let takeoff = takeoff.unwrap();
        let (second, _) = desk.join("a", &holder(1));
        drop(first);
        assert!(!takeoff.token.is_cancelled());
        drop(second);
        assert!(takeoff.token.is_cancelled());
        let (third, again) = desk.join("a", &holder(2));
        assert!(again.is_some(), "a pull that is being cancelled can't be joined");
        desk.land(takeoff, Ok(had("a")));
        assert!(third.outcome.borrow().is_none());
        assert!(desk.release(&holder(0)).is_none() && desk.release(&holder(2)).is_none());
    }

    #[test]
    fn one_who_leaves_after_the_landing_holds_nothing() {
        let desk = Arc::new(Desk::default());
        let (seat, takeoff) = desk.join("a", &holder(0));
        desk.land(takeoff.unwrap(), Ok(had("a")));
        drop(seat);
        assert!(desk.release(&holder(0)).is_none());
    }

    #[test]
    fn a_lease_that_a_pull_counts_on_is_not_idle() {
        let desk = Arc::new(Desk::default());
        let chain = Digest::sha256(b"a");
        desk.adopt(chain.clone(), lease("a"));
        let (_seat, takeoff) = desk.join("a", &holder(0));
        let takeoff = takeoff.unwrap();
        assert_eq!(desk.reserve(&takeoff, &chain), Some(lease("a")));
        assert!(desk.forget_idle_lease(&chain).is_none());
        desk.land(takeoff, Err(Failure::Cancelled));
        assert!(desk.forget_idle_lease(&chain).is_some());
    }
}
