//! Files that can't be used: set aside and told, or refused.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-11-25T11:22:33Z".parse().unwrap()
}

fn begun(path: &Path) -> (Store, Contents, Option<SetAside>) {
    Store::open_or_begin(path, now()).unwrap()
}

/// The file of a store that has held something.
fn used() -> Vec<u8> {
    static USED: OnceLock<Vec<u8>> = OnceLock::new();
    USED.get_or_init(make).clone()
}

fn make() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (store, _) = opened(&path(&folder));
        for number in 1..20 {
            let assignment = Assignment {
                arn: sample::arn(number),
                ..sample::assignment(&[true])
            };
            let record: TaskRecord = serde_json::from_str(RECORD).unwrap();
            let writes = vec![
                Write::Record(assignment.arn.clone(), record),
                Write::Assignment(assignment),
            ];
            store.commit(writes.into_iter().rev().collect()).await.unwrap();
        }
    });
    drop(runtime);
    std::fs::read(path(&folder)).unwrap()
}

#[test]
fn a_damaged_file_is_kept_under_a_dated_name() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = "this is no database, and long enough to be read as one".repeat(100);
    for (kept, name) in [
        (1, "agent.db.damaged-20261125T112233Z"),
        (2, "agent.db.damaged-20261125T112233Z-2"),
    ] {
        std::fs::write(path(&folder), &garbage).unwrap();
        let (store, contents, aside) = begun(&path(&folder));
        assert_eq!((contents.cursor, contents.tasks.len()), (Cursor::default(), 0));
        let aside = aside.unwrap();
        assert_eq!(
            (aside.kept, aside.path.file_name().unwrap()),
            (kept, name.as_ref())
        );
        assert!(matches!(aside.why, StoreError::Corrupt { .. }), "{aside}");
        assert_eq!(std::fs::read_to_string(&aside.path).unwrap(), garbage);
        drop(store);
        assert!(
            begun(&path(&folder)).2.is_none(),
            "the new one is used from now on"
        );
    }
}

#[test]
fn its_log_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(path(&folder), "no database ".repeat(1000)).unwrap();
    std::fs::write(folder.path().join("agent.db-wal"), "its log").unwrap();
    let (.., aside) = begun(&path(&folder));
    let log = schema::log_of(&aside.unwrap().path);
    assert_eq!(std::fs::read_to_string(log).unwrap(), "its log");
}

#[test]
fn a_disk_that_spoils_every_file_is_not_given_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut refused = None;
    for round in 1..=11 {
        std::fs::write(path(&folder), "no database ".repeat(1000)).unwrap();
        match Store::open_or_begin(&path(&folder), now()) {
            Ok((.., aside)) => assert_eq!(aside.unwrap().kept, round),
            Err(error) => refused = Some((round, error)),
        }
    }
    let (round, error) = refused.unwrap();
    assert_eq!(round, 11);
    assert!(matches!(error, StoreError::TooMany { count: 10, .. }), "{error}");
    let text = std::fs::read_to_string(path(&folder)).unwrap();
    assert!(text.starts_with("no database"), "it was not changed");
}

fn with_version(version: i32, sql: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(&path(&folder)));
    let connection = rusqlite::Connection::open(path(&folder)).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
    folder
}

#[test]
fn a_format_that_nobody_can_bring_up_to_date_is_set_aside() {
    // Tables as they are now, and a number that says that there are none.
    let folder = with_version(0, "");
    let (.., aside) = begun(&path(&folder));
    let aside = aside.unwrap();
    assert!(matches!(aside.why, StoreError::Older { found: 0, .. }), "{aside}");
}

#[test]
fn a_later_agents_file_is_refused_and_left_alone() {
    let folder = with_version(99, "CREATE TABLE later (x TEXT) STRICT");
    let before = std::fs::read(path(&folder)).unwrap();
    let error = Store::open_or_begin(&path(&folder), now()).unwrap_err();
    let text = error.to_string();
    let newest = schema::newest().to_string();
    for part in [
        path(&folder).display().to_string().as_str(),
        "99",
        &newest,
        "Install that agent again",
        "move",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(std::fs::read(path(&folder)).unwrap(), before);
}

#[test]
fn what_a_later_agent_added_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(path(&folder), used()).unwrap();
    let connection = rusqlite::Connection::open(path(&folder)).unwrap();
    let later = "UPDATE record SET record = json_insert(record, '$.later', json('{\"a\":1}'), '$.containers[0].later', 2);
        UPDATE assignment SET task = json_insert(task, '$.later', json('[1]'))";
    connection.execute_batch(later).unwrap();
    drop(connection);
    let (_, contents, aside) = begun(&path(&folder));
    assert!(aside.is_none(), "{aside:?}");
    assert_eq!(contents.tasks.len(), 19);
    assert!(contents.tasks.iter().all(|task| task.record.is_some()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever a disk makes of the file: it is opened, set aside, or refused with its name; and nothing is lost of it.
    #[test]
    fn a_spoilt_file_never_stops_the_agent(at in 0_usize..100_000, noise in proptest::collection::vec(any::<u8>(), 1..600)) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = used();
        let at = at % (bytes.len() - noise.len());
        bytes[at..at + noise.len()].copy_from_slice(&noise);
        std::fs::write(path(&folder), &bytes).unwrap();
        match Store::open_or_begin(&path(&folder), now()) {
            Ok((_, contents, None)) => prop_assert!(contents.tasks.len() <= 19),
            Ok((_, contents, Some(aside))) => {
                prop_assert!(contents.tasks.is_empty());
                prop_assert_eq!(std::fs::read(&aside.path).unwrap().len(), bytes.len());
            }
            // The number of its format, or whose it is, was hit.
            Err(StoreError::Newer { .. } | StoreError::Foreign { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_file_cut_short_never_stops_the_agent(length in 0_usize..100_000) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = used();
        bytes.truncate(length % bytes.len());
        std::fs::write(path(&folder), &bytes).unwrap();
        let (_, contents, aside) = begun(&path(&folder));
        prop_assert!(aside.is_some() || bytes.is_empty(), "{}", bytes.len());
        prop_assert!(contents.tasks.is_empty());
    }
}
