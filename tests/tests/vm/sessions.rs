//! Exec sessions on cgroup v2: a group inside the container's, of which nothing is left.

use longshore_tests::pty::Pty;
use serde_json::json;

use crate::node::{LONG, Node};

/// Also where a container has made groups of its own and moved into one, as a service manager does: then the kernel takes
/// no process into the group above.
pub async fn end_with_all_that_is_in_their_cgroup(node: &mut Node) {
    let plain = json!({"command": ["sleep", "100000"]});
    let script = "cd /sys/fs/cgroup && busybox mkdir leaf && echo $$ >leaf/cgroup.procs \
                  && echo +memory >cgroup.subtree_control && exec sleep 100000";
    let managed = json!({"command": ["sh", "-c", script], "privileged": true});
    for container in [plain, managed] {
        let task = node.run_open(&container).await;
        let of_container = node.machine.until(LONG, "pgrep -x -f 'sleep 100000'").await;
        a_shell(node, &task).await;
        a_command(node, &task);
        let left = node.machine.ok("pgrep -x -f 'sleep 100000'").await;
        assert_eq!(left, of_container);
        node.stop(&task).await;
    }
}

/// In a terminal, with children, one of which has left the shell's own session.
async fn a_shell(node: &mut Node, task: &str) {
    let plane = node.plane.as_ref().expect("its operator is outside");
    let mut shell = Pty::start(plane.command(&["exec", task, "--", "/bin/sh"]), 80, 24);
    shell.expect("# ");
    shell.types(b"setsid sleep 991 & sleep 992 & echo $((40+2))\r");
    shell.expect("42\r\n");
    let group = format!("/sys/fs/cgroup/longshore/{task}/{task}-0/exec-*");
    let inside = format!("cat {group}/cgroup.procs | wc -l | grep -x 3");
    node.machine.until(LONG, &inside).await;
    shell.types(b"exit 5\r");
    assert_eq!(shell.wait().code(), Some(5));
    let nothing = format!("! ls -d {group} && ! pgrep -x -f 'sleep 99[12]'");
    node.machine.until(LONG, &nothing).await;
}

fn a_command(node: &Node, task: &str) {
    let plane = node.plane.as_ref().expect("its operator is outside");
    let words = ["exec", task, "--", "sh", "-c", "echo out; echo err >&2; exit 9"];
    let output = plane.command(&words).output().expect("longshore runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seen = (output.status.code(), text(&output.stdout), text(&output.stderr));
    assert_eq!(seen, (Some(9), "out\n".to_owned(), "err\n".to_owned()));
}
