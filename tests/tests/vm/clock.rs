//! A node whose clock is wrong, and a control plane elsewhere whose clock is right, over TLS.

use longshore_tests::vm::Machine;
use serde_json::{Value, json};

use crate::node::{LONG, Node};
use crate::plane::{Plane, Trust};

/// The clock of a node, in words of `date -s`.
const YEAR_1970: &str = "1970-01-02 00:00:00Z";

/// A machine that is on, and has this time.
async fn machine_at(time: &str) -> Machine {
    let mut machine = Node::machine(&[]);
    let base = machine_time(time);
    machine.set_clock(&base);
    machine.boot().await;
    // systemd has moved a clock of before its own build; an agent may run under something else.
    machine.ok(&format!("date -s '{time}'")).await;
    machine
}

/// What QEMU takes.
fn machine_time(time: &str) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%S", "-d", time])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Ends with 3.
fn short() -> Value {
    json!({"command": ["sh", "-c", "exit 3"]})
}

async fn runs_what_it_is_told(node: &mut Node) {
    let task = node.run(&short(), &json!({})).await;
    let stopped = node.until(&task, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 3, "{stopped:#}");
}

/// Of a container that can't be asked to end: not SIGKILL before its time, nor years later.
async fn a_step_changes_no_grace(node: &mut Node, step: &str) {
    let container = json!({
        "command": ["sh", "-c", "trap '' TERM; echo ready; while true; do sleep 1; done"],
        "stopTimeout": 10,
    });
    let task = node.run(&container, &json!({})).await;
    node.until(&task, "RUNNING").await;
    node.machine
        .until(LONG, &format!("longshore logs {task} | grep ready"))
        .await;
    let uptime = "cut -d . -f 1 /proc/uptime";
    let before: u64 = node.machine.ok(uptime).await.parse().unwrap();
    node.order_stop(&task).await;
    node.machine.ok(&format!("date -s '{step}'")).await;
    let stopped = node.until(&task, "STOPPED").await;
    let after: u64 = node.machine.ok(uptime).await.parse().unwrap();
    assert_eq!(stopped["containers"][0]["exitCode"], 137, "{stopped:#}");
    assert!(after - before >= 10, "killed after {} s", after - before);
}

async fn the_difference_is_said(node: &mut Node) {
    let said = "journalctl --no-pager -u longshore-agent | grep \"clock differs from the control plane's\"";
    node.machine.until(LONG, said).await;
}

/// Everything that a node does while its clock is wrong, and after it was set right under the agent.
async fn all_is_well(time: &str, trust: Trust) {
    let machine = machine_at(time).await;
    let mut node = Node::of(Plane::start().await, machine, trust, &[]).await;
    runs_what_it_is_told(&mut node).await;
    node.machine.step_is_over("registration, and a task");
    the_difference_is_said(&mut node).await;
    // A new process knows nothing of the other clock, but what is written down.
    node.machine.ok("systemctl restart longshore-agent").await;
    runs_what_it_is_told(&mut node).await;
    node.machine.step_is_over("a new agent, and a task");
    let now = machine_time("now");
    a_step_changes_no_grace(&mut node, &format!("{now}Z")).await;
    node.machine.step_is_over("a step within a grace");
    runs_what_it_is_told(&mut node).await;
    node.until_clean().await;
    node.machine.step_is_over("one more task, and nothing is left");
}

#[tokio::test]
async fn a_node_that_boots_in_1970_registers_and_runs_tasks() {
    all_is_well(YEAR_1970, Trust::Certificate).await;
}

#[tokio::test]
#[ignore = "takes ten minutes: make vm-long"]
async fn a_day_wrong_or_fifty_years_with_a_pin_are_no_matter() {
    for (offset, trust) in [
        ("yesterday", Trust::Certificate),
        ("tomorrow", Trust::Certificate),
        ("50 years", Trust::Fingerprint),
    ] {
        println!("{offset}");
        all_is_well(&format!("{}Z", machine_time(offset)), trust).await;
    }
}

/// Fifty years on, a certificate has expired, whoever's clock is right.
#[tokio::test]
#[ignore = "takes five minutes: make vm-long"]
async fn years_ahead_a_certificate_has_expired_and_the_agent_says_what_to_do() {
    let future = format!("{}Z", machine_time("50 years"));
    let present = || format!("{}Z", machine_time("now"));
    let mut machine = machine_at(&future).await;
    let plane = Plane::start().await;
    machine.link().await;
    machine.ok("mkdir -p /etc/longshore").await;
    let register = plane.registration(Trust::Certificate);
    let refused = machine
        .run(&format!("PATH=$PATH:/opt/longshore/bin; {register}"))
        .await;
    assert_ne!(refused.status, 0, "{}", refused.output);
    for word in ["look at `date`", "certificate"] {
        assert!(refused.output.contains(word), "{word}: {}", refused.output);
    }

    machine.ok(&format!("date -s '{}'", present())).await;
    let mut node = Node::of(plane, machine, Trust::Certificate, &[]).await;
    let container = json!({"command": ["sh", "-c", "until [ -e /end ]; do sleep 1; done; exit 4"]});
    let task = node.run(&container, &json!({})).await;
    node.until(&task, "RUNNING").await;
    let pid = node.pid(&task).await;
    node.machine
        .ok(&format!(
            "date -s '{future}' && systemctl restart longshore-agent"
        ))
        .await;
    let said = "longshore-agent status | grep 'look at `date`'";
    node.machine.until(LONG, said).await;
    // What runs goes on, and its end waits.
    assert_eq!(node.pid(&task).await, pid);
    node.machine.ok(&format!("touch /proc/{pid}/root/end")).await;
    let over = "longshore-agent tasks --json | tr -d ' \\n' | grep '\"exitCode\":4'";
    node.machine.until(LONG, over).await;
    assert_eq!(node.describe(&task).await["lastStatus"], "RUNNING");
    node.machine.ok(&format!("date -s '{}'", present())).await;
    let stopped = node.until(&task, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 4, "{stopped:#}");
    node.until_clean().await;
}
