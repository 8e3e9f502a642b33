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
