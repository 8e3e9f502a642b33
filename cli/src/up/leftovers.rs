//! What tasks leave outside of the folder once they are gone: the bridge, the cgroup, and the plugins' base chains.
//!
//! Invariant: nothing that somebody else may use is taken away. Base chains go only if they weren't there before us
//! and no container has a rule in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::folder::{self, Folder};
use super::names::Names;
use super::{UpError, link, preflight};
use crate::env_file;

/// The chains that the CNI plugins share, by table; one that refers to another stands before it.
const BASE_CHAINS: [(&str, &[&str]); 2] = [
    (
        "nat",
        &["CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK"],
    ),
    ("filter", &["CNI-FORWARD", "CNI-ADMIN"]),
];
/// The programs of the two address families.
const FIREWALLS: [&str; 2] = ["iptables", "ip6tables"];
/// How long a firewall program may take: it waits for others that hold its lock.
const FIREWALL_DEADLINE: Duration = Duration::from_secs(30);
/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Writes down which base chains were there before us; what an earlier `up` wrote stays, as long as tasks live.
///
/// # Errors
/// [`UpError::File`].
pub async fn remember(folder: &Folder) -> Result<(), UpError> {
    let path = chains_file(folder);
    if path.exists() {
        return Ok(());
    }
    let mut there = Vec::new();
    for firewall in FIREWALLS {
        for (table, chains) in BASE_CHAINS {
            let rules = rules(firewall, table).await;
            there.extend(
                chains
                    .iter()
                    .filter(|chain| has_chain(&rules, chain))
                    .map(|chain| key(firewall, table, chain)),
            );
        }
    }
    folder::write(&path, 0o600, format!("{}\n", there.join("\n")).as_bytes())
}

fn chains_file(folder: &Folder) -> PathBuf {
    folder.join("firewall-before")
}

fn key(firewall: &str, table: &str, chain: &str) -> String {
    format!("{firewall} {table} {chain}")
}

/// Takes everything away; no task may be left.
///
/// # Errors
/// [`UpError::Leftovers`] with all that could not be removed.
pub async fn remove(folder: &Folder, names: &Names, private_containerd: bool) -> Result<(), UpError> {
    let mut left = Vec::new();
    if let Err(error) = link::remove(&names.bridge) {
        left.push(format!("bridge {}: {error}", names.bridge));
    }
    if let Err(error) = remove_cgroups(Path::new(CGROUPS), &names.cgroup_parent) {
        left.push(format!("cgroup {}: {error}", names.cgroup_parent));
    }
    let before = fs::read_to_string(chains_file(folder)).unwrap_or_default();
    for firewall in FIREWALLS {
        for (table, chains) in BASE_CHAINS {
            let new: Vec<_> = chains
                .iter()
                .copied()
                .filter(|chain| !before.lines().any(|line| line == key(firewall, table, chain)))
                .collect();
            left.extend(remove_chains(firewall, table, &new).await);
        }
    }
    remove_runtime_folders(&names.namespace, private_containerd);
    match left.is_empty() {
        true => folder::remove(&chains_file(folder)),
        false => Err(UpError::Leftovers { what: left }),
    }
}

