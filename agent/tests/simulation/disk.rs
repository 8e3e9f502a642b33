//! A disk that takes no writes, under an agent that goes on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_agent::model::ContainerId;
use longshore_agent::store::Store;
use longshore_protocol::arn::TaskArn;
use longshore_protocol::ecs;
use longshore_protocol::poll::{Cursor, PollRequest};
use longshore_protocol::status::DesiredStatus;

use crate::faulty_disk::{Fault, FaultyDisk};
use crate::node::{Node, container, container_id, one, task, task_arn};

const FAULTS: [Fault; 2] = [Fault::Full, Fault::Broken];

fn started() -> (Node, FaultyDisk) {
    let mut node = Node::new(5);
    let disk = FaultyDisk::under(node.store_path().parent().unwrap());
    node.start();
    (node, disk)
}

async fn running(node: &mut Node, number: u128, command: &str) -> TaskArn {
    let arn = task_arn(number);
    node.link.run(&arn, one(command));
    node.until_told(&arn, "RUNNING").await;
    arn
}

fn last_poll(node: &Node) -> PollRequest {
    node.link.polls().pop().unwrap()
}

fn has_ended(node: &Node, id: &ContainerId) -> bool {
    node.runtime.history(id).ended_at.is_some()
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

async fn polls_within(node: &Node, seconds: u64) -> usize {
    let before = node.link.polls().len();
    wait(seconds).await;
    node.link.polls().len() - before
}

fn code(report: &ecs::SubmitTaskStateChangeRequest) -> Option<i32> {
    report.containers.as_ref().unwrap()[0].exit_code
}

/// Invariants 1, 2 and 9.
#[tokio::test(start_paused = true)]
async fn what_runs_goes_on_and_what_is_new_waits_unacknowledged() {
    for fault in FAULTS {
        let (mut node, disk) = started();
        let old = running(&mut node, 1, "sleep").await;
        let acknowledged = last_poll(&node).cursor;
        disk.set(Some(fault));
        let new = task_arn(2);
        node.link.run(&new, one("sleep"));
        node.until("the node says so", |node| {
            last_poll(node).status.trouble.is_some()
        })
        .await;
        let polls = node.link.polls().len();
        wait(600).await;
        assert!(node.link.polls().len() > polls + 100, "it polls all the while");
        assert!(node.link.polls().len() < polls + 400, "and does not storm");
        assert!(disk.refused() > 0);
        assert_eq!(last_poll(&node).cursor, acknowledged);
        assert_eq!(node.handle().tasks().len(), 1, "the new one is not there yet");
        assert!(node.runtime.history(&container_id(&old, 0)).signals.is_empty());
        // The loop comes round: the watchdog has nothing to complain of.
        let ping = tokio::time::timeout(Duration::from_secs(1), node.handle().ping());
        ping.await.unwrap().unwrap();
        disk.set(None);
        node.until_told(&new, "RUNNING").await;
        node.until("the node is well", |node| {
            last_poll(node).status.trouble.is_none()
        })
        .await;
        for arn in [&old, &new] {
            node.link.stop(arn);
            node.until_stopped(arn).await;
        }
        node.until_clean().await;
    }
}

/// The cursor of a control plane that was started anew can't be stored, so it asks for the list again and again.
#[tokio::test(start_paused = true)]
async fn a_control_plane_that_was_started_anew_is_not_stormed_while_nothing_can_be_written() {
    for fault in FAULTS {
        let (mut node, disk) = started();
        let task = running(&mut node, 1, "sleep").await;
        disk.set(Some(fault));
        node.link.withholds.store(true, Ordering::Relaxed);
        node.link.restore();
        let before = last_poll(&node).cursor;
        node.until("the node says so", |node| {
            last_poll(node).status.trouble.is_some()
        })
        .await;
        let polls = polls_within(&node, 600).await;
        assert!((100..700).contains(&polls), "{polls} polls in ten minutes");
        assert_eq!(last_poll(&node).cursor, before);
        disk.set(None);
        node.until("the new cursor is stored", |node| {
            last_poll(node).cursor.incarnation != before.incarnation
        })
        .await;
        node.link.stop(&task);
        node.until_stopped(&task).await;
        node.until_clean().await;
    }
}

/// What the disk was to take was for the container instance of before, and so was the cursor.
#[tokio::test(start_paused = true)]
async fn another_container_instance_counts_from_the_first_on_although_nothing_can_be_written() {
    let (mut node, disk) = started();
    let old = running(&mut node, 1, "sleep").await;
    disk.set(Some(Fault::Full));
    let new = task_arn(2);
    node.link.run(&new, one("sleep"));
    node.until("the node says so", |node| {
        last_poll(node).status.trouble.is_some()
    })
    .await;
    // As the app does it: no poll is under way.
    node.link.down.store(true, Ordering::Relaxed);
    wait(60).await;
    let before = node.link.polls().len();
    assert!(!node.handle().begin_again().await.unwrap(), "it is not durable");
    disk.set(None);
    wait(60).await;
    assert_eq!(node.link.polls().len(), before);
    assert_eq!(
        node.handle().tasks().len(),
        2,
        "what was on its way is taken all the same"
    );
    node.link.down.store(false, Ordering::Relaxed);
    node.until("it polls", |node| node.link.polls().len() > before)
        .await;
    assert_eq!(node.link.polls()[before].cursor, Cursor::default());
    node.until("it is acknowledged", |node| node.link.acknowledged() == 2)
        .await;
    node.restart().await;
    let polls = node.link.polls().len();
    node.until("it polls", |node| node.link.polls().len() > polls)
        .await;
    assert_eq!(last_poll(&node).cursor.cursor, 2, "that is durable");
    for arn in [&old, &new] {
        node.link.stop(arn);
        node.until_stopped(arn).await;
    }
    node.until_clean().await;
}

/// What waits for the disk and what waits for the runtime's list are waited for apart.
#[tokio::test(start_paused = true)]
async fn an_agent_that_began_with_neither_disk_nor_runtime_polls_on() {
    let (mut node, disk) = started();
    let old = running(&mut node, 1, "graceful 5").await;
    node.kill().await;
    node.runtime.away.store(true, Ordering::Relaxed);
    node.link.stop(&old);
    node.start();
    disk.set(Some(Fault::Full));
    wait(30).await;
    let new = task_arn(2);
    node.link.run(&new, one("sleep"));
    wait(30).await;
    disk.set(None);
    wait(30).await;
    let polls = polls_within(&node, 60).await;
    assert!((10..100).contains(&polls), "{polls} polls in a minute");
    node.runtime.away.store(false, Ordering::Relaxed);
    assert_eq!(code(&node.until_stopped(&old).await), Some(5));
    node.until_told(&new, "RUNNING").await;
    node.link.stop(&new);
    node.until_clean().await;
}

/// Its record would go while the order about it is on its way to the disk, and with it how it ended.
#[tokio::test(start_paused = true)]
async fn an_order_about_what_is_to_be_forgotten_meanwhile_is_answered() {
    for fault in FAULTS {
        let (mut node, disk) = started();
        let arn = running(&mut node, 1, "run 5 9").await;
        node.until_stopped(&arn).await;
        node.until("given back and acknowledged", |node| {
            let tasks = node.handle().tasks();
            tasks
                .iter()
                .all(|task| task.state.record.torn_down && task.state.is_acknowledged())
        })
        .await;
        disk.set(Some(fault));
        node.link.restore();
        wait(node.cleanup_wait.as_secs() + 60).await;
        disk.set(None);
        node.until("it is told again", |node| node.link.standing().is_empty())
            .await;
        let told = node.link.reports(&arn);
        assert_eq!(code(told.last().unwrap()), Some(9));
        node.until_clean().await;
    }
}

/// An order to stop is obeyed before it is stored, and told once it is.
#[tokio::test(start_paused = true)]
async fn stop_orders_are_obeyed_while_nothing_can_be_written() {
    for fault in FAULTS {
        let (mut node, disk) = started();
        let graceful = running(&mut node, 1, "graceful 5").await;
        let stubborn = running(&mut node, 2, "stubborn").await;
        let forced = running(&mut node, 3, "stubborn").await;
        let other = running(&mut node, 4, "sleep").await;
        let hasty = task_arn(5);
        let mut spec = one("graceful 6");
        spec.containers[0].definition.stop_timeout = Some(1);
        node.link.run(&hasty, spec);
        node.until_told(&hasty, "RUNNING").await;
        disk.set(Some(fault));
        // The first is in the commit that hangs, the others come while it does.
        node.link.stop(&graceful);
        wait(60).await;
        node.link.stop(&stubborn);
        node.link.stop(&hasty);
        node.link.assign(&forced, DesiredStatus::Stopped, true, None);
        for arn in [&graceful, &stubborn, &forced, &hasty] {
            let id = container_id(arn, 0);
            node.until("it has ended", |node| has_ended(node, &id)).await;
        }
        let signals = |node: &Node, arn| {
            let signals = node.runtime.history(&container_id(arn, 0)).signals;
            signals.iter().map(|(signal, _)| *signal).collect::<Vec<_>>()
        };
        assert_eq!(signals(&node, &graceful), [15]);
        assert_eq!(signals(&node, &stubborn), [15, 9]);
        assert_eq!(signals(&node, &forced), [9]);
        assert_eq!(signals(&node, &hasty), [15], "a short grace is one all the same");
        wait(60).await;
        for arn in [&graceful, &stubborn, &forced, &hasty] {
            assert_eq!(
                node.link.status(arn).as_deref(),
                Some("RUNNING"),
                "nothing unstored is told"
            );
        }
        let known = |task: &std::sync::Arc<longshore_agent::reconcile::TaskView>| {
            task.state.record.containers[0]
                .exit
                .as_ref()
                .and_then(|exit| exit.code)
        };
        let mut codes: Vec<_> = node.handle().tasks().iter().filter_map(known).collect();
        codes.sort_unstable();
        assert_eq!(codes, [5, 6, 137, 137], "the node knows how they ended");
        let told = last_poll(&node).status;
        assert_eq!(told.tasks.len(), 4, "but why it is not: {told:?}");
        disk.set(None);
        assert_eq!(code(&node.until_stopped(&graceful).await), Some(5));
        assert_eq!(code(&node.until_stopped(&stubborn).await), Some(137));
        assert_eq!(code(&node.until_stopped(&forced).await), Some(137));
        assert_eq!(code(&node.until_stopped(&hasty).await), Some(6));
        assert_eq!(node.link.status(&other).as_deref(), Some("RUNNING"));
        node.link.stop(&other);
        node.until_stopped(&other).await;
        node.until_clean().await;
    }
}

/// What was obeyed and not stored is obeyed again by the next agent, and its end is told with its code.
#[tokio::test(start_paused = true)]
async fn an_agent_that_dies_while_nothing_can_be_written_loses_no_order() {
    for fault in FAULTS {
        for after in [1, 5, 45, 120] {
            let (mut node, disk) = started();
            let arn = running(&mut node, 1, "stubborn").await;
            disk.set(Some(fault));
            node.link.stop(&arn);
            wait(after).await;
            node.kill().await;
            // It comes back to a disk that is still full; one that fails lets nobody open anything.
            if fault == Fault::Broken {
                disk.set(None);
            }
            node.start();
            wait(60).await;
            disk.set(None);
            assert_eq!(code(&node.until_stopped(&arn).await), Some(137));
            node.until_clean().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_while_nothing_can_be_written_is_told_with_its_code_and_in_order() {
    let (mut node, disk) = started();
    let ends = running(&mut node, 1, "run 60 3").await;
    disk.set(Some(Fault::Full));
    wait(300).await;
    assert_eq!(node.link.status(&ends).as_deref(), Some("RUNNING"));
    let cause = node.handle().tasks()[0].cause(0).unwrap().text;
    assert!(cause.contains("it has ended"), "{cause}");
    let told = node.handle().flush(Duration::from_secs(5)).await;
    assert!(!told, "it owes a report");
    disk.set(None);
    assert_eq!(code(&node.until_stopped(&ends).await), Some(3));
    node.until_clean().await;
}

/// What an essential container's end takes along is stopped as well, with its grace.
#[tokio::test(start_paused = true)]
async fn the_end_of_one_container_ends_the_others_on_a_full_disk() {
    let (mut node, disk) = started();
    let arn = task_arn(1);
    let mut spec = task(vec![
        container("ends", "run 30 3"),
        container("follows", "graceful 6"),
    ]);
    spec.containers[1].definition.stop_timeout = Some(1);
    node.link.run(&arn, spec);
    node.until_told(&arn, "RUNNING").await;
    disk.set(Some(Fault::Full));
    let id = container_id(&arn, 1);
    node.until("the other has ended", |node| has_ended(node, &id))
        .await;
    let signals = node.runtime.history(&id).signals;
    assert_eq!(
        signals.iter().map(|(signal, _)| *signal).collect::<Vec<_>>(),
        [15]
    );
    disk.set(None);
    let told = node.until_stopped(&arn).await;
    let codes: Vec<_> = told
        .containers
        .unwrap()
        .iter()
        .map(|each| each.exit_code)
        .collect();
    assert_eq!(codes, [Some(3), Some(6)]);
    node.until_clean().await;
}

/// Invariant 5: a task that is not in the store is adopted even while it can't be put there, and stopped on order.
#[tokio::test(start_paused = true)]
async fn what_is_found_is_adopted_and_can_be_stopped_on_a_full_disk() {
    let (mut node, disk) = started();
    let arn = running(&mut node, 1, "stubborn").await;
    node.kill().await;
    node.lose_store();
    // A file that exists, so that a full disk lets it be opened.
    drop(Store::open(&node.store_path()).unwrap());
    disk.set(Some(Fault::Full));
    node.start();
    node.until("it is adopted", |node| node.handle().tasks().len() == 1)
        .await;
    node.link.stop(&arn);
    let id = container_id(&arn, 0);
    node.until("it has ended", |node| has_ended(node, &id)).await;
    disk.set(None);
    assert_eq!(code(&node.until_stopped(&arn).await), Some(137));
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_told_to_end_ends_on_a_full_disk() {
    let (mut node, disk) = started();
    let arn = running(&mut node, 1, "sleep").await;
    disk.set(Some(Fault::Full));
    node.link.run(&task_arn(2), one("sleep"));
    wait(30).await;
    let begun = tokio::time::Instant::now();
    node.end().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!has_ended(&node, &container_id(&arn, 0)), "what runs goes on");
    disk.set(None);
    node.start();
    node.until_told(&task_arn(2), "RUNNING").await;
}

/// Invariants 1, 2 and 3, whenever the disk fills up and whenever the agent dies.
#[tokio::test(start_paused = true)]
async fn however_the_disk_comes_and_goes_every_end_is_told_as_it_was() {
    for seed in 1..=40 {
        let mut node = Node::new(seed);
        let disk = FaultyDisk::under(node.store_path().parent().unwrap());
        node.start();
        node.crashes_left = 4;
        node.plant();
        let tasks = [
            ("run 20 3", 3),
            ("run 2 0", 0),
            ("graceful 5", 5),
            ("stubborn", 137),
            ("run 90 9", 9),
        ];
        let arns: Vec<_> = (1..).map(task_arn).take(tasks.len()).collect();
        for ((command, _), arn) in tasks.iter().zip(&arns) {
            node.link.run(arn, one(command));
            pass(&mut node, 2).await;
        }
        for round in 0..8 {
            disk.set(node.world.roll().is_multiple_of(2).then_some(Fault::Full));
            if round == 3 {
                node.link.stop(&arns[2]);
                node.link.stop(&arns[3]);
            }
            let seconds = 1 + node.world.roll() % 20;
            pass(&mut node, seconds).await;
        }
        disk.set(None);
        for ((_, expected), arn) in tasks.iter().zip(&arns) {
            let told = node.until_stopped(arn).await;
            let starts = node.runtime.history(&container_id(arn, 0)).starts;
            // What was ordered to stop before it could start has no code.
            let right = (starts, code(&told)) == (1, Some(*expected)) || (starts, code(&told)) == (0, None);
            assert!(
                right,
                "seed {seed}: {starts} starts, {told:?}\n{}",
                node.world.log()
            );
        }
        node.until_clean().await;
    }
}

/// Lets time pass, whether the agent dies in it or not.
async fn pass(node: &mut Node, seconds: u64) {
    let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
    node.until("time passes", |_| tokio::time::Instant::now() >= until)
        .await;
}
