//! Who has the host ports and GPUs of this node: apart from execution, so that no task blocks another that needs
//! something else.
//!
//! Invariants: a thing is held by one task, from before it is used until it is given back for certain, whatever was
//! reported meanwhile; who came first gets it first, and what is refused says who has it; so those who collide with
//! nobody never wait, and who waits for more than one thing is not passed for ever by others who want one of them.
//!
//! Limits: a new agent does not know who came first. What a task waits for can be free and kept for one before it.

use std::collections::{BTreeMap, BTreeSet};

use longshore_protocol::arn::ResourceId;
use longshore_protocol::status::NetworkMode;

use crate::model::{Protocol, ResolvedTask};

/// A thing of which the node has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Port(Protocol, u16),
    Gpu(String),
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port(protocol, port) => write!(f, "host port {port} ({})", protocol.as_str()),
            Self::Gpu(id) => write!(f, "GPU {id}"),
        }
    }
}

/// The things that a task needs for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs(BTreeSet<Thing>);

impl Needs {
    /// What a task needs: ports that it names (a port that is chosen later is held by a bound socket) and its GPUs.
    #[must_use]
    pub fn of(task: &ResolvedTask) -> Self {
        let mut things = BTreeSet::new();
        for container in &task.containers {
            let ports = container.port_mappings.iter().filter_map(|mapping| {
                let port = match task.network_mode {
                    NetworkMode::Bridge => mapping.host_port,
                    NetworkMode::Host => Some(mapping.host_port.unwrap_or(mapping.container_port)),
                    NetworkMode::None => None,
                };
                port.map(|port| Thing::Port(mapping.protocol, port))
            });
            things.extend(ports);
            things.extend(container.gpu_ids.iter().cloned().map(Thing::Gpu));
        }
        Self(things)
    }
}

/// Who has what, and who waits in which order.
#[derive(Debug, Default)]
pub struct Admission {
    held: BTreeMap<Thing, ResourceId>,
    waiting: Vec<(ResourceId, Needs)>,
}

impl Admission {
    /// Gives a task what it needs, or puts it in line; asking again keeps its place.
    ///
    /// # Errors
    /// What it waits for, in words.
    pub fn ask(&mut self, task: &ResourceId, needs: &Needs) -> Result<(), String> {
        if let Some(cause) = self.obstacle(task, needs) {
            if !self.waiting.iter().any(|(waiting, _)| waiting == task) {
                self.waiting.push((task.clone(), needs.clone()));
            }
            return Err(cause);
        }
        self.hold(task, needs);
        Ok(())
    }

    fn obstacle(&self, task: &ResourceId, needs: &Needs) -> Option<String> {
        let earlier = || self.waiting.iter().take_while(|(waiting, _)| waiting != task);
        needs.0.iter().find_map(|thing| {
            match self.held.get(thing) {
                Some(holder) if holder == task => return None,
                Some(holder) => return Some(format!("{thing} is held by task {holder}")),
                None => {}
            }
            let (first, _) = earlier().find(|(_, theirs)| theirs.0.contains(thing))?;
            Some(format!("task {first} waits for {thing} too, and came first"))
        })
    }

    /// Notes that a task has what it needs already: it ran before this agent did. What another has, it has no more.
    pub fn hold(&mut self, task: &ResourceId, needs: &Needs) {
        self.waiting.retain(|(waiting, _)| waiting != task);
        for thing in &needs.0 {
            self.held.entry(thing.clone()).or_insert_with(|| task.clone());
        }
    }

