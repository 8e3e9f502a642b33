use super::*;
use crate::store::schema;

fn writer(folder: &tempfile::TempDir) -> Arc<Writer> {
    let path = folder.path().join("store.db");
    let connection = schema::open(&path).unwrap();
    let database = Database::new(connection, &path).unwrap();
    Arc::new(Writer::new(database, path, Arc::new(BlockingThreads)))
}

async fn put(writer: &Arc<Writer>, size: usize) -> Result<(), StoreError> {
    let (done, answer) = oneshot::channel();
    let writes = vec![Write::Value("test.value".to_owned(), Some(vec![7; size]))];
    let news = Vec::new();
    writer.submit(Job::Commit(Commit { writes, news, done })).await?;
    writer.while_waiting(answer).await.unwrap().map(drop)
}

#[tokio::test]
async fn what_is_added_goes_with_the_next_commit() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    writer.add(vec![Write::Value("test.added".to_owned(), Some(vec![7]))]);
    assert_eq!((writer.commits(), lock(&writer.queue).busy), (0, None));
    put(&writer, 1).await.unwrap();
    assert_eq!(writer.commits(), 1);
    let (done, answer) = oneshot::channel();
    let key = "test.added".to_owned();
    writer.submit(Job::Get { key, done }).await.unwrap();
    let added = writer.while_waiting(answer).await.unwrap();
    assert_eq!(added.unwrap(), Some(vec![7]));
}

#[tokio::test]
async fn what_is_added_leaves_room_for_what_somebody_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    for _ in 0..2 * QUEUE {
        writer.add(vec![Write::Value("test.added".to_owned(), Some(vec![7]))]);
    }
    put(&writer, 1).await.unwrap();
    assert!(writer.commits() > 0);
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    // As if somebody were at work already.
    lock(&writer.queue).busy = Some(Instant::now());
    let mut jobs = tokio::task::JoinSet::new();
    for size in 1..=100 {
        let writer = Arc::clone(&writer);
        jobs.spawn(async move { put(&writer, size).await });
    }
    while lock(&writer.queue).jobs.len() < 100 {
        tokio::task::yield_now().await;
    }
    writer.drain();
    while let Some(done) = jobs.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(writer.commits(), 1);
}

#[tokio::test]
async fn a_damage_is_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    lock(&writer.database).execute("DROP TABLE value");
    let first = put(&writer, 1).await.unwrap_err();
    assert!(matches!(first, StoreError::Failed { .. }), "{first}");
    assert_eq!(put(&writer, 1).await.unwrap_err().to_string(), first.to_string());
}
