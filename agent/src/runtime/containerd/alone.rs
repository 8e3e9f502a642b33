//! A runtime for tests that never speak to containerd.

use std::path::Path;
use std::sync::Arc;

use super::{ContainerdRuntime, Settings};
use crate::clock::SystemClock;
use crate::containerd::Client;
use crate::runtime::cgroup;
use crate::runtime::exits::Exits;

/// With this cgroup, below `root`, in place of the machine's: its `cgroup.procs` is a plain file.
pub fn runtime(root: &Path, group: &str) -> ContainerdRuntime {
    let settings = Settings {
        namespace: "alone".to_owned(),
        snapshotter: String::new(),
        runtime: String::new(),
        oci_runtime: None,
        exits: Exits::new(root),
        exec_folder: root.join("exec"),
        cgroup_parent: "/longshore".to_owned(),
        log_writer: root.join("log"),
        task_pids_limit: None,
        identity: "alone".to_owned(),
    };
    let client = Client::new(&root.join("containerd.sock"), &settings.namespace).unwrap();
    let mut runtime = ContainerdRuntime::new(client, settings, Arc::new(SystemClock)).unwrap();
    runtime.cgroups = cgroup::unified(root, group, &["cgroup.procs"]);
    runtime
}
