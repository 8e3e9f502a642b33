use proptest::prelude::*;

use super::*;

const HYBRID: &str = "\
    22 27 0:21 / /proc rw,relatime - proc proc rw\n\
    31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
    36 31 0:32 / /elsewhere/memory rw,relatime - cgroup cgroup rw,memory\n\
    40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n\
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

#[test]
fn a_hybrid_machine_is_v1_and_each_hierarchy_counts_once() {
    let cgroups = Cgroups::from_mountinfo(HYBRID, "/longshore").unwrap();
    assert_eq!(cgroups.version(), CgroupVersion::V1);
    assert_eq!(cgroups.hierarchies.len(), 4);
    let mount = |name| {
        cgroups
            .controller(name)
            .map(|one| one.mount.display().to_string())
    };
    assert_eq!(mount("cpu").as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct"));
    assert_eq!(mount("memory").as_deref(), Some("/sys/fs/cgroup/memory"));
    assert_eq!(mount("pids"), None);
}

#[test]
fn a_machine_with_one_tree_is_v2_even_beside_a_named_one() {
    let table = "\
        41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
    let cgroups = Cgroups::from_mountinfo(table, "/longshore").unwrap();
    assert_eq!(cgroups.version(), CgroupVersion::V2);
}

#[test]
fn without_hierarchies_or_with_a_parent_that_is_the_machine_nothing_starts() {
    assert!(matches!(
        Cgroups::from_mountinfo("", "/longshore"),
        Err(CgroupError::NotMounted)
    ));
    for parent in ["", "/", "longshore", "/a/../b", "/a//b", "/a/"] {
        let refused = Cgroups::from_mountinfo(HYBRID, parent);
        assert!(matches!(refused, Err(CgroupError::Parent(_))), "{parent}");
    }
}

#[test]
fn a_limit_without_its_controller_is_refused_with_what_to_do() {
    let cgroups = Cgroups::from_mountinfo(HYBRID, "/longshore").unwrap();
    let error = cgroups
        .required("pids", "ECS_TASK_PIDS_LIMIT", "/longshore/t")
        .unwrap_err();
    assert!(error.to_string().contains("cgroup_enable=pids"), "{error}");
}

#[test]
fn a_quarter_of_a_core_is_a_quarter_of_the_period() {
    assert_eq!(quota(256), 25_000);
    assert_eq!(quota(1024), CPU_PERIOD);
    assert_eq!(quota(1), LEAST_QUOTA);
}

proptest! {
    #[test]
    fn weights_stay_on_the_scale_and_keep_order(a: u64, b: u64) {
        prop_assert!((1..=10_000).contains(&weight(a)));
        prop_assert!(a > b || weight(a) <= weight(b));
    }
}

/// A v2 group as the kernel makes it: the files are there.
pub fn unified(root: &Path, task: &str, files: &[&str]) -> Cgroups {
    let folder = root.join("longshore").join(task);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(root.join("cgroup.controllers"), "cpu memory\n").unwrap();
    for file in files {
        std::fs::write(folder.join(file), "").unwrap();
    }
    let table = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", root.display());
    Cgroups::from_mountinfo(&table, "/longshore").unwrap()
}

#[test]
fn on_v2_limits_are_set_and_controllers_enabled_above() {
    let root = tempfile::tempdir().unwrap();
    let files = ["memory.max", "cpu.max", "cpu.weight", "pids.max"];
    let cgroups = unified(root.path(), "t", &files);
    let limits = TaskLimits {
        cpu: Some(512),
        shares: 2,
        memory: Some(5),
        pids: Some(7),
    };
    cgroups.create_task("t", &limits).unwrap();
    let read = |file: &str| std::fs::read_to_string(root.path().join(file)).unwrap();
    assert_eq!(read("longshore/t/memory.max"), "5");
    assert_eq!(read("longshore/t/cpu.max"), "50000 100000");
    assert_eq!(read("longshore/t/cpu.weight"), "");
    assert_eq!(read("longshore/t/pids.max"), "7");
    // The kernel adds them up; a plain file has the last.
    assert_eq!(read("cgroup.subtree_control"), "+memory");

    let no_quota = TaskLimits {
        shares: 2,
        ..TaskLimits::default()
    };
    cgroups.create_task("t", &no_quota).unwrap();
    assert_eq!(read("longshore/t/cpu.weight"), "1");
}

#[test]
fn on_v2_a_limit_without_its_controller_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let cgroups = unified(root.path(), "t", &["cpu.max"]);
    let limits = TaskLimits {
        memory: Some(5),
        ..TaskLimits::default()
    };
    let error = cgroups.create_task("t", &limits).unwrap_err();
    assert!(error.to_string().contains("cgroup_enable=memory"), "{error}");
}

#[test]
fn on_v2_the_kernel_tells_kills_and_peak() {
    let root = tempfile::tempdir().unwrap();
    let cgroups = unified(root.path(), "t", &[]);
    assert_eq!(cgroups.evidence("t"), Evidence::default());
    let folder = root.path().join("longshore/t");
    std::fs::write(folder.join("memory.events"), "oom 1\noom_kill 2\n").unwrap();
    std::fs::write(folder.join("memory.peak"), "4096\n").unwrap();
    let expected = Evidence {
        memory_kills: Some(2),
        peak_memory: Some(4096),
    };
    assert_eq!(cgroups.evidence("t"), expected);
}
