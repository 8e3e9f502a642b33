//! The machine restarts: every process, network and cgroup is gone, the clock since boot begins at 0.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_agent::config::ResumeOnBoot;
use longshore_protocol::arn::TaskArn;

use crate::node::{Node, container, container_id, one, task, task_arn, with_port};
use crate::restarts::restarting;

async fn running(seed: u64, spec: longshore_protocol::poll::TaskSpec) -> (Node, TaskArn) {
    let mut node = Node::started(seed);
    let arn = task_arn(1);
    node.link.run(&arn, spec);
    node.until_told(&arn, "RUNNING").await;
    (node, arn)
}

/// Cuts the power, and starts again with no link.
async fn cut_off(node: &mut Node) {
    node.link.down.store(true, Ordering::Relaxed);
    node.cut("boot-2").await;
    node.start();
}

fn starts(node: &Node, arn: &TaskArn, index: u16) -> u32 {
    node.runtime.history(&container_id(arn, index)).starts
}

#[tokio::test(start_paused = true)]
async fn what_has_a_restart_policy_runs_again_with_nobody_asked_and_the_port_that_it_had() {
    let (mut node, arn) = running(21, with_port(restarting("sleep"), 80, None)).await;
    let port = node.link.last(&arn).unwrap().containers.unwrap()[0]
        .network_bindings
        .clone();
    cut_off(&mut node).await;
    node.until("it runs again", |node| node.runtime.running() == 1)
        .await;
    let view = node.handle().tasks().remove(0);
    assert_eq!(view.state.record.containers[0].restarts.count, 1);
    node.link.down.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(node.link.status(&arn).as_deref(), Some("RUNNING"));
    assert_eq!(
        node.link.last(&arn).unwrap().containers.unwrap()[0].network_bindings,
        port
    );
    let bindings = node.handle().tasks().remove(0).state.record.containers[0]
        .attachment
        .clone()
        .unwrap()
        .bindings;
    let told = port.unwrap()[0].host_port;
    assert_eq!(bindings[0].mapping.host_port.map(i32::from), told);
    node.link.stop(&arn);
    node.until_stopped(&arn).await;
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_end_was_stored_stays_as_it_is() {
    let mut first = container("first", "run 5 0");
    first.essential = Some(false);
    let mut spec = restarting("sleep");
    spec.containers.push(task(vec![first]).containers.remove(0));
    let (mut node, arn) = running(22, spec).await;
    node.until("the first has ended", |node| {
        node.link
            .last(&arn)
            .is_some_and(|last| last.containers.unwrap()[1].exit_code == Some(0))
    })
    .await;
    cut_off(&mut node).await;
    node.until("it runs again", |node| node.runtime.running() == 1)
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((starts(&node, &arn, 0), starts(&node, &arn, 1)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_only_the_shim_wrote_down_ends_a_helper_and_not_what_is_essential() {
    let mut helper = container("helper", "run 20 0");
    helper.essential = Some(false);
    let mut spec = restarting("run 20 0");
    spec.containers.push(task(vec![helper]).containers.remove(0));
    let (mut node, arn) = running(23, spec).await;
    node.kill().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    cut_off(&mut node).await;
    node.until("it runs again", |node| starts(node, &arn, 0) == 2)
        .await;
    assert_eq!(starts(&node, &arn, 1), 1);
    let view = node.handle().tasks().remove(0);
    let helper = &view.state.record.containers[1];
    assert_eq!(helper.exit.as_ref().unwrap().code, Some(0));
}

#[tokio::test(start_paused = true)]
async fn the_setting_decides_and_the_link_does_not() {
    for (resume, spec, runs) in [
        (ResumeOnBoot::RestartPolicy, restarting("sleep"), true),
        (ResumeOnBoot::RestartPolicy, one("sleep"), false),
        (ResumeOnBoot::All, one("sleep"), true),
        (ResumeOnBoot::None, restarting("sleep"), false),
    ] {
        let (mut node, arn) = running(24, spec).await;
        node.resume = resume;
        cut_off(&mut node).await;
        if runs {
            node.until("it runs again", |node| node.runtime.running() == 1)
                .await;
            continue;
        }
        node.until("it is over", |node| {
            let tasks = node.handle().tasks();
            tasks.iter().all(|task| task.state.record.torn_down)
        })
        .await;
        node.link.down.store(false, Ordering::Relaxed);
        let last = node.until_stopped(&arn).await;
        assert!(
            last.reason.as_deref().unwrap().starts_with("HostRebooted: "),
            "{last:?}"
        );
        let app = &last.containers.unwrap()[0];
        assert_eq!(app.exit_code, None);
        assert!(
            app.reason.as_deref().unwrap().starts_with("HostRebooted: "),
            "{app:?}"
        );
        assert_eq!(starts(&node, &arn, 0), 1);
        node.until_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn on_another_machine_nothing_is_resumed() {
    let (mut node, arn) = running(25, restarting("sleep")).await;
    node.fingerprint = "elsewhere".to_owned();
    node.cut("boot-2").await;
    node.start();
    let last = node.until_stopped(&arn).await;
    assert!(last.reason.unwrap().contains("another machine"));
    assert_eq!(starts(&node, &arn, 0), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_under_way_is_done_and_its_deadline_is_nobodys() {
    let (mut node, arn) = running(26, restarting("stubborn")).await;
    // The deadline is late on a clock that begins anew.
    tokio::time::sleep(Duration::from_secs(3000)).await;
    node.link.stop(&arn);
    node.until("signalled", |node| {
        !node.runtime.history(&container_id(&arn, 0)).signals.is_empty()
    })
    .await;
    cut_off(&mut node).await;
    node.link.down.store(false, Ordering::Relaxed);
    let last = node.until_stopped(&arn).await;
    let app = &last.containers.unwrap()[0];
    assert_eq!(app.exit_code, None);
    assert!(app.reason.as_deref().unwrap().starts_with("HostRebooted: "));
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_after_the_boot_is_obeyed() {
    let (mut node, arn) = running(27, restarting("sleep")).await;
    node.kill().await;
    node.link.stop(&arn);
    node.cut("boot-2").await;
    node.start();
    node.until_stopped(&arn).await;
    node.until_clean().await;
}

/// The power is cut again and again, at any moment; the agent dies in between as well.
#[tokio::test(start_paused = true)]
async fn cuts_at_any_moment_lose_nothing_and_leave_nothing() {
    for seed in 0..60 {
        let mut node = Node::started(1000 + seed);
        let (stays, ends) = (task_arn(1), task_arn(2));
        node.link
            .run(&stays, with_port(restarting("sleep"), 80, Some(8080)));
        node.link.run(&ends, one("sleep"));
        for boot in 2..6 {
            let pause = node.world.roll() % 400;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            node.cut(&format!("boot-{boot}")).await;
            node.start();
        }
        node.until("one runs", |node| {
            node.link.status(&stays).as_deref() == Some("RUNNING") && node.runtime.running() >= 1
        })
        .await;
        // What had not begun at the last cut began after it.
        if node.link.status(&ends).as_deref() != Some("STOPPED") {
            node.link.stop(&ends);
        }
        node.until_stopped(&ends).await;
        assert_eq!(
            node.link.status(&stays).as_deref(),
            Some("RUNNING"),
            "seed {seed}"
        );
        node.link.stop(&stays);
        node.until_stopped(&stays).await;
        node.until_clean().await;
    }
}
