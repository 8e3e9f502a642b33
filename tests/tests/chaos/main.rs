//! The real thing, killed: tasks come and go while agent, control plane, containerd and shims are killed at random moments
//! and at the agent's fail points; then everything has to come to rest, and nobody may have been told anything untrue.
//!
//! A round's seed decides what it does, not when a process is scheduled: the same seed does the same things, and mostly,
//! not always, meets the same state. `make chaos RUNS=… SEED=… MINUTES=…`; without them a short form, bounded in time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers of tests may fail like tests"
)]

mod client;
mod compare;
mod ends;
mod leftovers;
mod plan;
mod strikes;
#[allow(
    dead_code,
    reason = "the black-box tests' own; this one does not need all of it"
)]
#[path = "../blackbox/system.rs"]
mod system;

use std::time::{Duration, Instant};

use longshore_tests::wait;

use client::{Client, Runs};
use plan::Plan;
use strikes::{FailPoints, Kills};
use system::System;

/// The short form: so many rounds, or so long; two minutes more may go by until the last shims have ended.
const ROUNDS: u64 = 30;
const TIME: Duration = Duration::from_secs(150);
/// After so many rounds, each fail point has been the agent's end at least five times.
const MANY: u64 = 400;
/// How long it may take until everything is at rest: all that waits between tries waits half a minute at most.
const REST: Duration = Duration::from_secs(180);

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it bounds its own time, which is the machine's"
)]
fn nothing_is_lost_whoever_is_killed() {
    let runs = number("LONGSHORE_TEST_CHAOS_RUNS");
    let minutes = number("LONGSHORE_TEST_CHAOS_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let is_short = runs.is_none() && minutes.is_none();
    let (most, time) = match is_short {
        true => (ROUNDS, TIME),
        false => (runs.unwrap_or(u64::MAX), minutes.unwrap_or(Duration::MAX)),
    };
    let first = number("LONGSHORE_TEST_CHAOS_SEED").unwrap_or(1);
    // Exit codes and output outlive everything by Longshore's shim only; logs are compared before they are cleaned.
    let settings = &[
        ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", "10m"),
        ("LONGSHORE_LOG", "info,longshore_agent=debug"),
    ];
    system::with_settings(settings, |mut system| async move {
        let points = FailPoints::new(&mut system);
        system.agent.terminate().await;
        system.agent.start();
        system.until_connected().await;
        let (mut kills, mut rounds, begun) = (Kills::new(), 0, Instant::now());
        while rounds < most && begun.elapsed() < time {
            round(&mut system, &points, &mut kills, first + rounds).await;
            rounds += 1;
            eprintln!(
                "round {} came to rest after {} s",
                first + rounds - 1,
                begun.elapsed().as_secs()
            );
            if !is_short && rounds % 10 == 0 {
                tell(rounds, begun.elapsed(), &kills, &points);
            }
        }
        tell(rounds, begun.elapsed(), &kills, &points);
        leftovers::at_the_end(&mut system).await;
        let died = || points.figures().into_values().map(|(_, died)| died);
        assert!(
            rounds < 10 || died().sum::<usize>() > 0 && !kills.is_empty(),
            "nothing was killed: the fail points or the strikes do nothing"
        );
        assert!(
            rounds < MANY || died().all(|died| died >= 5),
            "the agent did not die five times at each of its fail points"
        );
        system
    });
}

fn tell(rounds: u64, time: Duration, kills: &Kills, points: &FailPoints) {
    eprintln!("{rounds} rounds in {} s; killed: {kills:?}", time.as_secs());
    let figures = points.figures();
    for (name, (crossed, died)) in &figures {
        eprintln!("  {name}: crossed {crossed}, died there {died}");
    }
    if let Some((name, (_, died))) = figures.iter().min_by_key(|(_, (_, died))| *died) {
        eprintln!("  the least: {name}, died there {died}");
    }
}

/// Says which round it was, if that does not end well.
struct Telling<'a>(&'a Plan);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- make chaos RUNS=1 SEED={} failed; it does: {:#?}",
                self.0.seed, self.0
            );
        }
    }
}

async fn round(system: &mut System, points: &FailPoints, kills: &mut Kills, seed: u64) {
    let plan = Plan::new(seed);
    let _telling = Telling(&plan);
    let runs = Runs::default();
    system.until_connected().await;
    let ecs = system.ecs.clone();
    let client = Client {
        ecs: ecs.clone(),
        image: system.busybox.clone(),
        dir: system.host.dir().to_owned(),
        port: system.host.free_port(),
        runs: &runs,
    };
    let all = async {
        tokio::join!(
            client.make(seed, &plan.requests),
            strikes::strike(system, points, &plan.strikes, &runs, kills)
        );
        let count = runs.borrow().len();
        for place in 0..count {
            let ends_alone = matches!(
                runs.borrow()[place].kind,
                plan::Kind::Quick(_) | plan::Kind::Slow(_) | plan::Kind::Lines | plan::Kind::Several
            );
            if !ends_alone {
                client.stop(place).await;
            }
        }
    };
    tokio::select! {
        () = client::watch(&ecs, &runs) => unreachable!("it watches for ever"),
        () = all => {}
    }
    let mut said = Vec::new();
    let rest = async {
        loop {
            client::look(&ecs, &runs).await;
            // Nobody else has them any more: the watch has ended.
            let seen = runs.take();
            said = compare::unrest(system, &seen).await;
            runs.replace(seen);
            assert!(
                system.agent.is_running(),
                "round {seed}: the agent has ended by itself"
            );
            if said.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let rested = tokio::time::timeout(REST.max(wait::patience()), rest).await;
    assert!(
        rested.is_ok(),
        "round {seed} does not come to rest: {said:#?}; its agent: {}",
        String::from_utf8_lossy(&system.agent.ask("tasks", &[]).stdout)
    );
    let lies: Vec<String> = runs
        .borrow()
        .iter()
        .flat_map(|run| compare::lies(system, run))
        .collect();
    let of_liars = runs
        .borrow()
        .iter()
        .filter(|run| !compare::lies(system, run).is_empty())
        .map(|run| compare::history(system, run))
        .collect::<String>();
    assert!(lies.is_empty(), "round {seed}: {lies:#?}\n{of_liars}");
    leftovers::note_shims(system, seed);
}
