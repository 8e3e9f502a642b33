//! Want of memory, and the evidence of it.

use longshore_shim::api::metrics_v1;
use longshore_shim::api::task::{StatsRequest, StatsResponse};
use longshore_shim::api::{Message as _, metrics_v2};

use crate::kit::{on_a_host, until};

const LIMIT: u64 = 16 << 20;
/// Takes more than [`LIMIT`], and is killed.
const GREEDY: &str = "head -c 100000000 /dev/zero | tail";

#[test]
fn the_death_of_a_child_alone_is_told_and_recorded() {
    on_a_host(|shims| {
        // The kernel need not take the largest, so the child offers itself.
        let offer = "echo 1000 > /proc/self/oom_score_adj";
        let script = format!("({offer}; {GREEDY}); sleep 0.1; exit 0");
        let mut container = shims.container("c", &script);
        container.config["linux"]["resources"]["memory"]["limit"] = LIMIT.into();
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 0, "the first process was not killed");
        let memory = shims.record("c", None).unwrap().memory.expect("evidence");
        assert!(memory.oom_kills >= 1, "{memory:?}");
        assert_eq!(memory.limit, Some(LIMIT));
        assert!(memory.peak.is_none_or(|peak| peak > LIMIT / 2), "{memory:?}");
        shim.delete("c", "").unwrap();
        shim.end();
        assert!(shims.topics("c").contains(&"/tasks/oom".to_owned()));
    });
}

#[test]
fn no_kill_is_no_evidence() {
    on_a_host(|shims| {
        let container = shims.container("c", "exit 137");
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 137);
        let memory = shims.record("c", None).unwrap().memory.expect("evidence");
        assert_eq!((memory.oom_kills, memory.limit), (0, None));
        shim.delete("c", "").unwrap();
        shim.end();
        assert!(!shims.topics("c").contains(&"/tasks/oom".to_owned()));
    });
}

#[test]
fn metrics_are_those_of_the_cgroup() {
    on_a_host(|shims| {
        let mut container = shims.container("c", "sleep 1000 & exec sleep 1000");
        container.config["linux"]["resources"]["memory"]["limit"] = LIMIT.into();
        let mut shim = shims.running(&container);
        let mut processes = 0;
        let mut limit = 0;
        until("both processes count", || {
            let request = StatsRequest { id: "c".into() };
            let stats = shim
                .call::<StatsResponse>("Stats", &request)
                .unwrap()
                .stats
                .unwrap();
            if stats.type_url == metrics_v2::TYPE {
                let metrics = metrics_v2::Metrics::decode(stats.value.as_slice()).unwrap();
                (processes, limit) = (metrics.pids.unwrap().current, metrics.memory.unwrap().usage_limit);
            } else {
                assert_eq!(stats.type_url, metrics_v1::TYPE);
                let metrics = metrics_v1::Metrics::decode(stats.value.as_slice()).unwrap();
                let memory = metrics.memory.unwrap();
                (processes, limit) = (metrics.pids.unwrap().current, memory.usage.unwrap().limit);
                assert!(memory.rss > 0);
                assert!(metrics.cpu.unwrap().usage.unwrap().total > 0);
            }
            processes == 2
        });
        assert_eq!(limit, LIMIT);
        shim.kill_and_end("c");
    });
}