/// runc keeps a folder for each namespace, whichever containerd calls it. What isn't empty is somebody's.
fn remove_runtime_folders(namespace: &str, private_containerd: bool) {
    // containerd keeps one too, and does not remove it with the namespace.
    for parent in [
        "/run/containerd/runc",
        "/run/containerd/io.containerd.runtime.v2.task",
        "/var/lib/containerd/io.containerd.runtime.v2.task",
    ] {
        let _ = fs::remove_dir(Path::new(parent).join(namespace));
    }
    if private_containerd {
        for folder in [
            "/run/containerd/runc",
            "/run/containerd/s",
            "/run/containerd/fifo",
            "/run/containerd",
        ] {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Removes a cgroup with its children, in every hierarchy.
fn remove_cgroups(root: &Path, parent: &str) -> std::io::Result<()> {
    let parent = parent.trim_start_matches('/');
    let hierarchies = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let candidates = std::iter::once(root.to_owned())
        .chain(hierarchies)
        .map(|folder| folder.join(parent));
    for cgroup in candidates.filter(|folder| folder.is_dir()) {
        remove_cgroup(&cgroup)?;
    }
    Ok(())
}

/// Only folders can be removed there; the files in them are the kernel's and go along.
fn remove_cgroup(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    match fs::remove_dir(cgroup) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A table as the firewall's program prints it, a rule a line; nothing where there is no such program or table.
async fn rules(firewall: &str, table: &str) -> Vec<String> {
    let output = run(firewall, &["-w", "-t", table, "-S"])
        .await
        .unwrap_or_default();
    output.lines().map(str::to_owned).collect()
}

async fn run(firewall: &str, arguments: &[&str]) -> Result<String, String> {
    let Some(program) = preflight::find(firewall) else {
        return Err(format!("{firewall} is missing"));
    };
    let output = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(FIREWALL_DEADLINE, output)
        .await
        .map_err(|error| error.to_string())?;
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

fn has_chain(rules: &[String], chain: &str) -> bool {
    rules.iter().any(|rule| rule == &format!("-N {chain}"))
}

/// Removes base chains that nobody uses; what failed.
async fn remove_chains(firewall: &str, table: &str, chains: &[&str]) -> Vec<String> {
    let rules = rules(firewall, table).await;
    let mut left = Vec::new();
    for step in steps(&rules, chains) {
        let Some(words) = env_file::words(&step) else {
            continue;
        };
        let mut arguments = vec!["-w", "-t", table];
        arguments.extend(words.iter().map(String::as_str));
        if let Err(why) = run(firewall, &arguments).await {
            left.push(format!("{firewall} -t {table} {step}: {why}"));
        }
    }
    left
}

/// What to call to get rid of these chains: jumps to them, their rules, themselves. Nothing if a container is left.
fn steps(rules: &[String], chains: &[&str]) -> Vec<String> {
    let there: Vec<_> = chains
        .iter()
        .copied()
        .filter(|chain| has_chain(rules, chain))
        .collect();
    let is_base = |chain: &str| BASE_CHAINS.iter().any(|(_, base)| base.contains(&chain));
    let of_container = |rule: &&String| {
        let mut words = rule.split(' ');
        match (words.next(), words.next()) {
            // A container's own chain.
            (Some("-N"), Some(chain)) => chain.starts_with("CNI-") && !is_base(chain),
            // A container's address, let through.
            (Some("-A"), Some("CNI-FORWARD")) => !rule.contains("-j CNI-ADMIN"),
            // What an administrator wrote.
            (Some("-A"), Some("CNI-ADMIN")) => true,
            _ => false,
        }
    };
    if rules.iter().any(|rule| of_container(&rule)) {
        return Vec::new();
    }
    let jumps = |rule: &&String| there.iter().any(|chain| rule.ends_with(&format!("-j {chain}")));
    let deleted = rules
        .iter()
        .filter(jumps)
        .filter_map(|rule| Some(format!("-D {}", rule.strip_prefix("-A ")?)));
    let flushed = there.iter().map(|chain| format!("-F {chain}"));
    let removed = there.iter().map(|chain| format!("-X {chain}"));
    deleted.chain(flushed).chain(removed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    const BASE: &str = "-P PREROUTING ACCEPT
        -N CNI-HOSTPORT-DNAT
        -N CNI-HOSTPORT-SETMARK
        -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
        -A CNI-HOSTPORT-SETMARK -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark 0x2000/0x2000";

    #[test]
    fn base_chains_go_once_nobody_uses_them() {
        let steps = steps(
            &lines(BASE),
            &["CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK"],
        );
        assert_eq!(
            steps,
            [
                "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
                "-F CNI-HOSTPORT-DNAT",
                "-F CNI-HOSTPORT-SETMARK",
                "-X CNI-HOSTPORT-DNAT",
                "-X CNI-HOSTPORT-SETMARK",
            ]
        );
    }

    #[test]
    fn base_chains_stay_while_a_container_is_left() {
        let used = format!("{BASE}\n-N CNI-DN-0123456789abcdef01234");
        assert!(steps(&lines(&used), &["CNI-HOSTPORT-DNAT"]).is_empty());
        let filter = "-N CNI-FORWARD\n-N CNI-ADMIN\n-A FORWARD -j CNI-FORWARD\n-A CNI-FORWARD -j CNI-ADMIN";
        assert_eq!(steps(&lines(filter), &["CNI-FORWARD", "CNI-ADMIN"]).len(), 6);
        let used = format!("{filter}\n-A CNI-FORWARD -d 10.1.2.3/32 -j ACCEPT");
        assert!(steps(&lines(&used), &["CNI-FORWARD", "CNI-ADMIN"]).is_empty());
    }

    #[test]
    fn a_cgroup_goes_with_its_children_in_every_hierarchy() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "cpu/longshore-1/a/b",
            "memory/longshore-1",
            "longshore-1/c",
            "cpu/longshore-2",
        ] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        remove_cgroups(root.path(), "/longshore-1").unwrap();
        for gone in ["cpu/longshore-1", "memory/longshore-1", "longshore-1"] {
            assert!(!root.path().join(gone).exists(), "{gone}");
        }
        assert!(root.path().join("cpu/longshore-2").exists());
    }
}
