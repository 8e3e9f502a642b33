//! A disk that is full, fails, or loses the file.

use std::time::Duration;

use super::faulty_disk::{Fault, FaultyDisk};
use super::*;

fn value(key: &str, size: usize) -> Write {
    Write::Value(key.to_owned(), Some(vec![7; size]))
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_the_disk_and_is_made_once_it_recovers() {
    for fault in [Fault::Full, Fault::Broken] {
        let folder = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::under(folder.path());
        let (store, _) = opened(&path(&folder));
        store.commit(vec![value("a.before", 1)]).await.unwrap();
        disk.set(Some(fault));
        let writing = store.clone();
        let mut commit = Box::pin(async move { writing.commit(vec![value("a.b", 1)]).await });
        let waiting = tokio::time::timeout(Duration::from_secs(3600), &mut commit).await;
        assert!(waiting.is_err(), "it neither fails nor is done: {waiting:?}");
        let trouble = store.trouble().unwrap();
        assert!(
            trouble.contains("agent.db can't be written for 3600 s"),
            "{trouble}"
        );
        // An hour of a pause of 5 s at most, each try a few writes.
        assert!((700..5_000).contains(&disk.refused()), "{}", disk.refused());
        // What was written can be read meanwhile.
        let get = tokio::time::timeout(Duration::from_secs(60), store.get("a.before")).await;
        assert_eq!(get.unwrap().unwrap(), Some(vec![7]));
        disk.set(None);
        commit.await.unwrap();
        assert_eq!(store.trouble(), None);
        drop(store);
        let (store, _) = opened(&path(&folder));
        assert_eq!(store.get("a.b").await.unwrap(), Some(vec![7]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_while_the_disk_fails_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::under(folder.path());
    let (store, _) = opened(&path(&folder));
    disk.set(Some(Fault::Full));
    let given_up = tokio::time::timeout(Duration::from_secs(9), store.commit(vec![value("a.a", 1)])).await;
    assert!(given_up.is_err());
    disk.set(None);
    store.commit(vec![value("a.b", 1)]).await.unwrap();
    assert_eq!(store.trouble(), None);
}

/// SQLite's own limit, so that a small write fits and a big one does not.
#[tokio::test(start_paused = true)]
async fn one_that_does_not_fit_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    store.writer.execute("PRAGMA max_page_count = 20");
    let big = store.commit(vec![value("a.big", 1_000_000)]);
    tokio::pin!(big);
    for round in 0..3 {
        let small = store.commit(vec![value(&format!("a.{round}"), 10)]);
        tokio::select! {
            done = &mut big => panic!("it can't fit: {done:?}"),
            done = small => done.unwrap(),
        }
    }
    assert!(store.trouble().is_some());
}

/// Each point of a run at which the disk may begin to fail: what was answered is there, what was not is there as a whole
/// or not at all.
#[tokio::test(start_paused = true)]
async fn whatever_write_fails_first_nothing_is_half_there() {
    for fault in [Fault::Full, Fault::Broken] {
        for fails_at in 0..12 {
            let folder = tempfile::tempdir().unwrap();
            let disk = FaultyDisk::under(folder.path());
            let (store, _) = opened(&path(&folder));
            let mut answered = 0;
            for round in 0..12_u8 {
                if round == fails_at {
                    disk.set(Some(fault));
                }
                let key = |part: &str| format!("a.{round}.{part}");
                let writes = vec![value(&key("x"), 5_000), value(&key("y"), 5_000)];
                let commit = tokio::time::timeout(Duration::from_secs(30), store.commit(writes));
                answered += u8::from(commit.await.is_ok());
            }
            assert_eq!(answered, fails_at);
            // The agent dies while the disk fails, and comes back to one that works.
            drop(store);
            disk.set(None);
            let (store, _) = opened(&path(&folder));
            for round in 0..12_u8 {
                let there = [
                    store.get(&format!("a.{round}.x")).await.unwrap().is_some(),
                    store.get(&format!("a.{round}.y")).await.unwrap().is_some(),
                ];
                assert_eq!(there[0], there[1], "round {round}");
                assert!(there[0] || round >= answered, "round {round} was answered");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_opens_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::under(folder.path());
    let (store, _) = opened(&path(&folder));
    store
        .commit(vec![Write::Assignment(sample::assignment(&[true]))])
        .await
        .unwrap();
    drop(store);
    disk.set(Some(Fault::Full));
    let (store, contents) = opened(&path(&folder));
    assert_eq!(contents.tasks.len(), 1);
    disk.set(None);
    store.commit(vec![value("a.b", 1)]).await.unwrap();
}

#[tokio::test]
async fn a_file_that_was_removed_while_it_was_open_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    store
        .commit(vec![Write::Assignment(sample::assignment(&[true]))])
        .await
        .unwrap();
    for names in [&["agent.db"] as &[_], &["agent.db", "agent.db-wal"]] {
        for name in names {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        store.commit(vec![value("a.b", names.len())]).await.unwrap();
        store.commit(vec![value("a.c", names.len())]).await.unwrap();
    }
    // As if it were killed: what is closed in order would be written back.
    std::mem::forget(store);
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let (store, contents) = opened(&path(&copy));
    assert_eq!(contents.tasks.len(), 1);
    assert_eq!(store.get("a.b").await.unwrap(), Some(vec![7, 7]));
    assert_eq!(store.get("a.c").await.unwrap(), Some(vec![7, 7]));
}

#[tokio::test]
async fn a_file_that_was_put_in_its_place_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    std::fs::remove_file(path(&folder)).unwrap();
    std::fs::write(path(&folder), "from a backup").unwrap();
    let error = store.commit(vec![value("a.b", 1)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Replaced { .. }), "{error}");
    drop(store);
    assert_eq!(std::fs::read(path(&folder)).unwrap(), b"from a backup");
}
