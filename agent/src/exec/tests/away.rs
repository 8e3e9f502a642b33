//! A runtime that is away for a while, as when containerd is restarted.

use super::model::World;
use super::*;

/// Longer than it takes to ask once more, and as often.
const CALLS: usize = 3;

#[tokio::test(start_paused = true)]
async fn the_end_of_the_input_is_told_a_runtime_that_was_away() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open_pipes(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    world.execs.goes_away_for(CALLS);
    viewer.end_of_input();
    viewer.until_shown("").await;
    tokio::select! {
        () = world.execs.until(|execs| execs.inputs_closed() == 1) => {}
        () = async { while viewer.step().await {} } => {}
    }
    process.exits(0);
    assert_eq!(closed(&mut viewer).await, "");
    assert_eq!(told(&mut viewer).await.exit_code, Some(0));
    assert_eq!(world.execs.inputs_closed(), 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_size_of_a_terminal_is_told_a_runtime_that_was_away() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    world.execs.goes_away_for(CALLS);
    viewer.size(100, 40);
    let last = |execs: &Model| execs.sizes().last() == Some(&(100, 40));
    tokio::select! {
        () = world.execs.until(last) => {}
        () = async { while viewer.step().await {} } => {}
    }
    process.exits(0);
    told(&mut viewer).await;
    world.end().await;
}

/// It may have begun, and would run for nobody.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_started_is_removed_when_the_runtime_is_back() {
    let mut world = World::new(BOUNDS);
    world.execs.answers_no_start();
    world.execs.goes_away_for(CALLS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let why = closed(&mut viewer).await;
    assert!(why.contains("it is away"), "{why}");
    assert_eq!(told(&mut viewer).await.exit_code, None);
    world.execs.until(|execs| !execs.removed().is_empty()).await;
    assert_eq!(world.execs.removed(), [offer(1).session_id]);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_removed_when_the_runtime_is_back() {
    let mut world = World::new(BOUNDS);
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    viewer.until_shown("").await;
    world.execs.goes_away_for(CALLS);
    process.exits(0);
    told(&mut viewer).await;
    world.execs.until(|execs| !execs.removed().is_empty()).await;
    world.end().await;
}

/// As with a shim that hangs: nobody knows when that ends.
#[tokio::test(start_paused = true)]
async fn a_runtime_that_stays_away_keeps_no_place_and_does_not_hold_up_the_end() {
    let mut world = World::new(Settings { most: 1, ..BOUNDS });
    world.execs.answers_no_start();
    world.execs.goes_away_for(usize::MAX);
    for number in 1..=3 {
        let mut viewer = world.open(number).await;
        viewer.begin().await;
        let why = closed(&mut viewer).await;
        assert!(why.contains("it is away"), "{why}");
        told(&mut viewer).await;
        tokio::time::sleep(left::ENDED * 2).await;
    }
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn of_too_many_that_can_not_be_removed_the_oldest_are_left_to_the_next_agent() {
    let most = u32::try_from(left::MOST).unwrap();
    let mut world = World::new(BOUNDS);
    world.execs.answers_no_start();
    world.execs.goes_away_for(usize::MAX);
    for number in 1..=most + 2 {
        let mut viewer = world.open(number).await;
        viewer.begin().await;
        told(&mut viewer).await;
        tokio::time::sleep(left::ENDED * 2).await;
    }
    world.execs.goes_away_for(0);
    let all = |execs: &Model| execs.removed().len() == left::MOST;
    world.execs.until(all).await;
    let removed = world.execs.removed();
    for number in [1, 2] {
        assert!(!removed.contains(&offer(number).session_id), "{number}");
    }
    world.end().await;
}

/// Its processes can be ended all the same.
#[tokio::test(start_paused = true)]
async fn a_process_whose_end_nobody_tells_keeps_no_place() {
    let mut world = World::new(Settings { most: 1, ..BOUNDS });
    world.execs.tells_no_end();
    for number in 1..=2 {
        let mut viewer = world.open(number).await;
        viewer.begin().await;
        let process = world.execs.begun().await;
        viewer.until_shown("").await;
        viewer.terminate();
        let why = closed(&mut viewer).await;
        assert!(why.contains("has not said how it ended"), "{why}");
        assert!(process.was_ended());
        assert_eq!(told(&mut viewer).await.exit_code, None);
        tokio::time::sleep(left::ENDED * 2).await;
    }
    world.end().await;
}

/// Who begins and ends one after another has no more of them than who keeps them.
#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_place_while_its_processes_are_being_ended() {
    let mut world = World::new(Settings { most: 1, ..BOUNDS });
    let mut viewer = world.open(1).await;
    viewer.begin().await;
    let process = world.execs.begun().await;
    viewer.until_shown("").await;
    world.execs.goes_away_for(usize::MAX);
    process.exits(0);
    told(&mut viewer).await;
    let mut next = world.open(2).await;
    let why = closed(&mut next).await;
    assert!(why.contains("LONGSHORE_EXEC_MAX_SESSIONS"), "{why}");
    told(&mut next).await;
    world.execs.goes_away_for(0);
    world.execs.until(|execs| !execs.removed().is_empty()).await;
    let mut last = world.open(3).await;
    last.begin().await;
    world.execs.begun().await.exits(0);
    told(&mut last).await;
    world.end().await;
}
