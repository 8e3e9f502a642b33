use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef-1";
const OTHER: &str = "0123456789abcdef0123456789abcdef-01";

struct Folder {
    exits: Exits,
    data: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let exits = Exits::new(data.path());
        exits.prepare().unwrap();
        Self { exits, data }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.exits.folder().join(name), text).unwrap();
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.data.path().join(folder)).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn id() -> ContainerId {
    ID.parse().unwrap()
}

fn record(version: u32, container: &str) -> String {
    format!(
        r#"{{"version":{version},"container":"{container}","status":7,"fromTheFuture":{{}},
            "exitedAt":{{"wall":"2026-11-25T07:30:00Z","bootId":"b","bootNanos":1}}}}"#
    )
}

#[test]
fn a_record_is_read_until_it_is_removed() {
    let folder = Folder::new();
    let mode = fs::metadata(folder.exits.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    assert_eq!(folder.exits.read(&id()).unwrap(), None);
    folder.write(&format!("{ID}.json"), &record(1, ID));
    for _ in 0..2 {
        assert_eq!(folder.exits.read(&id()).unwrap().unwrap().status, 7);
        assert_eq!(folder.exits.list().unwrap(), BTreeSet::from([id()]));
    }
    for _ in 0..2 {
        folder.exits.remove(&id()).unwrap();
        assert_eq!(folder.exits.read(&id()).unwrap(), None);
    }
}

#[test]
fn a_newer_shims_record_is_understood() {
    let folder = Folder::new();
    folder.write(&format!("{ID}.json"), &record(99, ID));
    assert_eq!(folder.exits.read(&id()).unwrap().unwrap().status, 7);
}

#[test]
fn what_is_no_record_is_put_aside_and_kept_until_its_task_is_cleaned() {
    let folder = Folder::new();
    folder.write(&format!("{ID}.json"), "{\"version\":1,\"conta");
    folder.write("garbage", "");
    folder.write(&format!("{OTHER}.json"), &record(1, OTHER));
    assert_eq!(folder.exits.read(&id()).unwrap(), None);
    assert!(folder.exits.list().unwrap().is_empty());
    let aside = [
        format!("{OTHER}.json"),
        format!("{ID}.json"),
        "garbage".to_owned(),
    ];
    assert_eq!(folder.names("exits/aside"), aside);
    assert_eq!(folder.names("exits"), ["aside"]);
    folder.exits.remove(&id()).unwrap();
    assert_eq!(folder.names("exits/aside"), aside);
    folder.exits.clean_task(id().task()).unwrap();
    assert_eq!(folder.names("exits/aside"), ["garbage"]);
}

#[test]
fn a_record_of_another_container_or_a_thing_that_is_no_file_is_no_record() {
    let folder = Folder::new();
    folder.write(&format!("{ID}.json"), &record(1, OTHER));
    assert_eq!(folder.exits.read(&id()).unwrap(), None);
    symlink("/dev/zero", folder.exits.folder().join(format!("{ID}.json"))).unwrap();
    assert_eq!(folder.exits.read(&id()).unwrap(), None);
    folder.write(&format!("{ID}.json"), &" ".repeat(70_000));
    assert_eq!(folder.exits.read(&id()).unwrap(), None);
    assert_eq!(folder.names("exits"), ["aside"]);
}

#[test]
fn what_is_being_written_is_left_alone_and_goes_with_its_container() {
    let folder = Folder::new();
    let neighbour = format!("{ID}0.json");
    for name in [
        format!("{ID}.json.tmp"),
        format!("{ID}+exec.json"),
        format!("{ID}+exec.json.tmp"),
        neighbour.clone(),
    ] {
        folder.write(&name, "");
    }
    assert_eq!(folder.exits.list().unwrap().len(), 1);
    assert_eq!(
        folder.names("exits"),
        [
            format!("{ID}+exec.json.tmp"),
            format!("{ID}.json.tmp"),
            neighbour.clone()
        ]
    );
    folder.write(&format!("{ID}+exec.json"), "");
    folder.exits.remove(&id()).unwrap();
    assert_eq!(folder.names("exits"), [neighbour]);
}

#[test]
fn little_is_kept_aside() {
    let folder = Folder::new();
    for number in 0..ASIDE + 9 {
        folder.write(&format!("garbage-{number}"), "");
    }
    assert!(folder.exits.list().unwrap().is_empty());
    assert_eq!(folder.names("exits/aside").len(), ASIDE);
}
