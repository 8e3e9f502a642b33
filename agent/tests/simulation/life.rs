//! The life of a task when nothing goes wrong.

use longshore_protocol::status::NetworkMode;

use crate::node::{Node, container, container_id, one, task, task_arn, with_port};

#[tokio::test(start_paused = true)]
async fn a_task_runs_exits_and_leaves_nothing() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    node.link.run(&arn, one("run 5 42"));
    let last = node.until_stopped(&arn).await;
    let container = &last.containers.as_ref().unwrap()[0];
    assert_eq!(container.exit_code, Some(42));
    assert_eq!(container.status.as_deref(), Some("STOPPED"));
    assert_eq!(container.reason, None);
    assert_eq!(container.image_digest.as_deref(), Some("sha256:00"));
    assert_eq!(container.runtime_id, Some(container_id(&arn, 0).to_string()));
    assert_eq!(last.reason.as_deref(), Some(""));
    assert_eq!(
        last.cluster.as_deref(),
        Some("arn:aws:ecs:us-east-1:000000000000:cluster/default")
    );
    assert!(last.pull_started_at.is_some() && last.pull_stopped_at.is_some());
    assert!(last.execution_stopped_at.is_some());
    let statuses: Vec<_> = node
        .link
        .reports(&arn)
        .into_iter()
        .map(|report| report.status.unwrap())
        .collect();
    assert_eq!(statuses, ["RUNNING", "STOPPED"]);
    // Freed at once, long before the logs go.
    node.until("torn down", |node| {
        node.images.held() == 0 && node.runtime.leftovers().is_empty()
    })
    .await;
    assert_eq!(node.assembler.logs(), 1, "log files are kept for people");
    node.until_clean().await;
    assert_eq!(node.runtime.history(&container_id(&arn, 0)).starts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_life_costs_six_commits_and_each_call_once() {
    let mut node = Node::started(1);
    node.until("polling", |node| !node.link.polls().is_empty()).await;
    // In which boot it is.
    assert_eq!(node.commits(), 1);
    let arn = task_arn(1);
    node.link.run(&arn, one("run 5 0"));
    node.until("forgotten", |node| {
        node.link.status(&arn).is_some() && node.handle().tasks().is_empty()
    })
    .await;
    // Assignment and cursor; start; RUNNING acknowledged; exit; STOPPED acknowledged; forgotten.
    assert_eq!(node.commits(), 1 + 6);
    let log = node.world.log();
    let calls = |name: &str| {
        log.lines()
            .filter(|line| line.contains(&format!("> {name}")))
            .count()
    };
    let counted = [
        "prepare", "pull", "attach", "assemble", "create", "start", "kill", "reap", "remove ", "detach",
    ];
    let numbers: Vec<_> = counted.iter().map(|name| calls(name)).collect();
    assert_eq!(numbers, [1, 1, 1, 1, 1, 1, 0, 1, 1, 1], "{counted:?}\n{log}");
}

#[tokio::test(start_paused = true)]
async fn the_way_to_running_has_no_pause() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    node.link.run(&arn, one("sleep"));
    let before = node.world.millis();
    node.until_told(&arn, "RUNNING").await;
    // Eight simulated calls of at most two milliseconds each; any pause or poll would be more.
    let spent = node.link.told_at(&arn, "RUNNING").unwrap() - before;
    assert!(spent <= 25, "{spent} ms");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_runs_is_told_at_once_while_its_neighbour_is_pulled() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    let mut slow = container("slow", "sleep");
    slow.image = Some("slow".to_owned());
    node.link.run(&arn, task(vec![container("quick", "sleep"), slow]));
    node.until_told(&arn, "PENDING").await;
    let containers = node.link.last(&arn).unwrap().containers.unwrap();
    let statuses: Vec<_> = containers.into_iter().map(|each| each.status.unwrap()).collect();
    assert_eq!(statuses, ["RUNNING", "PENDING"]);
    let view = node.handle().tasks().remove(0);
    let cause = view.cause(1).unwrap();
    assert_eq!((cause.text.as_str(), cause.percent), ("pulling slow", Some(30)));
    node.until_told(&arn, "RUNNING").await;
}

#[tokio::test(start_paused = true)]
async fn an_essential_exit_takes_the_others_down_and_another_does_not() {
    let mut node = Node::started(1);
    let (arn, calm) = (task_arn(1), task_arn(2));
    node.link.run(
        &arn,
        task(vec![container("app", "run 5 7"), container("side", "graceful 3")]),
    );
    let mut side = container("side", "run 5 9");
    side.essential = Some(false);
    node.link.run(&calm, task(vec![container("app", "sleep"), side]));
    let last = node.until_stopped(&arn).await;
    let codes: Vec<_> = last
        .containers
        .unwrap()
        .into_iter()
        .map(|each| each.exit_code)
        .collect();
    assert_eq!(codes, [Some(7), Some(3)]);
    node.until("the side's exit is told", |node| {
        let last = node.link.last(&calm).unwrap();
        last.containers.unwrap()[1].exit_code == Some(9)
    })
    .await;
    assert_eq!(node.link.status(&calm).as_deref(), Some("RUNNING"));
}

#[tokio::test(start_paused = true)]
async fn ports_are_chosen_told_and_given_back() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    node.link.run(&arn, with_port(one("run 5 0"), 80, None));
    node.until_told(&arn, "RUNNING").await;
    let bindings = node.link.last(&arn).unwrap().containers.unwrap()[0]
        .network_bindings
        .clone()
        .unwrap();
    assert_eq!(
        (bindings[0].container_port, bindings[0].host_port),
        (Some(80), Some(40000))
    );
    assert_eq!(bindings[0].bind_ip.as_deref(), Some("0.0.0.0"));
    node.until_stopped(&arn).await;
    node.until_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_held_makes_only_those_wait_who_want_it() {
    let mut node = Node::started(1);
    let (first, second, third) = (task_arn(1), task_arn(2), task_arn(3));
    node.link.run(&first, with_port(one("run 60 0"), 80, Some(8080)));
    node.until_told(&first, "RUNNING").await;
    node.link.run(&second, with_port(one("sleep"), 80, Some(8080)));
    let mut host = with_port(one("sleep"), 9000, None);
    host.network_mode = NetworkMode::Host;
    node.link.run(&third, host);
    node.until_told(&third, "RUNNING").await;
    let tasks = node.handle().tasks();
    let waiting = tasks
        .iter()
        .find(|task| task.state.assignment.arn == second)
        .unwrap();
    let cause = waiting.cause(0).unwrap().text;
    assert_eq!(
        cause,
        format!("host port 8080 (tcp) is held by task {}", first.id)
    );
    assert_eq!(node.link.status(&second), None);
    node.until_stopped(&first).await;
    node.until_told(&second, "RUNNING").await;
}

#[tokio::test(start_paused = true)]
async fn a_local_image_is_used_with_a_note_that_does_not_stick() {
    let mut node = Node::started(1);
    let arn = task_arn(1);
    let mut spec = one("run 5 3");
    spec.containers[0].definition.image = Some("cached".to_owned());
    node.link.run(&arn, spec);
    let last = node.until_stopped(&arn).await;
    assert_eq!(last.containers.unwrap()[0].reason, None);
}
