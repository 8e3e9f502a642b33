//! Metrics of version 1.

use std::path::Path;

use super::{Cgroup, number, read, value};
use crate::api::metrics_v1::{
    BlkIo, BlkIoEntry, Cpu, CpuUsage, Memory, MemoryEntry, Metrics, OomControl, Pids, Throttle,
};

/// What a tick of `cpuacct.stat` is: the kernel's `USER_HZ` is 100 on everything that Longshore runs on.
const NANOS_PER_TICK: u64 = 10_000_000;

impl Cgroup {
    pub(super) fn metrics_v1(&self) -> Metrics {
        Metrics {
            pids: self.controller("pids").map(|folder| Pids {
                current: number(&folder.join("pids.current")).unwrap_or_default(),
                limit: number(&folder.join("pids.max")).unwrap_or_default(),
            }),
            cpu: Some(Cpu {
                usage: self.controller("cpuacct").map(cpu_usage),
                throttling: self.controller("cpu").map(throttle),
            }),
            memory: self.controller("memory").map(memory),
            blkio: self.controller("blkio").map(|folder| BlkIo {
                io_service_bytes_recursive: blkio(folder, "throttle.io_service_bytes_recursive"),
                io_serviced_recursive: blkio(folder, "throttle.io_serviced_recursive"),
            }),
            memory_oom_control: self.controller("memory").map(|folder| {
                let text = read(&folder.join("memory.oom_control")).unwrap_or_default();
                OomControl {
                    oom_kill_disable: value(&text, "oom_kill_disable").unwrap_or_default(),
                    under_oom: value(&text, "under_oom").unwrap_or_default(),
                    oom_kill: value(&text, "oom_kill").unwrap_or_default(),
                }
            }),
        }
    }
}

fn cpu_usage(folder: &Path) -> CpuUsage {
    let stat = read(&folder.join("cpuacct.stat")).unwrap_or_default();
    let ticks = |key| value(&stat, key).unwrap_or_default() * NANOS_PER_TICK;
    let per_cpu = read(&folder.join("cpuacct.usage_percpu")).unwrap_or_default();
    CpuUsage {
        total: number(&folder.join("cpuacct.usage")).unwrap_or_default(),
        kernel: ticks("system"),
        user: ticks("user"),
        per_cpu: per_cpu
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect(),
    }
}

fn throttle(folder: &Path) -> Throttle {
    let stat = read(&folder.join("cpu.stat")).unwrap_or_default();
    let get = |key| value(&stat, key).unwrap_or_default();
    Throttle {
        periods: get("nr_periods"),
        throttled_periods: get("nr_throttled"),
        throttled_time: get("throttled_time"),
    }
}

fn memory(folder: &Path) -> Memory {
    let stat = read(&folder.join("memory.stat")).unwrap_or_default();
    let get = |key| value(&stat, key).unwrap_or_default();
    let entry = |name: &str| {
        let file = |end: &str| number(&folder.join(format!("memory.{name}{end}"))).unwrap_or_default();
        MemoryEntry {
            limit: file("limit_in_bytes"),
            usage: file("usage_in_bytes"),
            max: file("max_usage_in_bytes"),
            failcnt: file("failcnt"),
        }
    };
    Memory {
        cache: get("cache"),
        rss: get("rss"),
        rss_huge: get("rss_huge"),
        mapped_file: get("mapped_file"),
        dirty: get("dirty"),
        writeback: get("writeback"),
        pg_pg_in: get("pgpgin"),
        pg_pg_out: get("pgpgout"),
        pg_fault: get("pgfault"),
        pg_maj_fault: get("pgmajfault"),
        inactive_anon: get("inactive_anon"),
        active_anon: get("active_anon"),
        inactive_file: get("inactive_file"),
        active_file: get("active_file"),
        unevictable: get("unevictable"),
        hierarchical_memory_limit: get("hierarchical_memory_limit"),
        hierarchical_swap_limit: get("hierarchical_memsw_limit"),
        total_cache: get("total_cache"),
        total_rss: get("total_rss"),
        total_rss_huge: get("total_rss_huge"),
        total_mapped_file: get("total_mapped_file"),
        total_dirty: get("total_dirty"),
        total_writeback: get("total_writeback"),
        total_pg_pg_in: get("total_pgpgin"),
        total_pg_pg_out: get("total_pgpgout"),
        total_pg_fault: get("total_pgfault"),
        total_pg_maj_fault: get("total_pgmajfault"),
        total_inactive_anon: get("total_inactive_anon"),
        total_active_anon: get("total_active_anon"),
        total_inactive_file: get("total_inactive_file"),
        total_active_file: get("total_active_file"),
        total_unevictable: get("total_unevictable"),
        usage: Some(entry("")),
        swap: Some(entry("memsw.")),
        kernel: Some(entry("kmem.")),
        kernel_tcp: Some(entry("kmem.tcp.")),
    }
}

/// Lines `MAJOR:MINOR OPERATION VALUE`; one without a device is a sum.
fn blkio(folder: &Path, name: &str) -> Vec<BlkIoEntry> {
    let text = read(&folder.join(format!("blkio.{name}"))).unwrap_or_default();
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        Some(BlkIoEntry {
            op: words.next()?.to_owned(),
            device: String::new(),
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            value: words.next()?.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}
