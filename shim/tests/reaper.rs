//! Whose child is whose. In a program of its own, since the reaper takes every child that the process has.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test says what it expected"
)]

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use longshore_shim::reaper::{Exit, Owner, Reaper, RunError};
use rustix::process::Signal;

/// One test at a time: they share the process's children.
static ALONE: Mutex<()> = Mutex::new(());
/// How long anything may take.
const LONG: Duration = Duration::from_secs(60);

fn owner() -> Owner {
    Owner {
        container: "c".into(),
        exec: None,
    }
}

/// A child that nobody has told the reaper of; its pid.
#[expect(clippy::zombie_processes, reason = "the reaper waits for it")]
fn child(script: &str) -> i32 {
    let child = Command::new("/bin/sh")
        .args(["-c", script])
        .spawn()
        .expect("a child");
    child.id().cast_signed()
}

/// Reaps until there is an exit of a container's process.
fn next(reaper: &Reaper) -> (Owner, i32, Exit) {
    let mut found = None;
    while found.is_none() {
        reaper.reap(usize::MAX, |owner, pid, exit| found = Some((owner, pid, exit)));
        std::thread::sleep(Duration::from_millis(1));
    }
    found.expect("one")
}

fn gone(pid: i32) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn an_exit_before_its_claim_is_kept_and_one_after_is_told() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reaper = Reaper::default();
    let watch = reaper.watch();
    let early = child("exit 3");
    while !gone(early) {
        reaper.reap(usize::MAX, |_, _, _| panic!("nobody's"));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(watch.claim(early, owner()).expect("its exit").status, 3);
    let watch = reaper.watch();
    let late = child("exec sleep 1000");
    assert_eq!(watch.claim(late, owner()), None);
    assert_eq!(reaper.processes(), 1);
    assert!(reaper.signal(late, Signal::TERM));
    let (whose, pid, exit) = next(&reaper);
    assert_eq!((whose, pid), (owner(), late));
    assert_eq!((exit.status, exit.signal), (143, Some(15)));
    assert!(
        !reaper.signal(late, Signal::TERM),
        "no signal goes to a pid that was reaped"
    );
}

#[test]
fn an_exit_that_nobody_watched_for_is_unknown() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reaper = Reaper::default();
    let lost = child("exit 3");
    while !gone(lost) {
        reaper.reap(usize::MAX, |_, _, _| panic!("nobody's"));
        std::thread::sleep(Duration::from_millis(1));
    }
    let exit = reaper.watch().claim(lost, owner()).expect("it has gone");
    assert_eq!((exit.status, exit.signal), (255, None));
}

#[test]
fn a_storm_of_ends_is_reaped_a_part_at_a_time() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reaper = Reaper::default();
    let children: Vec<_> = (0..3).map(|_| child("exit 0")).collect();
    let zombie = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains(") Z ")
    };
    while !children.iter().all(zombie) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(reaper.reap(2, |_, _, _| panic!("nobody's")), "there is one more");
    assert_eq!(children.iter().filter(|pid| zombie(pid)).count(), 1);
    assert!(!reaper.reap(2, |_, _, _| panic!("nobody's")));
    assert!(children.into_iter().all(gone));
}

fn run(reaper: &Reaper, script: &str, within: Duration) -> Result<u32, RunError> {
    reaper.run(Command::new("/bin/sh").args(["-c", script]), within)
}

#[test]
fn a_program_is_waited_for_but_not_for_ever() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reaper = Reaper::default();
    assert_eq!(run(&reaper, "exit 4", LONG).expect("a status"), 4);
    assert_eq!(run(&reaper, "kill -9 $$", LONG).expect("a status"), 137);
    let late = run(&reaper, "exec sleep 1000", Duration::from_millis(50));
    assert!(matches!(late, Err(RunError::Deadline { .. })), "{late:?}");
    let none = reaper.run(&mut Command::new("/nowhere/runc"), LONG);
    assert!(matches!(&none, Err(RunError::Spawn { program, .. }) if program == "/nowhere/runc"));
}

#[test]
fn a_programs_status_is_the_same_whoever_reaps_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reaper = Reaper::default();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                reaper.reap(usize::MAX, |_, _, _| ());
            }
        });
        for status in 0..100 {
            let script = format!("exit {status}");
            assert_eq!(run(&reaper, &script, LONG).expect("a status"), status);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_number_that_an_orphan_had_before_is_no_early_end() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The next pid can be chosen, but others take numbers meanwhile.
    for _ in 0..1000 {
        let reaper = Reaper::default();
        let watch = reaper.watch();
        let orphan = child("exit 3");
        while !gone(orphan) {
            reaper.reap(usize::MAX, |_, _, _| panic!("nobody's"));
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::write("/proc/sys/kernel/ns_last_pid", (orphan - 1).to_string()).expect("be root");
        let process = child("exec sleep 1000");
        if process != orphan {
            kill(process);
            reaper.reap(usize::MAX, |_, _, _| panic!("nobody's"));
            continue;
        }
        assert_eq!(watch.claim(process, owner()), None, "it runs");
        assert!(reaper.signal(process, Signal::KILL));
        let (_, pid, exit) = next(&reaper);
        assert_eq!((pid, exit.signal), (process, Some(9)));
        return;
    }
    panic!("no number came twice");
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, Signal::KILL).expect("it runs");
}
