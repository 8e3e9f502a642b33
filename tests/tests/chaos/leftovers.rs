//! What must not be left when nothing runs: on the host, in containerd, and in the stores of agent and control plane.
//!
//! Limits: what goes by itself in time is looked at once, in the end ([`at_the_end`]). The lease of a pull that was killed
//! may stay until it expires. containerd's folders of tasks that it gave up while it was killed are its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use longshore_tests::{binaries, wait};
use rusqlite::{Connection, OpenFlags};

use crate::compare::agents_tasks;
use crate::strikes::shims;
use crate::system::{System, id_of, shell};

/// How long a shim stays that nobody will call any more.
const UNUSED: Duration = Duration::from_secs(60);

/// What is left at the end of a round, apart from what tests look for everywhere ([`System::left`]).
pub fn at_rest(system: &System) -> Vec<String> {
    let (data, namespace) = (system.agent.data_dir(), system.host.containerd_namespace());
    let mut left = Vec::new();
    for folder in ["exits/aside", "netns", "network", "volumes"] {
        left.extend(entries(&data.join(folder)));
    }
    left.extend(entries(&data.join("exits")).filter(|path| !path.ends_with("aside")));
    // Beside addresses the plugin keeps a lock, and which address it gave last.
    let is_address = |path: &PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.parse::<std::net::IpAddr>().is_ok()
    };
    left.extend(entries(&data.join("ipam/lst0")).filter(is_address));
    left.extend(entries(&Path::new("/run/containerd/runc").join(&namespace)));
    let mut left: Vec<_> = left
        .iter()
        .map(|path| format!("file {}", path.display()))
        .collect();
    left.extend(assignments(system));
    let images = leases(system, "image");
    if images.len() > 1 {
        left.push(format!("more leases than images: {images:?}"));
    }
    left
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// The tasks that the control plane still has to bring to an end.
fn assignments(system: &System) -> Vec<String> {
    let path = system.plane.database();
    let rows = || -> rusqlite::Result<Vec<String>> {
        let database = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut statement = database.prepare("SELECT task_arn FROM assignments")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    match rows() {
        Ok(rows) => rows
            .iter()
            .map(|arn| format!("an assignment of {arn} in the control plane"))
            .collect(),
        Err(error) => vec![format!("{}: {error}", path.display())],
    }
}

/// The agent's leases of a kind in containerd.
fn leases(system: &System, kind: &str) -> Vec<String> {
    let namespace = system.host.containerd_namespace();
    let list = system.containerd.ctr(&namespace, &["leases", "list"]);
    let label = format!("longshore.lease={kind}");
    let own = list.lines().filter(|line| line.contains(&label));
    own.map(str::to_owned).collect()
}

/// Says which shims there are although nothing runs: should they stay, one knows since when.
pub fn note_shims(system: &System, seed: u64) {
    for (pid, words) in shims(&system.host.containerd_namespace()) {
        eprintln!("after round {seed}: shim {pid} is there: {words}");
    }
}

/// What goes by itself, in time: the last rounds' shims that nobody called, leases of pulls that were killed, and, once it is due, all that the agent remembers of tasks.
pub async fn at_the_end(system: &mut System) {
    undisturbed(system).await;
    shims_end(system).await;
    // Of a pull that was killed at its very end, which no other pull came after.
    let (pulls, images) = (leases(system, "pull"), leases(system, "image"));
    let expires = |lease: &String| lease.contains("containerd.io/gc.expire=");
    assert!(
        pulls.len() <= 1 && pulls.iter().all(expires) && images.len() == 1,
        "leases of one image: {pulls:?}, {images:?}"
    );
    system.agent.terminate().await;
    system.agent.set("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", "1s");
    system.agent.start();
    let logs = system.agent.data_dir().join("logs");
    // A task that never had a container has no log, and may be the last to go.
    wait::until_some("all tasks and their logs are removed", || {
        let known = agents_tasks(system)["tasks"].as_array().map(Vec::len);
        (known == Some(0) && entries(&logs).next().is_none()).then_some(())
    })
    .await;
    // The store's file is the agent's alone while it runs.
    system.agent.terminate().await;
    let path = system.agent.data_dir().join("agent.db");
    let database = Connection::open(&path).expect("the agent's store");
    for table in ["assignment", "record"] {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: i64 = database
            .query_row(&count, [], |row| row.get(0))
            .expect("a number");
        assert_eq!(rows, 0, "rows of {table} are left in the agent's store");
    }
    drop(database);
    system.agent.start();
    system.until_connected().await;
}

async fn shims_end(system: &System) {
    // containerd's own stay.
    if binaries::shim() == binaries::STOCK_SHIM {
        return;
    }
    let namespace = system.host.containerd_namespace();
    let end = async {
        while !shims(&namespace).is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let ended = tokio::time::timeout(UNUSED + wait::patience(), end).await;
    assert!(
        ended.is_ok(),
        "shims that nobody calls do not end: {:#?}",
        shims(&namespace).iter().map(about).collect::<Vec<_>>()
    );
}

/// What there is to know of a shim from outside: since when it is there, what it has open, whose bundles are left.
fn about((pid, words): &(i32, String)) -> String {
    let open = PathBuf::from(format!("/proc/{pid}/fd"));
    let fds = entries(&open).filter_map(|fd| std::fs::read_link(fd).ok());
    let fds: Vec<_> = fds.map(|fd| fd.display().to_string()).collect();
    let sockets = Command::new("ss").args(["-xapH"]).output();
    let sockets = sockets.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let listed = sockets.unwrap_or_default();
    let sockets: Vec<_> = listed
        .lines()
        .filter(|line| line.contains(&format!("pid={pid},")))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let id = words.split(" -id ").nth(1).unwrap_or_default();
    let id = id.split(' ').next().unwrap_or_default();
    let bundles = entries(Path::new("/run/containerd-test/io.containerd.runtime.v2.task"))
        .flat_map(|namespace| entries(&namespace).collect::<Vec<_>>())
        .filter(|bundle| bundle.to_string_lossy().contains(id))
        .map(|bundle| format!("{}: {:?}", bundle.display(), entries(&bundle).collect::<Vec<_>>()));
    let bundles: Vec<_> = bundles.collect();
    format!("{words}: open {fds:?}; sockets {sockets:?}; bundles {bundles:?}")
}

/// Runs a task with nobody disturbing it.
async fn undisturbed(system: &System) {
    system.until_connected().await;
    let task = system
        .run_container(shell("last", &system.busybox, "exit 0").build())
        .await;
    system.until(&task, "STOPPED").await;
    wait::until("nothing of the last task is left", || async {
        let left = [system.left().await, at_rest(system)].concat();
        left.is_empty().then_some(())
    })
    .await;
    let logs = system.agent.ask("logs", &[id_of(&task)]);
    assert!(logs.status.success(), "its log is there until it is cleaned");
}
