use std::os::unix::fs::symlink;

use super::*;
use crate::model::{Volume, sample};

fn task(volumes: &[(&str, VolumeSource)]) -> ResolvedTask {
    let volume = |(name, source): &(&str, VolumeSource)| Volume {
        name: (*name).to_owned(),
        source: source.clone(),
    };
    ResolvedTask {
        volumes: volumes.iter().map(volume).collect(),
        ..sample::task(Vec::new())
    }
}

fn container(points: &[(&str, &str)]) -> ResolvedContainer {
    let point = |(volume, path): &(&str, &str)| MountPoint {
        source_volume: (*volume).to_owned(),
        container_path: path.into(),
        read_only: false,
    };
    ResolvedContainer {
        mount_points: points.iter().map(point).collect(),
        ..sample::container("web", true)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_tasks_own_folder_is_shared_by_its_containers_and_goes_with_it() {
    let data = tempfile::tempdir().unwrap();
    let volumes = Volumes::new(data.path());
    let task = task(&[("scratch", VolumeSource::Task)]);
    let container = container(&[("scratch", "/scratch")]);
    let first = volumes.prepare(&task, &container).await.unwrap();
    fs::write(first[0].source.join("kept"), "").unwrap();
    assert_eq!(volumes.prepare(&task, &container).await.unwrap(), first);
    assert!(first[0].source.join("kept").exists());
    assert_eq!(
        first[0].source,
        data.path()
            .join("volumes")
            .join(task.arn.id.as_str())
            .join("scratch")
    );
    assert_eq!(mode(&first[0].source), TASK_MODE);
    assert_eq!(mode(first[0].source.parent().unwrap()), 0o700);
    for _ in 0..2 {
        volumes.remove_task(&task.arn.id).await.unwrap();
    }
    assert_eq!(fs::read_dir(data.path().join("volumes")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_host_folder_is_made_and_stays_and_a_file_is_taken_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let (deep, file) = (data.path().join("srv/web/data"), data.path().join("file"));
    fs::write(&file, "text").unwrap();
    let volumes = Volumes::new(&data.path().join("agent"));
    let task = task(&[
        ("data", VolumeSource::Host(deep.clone())),
        ("file", VolumeSource::Host(file.clone())),
    ]);
    let mounts = volumes
        .prepare(&task, &container(&[("data", "/data"), ("file", "/etc/file")]))
        .await
        .unwrap();
    assert_eq!(mode(&deep), HOST_MODE);
    assert_eq!(mounts[1].source, file);
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    volumes.remove_task(&task.arn.id).await.unwrap();
    assert!(deep.exists());
}

#[tokio::test]
async fn what_can_not_be_mounted_is_named() {
    let data = tempfile::tempdir().unwrap();
    let link = data.path().join("link");
    symlink("/nonexistent/target", &link).unwrap();
    fs::write(data.path().join("file"), "").unwrap();
    let below_file = data.path().join("file/below");
    let volumes = Volumes::new(data.path());
    let host = |path: &Path| VolumeSource::Host(path.to_owned());
    for (name, source, place, part) in [
        ("relative", host(Path::new("data")), "/data", "must be absolute"),
        ("up", host(Path::new("/srv/../etc")), "/data", "without `..`"),
        ("link", host(&link), "/data", "symbolic link to nothing"),
        ("below", host(&below_file), "/data", "Not a directory"),
        ("../../etc", VolumeSource::Task, "/data", "no volume name"),
        ("inside", VolumeSource::Task, "data", "no place for a mount"),
        ("root", VolumeSource::Task, "/", "no place for a mount"),
    ] {
        let task = task(&[(name, source)]);
        let error = volumes.prepare(&task, &container(&[(name, place)])).await;
        let why = error.unwrap_err().to_string();
        assert!(why.starts_with("volume ") && why.contains(part), "{why}");
    }
    let why = volumes
        .prepare(&task(&[]), &container(&[("missing", "/data")]))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        why.contains("volume \"missing\", which the task does not have"),
        "{why}"
    );
    assert!(!data.path().join("volumes").exists());
}

#[tokio::test]
async fn while_a_network_file_system_hangs_who_has_nothing_on_it_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let host = data.path().join("host");
    let volumes = Volumes::new(data.path());
    let task = task(&[("own", VolumeSource::Task), ("host", VolumeSource::Host(host))]);
    let hanging = blocking::NAMED.fill().await;
    volumes.prepare(&task, &container(&[])).await.unwrap();
    volumes
        .prepare(&task, &container(&[("own", "/own")]))
        .await
        .unwrap();
    volumes.remove_task(&task.arn.id).await.unwrap();
    let waiting = container(&[("own", "/own"), ("host", "/host")]);
    let others = async { drop(hanging) };
    let (prepared, ()) = tokio::join!(volumes.prepare(&task, &waiting), others);
    assert_eq!(prepared.unwrap().len(), 2);
}
