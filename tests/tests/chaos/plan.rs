//! What a round does, decided by its seed alone.

use fastrand::Rng;

/// What a task's containers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs until it is stopped, and ends with 5 on SIGTERM.
    Polite,
    /// Runs until it is stopped, and ignores SIGTERM.
    Deaf,
    /// Ends at once with a code.
    Quick(i32),
    /// Ends with a code after a second.
    Slow(i32),
    /// Prints numbered lines, then ends with 0.
    Lines,
    /// Three containers: one ends with 3 after a second, and takes the others with it.
    Several,
    /// On the bridge with a host port, until it is stopped.
    Bridge,
}

const KINDS: [Kind; 9] = [
    Kind::Polite,
    Kind::Deaf,
    Kind::Quick(0),
    Kind::Quick(3),
    Kind::Slow(0),
    Kind::Slow(3),
    Kind::Lines,
    Kind::Several,
    Kind::Bridge,
];

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    Agent,
    Plane,
    Containerd,
    /// The shim of one task.
    Shim,
    /// Both, containerd first.
    ContainerdAndAgent,
}

const VICTIMS: [Victim; 5] = [
    Victim::Agent,
    Victim::Plane,
    Victim::Containerd,
    Victim::Shim,
    Victim::ContainerdAndAgent,
];

/// The agent's fail points: on each side of each of the calls.
pub const SIDES: [&str; 2] = ["before", "after"];
/// The calls.
pub const CALLS: [&str; 10] = [
    "commit",
    "attach",
    "create",
    "start",
    "kill",
    "reap",
    "delete",
    "detach",
    "forget-exit",
    "report",
];

/// What a client does. Each comes after a pause, in milliseconds.
#[derive(Clone, Debug)]
pub enum Request {
    Run(Kind),
    /// Stops one of those that were run before, by its place.
    Stop(usize),
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    Kill(Victim),
    /// The agent dies when it crosses a fail point for the nth time.
    FailPoint(String, u32),
}

/// A fault after a pause, and how long what was killed stays away; both in milliseconds.
#[derive(Clone, Debug)]
pub struct Strike {
    pub pause: u64,
    pub fault: Fault,
    pub away: u64,
}

/// All of a round.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub requests: Vec<(u64, Request)>,
    pub strikes: Vec<Strike>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut chance = Rng::with_seed(seed);
        let mut requests = Vec::new();
        let tasks = chance.usize(2..=4);
        for place in 0..tasks {
            let kind = KINDS[chance.usize(..KINDS.len())];
            requests.push((chance.u64(0..400), Request::Run(kind)));
            if place > 0 && chance.bool() {
                requests.push((chance.u64(0..900), Request::Stop(chance.usize(..place))));
            }
        }
        let strikes = (0..chance.u64(1..=3)).map(|number| strike(&mut chance, seed.wrapping_add(7 * number)));
        let strikes = strikes.collect();
        Self {
            seed,
            requests,
            strikes,
        }
    }
}

/// One that is at a fail point has the one of this number, so that seeds in a row come by all of them.
fn strike(chance: &mut Rng, number: u64) -> Strike {
    let fault = if chance.u8(..3) == 0 {
        Fault::Kill(VICTIMS[chance.usize(..VICTIMS.len())])
    } else {
        let places = CALLS.iter().flat_map(|call| SIDES.map(|side| (side, *call)));
        let all = 2 * CALLS.len();
        let (side, call) = places
            .cycle()
            .nth(usize::try_from(number).unwrap_or_default() % all)
            .unwrap();
        let most = if call == "commit" { 12 } else { 2 };
        Fault::FailPoint(format!("{side}-{call}"), chance.u32(1..=most))
    };
    Strike {
        pause: chance.u64(0..800),
        fault,
        away: chance.u64(0..1000),
    }
}

#[test]
fn a_seed_is_a_plan() {
    assert_eq!(format!("{:?}", Plan::new(7)), format!("{:?}", Plan::new(7)));
    assert_ne!(
        format!("{:?}", Plan::new(7).strikes),
        format!("{:?}", Plan::new(8).strikes)
    );
}
