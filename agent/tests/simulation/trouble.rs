//! Everything that goes wrong without the agent's death.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_agent::store::Store;

use crate::node::{Node, container, container_id, one, task, task_arn, with_port};

async fn reason_of(command: &str, image: &str) -> String {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    let mut spec = one(command);
    spec.containers[0].definition.image = Some(image.to_owned());
    node.link.run(&arn, spec);
    let last = node.until_stopped(&arn).await;
    let container = &last.containers.unwrap()[0];
    assert_eq!(container.exit_code, None);
    assert_eq!(
        last.reason, container.reason,
        "the task failed to start for this reason"
    );
    node.until_clean().await;
    container.reason.clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_cant_start_says_why() {
    let pull = reason_of("sleep", "missing").await;
    assert_eq!(pull, "CannotPullContainerError: missing: manifest unknown");
    let create = reason_of("uncreatable", "busybox").await;
    assert_eq!(create, "CannotCreateContainerError: simulated refusal");
    let start = reason_of("unstartable", "busybox").await;
    assert_eq!(
        start,
        "CannotStartContainerError: exec: \"nothing\": no such file"
    );
    let assemble = reason_of("sleep", "secretive").await;
    assert_eq!(assemble, "ResourceInitializationError: no such secret");
}

#[tokio::test(start_paused = true)]
async fn ports_and_networks_that_cant_be_had_say_why() {
    let mut node = Node::started(5);
    let (port, plugin) = (task_arn(1), task_arn(2));
    node.link.run(&port, with_port(one("sleep"), 80, Some(666)));
    node.link.run(&plugin, with_port(one("sleep"), 667, None));
    let port = node.until_stopped(&port).await.reason.unwrap();
    assert!(
        port.starts_with("HostConfigError: host port 666 (tcp) is unavailable"),
        "{port}"
    );
    let plugin = node.until_stopped(&plugin).await.reason.unwrap();
    assert!(
        plugin.starts_with("ContainerNetworkingError: CNI ADD of"),
        "{plugin}"
    );
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_fails_but_is_not_essential_leaves_the_task_running() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    let mut side = container("side", "unstartable");
    side.essential = Some(false);
    node.link.run(&arn, task(vec![container("app", "sleep"), side]));
    node.until("RUNNING with a failed side", |node| {
        let last = node.link.last(&arn);
        last.is_some_and(|last| {
            let side = &last.containers.unwrap()[1];
            last.status.as_deref() == Some("RUNNING") && side.reason.is_some()
        })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_its_own_trouble() {
    let mut node = Node::started(5);
    let (bad, good) = (task_arn(1), task_arn(2));
    let mut spec = one("sleep");
    spec.containers[0].definition.links = Some(vec!["db".to_owned()]);
    node.link.run(&bad, spec);
    node.link.run(&good, one("run 1 0"));
    let last = node.until_stopped(&bad).await;
    let reason = last.reason.unwrap();
    assert!(
        reason.starts_with("InvalidTaskError: containerDefinitions[app].links is not supported"),
        "{reason}"
    );
    node.until_stopped(&good).await;
    node.until("the cursor goes on", |node| node.link.acknowledged() == 2)
        .await;
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_made_up_for_by_the_list() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, one("run 30 4"));
    node.until_told(&arn, "RUNNING").await;
    node.runtime.deaf.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(node.link.status(&arn).as_deref(), Some("RUNNING"));
    node.runtime.deaf.store(false, Ordering::Relaxed);
    node.runtime.break_events();
    let last = node.until_stopped(&arn).await;
    assert_eq!(last.containers.unwrap()[0].exit_code, Some(4));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_missed_is_found_before_long() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, one("run 30 4"));
    node.until_told(&arn, "RUNNING").await;
    node.runtime.deaf.store(true, Ordering::Relaxed);
    let last = node.until_stopped(&arn).await;
    assert_eq!(last.containers.unwrap()[0].exit_code, Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_taken_away_has_vanished() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, one("sleep"));
    node.until_told(&arn, "RUNNING").await;
    node.runtime.lose(&container_id(&arn, 0));
    let last = node.until_stopped(&arn).await;
    let container = &last.containers.unwrap()[0];
    assert_eq!(container.exit_code, None);
    assert!(
        container
            .reason
            .as_deref()
            .unwrap()
            .starts_with("ContainerVanishedError: ")
    );
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_of_the_link_changes_nothing_and_is_caught_up_in_order() {
    let mut node = Node::started(5);
    let tasks: Vec<_> = (1..=30).map(task_arn).collect();
    for arn in &tasks {
        node.link.run(arn, one("run 600 6"));
    }
    node.until("all run", |node| node.runtime.running() == 30).await;
    node.link.down.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(node.runtime.running(), 0);
    assert!(node.handle().link_status().error.is_some());
    node.restart().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    node.link.down.store(false, Ordering::Relaxed);
    for arn in &tasks {
        assert_eq!(
            node.until_stopped(arn).await.containers.unwrap()[0].exit_code,
            Some(6)
        );
        assert!(node.link.told_at(arn, "RUNNING") <= node.link.told_at(arn, "STOPPED"));
    }
    assert!(node.link.most_calls.load(Ordering::Relaxed) <= 10);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_report_blocks_nothing() {
    let mut node = Node::started(5);
    let (refused, other) = (task_arn(1), task_arn(2));
    node.link.refuse_reports_of(&refused);
    node.link.run(&refused, one("run 1 0"));
    node.link.run(&other, one("run 1 0"));
    node.until_stopped(&other).await;
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_the_store_lost_is_adopted_and_runs_on() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, with_port(one("sleep"), 80, Some(8080)));
    node.until_told(&arn, "RUNNING").await;
    node.kill().await;
    node.lose_store();
    node.link.down.store(true, Ordering::Relaxed);
    node.start();
    node.until("adopted", |node| !node.handle().tasks().is_empty())
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(node.runtime.running(), 1);
    // Only an order stops it.
    node.link.down.store(false, Ordering::Relaxed);
    node.link.stop(&arn);
    let last = node.until_stopped(&arn).await;
    assert_eq!(last.containers.unwrap()[0].exit_code, Some(143));
    assert_eq!(node.runtime.history(&container_id(&arn, 0)).starts, 1);
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_reboot_what_ran_is_stopped_and_what_did_not_begins() {
    let mut node = Node::started(5);
    let (ran, waits) = (task_arn(1), task_arn(2));
    node.link.run(&ran, with_port(one("sleep"), 80, Some(8080)));
    node.until_told(&ran, "RUNNING").await;
    node.link.run(&waits, with_port(one("sleep"), 80, Some(8080)));
    node.until("waiting", |node| node.handle().tasks().len() == 2)
        .await;
    node.cut("boot-2").await;
    node.start();
    let last = node.until_stopped(&ran).await;
    let container = &last.containers.unwrap()[0];
    assert_eq!(container.exit_code, None);
    assert!(container.reason.as_deref().unwrap().starts_with("HostRebooted: "));
    node.until_told(&waits, "RUNNING").await;
}

#[tokio::test(start_paused = true)]
async fn the_agent_ends_with_its_reports_told_and_its_containers_untouched() {
    let mut node = Node::started(5);
    let (runs, ends) = (task_arn(1), task_arn(2));
    node.link.run(&runs, one("sleep"));
    node.link.run(&ends, one("run 5 0"));
    node.until_told(&runs, "RUNNING").await;
    node.until_stopped(&ends).await;
    assert!(node.end().await, "everything was told");
    assert_eq!(node.runtime.running(), 1);
    let (store, contents) = Store::open(&node.store_path()).unwrap();
    assert_eq!(contents.tasks.len(), 2);
    drop(store);
    node.link.down.store(true, Ordering::Relaxed);
    node.start();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(node.runtime.running(), 1);
    node.link.down.store(false, Ordering::Relaxed);
    node.link.stop(&runs);
    node.until_stopped(&runs).await;
    assert_eq!(node.runtime.history(&container_id(&runs, 0)).starts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_forgot_an_end_is_told_again() {
    let mut node = Node::started(5);
    node.cleanup_wait = Duration::from_secs(3600);
    node.restart().await;
    let arn = task_arn(1);
    node.link.run(&arn, one("run 5 9"));
    node.until_stopped(&arn).await;
    let told = node.link.reports(&arn).len();
    node.link.restore();
    node.until("told again", |node| node.link.reports(&arn).len() > told)
        .await;
    let last = node.link.last(&arn).unwrap();
    assert_eq!(last.status.as_deref(), Some("STOPPED"));
    assert_eq!(last.containers.unwrap()[0].exit_code, Some(9));
    assert_eq!(node.runtime.history(&container_id(&arn, 0)).starts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_is_not_answered_by_a_report_that_was_on_its_way_before_it() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, one("run 5 9"));
    node.until_told(&arn, "RUNNING").await;
    node.link.acknowledges_after.store(20_000, Ordering::Relaxed);
    node.until_stopped(&arn).await;
    // It took the report; then it says again what it wants, and the agent hears that before the report's answer.
    node.link.restore();
    let told = node.link.reports(&arn).len();
    node.until("told again", |node| node.link.reports(&arn).len() > told)
        .await;
    // One that was made after it answers it, however often it was tried before.
    node.link.acknowledges_after.store(0, Ordering::Relaxed);
    node.until("acknowledged", |node| {
        let tasks = node.handle().tasks();
        tasks.iter().all(|task| task.state.is_acknowledged())
    })
    .await;
    let told = node.link.reports(&arn).len();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(node.link.reports(&arn).len(), told, "once is enough");
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_for_a_task_that_the_store_lost_is_not_answered_before_the_runtime_has_spoken() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, one("sleep"));
    node.until_told(&arn, "RUNNING").await;
    node.kill().await;
    node.lose_store();
    node.runtime.away.store(true, Ordering::Relaxed);
    node.link.stop(&arn);
    node.start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(node.link.status(&arn).as_deref(), Some("RUNNING"));
    node.runtime.away.store(false, Ordering::Relaxed);
    let last = node.until_stopped(&arn).await;
    assert_eq!(last.containers.unwrap()[0].exit_code, Some(143));
}

// Orders wait for the list, and the control plane hears of the node meanwhile.
#[tokio::test(start_paused = true)]
async fn an_agent_that_began_without_its_runtime_polls_on() {
    let mut node = Node::new(5);
    node.runtime.away.store(true, Ordering::Relaxed);
    let arn = task_arn(1);
    node.link.run(&arn, one("sleep"));
    node.start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let polls = node.link.polls();
    assert!(
        (10..100).contains(&polls.len()),
        "{} polls in a minute",
        polls.len()
    );
    assert!(
        polls.iter().all(|poll| poll.cursor.cursor == 0),
        "nothing is taken"
    );
    node.runtime.away.store(false, Ordering::Relaxed);
    node.until_told(&arn, "RUNNING").await;
    node.link.stop(&arn);
    node.until_clean().await;
}

// Invariant 10.
#[tokio::test(start_paused = true)]
async fn only_so_many_stopped_tasks_are_kept_and_the_oldest_go() {
    let mut node = Node::new(5);
    node.cleanup_wait = Duration::from_secs(3600);
    node.kept = 10;
    node.start();
    for number in 1..=25 {
        node.link.run(&task_arn(number), one("run 1 0"));
        node.until_stopped(&task_arn(number)).await;
    }
    node.until("some are forgotten", |node| node.handle().tasks().len() <= 10)
        .await;
    let is_kept = |node: &Node, number| node.handle().watch(&task_arn(number).id).is_some();
    assert!(is_kept(&node, 25) && !is_kept(&node, 1));
    node.restart().await;
    assert!(is_kept(&node, 25));
}

// Invariant 6. The folders are as old as the task, and nobody knows it until the control plane orders it anew.
#[tokio::test(start_paused = true)]
async fn volumes_of_a_task_that_a_lost_store_knew_wait_for_the_control_plane() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, one("sleep"));
    node.until_told(&arn, "RUNNING").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    node.cut("boot-2").await;
    node.lose_store();
    node.link.down.store(true, Ordering::Relaxed);
    node.start();
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(node.assembler.volumes(), 1, "it may be ordered again");
    node.link.down.store(false, Ordering::Relaxed);
    node.until("it runs on them", |node| node.runtime.running() == 1)
        .await;
}

// Invariant 6.
#[tokio::test(start_paused = true)]
async fn logs_of_what_a_lost_store_knew_stay_for_a_while_and_go() {
    let mut node = Node::new(5);
    node.cleanup_wait = Duration::from_secs(3600);
    node.start();
    let (over, running) = (task_arn(1), task_arn(2));
    node.link.run(&over, one("run 1 0"));
    node.link.run(&running, one("sleep"));
    node.until_stopped(&over).await;
    node.until_told(&running, "RUNNING").await;
    node.kill().await;
    node.lose_store();
    node.start();
    tokio::time::sleep(Duration::from_secs(3000)).await;
    assert_eq!(node.handle().tasks().len(), 1, "one is adopted");
    assert_eq!(node.assembler.logs(), 2, "they are kept for people");
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert_eq!(node.assembler.logs(), 1, "those of what runs");
    assert_eq!(node.assembler.volumes(), 1);
    node.link.stop(&running);
    node.until_stopped(&running).await;
    node.until("torn down", |node| node.assembler.volumes() == 0)
        .await;
    node.kill().await;
    node.lose_store();
    tokio::time::sleep(Duration::from_secs(7200)).await;
    node.start();
    // How old they are is nobody's word: it counts since when this agent knows of them.
    tokio::time::sleep(Duration::from_secs(3000)).await;
    assert_eq!(node.assembler.logs(), 1);
    tokio::time::sleep(Duration::from_secs(1000)).await;
    assert_eq!(node.assembler.logs(), 0);
    node.until_clean().await;
}

// Invariant 9. They have the disk in common with what lives.
#[tokio::test(start_paused = true)]
async fn folders_that_nobody_knows_are_removed_one_after_another() {
    let mut node = Node::new(5);
    node.cleanup_wait = Duration::from_secs(3600);
    node.start();
    for number in 1..=20 {
        node.link.run(&task_arn(number), one("run 1 0"));
        node.until_stopped(&task_arn(number)).await;
    }
    node.kill().await;
    node.lose_store();
    node.assembler.hangs.store(true, Ordering::Relaxed);
    node.start();
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!((node.assembler.removing(), node.assembler.logs()), (1, 20));
    node.assembler.hangs.store(false, Ordering::Relaxed);
    node.until_clean().await;
}

// Which are the oldest is not asked of the wall clock, which was ahead when there were too many.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_was_ahead_costs_no_later_task_its_log() {
    let mut node = Node::new(5);
    node.cleanup_wait = Duration::from_secs(3600);
    node.kept = 1;
    node.start();
    node.world.wall_off.store(86_400_000, Ordering::Relaxed);
    for number in 1..=3 {
        if number == 3 {
            node.world.wall_off.store(0, Ordering::Relaxed);
        }
        node.link.run(&task_arn(number), one("run 1 0"));
        node.until_stopped(&task_arn(number)).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let kept = node.handle().tasks();
        let kept: Vec<_> = kept.iter().map(|task| &task.state.assignment.arn).collect();
        assert_eq!(kept, [&task_arn(number)], "the newest, and only that");
        assert_eq!(node.assembler.logs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_steps_back_keeps_nothing_for_years() {
    let mut node = Node::started(5);
    let arn = task_arn(1);
    node.link.run(&arn, one("run 5 0"));
    node.until_stopped(&arn).await;
    let years = -8 * 365 * 86_400_000_i64;
    node.world.wall_off.store(years, Ordering::Relaxed);
    node.restart().await;
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_port_that_went_from_an_older_task_to_a_newer_stays_with_it_after_a_restart() {
    let mut node = Node::started(5);
    let (running, over, waiting) = (task_arn(1), task_arn(2), task_arn(3));
    let spec = |command| with_port(one(command), 80, Some(8080));
    node.link.run(&over, spec("run 1 0"));
    node.until_stopped(&over).await;
    node.until("the port is given back", |node| node.network.attached() == 0)
        .await;
    node.link.run(&running, spec("sleep"));
    node.until_told(&running, "RUNNING").await;
    node.restart().await;
    node.until("the ports are held again", |node| {
        !node.network.adopted.lock().unwrap().is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    node.link.run(&waiting, spec("sleep"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(node.runtime.running(), 1);
    node.link.stop(&running);
    node.until_told(&waiting, "RUNNING").await;
}
