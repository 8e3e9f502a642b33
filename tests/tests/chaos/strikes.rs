//! Kills, and brings back what was killed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::Runs;
use crate::plan::{CALLS, Fault, SIDES, Strike, Victim};
use crate::system::System;

/// How long a fail point is waited for: not every round crosses each.
const CROSSING: Duration = Duration::from_secs(4);

/// The files by which the agent's fail points are armed and counted.
pub struct FailPoints {
    pub order: PathBuf,
    pub counts: PathBuf,
}

impl FailPoints {
    /// Tells an agent of them, for its next start.
    pub fn new(system: &mut System) -> Self {
        let points = Self {
            order: system.host.dir().join("fail-point"),
            counts: system.host.dir().join("fail-point-counts"),
        };
        system
            .agent
            .set_variable("LONGSHORE_TEST_FAIL_POINT", points.order.clone());
        system
            .agent
            .set_variable("LONGSHORE_TEST_FAIL_POINT_COUNTS", points.counts.clone());
        points
    }

    /// Of each fail point, by name, how often it was crossed, and how often the agent died there.
    pub fn figures(&self) -> BTreeMap<String, (usize, usize)> {
        let names = CALLS
            .iter()
            .flat_map(|call| SIDES.map(|side| format!("{side}-{call}")));
        let mut figures: BTreeMap<_, _> = names.map(|name| (name, (0, 0))).collect();
        let text = std::fs::read_to_string(&self.counts).unwrap_or_default();
        for line in text.lines() {
            match line.strip_prefix("killed ") {
                Some(name) => figures.entry(name.to_owned()).or_default().1 += 1,
                None => figures.entry(line.to_owned()).or_default().0 += 1,
            }
        }
        figures
    }

    fn arm(&self, name: &str, times: u32) {
        // Whole or not at all: the agent reads it whenever it likes.
        let beside = self.order.with_extension("new");
        std::fs::write(&beside, format!("{name}:{times}")).expect("an order");
        std::fs::rename(&beside, &self.order).expect("an order");
    }

    /// Says whether the order could be taken back: else the agent has it, and dies of it.
    fn disarm(&self) -> bool {
        std::fs::remove_file(&self.order).is_ok()
    }
}

/// How often each was killed.
pub type Kills = BTreeMap<Victim, usize>;

/// Does a round's strikes, one after the other; in the end everything runs.
pub async fn strike(
    system: &mut System,
    points: &FailPoints,
    strikes: &[Strike],
    runs: &Runs,
    kills: &mut Kills,
) {
    for each in strikes {
        tokio::time::sleep(Duration::from_millis(each.pause)).await;
        let away = Duration::from_millis(each.away);
        runs.disturbed.set(true);
        match &each.fault {
            Fault::FailPoint(name, times) => {
                points.arm(name, *times);
                let crossed = tokio::time::timeout(CROSSING, until_dead(system)).await.is_ok();
                if crossed || !points.disarm() {
                    until_dead(system).await;
                    tokio::time::sleep(away).await;
                    system.agent.kill();
                    system.agent.start();
                }
            }
            Fault::Kill(victim) => {
                if kill_one(system, *victim, away, runs).await {
                    *kills.entry(*victim).or_default() += 1;
                }
            }
        }
    }
}

async fn until_dead(system: &mut System) {
    while system.agent.is_running() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Says whether there was something to kill.
async fn kill_one(system: &mut System, victim: Victim, away: Duration, runs: &Runs) -> bool {
    match victim {
        Victim::Agent => {
            system.agent.kill();
            tokio::time::sleep(away).await;
            system.agent.start();
        }
        Victim::Plane => {
            system.plane.kill();
            tokio::time::sleep(away).await;
            system.plane.start_again().await;
        }
        Victim::Containerd => {
            system.containerd.kill();
            tokio::time::sleep(away).await;
            system.containerd.restart().await;
        }
        Victim::ContainerdAndAgent => {
            system.agent.kill();
            system.containerd.kill();
            tokio::time::sleep(away).await;
            system.containerd.restart().await;
            system.agent.start();
        }
        Victim::Shim => return kill_shim(system, runs),
    }
    true
}

fn kill_shim(system: &System, runs: &Runs) -> bool {
    let shims = shims(&system.host.containerd_namespace());
    let mut runs = runs.borrow_mut();
    let owner = |words: &str| {
        runs.iter()
            .position(|run| !run.arn.is_empty() && words.contains(run.id()))
    };
    let mut found = shims
        .iter()
        .filter_map(|(pid, words)| Some((*pid, owner(words)?)));
    let Some((pid, place)) = found.next() else {
        return false;
    };
    let run = &mut runs[place];
    // First: what it does to the task may be told at once.
    run.shim_killed = true;
    kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()
}

/// The shims of a containerd namespace: process id and command line.
pub fn shims(namespace: &str) -> Vec<(i32, String)> {
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        let serves = words.contains("containerd-shim")
            && words.contains(namespace)
            // That one only cleans up after another.
            && !words.trim_end().ends_with("delete");
        serves.then_some((pid, words))
    })
    .collect()
}