    /// A task has given back all that it had, or waits no more.
    pub fn release(&mut self, task: &ResourceId) {
        self.waiting.retain(|(waiting, _)| waiting != task);
        self.held.retain(|_, holder| holder != task);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn task(number: u128) -> ResourceId {
        ResourceId::from_random(uuid::Uuid::from_u128(number))
    }

    fn ports(ports: &[u16]) -> Needs {
        Needs(
            ports
                .iter()
                .map(|port| Thing::Port(Protocol::Tcp, *port))
                .collect(),
        )
    }

    #[test]
    fn who_waits_blocks_nobody_that_needs_something_else() {
        let mut admission = Admission::default();
        assert_eq!(admission.ask(&task(1), &ports(&[80])), Ok(()));
        let cause = admission.ask(&task(2), &ports(&[80, 81])).unwrap_err();
        assert!(cause.contains("host port 80 (tcp) is held by task"), "{cause}");
        assert_eq!(admission.ask(&task(3), &ports(&[82])), Ok(()));
        assert_eq!(admission.ask(&task(4), &Needs::default()), Ok(()));
    }

    #[test]
    fn who_came_first_is_first() {
        let mut admission = Admission::default();
        admission.hold(&task(1), &ports(&[80]));
        admission.ask(&task(2), &ports(&[80])).unwrap_err();
        admission.ask(&task(3), &ports(&[80])).unwrap_err();
        admission.release(&task(1));
        admission.ask(&task(3), &ports(&[80])).unwrap_err();
        assert_eq!(admission.ask(&task(2), &ports(&[80])), Ok(()));
        admission.release(&task(2));
        assert_eq!(admission.ask(&task(3), &ports(&[80])), Ok(()));
    }

    #[test]
    fn a_stop_leaves_the_line_and_asking_twice_is_asking_once() {
        let mut admission = Admission::default();
        admission.hold(&task(1), &ports(&[80]));
        admission.ask(&task(2), &ports(&[80])).unwrap_err();
        admission.release(&task(2));
        admission.ask(&task(3), &ports(&[80])).unwrap_err();
        admission.release(&task(1));
        assert_eq!(admission.ask(&task(3), &ports(&[80])), Ok(()));
        assert_eq!(admission.ask(&task(3), &ports(&[80])), Ok(()));
    }

    /// What is so of the tasks of a property: who has what it needs, and who stands in line since when.
    #[derive(Debug, Default)]
    struct Line {
        granted: Vec<usize>,
        waiting: Vec<usize>,
    }

    impl Line {
        fn ask(&mut self, admission: &mut Admission, all: &[Needs], asks: usize) -> Result<(), String> {
            let answer = admission.ask(&task(asks as u128), &all[asks]);
            self.granted.retain(|granted| *granted != asks);
            match answer {
                Ok(()) => {
                    self.waiting.retain(|waiting| *waiting != asks);
                    self.granted.push(asks);
                }
                Err(_) if self.waiting.contains(&asks) => {}
                Err(_) => self.waiting.push(asks),
            }
            answer
        }

        fn release(&mut self, admission: &mut Admission, releases: usize) {
            admission.release(&task(releases as u128));
            self.granted.retain(|each| *each != releases);
            self.waiting.retain(|each| *each != releases);
        }

        /// Those who have, or came first to, something that a task needs.
        fn in_the_way<'a>(&'a self, all: &'a [Needs], asks: usize) -> impl Iterator<Item = usize> + 'a {
            let others = self.granted.iter().filter(move |other| **other != asks);
            let earlier = self.waiting.iter().take_while(move |other| **other != asks);
            let shares = move |other: &&usize| !all[**other].0.is_disjoint(&all[asks].0);
            others.chain(earlier).filter(shares).copied()
        }
    }

    proptest! {
        /// Nobody waits but for one who has, or came first to, the same thing; nothing is held twice; and once those
        /// who have something give it back, everyone gets a turn.
        #[test]
        fn only_those_who_collide_wait_and_none_for_ever(
            needs in proptest::collection::vec(proptest::collection::btree_set(0_u16..5, 0..4), 2..7),
            turns in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..4), 0..60),
        ) {
            let ports: Vec<Vec<u16>> = needs.into_iter().map(|ports| ports.into_iter().collect()).collect();
            let all: Vec<Needs> = ports.iter().map(|each| super::tests::ports(each)).collect();
            let (mut admission, mut line) = (Admission::default(), Line::default());
            for (who, what) in turns {
                let who = who.index(all.len());
                if what == 0 {
                    line.release(&mut admission, who);
                    continue;
                }
                let has_it = line.granted.contains(&who);
                let in_the_way = line.in_the_way(&all, who).filter(|_| !has_it).count();
                let answer = line.ask(&mut admission, &all, who);
                prop_assert_eq!(answer.is_err(), in_the_way > 0, "{:?} of {:?}", answer, line);
            }
            let mut rounds = 0;
            while !line.waiting.is_empty() {
                for granted in line.granted.clone() {
                    line.release(&mut admission, granted);
                }
                for waiting in line.waiting.clone() {
                    let _ = line.ask(&mut admission, &all, waiting);
                }
                rounds += 1;
                prop_assert!(rounds <= all.len(), "{:?}", line);
            }
        }
    }
}
