//! Metrics of version 2, and the choice between the two.

use std::path::Path;

use super::{Cgroup, number, read, value};
use crate::api::metrics_v2::{Cpu, Io, IoEntry, Memory, MemoryEvents, Metrics, Pids};
use crate::api::{Any, any, metrics_v1, metrics_v2};

impl Cgroup {
    /// Its metrics, as a message of the version that the host has.
    #[must_use]
    pub fn metrics(&self) -> Any {
        match self.unified() {
            Some(folder) => any(metrics_v2::TYPE, &metrics_v2(folder)),
            None => any(metrics_v1::TYPE, &self.metrics_v1()),
        }
    }
}

fn metrics_v2(folder: &Path) -> Metrics {
    let cpu = read(&folder.join("cpu.stat")).unwrap_or_default();
    let cpu = |key| value(&cpu, key).unwrap_or_default();
    let events = read(&folder.join("memory.events"));
    Metrics {
        pids: Some(Pids {
            current: number(&folder.join("pids.current")).unwrap_or_default(),
            limit: number(&folder.join("pids.max")).unwrap_or_default(),
        }),
        cpu: Some(Cpu {
            usage_usec: cpu("usage_usec"),
            user_usec: cpu("user_usec"),
            system_usec: cpu("system_usec"),
            nr_periods: cpu("nr_periods"),
            nr_throttled: cpu("nr_throttled"),
            throttled_usec: cpu("throttled_usec"),
        }),
        memory: Some(memory(folder)),
        io: Some(Io { usage: io(folder) }),
        memory_events: events.map(|text| {
            let get = |key| value(&text, key).unwrap_or_default();
            MemoryEvents {
                low: get("low"),
                high: get("high"),
                max: get("max"),
                oom: get("oom"),
                oom_kill: get("oom_kill"),
            }
        }),
    }
}

fn memory(folder: &Path) -> Memory {
    let stat = read(&folder.join("memory.stat")).unwrap_or_default();
    let get = |key| value(&stat, key).unwrap_or_default();
    let file = |name: &str| number(&folder.join(name));
    Memory {
        anon: get("anon"),
        file: get("file"),
        kernel_stack: get("kernel_stack"),
        slab: get("slab"),
        sock: get("sock"),
        shmem: get("shmem"),
        file_mapped: get("file_mapped"),
        file_dirty: get("file_dirty"),
        file_writeback: get("file_writeback"),
        anon_thp: get("anon_thp"),
        inactive_anon: get("inactive_anon"),
        active_anon: get("active_anon"),
        inactive_file: get("inactive_file"),
        active_file: get("active_file"),
        unevictable: get("unevictable"),
        slab_reclaimable: get("slab_reclaimable"),
        slab_unreclaimable: get("slab_unreclaimable"),
        pgfault: get("pgfault"),
        pgmajfault: get("pgmajfault"),
        workingset_refault: get("workingset_refault_anon") + get("workingset_refault_file"),
        workingset_activate: get("workingset_activate_anon") + get("workingset_activate_file"),
        workingset_nodereclaim: get("workingset_nodereclaim"),
        pgrefill: get("pgrefill"),
        pgscan: get("pgscan"),
        pgsteal: get("pgsteal"),
        pgactivate: get("pgactivate"),
        pgdeactivate: get("pgdeactivate"),
        pglazyfree: get("pglazyfree"),
        pglazyfreed: get("pglazyfreed"),
        thp_fault_alloc: get("thp_fault_alloc"),
        thp_collapse_alloc: get("thp_collapse_alloc"),
        usage: file("memory.current").unwrap_or_default(),
        // What has no limit says so by the largest number, as with containerd's own shim.
        usage_limit: file("memory.max").unwrap_or(u64::MAX),
        swap_usage: file("memory.swap.current").unwrap_or_default(),
        swap_limit: file("memory.swap.max").unwrap_or(u64::MAX),
        max_usage: file("memory.peak").unwrap_or_default(),
        swap_max_usage: file("memory.swap.peak").unwrap_or_default(),
    }
}

/// Lines `MAJOR:MINOR KEY=VALUE …`.
fn io(folder: &Path) -> Vec<IoEntry> {
    let text = read(&folder.join("io.stat")).unwrap_or_default();
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let mut entry = IoEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            ..Default::default()
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or_default();
            match key {
                "rbytes" => entry.rbytes = value,
                "wbytes" => entry.wbytes = value,
                "rios" => entry.rios = value,
                "wios" => entry.wios = value,
                _ => {}
            }
        }
        Some(entry)
    };
    text.lines().filter_map(entry).collect()
}
