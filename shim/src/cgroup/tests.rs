use super::*;

/// A cgroup of version 2 made of plain files.
fn unified(folder: &Path) -> Cgroup {
    Cgroup {
        places: vec![Place {
            controllers: vec![],
            folder: folder.to_owned(),
        }],
        own: true,
    }
}

const V1: &str = "\
31 22 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro
32 31 0:28 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw
33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 31 0:30 /outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
";

#[test]
fn the_folders_of_a_process_are_found() {
    let mounts = Mounts::parse(V1);
    let theirs = "5:name=systemd:/\n4:pids:/c\n3:memory:/outer/t/c\n2:cpu,cpuacct:/t/c:x\n0::/ours\n";
    let places = mounts.places(theirs, "0::/ours\n");
    let expected = [
        (vec!["memory"], "/sys/fs/cgroup/memory/t/c"),
        (vec!["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct/t/c:x"),
    ];
    // pids is not mounted; in the version 2 hierarchy both are at one place; the root is nobody's own.
    let found: Vec<_> = places
        .iter()
        .map(|place| {
            let controllers: Vec<_> = place.controllers.iter().map(String::as_str).collect();
            (controllers, place.folder.to_str().unwrap())
        })
        .collect();
    assert_eq!(found, expected);
    let v2 = Mounts::parse("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    let places = v2.places("0::/longshore/t/c\n", "0::/system.slice\n");
    assert_eq!(places[0].folder, Path::new("/sys/fs/cgroup/longshore/t/c"));
}

#[test]
fn memory_of_version_2() {
    let dir = tempfile::tempdir().unwrap();
    let cgroup = unified(dir.path());
    assert_eq!(cgroup.memory(), None);
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "memory.events",
        "low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 0\n",
    );
    write("memory.max", "max\n");
    let memory = cgroup.memory().unwrap();
    assert_eq!((memory.oom_kills, memory.own_limit_ooms), (3, Some(2)));
    assert_eq!((memory.limit, memory.peak), (None, None));
    write("memory.max", "1048576\n");
    write("memory.peak", "1048576\n");
    let memory = cgroup.memory().unwrap();
    assert_eq!((memory.limit, memory.peak), (Some(1 << 20), Some(1 << 20)));
}

#[test]
fn processes_of_cgroups_inside_count() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("exec-1/deep");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(dir.path().join("cgroup.procs"), "5\n0\n").unwrap();
    std::fs::write(inside.join("cgroup.procs"), "7\n5\n").unwrap();
    let cgroup = unified(dir.path());
    assert_eq!(cgroup.processes(), BTreeSet::from([5, 7]));
    let gone = unified(&dir.path().join("gone"));
    assert!(gone.processes().is_empty());
    assert_eq!(gone.empty(std::time::Duration::ZERO), Emptied::Empty);
}

#[test]
fn metrics_of_version_2() {
    use crate::api::{Message as _, metrics_v2};
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("cpu.stat", "usage_usec 70\nuser_usec 40\nsystem_usec 30\n");
    write("memory.stat", "anon 1\nfile 2\nfile_mapped 3\n");
    write("memory.current", "4096\n");
    write("memory.max", "max\n");
    write("pids.current", "2\n");
    write("pids.max", "max\n");
    write(
        "io.stat",
        "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \n",
    );
    let any = unified(dir.path()).metrics();
    assert_eq!(any.type_url, metrics_v2::TYPE);
    let metrics = metrics_v2::Metrics::decode(any.value.as_slice()).unwrap();
    let memory = metrics.memory.unwrap();
    assert_eq!((memory.file, memory.file_mapped, memory.usage), (2, 3, 4096));
    assert_eq!(memory.usage_limit, u64::MAX);
    assert_eq!(metrics.cpu.unwrap().usage_usec, 70);
    let io = metrics.io.unwrap().usage;
    assert_eq!((io[0].major, io[0].wios, io[1].minor), (8, 4, 16));
}

#[test]
fn what_does_not_die_is_named_after_a_while_and_what_is_not_ones_own_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    // No process has this number, so nothing is killed, and the file goes on to have it.
    std::fs::write(dir.path().join("cgroup.procs"), "2147483647\n").unwrap();
    let mut cgroup = unified(dir.path());
    let within = std::time::Duration::from_millis(20);
    assert_eq!(cgroup.empty(within), Emptied::Undead(vec![i32::MAX]));
    assert_eq!(
        std::fs::read_to_string(dir.path().join("cgroup.kill")).unwrap(),
        "1"
    );
    std::fs::remove_file(dir.path().join("cgroup.kill")).unwrap();
    cgroup.own = false;
    assert_eq!(cgroup.empty(within), Emptied::Empty);
    assert!(!dir.path().join("cgroup.kill").exists());
}

#[test]
fn cgroups_as_deep_as_a_path_can_be_are_walked_on_a_small_stack() {
    let dir = tempfile::tempdir().unwrap();
    let mut deepest = dir.path().to_owned();
    while deepest.as_os_str().len() < 4000 {
        deepest.push("a");
    }
    std::fs::create_dir_all(&deepest).unwrap();
    std::fs::write(deepest.join("cgroup.procs"), "7\n").unwrap();
    let cgroup = unified(dir.path());
    // As much as a thread of the pool has.
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    let walk = small.spawn(move || cgroup.processes()).unwrap();
    assert_eq!(walk.join().unwrap(), BTreeSet::from([7]));
}

#[test]
fn a_mount_of_one_cgroup_shows_no_others() {
    // As where somebody has mounted another container's cgroup.
    let mounts = Mounts::parse(
        "\
29 22 0:26 /docker/ab /srv/cgroup rw - cgroup2 cgroup2 rw
30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
",
    );
    let folder = |path: &str| {
        mounts.places(&format!("0::{path}\n"), "0::/ours\n")[0]
            .folder
            .clone()
    };
    assert_eq!(folder("/t/c"), Path::new("/sys/fs/cgroup/t/c"));
    assert_eq!(folder("/docker/abc/d"), Path::new("/sys/fs/cgroup/docker/abc/d"));
    assert_eq!(folder("/docker/ab/d"), Path::new("/srv/cgroup/d"));
}
