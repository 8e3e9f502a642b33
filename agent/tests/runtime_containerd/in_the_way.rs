//! Folders that containerd has left, when it died or had no time, under names that it uses again.

use longshore_agent::runtime::Runtime as _;
use nix::mount::{MsFlags, mount};

use crate::stage::Stage;

// containerd dies after a snapshot has its folder, and before its number is written down as taken.
#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_a_snapshot_that_never_was_costs_no_container() {
    let stage = Stage::new(&["sh", "-c", "exit 9"]);
    let snapshots = stage
        .daemon
        .folder()
        .join("root/io.containerd.snapshotter.v1.overlayfs/snapshots");
    let entries = std::fs::read_dir(&snapshots).unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let next = numbers.max().unwrap() + 1;
    std::fs::create_dir_all(snapshots.join(next.to_string()).join("fs")).unwrap();
    assert_eq!(stage.run_to_end().await.code, Some(9));
    stage.clear().await;
}

// A try that was given up, and that containerd did not take down in the time that it gives itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_of_a_task_that_was_given_up_costs_no_container() {
    let stage = Stage::new(&["sh", "-c", "exit 9"]);
    stage.runtime.prepare_task(&stage.task).await.unwrap();
    stage.runtime.create(stage.request(0)).await.unwrap();
    let bundle = stage
        .daemon
        .folder()
        .join("state/io.containerd.runtime.v2.task")
        .join(&stage.daemon.namespace)
        .join(stage.id(0).to_string());
    let (root, layer) = (bundle.join("rootfs"), stage.daemon.folder().join("layer"));
    for folder in [&root, &layer] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(layer.join("file"), "of a container").unwrap();
    let bind = MsFlags::MS_BIND;
    mount(Some(&layer), &root, None::<&str>, bind, None::<&str>).unwrap();
    let mut events = stage.runtime.events().await.unwrap();
    stage.runtime.start(&stage.id(0)).await.unwrap();
    stage.exited(&mut events, 0).await;
    let exit = stage.runtime.reap(&stage.id(0)).await.unwrap();
    assert_eq!((exit.code, exit.reason), (Some(9), None));
    assert!(layer.join("file").exists(), "what was mounted is left alone");
    stage.clear().await;
}
