use super::*;
use crate::model::{Body, sample};

mod disk;
mod ended;
#[path = "../../../tests/faulty_disk/mod.rs"]
mod faulty_disk;
mod rebuild;

fn opened(path: &Path) -> (Store, Contents) {
    Store::open(path).unwrap()
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("agent.db")
}

/// What format 1 has of a task that runs. It may only be added to: agents in the field have such rows.
const RECORD: &str = r#"{"desired":"RUNNING","ran":true,"reason":null,"pull_started_at":1,"pull_stopped_at":2,"execution_stopped_at":null,"stopped_at":null,"containers":[{"known":"RUNNING","image":{"reference":"busybox","name":"docker.io/library/busybox:latest","digest":"sha256:00","chain_id":"sha256:01","config":{"user":"","env":[],"entrypoint":[],"cmd":[],"working_dir":"","stop_signal":"SIGQUIT","volumes":[]},"fallback":null},"attachment":{"mode":"bridge","namespace":"/run/netns/x","addresses":["172.29.0.2"],"bindings":[{"mapping":{"container_port":80,"host_port":8080,"protocol":"tcp"},"bind_ip":"0.0.0.0"}],"files":[]},"started":{"pid":7,"at_millis":3,"boot_id":"b"},"stop_deadline":{"boot_id":"b","since_boot":{"secs":30,"nanos":0}},"exit":null,"reason":null}],"acknowledged":{"task":"RUNNING","containers":["RUNNING"]},"torn_down":false}"#;

#[test]
fn the_first_format_is_read_and_written_as_it_was() {
    let record: TaskRecord = serde_json::from_str(RECORD).unwrap();
    assert_eq!(serde_json::to_string(&record).unwrap(), RECORD);
}

#[tokio::test]
async fn what_was_committed_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, contents) = opened(&path(&folder));
    assert_eq!((contents.cursor, contents.tasks.len()), (Cursor::default(), 0));
    let mut assignment = sample::assignment(&[true]);
    let record: TaskRecord = serde_json::from_str(RECORD).unwrap();
    let cursor = Cursor {
        incarnation: "3".to_owned(),
        cursor: u64::MAX,
    };
    let arn = assignment.arn.clone();
    let nothing = Assignment {
        arn: sample::arn(2),
        body: Body::Nothing {
            reason: "why".to_owned(),
        },
        ..assignment.clone()
    };
    let writes = vec![
        Write::Assignment(assignment.clone()),
        Write::Assignment(nothing.clone()),
        Write::Cursor(cursor.clone()),
    ];
    store.commit(writes).await.unwrap();
    store
        .commit(vec![Write::Record(arn.clone(), record.clone())])
        .await
        .unwrap();
    // A new order keeps the record.
    assignment.generation = 1 << 63;
    assignment.force = true;
    store
        .commit(vec![Write::Assignment(assignment.clone())])
        .await
        .unwrap();
    store.put("link.date", Some(b"x".to_vec())).await.unwrap();
    assert_eq!(store.commits(), 4);
    drop(store);
    let (store, contents) = opened(&path(&folder));
    assert_eq!(contents.cursor, cursor);
    let running = StoredTask {
        assignment,
        record: Some(record),
    };
    let stopped = StoredTask {
        assignment: nothing,
        record: None,
    };
    assert_eq!(contents.tasks, [running, stopped]);
    assert_eq!(store.get("link.date").await.unwrap(), Some(b"x".to_vec()));
    assert_eq!(store.get("link.other").await.unwrap(), None);
    store.put("link.date", None).await.unwrap();
    assert_eq!(store.get("link.date").await.unwrap(), None);
    store.commit(vec![Write::Forget(arn)]).await.unwrap();
    drop(store);
    assert_eq!(opened(&path(&folder)).1.tasks.len(), 1);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    let record: TaskRecord = serde_json::from_str(RECORD).unwrap();
    // A record without its assignment can't be.
    let writes = vec![
        Write::Value("a.b".to_owned(), Some(vec![1])),
        Write::Record(sample::arn(1), record),
    ];
    assert!(matches!(
        store.commit(writes).await,
        Err(StoreError::Failed { .. })
    ));
    drop(store);
    let (store, _) = opened(&path(&folder));
    assert_eq!(store.get("a.b").await.unwrap(), None);
}

#[test]
fn no_second_process_gets_in() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    let second = Store::open(&path(&folder)).unwrap_err();
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
    drop(store);
    opened(&path(&folder));
}

#[test]
fn damaged_is_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        path(&folder),
        "this is no database, and long enough to be read as one".repeat(100),
    )
    .unwrap();
    let error = Store::open(&path(&folder)).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let kept = std::fs::read(path(&folder)).unwrap();
    assert!(kept.starts_with(b"this is no database"), "nothing was changed");
}

fn altered(sql: &str) -> StoreError {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(&path(&folder)));
    let connection = rusqlite::Connection::open(path(&folder)).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    Store::open(&path(&folder)).unwrap_err()
}

#[test]
fn foreign_newer_and_senseless_files_are_told_apart() {
    let foreign = altered("PRAGMA application_id = 5");
    assert!(
        matches!(
            foreign,
            StoreError::Foreign {
                application_id: 5,
                ..
            }
        ),
        "{foreign}"
    );
    let newer = altered("PRAGMA user_version = 99");
    assert!(matches!(newer, StoreError::Newer { found: 99, .. }), "{newer}");
    let insert = "INSERT INTO assignment VALUES ('x', 1, 'RUNNING', 0, NULL, 'r')";
    let senseless = altered(insert);
    assert!(matches!(senseless, StoreError::Corrupt { .. }), "{senseless}");
    let broken = altered("INSERT INTO value VALUES ('store.cursor', x'00')");
    assert!(matches!(broken, StoreError::Corrupt { .. }), "{broken}");
}
